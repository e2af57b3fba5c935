//! The checksum on disk: XXH3-64, written as 16 hexadecimal digits. It finds accidents, not forgeries.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// A checksum as the artifacts carry it.
pub fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

/// The checksum of a whole file; `on_bytes` hears how many bytes each read brought and may end it.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, and what `on_bytes` returns.
pub fn of_file(path: &Path, on_bytes: impl FnMut(u64) -> Result<()>) -> Result<u64> {
    of_file_and_blocks(path, u64::MAX, on_bytes).map(|(checksum, _)| checksum)
}

/// As [`of_file`], with the checksums of its blocks of `block_bytes`, of which the last may be shorter.
///
/// # Errors
/// Those of [`of_file`].
pub fn of_file_and_blocks(
    path: &Path,
    block_bytes: u64,
    mut on_bytes: impl FnMut(u64) -> Result<()>,
) -> Result<(u64, Vec<u64>)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut hasher, mut blocks) = (Xxh3::new(), Vec::new());
    loop {
        let (mut block, mut left) = (Xxh3::new(), block_bytes);
        while left > 0 {
            let most = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            let read = file.read(&mut buffer[..most]).map_err(Error::io(path))?;
            if read == 0 {
                if left < block_bytes {
                    blocks.push(block.digest());
                }
                return Ok((hasher.digest(), blocks));
            }
            hasher.update(&buffer[..read]);
            block.update(&buffer[..read]);
            left -= read as u64;
            on_bytes(read as u64)?;
        }
        blocks.push(block.digest());
    }
}
