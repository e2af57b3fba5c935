//! Files of blocks: each is packed, has a checksum, and can be read alone.
//!
//! ```text
//! bytes of the payload u32, entries u32, XXH3-64 of all the others u64     all little-endian
//! payload: the entries; or, where the highest bit of their number is set, their bytes u32 and a zstd frame of them
//! ```
//!
//! What an entry is, the writer and the reader of a file know: [`crate::count`] has sorted pretokens, [`crate::train`] tokens.

use crate::error::{Error, Result};
use crate::progress::Stop;
use crossbeam_channel::bounded;
use std::fs::File;
use std::io::Read;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use zstd::zstd_safe::{CCtx, DCtx};

/// Bytes of a block before its payload.
pub const HEADER_BYTES: usize = 16;

/// Says that the payload is a zstd frame.
const IS_PACKED: u32 = 1 << 31;

/// The least work that zstd takes; the next levels make sorted pretokens 2 % smaller in twice the time.
const LEVEL: i32 = 1;

/// Whether the entries of a block are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// For files that are kept: their bytes depend on the entries alone, and not on the release of a library.
    Plain,
    /// For files that are removed again.
    Zstd,
}

/// Makes blocks.
pub struct Sealer {
    context: Option<CCtx<'static>>,
    packed: Vec<u8>,
}

impl Sealer {
    /// One for blocks of one kind.
    pub fn new(packing: Packing) -> Self {
        Self { context: (packing == Packing::Zstd).then(CCtx::create), packed: Vec::new() }
    }

    /// Gives the block for the entries in `block`, which begins with [`HEADER_BYTES`] bytes for the header.
    ///
    /// # Errors
    /// [`Error::Data`] for 4 GiB and more.
    pub fn seal<'b>(&'b mut self, block: &'b mut [u8], num_entries: u32) -> Result<&'b [u8]> {
        let entries = &block[HEADER_BYTES..];
        let Ok(num_bytes) = u32::try_from(entries.len()) else {
            return Err(Error::Data(format!(
                "a pretoken has {} bytes, 4 GiB are the most that can be spilled\n\nhint: break up very long stretches without whitespace",
                entries.len()
            )));
        };
        if let Some(context) = &mut self.context {
            // Where it would save less than a sixteenth there is no room for the frame, and the entries stay as they are.
            let start = HEADER_BYTES + size_of::<u32>();
            self.packed.resize(start + entries.len() / 16 * 15, 0);
            if let Ok(frame_bytes) = context.compress(&mut self.packed[start..], entries, LEVEL) {
                self.packed.truncate(start + frame_bytes);
                self.packed[HEADER_BYTES..start].copy_from_slice(&num_bytes.to_le_bytes());
                write_header(&mut self.packed, num_entries | IS_PACKED);
                return Ok(&self.packed);
            }
        }
        write_header(block, num_entries);
        Ok(block)
    }
}

fn write_header(block: &mut [u8], entries: u32) {
    let (header, payload) = block.split_at_mut(HEADER_BYTES);
    #[expect(clippy::cast_possible_truncation, reason = "it was checked that the entries have fewer than 2^32 bytes")]
    let num_bytes = payload.len() as u32;
    header[..4].copy_from_slice(&num_bytes.to_le_bytes());
    header[4..8].copy_from_slice(&entries.to_le_bytes());
    header[8..].copy_from_slice(&checksum(payload, num_bytes, entries).to_le_bytes());
}

fn checksum(payload: &[u8], num_bytes: u32, entries: u32) -> u64 {
    xxh3_64_with_seed(payload, u64::from(num_bytes) << 32 | u64::from(entries))
}

/// Undoes what a [`Sealer`] does; one serves many files.
pub struct Unpacker {
    context: DCtx<'static>,
    payload: Vec<u8>,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { context: DCtx::create(), payload: Vec::new() }
    }
}

