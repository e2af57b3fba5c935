//! Sorted runs: pretokens in ascending order with their counts, on disk.
//!
//! A run is a file of [blocks](crate::io::blocks). An entry of one has, with numbers as LEB128:
//!
//! ```text
//! bytes in common with the entry before, further bytes, those bytes, count
//! ```
//!
//! Neighbours in sorted order have most of their bytes in common, which is what makes a run small before it is packed.

use crate::error::Result;
use crate::io::blocks::{HEADER_BYTES, Packing, Sealer};
use crate::io::spill::{Spill, SpillFile};
use std::path::PathBuf;

/// A block is written once its entries have this many bytes.
const BLOCK_BYTES: usize = 32 << 10;

/// A finished run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub path: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// The size of its largest block when it is unpacked, and so about what reading it takes.
    pub max_block_bytes: usize,
}

/// Writes a run.
pub(super) struct RunWriter<'a> {
    file: SpillFile<'a>,
    sealer: Sealer,
    /// The header's place and the entries.
    block: Vec<u8>,
    num_entries: u32,
    previous: Vec<u8>,
    max_block_bytes: usize,
}

impl<'a> RunWriter<'a> {
    pub fn create(spill: &'a Spill, packing: Packing) -> Result<Self> {
        Ok(Self {
            file: spill.create()?,
            sealer: Sealer::new(packing),
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

    /// Writes a block without entries, which readers pass over; before the first pretoken.
    pub fn push_note(&mut self, note: &[u8]) -> Result<()> {
        self.block.extend_from_slice(note);
        self.finish_block()
    }

    fn finish_block(&mut self) -> Result<()> {
        self.file.write(self.sealer.seal(&mut self.block, self.num_entries)?)?;
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
