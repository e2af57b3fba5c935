//! Sorted runs: pretokens in ascending order with their counts, on disk.
//!
//! A run is a sequence of blocks, and a block can be read alone:
//!
//! ```text
//! bytes of the entries u32, entries u32, XXH3-64 of all the others u64     all little-endian
//! entries: bytes in common with the one before, further bytes, those bytes, count     numbers as LEB128
//! ```
//!
//! Neighbours in sorted order have most of their bytes in common, which is what makes a run small.

use crate::error::{Error, Result};
use crate::io::spill::{Spill, SpillFile};
use crate::progress::Stop;
use crossbeam_channel::bounded;
use std::fs::File;
use std::io::Read;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A block is written once its entries have this many bytes.
const BLOCK_BYTES: usize = 32 << 10;

/// Bytes of a block before its entries.
pub(crate) const HEADER_BYTES: usize = 16;

/// A finished run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub path: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// The size of its largest block, and so about what reading it takes.
    pub max_block_bytes: usize,
}

/// Writes a run.
pub(super) struct RunWriter<'a> {
    file: SpillFile<'a>,
    /// The header's place and the entries.
    block: Vec<u8>,
    num_entries: u32,
    previous: Vec<u8>,
    max_block_bytes: usize,
}

impl<'a> RunWriter<'a> {
    pub fn create(spill: &'a Spill) -> Result<Self> {
        Ok(Self {
            file: spill.create()?,
            block: vec![0; HEADER_BYTES],
            num_entries: 0,
            previous: Vec::new(),
            max_block_bytes: 0,
        })
    }

    /// Appends a pretoken, which comes after all before it in the order of bytes.
    pub fn push(&mut self, pretoken: &[u8], count: u64) -> Result<()> {
        let shared = if self.num_entries == 0 { 0 } else { common_prefix(&self.previous, pretoken) };
        push_number(&mut self.block, shared as u64);
        push_number(&mut self.block, (pretoken.len() - shared) as u64);
        self.block.extend_from_slice(&pretoken[shared..]);
        push_number(&mut self.block, count);
        self.num_entries += 1;
        if self.block.len() >= BLOCK_BYTES {
            return self.finish_block();
        }
        self.previous.truncate(shared);
        self.previous.extend_from_slice(&pretoken[shared..]);
        Ok(())
    }

    fn finish_block(&mut self) -> Result<()> {
        seal(&mut self.block, self.num_entries)?;
        self.file.write(&self.block)?;
        self.max_block_bytes = self.max_block_bytes.max(self.block.len());
        self.block.truncate(HEADER_BYTES);
        self.num_entries = 0;
        self.previous.clear();
        Ok(())
    }

    pub fn finish(mut self) -> Result<Run> {
        if self.num_entries > 0 {
            self.finish_block()?;
        }
        Ok(Run { path: self.file.path().to_owned(), bytes: self.file.size(), max_block_bytes: self.max_block_bytes })
    }
}

/// Fills in the header of a block, whose place is in front of the entries.
pub(crate) fn seal(block: &mut [u8], num_entries: u32) -> Result<()> {
    let (header, entries) = block.split_at_mut(HEADER_BYTES);
    let Ok(num_bytes) = u32::try_from(entries.len()) else {
        return Err(Error::Data(format!(
            "a pretoken has {} bytes, 4 GiB are the most that can be spilled\n\nhint: break up very long stretches without whitespace",
            entries.len()
        )));
    };
    header[..4].copy_from_slice(&num_bytes.to_le_bytes());
    header[4..8].copy_from_slice(&num_entries.to_le_bytes());
    let checksum = checksum(entries, num_bytes, num_entries);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads blocks and has `num_threads` threads go through them, each with something of its own that `start` makes and that is
/// given back at the end. `each` gives back the buffer of the block for the next one.
pub(crate) fn scan_blocks<S: Send>(
    path: &Path,
    num_threads: usize,
    stop: &Stop,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, Vec<u8>, u32) -> Result<Vec<u8>> + Sync,
) -> Result<Vec<S>> {
    let (blocks, to_do) = bounded::<(Vec<u8>, u32)>(2 * num_threads);
    let (spent, empty) = bounded::<Vec<u8>>(4 * num_threads);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                let (to_do, spent, start, each) = (to_do.clone(), spent.clone(), &start, &each);
                scope.spawn(move || {
                    let mut own = start();
                    for (bytes, num_entries) in to_do {
                        stop.check()?;
                        // A buffer too many is simply dropped.
                        let _ = spent.try_send(each(&mut own, bytes, num_entries)?);
                    }
                    Ok(own)
                })
            })
            .collect();
        drop(to_do);
        let read = (|| {
            let mut file = Blocks::open(path)?;
            let mut bytes = Vec::new();
            while let Some(num_entries) = file.next(&mut bytes)? {
                blocks.send((bytes, num_entries)).map_err(|_| Error::Interrupted)?;
                bytes = empty.try_recv().unwrap_or_default();
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

/// The blocks of a run, one after another.
pub(super) struct Blocks {
    path: PathBuf,
    file: File,
    offset: u64,
}

impl Blocks {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path).map_err(Error::io(path))?, offset: 0 })
    }

    /// Reads the next block into `entries` and gives the number of its entries, or `None` after the last.
    pub fn next(&mut self, entries: &mut Vec<u8>) -> Result<Option<u32>> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        let read = (&self.file).take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(Error::io(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        let number = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let expected = header.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let (Some(num_bytes), Some(num_entries), Some(expected)) = (number(0), number(4), expected) else {
            return Err(self.damaged());
        };
        entries.clear();
        (&self.file).take(u64::from(num_bytes)).read_to_end(entries).map_err(Error::io(&self.path))?;
        if checksum(entries, num_bytes, num_entries) != expected {
            return Err(self.damaged());
        }
        self.offset += (HEADER_BYTES + entries.len()) as u64;
        Ok(Some(num_entries))
    }

    fn damaged(&self) -> Error {
        Error::Data(format!(
            "`{}` is damaged: the block at byte {} is not what was written\n\nhint: check the disk, and run the same command again",
            self.path.display(),
            self.offset
        ))
    }
}

/// What is left of the entries of a block.
#[derive(Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    at: usize,
    left: u32,
    pretoken: Vec<u8>,
    count: u64,
}

impl Entries {
    /// Goes through a block; `bytes` has passed its checksum, so it is what [`RunWriter`] wrote.
    pub fn new(bytes: Vec<u8>, num_entries: u32) -> Self {
        Self { bytes, left: num_entries, ..Self::default() }
    }

    /// Goes to the next entry, or gives false after the last.
    #[inline]
    pub fn advance(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        // A block has less than 4 GiB, so the lengths in it do not overflow.
        #[expect(clippy::cast_possible_truncation, reason = "less than 2^32")]
        let (shared, further) = (self.number() as usize, self.number() as usize);
        self.pretoken.truncate(shared);
        self.pretoken.extend_from_slice(&self.bytes[self.at..self.at + further]);
        self.at += further;
        self.count = self.number();
        true
    }

    pub fn pretoken(&self) -> &[u8] {
        &self.pretoken
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the bytes out, to read the next block into them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    #[inline]
    fn number(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = self.bytes[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }
}

fn checksum(entries: &[u8], num_bytes: u32, num_entries: u32) -> u64 {
    xxh3_64_with_seed(entries, u64::from(num_bytes) << 32 | u64::from(num_entries))
}

/// Appends a number as LEB128.
#[inline]
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest 7 bits")]
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
    bytes.push(number as u8);
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