impl Unpacker {
    /// Brings the entries of a payload, which has passed its checksum, into `entries`; false if they are not what it says.
    fn unpack(&mut self, payload: &[u8], entries: &mut Vec<u8>) -> bool {
        let Some((num_bytes, frame)) = payload.split_first_chunk() else { return false };
        let num_bytes = u32::from_le_bytes(*num_bytes) as usize;
        entries.clear();
        // A file of somebody else's may say anything.
        entries.try_reserve(num_bytes).is_ok() && self.context.decompress(entries, frame) == Ok(num_bytes)
    }
}

/// The blocks of a file, one after another.
pub struct Blocks {
    path: PathBuf,
    file: File,
    /// Where the block starts that was read last, and where the next one does.
    offset: u64,
    next_offset: u64,
}

impl Blocks {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file, offset: 0, next_offset: 0 })
    }

    /// Brings the entries of the next block into `entries` and gives their number, or `None` after the last block.
    ///
    /// # Errors
    /// [`Error::Data`] with the place for a block that is not what was written; [`Error::Io`].
    pub fn next(&mut self, unpacker: &mut Unpacker, entries: &mut Vec<u8>) -> Result<Option<u32>> {
        let mut payload = std::mem::take(&mut unpacker.payload);
        let read = self.read(&mut payload)?;
        let number = read.map(|number| self.unpack(number, &mut payload, unpacker, entries)).transpose();
        unpacker.payload = payload;
        number
    }

    /// Reads the next payload and gives the field of its entries.
    fn read(&mut self, payload: &mut Vec<u8>) -> Result<Option<u32>> {
        self.offset = self.next_offset;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        let read = (&self.file).take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(Error::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        let number = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let expected = header.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let (Some(num_bytes), Some(entries), Some(expected)) = (number(0), number(4), expected) else {
            return Err(damaged(&self.path, self.offset));
        };
        payload.clear();
        (&self.file).take(u64::from(num_bytes)).read_to_end(payload).map_err(Error::io(&self.path))?;
        if checksum(payload, num_bytes, entries) != expected {
            return Err(damaged(&self.path, self.offset));
        }
        self.next_offset += (HEADER_BYTES + payload.len()) as u64;
        Ok(Some(entries))
    }

    fn unpack(
        &self,
        number: u32,
        payload: &mut Vec<u8>,
        unpacker: &mut Unpacker,
        entries: &mut Vec<u8>,
    ) -> Result<u32> {
        if number & IS_PACKED == 0 {
            std::mem::swap(payload, entries);
        } else if !unpacker.unpack(payload, entries) {
            return Err(damaged(&self.path, self.offset));
        }
        Ok(number & !IS_PACKED)
    }
}

fn damaged(path: &Path, offset: u64) -> Error {
    Error::Data(format!(
        "`{}` is damaged: the block at byte {offset} is not what was written\n\nhint: check the disk, and copy or make the file again",
        path.display(),
    ))
}

/// A payload on its way from the thread that reads to one that works.
struct Sealed {
    payload: Vec<u8>,
    entries: u32,
    offset: u64,
}

