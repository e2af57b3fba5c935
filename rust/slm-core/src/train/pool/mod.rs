//! All different pretokens of a corpus as the tokens that the merges so far make of them, to be gone through in passes.
//!
//! A pass makes up for the merges of the last one: it goes through the pool from front to back, which is faster by far than
//! finding the places of each merge in memory that no cache holds. Pretokens that have become one token have no pairs any more
//! and are dropped.
//!
//! The pool begins as bytes of text. Once its tokens take no more room than those, written with their ids, it is rewritten so, and
//! anew in each pass. It is in memory where there is room for it, else on disk: as the sorted counts, then as blocks of its own.
//!
//! Read in this order: this file, [`entries`] (a pretoken as bytes), [`blocks`] (where they are), [`pass`].

mod blocks;
mod entries;
mod pass;
#[cfg(test)]
mod tests;

pub(super) use entries::{read, width_of, write};

use crate::count::{PretokenCounts, SortedCounts};
use crate::encode::PairTable;
use crate::error::Result;
use crate::io::blocks::scan_blocks;
use crate::io::spill::Spill;
use crate::progress::Stop;
use crate::token::TokenId;
use crate::train::tokens::Tokens;
use blocks::{Block, Form, MEMORY_BLOCK_BYTES, Sink, scan_memory};
use entries::push_entry;
use pass::{Own, Pass};
use std::sync::{Mutex, PoisonError};

/// What a count and a length take in most entries.
const ENTRY_BYTES: u64 = 3;

/// The pretokens with pairs.
pub(super) struct Pool<'a> {
    form: Form<'a>,
    /// Bytes in which a token is written; 0 where the text of pretokens is, to which no merge was applied.
    width: usize,
    /// Merges that are applied in what is written.
    num_applied: usize,
    size: Size,
    /// Bytes of memory that it may take.
    max_bytes: usize,
}

/// What is in the pool.
#[derive(Clone, Copy, Default)]
struct Size {
    pretokens: u64,
    text_bytes: u64,
    tokens: u64,
}

impl Size {
    fn add(&mut self, text_bytes: usize, tokens: usize) {
        self.pretokens += 1;
        self.text_bytes += text_bytes as u64;
        self.tokens += tokens as u64;
    }

    fn written_bytes(&self, width: usize) -> u64 {
        self.pretokens * ENTRY_BYTES + if width == 0 { self.text_bytes } else { self.tokens * width as u64 }
    }
}

impl<'a> Pool<'a> {
    /// A pool in memory.
    pub fn of_table(counts: &PretokenCounts, stop: &Stop) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut block = Block::default();
        let mut size = Size::default();
        counts.for_each_until(stop, |pretoken, count| {
            if pretoken.len() > 1 {
                size.add(pretoken.len(), pretoken.len());
                push_entry(&mut block.entries, count, pretoken.len(), |entries| entries.extend_from_slice(pretoken));
                block.num_entries += 1;
                if block.entries.len() >= MEMORY_BLOCK_BYTES {
                    let entries = block.entries.as_slice().to_vec();
                    blocks.push(Mutex::new(Block { entries, num_entries: block.num_entries }));
                    block.entries.clear();
                    block.num_entries = 0;
                }
            }
        })?;
        blocks.push(Mutex::new(block));
        Ok(Self { form: Form::Memory(blocks), width: 0, num_applied: 0, size, max_bytes: usize::MAX })
    }

    /// A pool on disk, until it fits into `max_bytes` of memory.
    pub fn of_counts(sorted: Box<SortedCounts<'a>>, max_bytes: usize) -> Self {
        let summary = sorted.summary();
        let size = Size {
            pretokens: summary.unique_pretokens,
            text_bytes: summary.unique_bytes,
            tokens: summary.unique_bytes,
        };
        Self { form: Form::Counts(sorted), width: 0, num_applied: 0, size, max_bytes }
    }

    /// The memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        let Form::Memory(blocks) = &self.form else { return 0 };
        let bytes_of = |block: &Mutex<Block>| block.lock().unwrap_or_else(PoisonError::into_inner).entries.capacity();
        blocks.iter().map(bytes_of).sum()
    }

    /// Goes through the pool with `num_threads` threads, each of which has something of its own that `start` makes and that is
    /// given back at the end. `each` gets every pretoken of two tokens and more, and its count, in no particular order.
    pub fn scan<S: Send>(
        &mut self,
        tokens: &Tokens,
        width: usize,
        (num_threads, spill, stop): (usize, Option<&'a Spill>, &Stop),
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[TokenId], u64) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let written_width = self.width_to_write(tokens, width);
        let sink = match written_width {
            None => Sink::Nowhere,
            Some(width) if self.size.written_bytes(width) <= self.max_bytes as u64 => Sink::Memory(Mutex::default()),
            Some(_) => match spill {
                Some(spill) => Sink::Disk(Mutex::new(spill.create()?), spill),
                None => Sink::Nowhere,
            },
        };
        let pass = Pass {
            width: self.width,
            written_width: written_width.unwrap_or(0),
            id_of_byte: &tokens.id_of_byte,
            pairs: pending_pairs(tokens, if self.width == 0 { 0 } else { self.num_applied }),
            sink,
        };
        let begin = || Own::new(start());
        let owns = match &self.form {
            Form::Counts(sorted) => sorted
                .scan(num_threads, stop, begin, |own, pretoken, count| pass.take_text(own, pretoken, count, &each))?,
            Form::Memory(blocks) => scan_memory(blocks, num_threads, stop, begin, |own, block| {
                pass.take_block(own, &block.entries, block.num_entries, &each)?;
                if !matches!(pass.sink, Sink::Nowhere) {
                    *block = Block::default();
                }
                Ok(())
            })?,
            Form::Disk(file) => scan_blocks(&file.path, num_threads, stop, begin, |own, entries, num_entries| {
                pass.take_block(own, &entries, num_entries, &each)?;
                Ok(entries)
            })?,
        };
        let mut size = Size::default();
        let mut states = Vec::with_capacity(owns.len());
        for mut own in owns {
            pass.sink.put(&mut own.written, &mut own.sealer)?;
            size.pretokens += own.size.pretokens;
            size.text_bytes += own.size.text_bytes;
            size.tokens += own.size.tokens;
            states.push(own.state);
        }
        let Pass { sink, .. } = pass;
        self.size = size;
        if let (Some(width), Some(form)) = (written_width, sink.into_form()) {
            self.form = form;
            self.width = width;
            self.num_applied = tokens.merges.len();
        }
        Ok(states)
    }

    /// The width to write tokens with, 0 for text, or `None` where nothing is to be written.
    fn width_to_write(&self, tokens: &Tokens, width: usize) -> Option<usize> {
        if tokens.merges.len() > self.num_applied {
            // Text is made into tokens once that takes no more room, or sooner where there is plenty.
            let in_tokens = self.size.written_bytes(width);
            let is_time = self.width > 0 || in_tokens <= self.size.written_bytes(0).max(self.max_bytes as u64);
            return is_time.then_some(width);
        }
        let is_on_disk = matches!(self.form, Form::Counts(_));
        (is_on_disk && self.size.written_bytes(0) <= self.max_bytes as u64).then_some(0)
    }
}

fn pending_pairs(tokens: &Tokens, num_applied: usize) -> Option<PairTable> {
    let merges = &tokens.merges.as_slice()[num_applied..];
    (!merges.is_empty()).then(|| PairTable::new(merges.iter().map(|merge| (merge.left, merge.right, merge.produced))))
}
