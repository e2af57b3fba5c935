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
pub fn of_file(path: &Path, mut on_bytes: impl FnMut(u64) -> Result<()>) -> Result<u64> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hasher = Xxh3::new();
    loop {
        let read = file.read(&mut buffer).map_err(Error::io(path))?;
        if read == 0 {
            return Ok(hasher.digest());
        }
        hasher.update(&buffer[..read]);
        on_bytes(read as u64)?;
    }
}