/// Reads blocks and has `num_threads` threads go through them, each with something of its own that `start` makes and that is
/// given back at the end. `each` gives back the buffer of the entries for the next block.
///
/// # Errors
/// As [`Blocks::next`]; those of `each`; [`Error::Interrupted`].
pub fn scan_blocks<S: Send>(
    path: &Path,
    num_threads: usize,
    stop: &Stop,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, Vec<u8>, u32) -> Result<Vec<u8>> + Sync,
) -> Result<Vec<S>> {
    let (blocks, to_do) = bounded::<Sealed>(2 * num_threads);
    let (spent, empty) = bounded::<Vec<u8>>(4 * num_threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                let (to_do, spent, start, each) = (to_do.clone(), spent.clone(), &start, &each);
                scope.spawn(move || {
                    let mut own = start();
                    let mut unpacker = Unpacker::default();
                    let mut entries = Vec::new();
                    for mut read in to_do {
                        stop.check()?;
                        if read.entries & IS_PACKED == 0 {
                            std::mem::swap(&mut read.payload, &mut entries);
                        } else if !unpacker.unpack(&read.payload, &mut entries) {
                            return Err(damaged(path, read.offset));
                        }
                        // A buffer too many is simply dropped.
                        let _ = spent.try_send(read.payload);
                        entries = each(&mut own, entries, read.entries & !IS_PACKED)?;
                    }
                    Ok(own)
                })
            })
            .collect();
        drop(to_do);
        let read = (|| {
            let mut file = Blocks::open(path)?;
            let mut payload = Vec::new();
            while let Some(entries) = file.read(&mut payload)? {
                let read = Sealed { payload, entries, offset: file.offset };
                blocks.send(read).map_err(|_| Error::Interrupted)?;
                payload = empty.try_recv().unwrap_or_default();
            }
            Ok(())
        })();
        drop(blocks);
        let done: Vec<_> =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        // Where a worker fails the reader finds nobody to hand on to: what the worker says comes first.
        let done = done.into_iter().collect::<Result<Vec<_>>>()?;
        read.map(|()| done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries_of(number: u8) -> Vec<u8> {
        // Text that packs well, and noise that does not at all.
        let noise = |at: u64| xxh3_64_with_seed(b"noise", at).to_le_bytes()[0];
        (0..2000).map(|at| if number.is_multiple_of(2) { number } else { noise(at) }).collect()
    }

    fn file_of(directory: &Path, packing: Packing) -> PathBuf {
        let path = directory.join(format!("{packing:?}"));
        let mut sealer = Sealer::new(packing);
        let mut file = Vec::new();
        for number in 0..10 {
            let mut block = vec![0; HEADER_BYTES];
            block.extend(entries_of(number));
            file.extend_from_slice(sealer.seal(&mut block, u32::from(number)).unwrap());
        }
        std::fs::write(&path, file).unwrap();
        path
    }

    fn read_all(path: &Path) -> Result<Vec<(Vec<u8>, u32)>> {
        let (mut blocks, mut unpacker, mut all) = (Blocks::open(path)?, Unpacker::default(), Vec::new());
        let mut entries = Vec::new();
        while let Some(number) = blocks.next(&mut unpacker, &mut entries)? {
            all.push((entries.clone(), number));
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read_and_packed_blocks_are_smaller() {
        let directory = tempfile::tempdir().unwrap();
        let expected: Vec<_> = (0..10).map(|number| (entries_of(number), u32::from(number))).collect();
        let sizes = [Packing::Plain, Packing::Zstd].map(|packing| {
            let path = file_of(directory.path(), packing);
            assert!(read_all(&path).unwrap() == expected);
            for num_threads in [1, 3] {
                let each = |own: &mut Vec<_>, entries: Vec<u8>, number| {
                    own.push((entries.clone(), number));
                    Ok(entries)
                };
                let scanned = scan_blocks(&path, num_threads, &Stop::default(), Vec::new, each).unwrap();
                let mut scanned = scanned.concat();
                scanned.sort_by_key(|&(_, number)| number);
                assert!(scanned == expected);
            }
            std::fs::metadata(path).unwrap().len()
        });
        assert_eq!(sizes[0], 10 * (2000 + HEADER_BYTES as u64));
        assert!(sizes[1] < sizes[0] * 11 / 20 && sizes[1] > sizes[0] / 2);
    }

    #[test]
    fn a_changed_byte_and_a_missing_end_are_found_with_the_place() {
        let directory = tempfile::tempdir().unwrap();
        for packing in [Packing::Plain, Packing::Zstd] {
            let path = file_of(directory.path(), packing);
            let whole = std::fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(97) {
                let mut changed = whole.clone();
                changed[at] ^= 0x80;
                std::fs::write(&path, changed).unwrap();
                let error = read_all(&path).unwrap_err().to_string();
                let place = error.split("block at byte ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
                assert!(place.parse::<usize>().unwrap() <= at, "{at} {error}");
                assert!(scan_blocks(&path, 2, &Stop::default(), || (), |(), entries, _| Ok(entries)).is_err());
            }
            std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            assert!(matches!(read_all(&path), Err(Error::Data(_))));
        }
    }
}
