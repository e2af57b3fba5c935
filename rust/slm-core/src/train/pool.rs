//! All different pretokens of a corpus as the tokens that the merges so far make of them, to be gone through in passes.
//!
//! A pass makes up for the merges of the last one: it goes through the pool from front to back, which is faster by far than
//! finding the places of each merge in memory that no cache holds. Pretokens that have become one token have no pairs any more
//! and are dropped.
//!
//! The pool begins as bytes of text. Once its tokens take no more room than those, written with their ids, it is rewritten so, and
//! anew in each pass. It is in memory where there is room for it, else on disk: as the sorted counts, then as blocks of its own.

use crate::count::push_number;
use crate::count::{PretokenCounts, SortedCounts};
use crate::encode::{LongMerge, PairTable, merge};
use crate::error::Result;
use crate::io::allocator::LARGE_BYTES;
use crate::io::blocks::{HEADER_BYTES, Packing, Sealer, scan_blocks};
use crate::io::spill::{Spill, SpillFile};
use crate::progress::Stop;
use crate::token::TokenId;
use crate::train::tokens::Tokens;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A block in memory is full once its entries have this many bytes: it is then a mapping of its own, and freeing it gives all of it
/// back.
const MEMORY_BLOCK_BYTES: usize = LARGE_BYTES;

/// A block on disk is, which several are read of at a time.
const DISK_BLOCK_BYTES: usize = 128 << 10;

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

enum Form<'a> {
    Counts(Box<SortedCounts<'a>>),
    Memory(Vec<Mutex<Block>>),
    Disk(DiskBlocks<'a>),
}

/// Entries: count and number of bytes or tokens as LEB128, then these.
#[derive(Default)]
struct Block {
    entries: Vec<u8>,
    num_entries: u32,
}

/// A file of blocks, removed with this.
struct DiskBlocks<'a> {
    path: PathBuf,
    bytes: u64,
    spill: &'a Spill,
}

impl Drop for DiskBlocks<'_> {
    fn drop(&mut self) {
        // Where this fails, the whole directory is removed at the end.
        let _ = self.spill.remove(&self.path, self.bytes);
    }
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

/// What the threads of a pass have in common.
struct Pass<'p, 'a> {
    width: usize,
    written_width: usize,
    id_of_byte: &'p [TokenId; 256],
    pairs: Option<PairTable>,
    sink: Sink<'a>,
}

/// What a thread of a pass has for itself.
struct Own<S> {
    state: S,
    ids: Vec<TokenId>,
    long: LongMerge,
    /// Entries behind the place of a block's header.
    written: Block,
    sealer: Sealer,
    size: Size,
}

impl<S> Own<S> {
    fn new(state: S) -> Self {
        Self {
            state,
            ids: Vec::new(),
            long: LongMerge::default(),
            written: empty_block(),
            sealer: Sealer::new(Packing::Zstd),
            size: Size::default(),
        }
    }
}

fn empty_block() -> Block {
    Block { entries: vec![0; HEADER_BYTES], num_entries: 0 }
}

impl Pass<'_, '_> {
    #[inline]
    fn take_text<S>(
        &self,
        own: &mut Own<S>,
        text: &[u8],
        count: u64,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        own.ids.clear();
        own.ids.extend(text.iter().map(|&byte| self.id_of_byte[usize::from(byte)]));
        self.take_ids(own, text, count, each)
    }

    /// `text` is what the ids were read from.
    #[inline]
    fn take_ids<S>(
        &self,
        own: &mut Own<S>,
        text: &[u8],
        count: u64,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        if let Some(pairs) = &self.pairs {
            merge(pairs, &mut own.long, &mut own.ids, 0);
        }
        if own.ids.len() < 2 {
            return Ok(());
        }
        own.size.add(text.len(), own.ids.len());
        each(&mut own.state, &own.ids, count)?;
        if matches!(self.sink, Sink::Nowhere) {
            return Ok(());
        }
        let Own { ids, written, sealer, .. } = own;
        if self.written_width == 0 {
            push_entry(&mut written.entries, count, text.len(), |entries| entries.extend_from_slice(text));
        } else {
            push_entry(&mut written.entries, count, ids.len(), |entries| write(ids, self.written_width, entries));
        }
        written.num_entries += 1;
        if written.entries.len() >= self.sink.block_bytes() {
            self.sink.put(written, sealer)?;
        }
        Ok(())
    }

    fn take_block<S>(
        &self,
        own: &mut Own<S>,
        mut entries: &[u8],
        num_entries: u32,
        each: &impl Fn(&mut S, &[TokenId], u64) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..num_entries {
            let count = take_number(&mut entries);
            #[expect(clippy::cast_possible_truncation, reason = "a block is in memory")]
            let length = take_number(&mut entries) as usize;
            let (entry, rest) = entries.split_at(length * self.width.max(1));
            entries = rest;
            if self.width == 0 {
                self.take_text(own, entry, count, each)?;
            } else {
                read(entry, self.width, &mut own.ids);
                self.take_ids(own, entry, count, each)?;
            }
        }
        Ok(())
    }
}

#[inline]
fn push_entry(entries: &mut Vec<u8>, count: u64, length: usize, push: impl FnOnce(&mut Vec<u8>)) {
    push_number(entries, count);
    push_number(entries, length as u64);
    push(entries);
}

#[inline]
fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

/// Bytes in which each of so many ids can be written.
pub(super) fn width_of(num_ids: usize) -> usize {
    match num_ids {
        0..=0x1_0000 => 2,
        0x1_0001..=0x100_0000 => 3,
        _ => 4,
    }
}

/// Appends ids to `bytes`, each in `width` of them.
#[inline]
pub(super) fn write(ids: &[TokenId], width: usize, bytes: &mut Vec<u8>) {
    if width == 2 {
        #[expect(clippy::cast_possible_truncation, reason = "so the width says")]
        bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes()));
    } else {
        for id in ids {
            bytes.extend_from_slice(&id.to_le_bytes()[..width]);
        }
    }
}

/// Reads what [`write`] wrote, in place of what is in `ids`.
#[inline]
pub(super) fn read(bytes: &[u8], width: usize, ids: &mut Vec<TokenId>) {
    ids.clear();
    if width == 2 {
        ids.extend(bytes.as_chunks::<2>().0.iter().map(|&bytes| TokenId::from(u16::from_le_bytes(bytes))));
    } else {
        ids.extend(bytes.chunks_exact(width).map(|bytes| {
            let mut id = [0; 4];
            id[..width].copy_from_slice(bytes);
            TokenId::from_le_bytes(id)
        }));
    }
}

/// Where a pass writes.
enum Sink<'a> {
    Nowhere,
    Memory(Mutex<Vec<Mutex<Block>>>),
    Disk(Mutex<SpillFile<'a>>, &'a Spill),
}

impl<'a> Sink<'a> {
    fn block_bytes(&self) -> usize {
        if matches!(self, Self::Memory(_)) { MEMORY_BLOCK_BYTES } else { DISK_BLOCK_BYTES }
    }

    /// Takes the entries of a block, and leaves it empty.
    fn put(&self, block: &mut Block, sealer: &mut Sealer) -> Result<()> {
        if block.num_entries == 0 {
            return Ok(());
        }
        match self {
            Self::Nowhere => {}
            Self::Memory(blocks) => {
                let entries = block.entries[HEADER_BYTES..].to_vec();
                let written = Mutex::new(Block { entries, num_entries: block.num_entries });
                blocks.lock().unwrap_or_else(PoisonError::into_inner).push(written);
            }
            Self::Disk(file, _) => {
                let sealed = sealer.seal(&mut block.entries, block.num_entries)?;
                file.lock().unwrap_or_else(PoisonError::into_inner).write(sealed)?;
            }
        }
        block.entries.truncate(HEADER_BYTES);
        block.num_entries = 0;
        Ok(())
    }

    fn into_form(self) -> Option<Form<'a>> {
        match self {
            Self::Nowhere => None,
            Self::Memory(blocks) => Some(Form::Memory(blocks.into_inner().unwrap_or_else(PoisonError::into_inner))),
            Self::Disk(file, spill) => {
                let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
                Some(Form::Disk(DiskBlocks { path: file.path().to_owned(), bytes: file.size(), spill }))
            }
        }
    }
}

fn scan_memory<S: Send>(
    blocks: &[Mutex<Block>],
    num_threads: usize,
    stop: &Stop,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, &mut Block) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = start();
                    while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        stop.check()?;
                        each(&mut own, &mut block.lock().unwrap_or_else(PoisonError::into_inner))?;
                    }
                    Ok(own)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TrainOptions;
    use std::collections::BTreeMap;

    type Words = BTreeMap<Vec<TokenId>, u64>;

    fn scanned<'a>(pool: &mut Pool<'a>, tokens: &Tokens, num_threads: usize, spill: &'a Spill) -> Words {
        let threads = (num_threads, Some(spill), &Stop::default());
        let parts = pool.scan(tokens, 2, threads, Words::new, |own, ids, count| {
            *own.entry(ids.to_vec()).or_default() += count;
            Ok(())
        });
        let mut all = Words::new();
        for (ids, count) in parts.unwrap().into_iter().flatten() {
            *all.entry(ids).or_default() += count;
        }
        all
    }

    /// What merging one pair after another makes of all pretokens.
    fn merged(counts: &PretokenCounts, tokens: &Tokens) -> Words {
        let mut words = Words::new();
        counts.for_each(|pretoken, count| {
            let mut ids: Vec<_> = pretoken.iter().map(|&byte| tokens.id_of_byte[usize::from(byte)]).collect();
            for merge in tokens.merges.as_slice() {
                let mut at = 0;
                while at + 1 < ids.len() {
                    if (ids[at], ids[at + 1]) == (merge.left, merge.right) {
                        ids.splice(at..at + 2, [merge.produced]);
                    }
                    at += 1;
                }
            }
            if ids.len() > 1 {
                *words.entry(ids).or_default() += count;
            }
        });
        words
    }

    #[test]
    fn every_form_gives_the_pretokens_as_the_merges_make_them() {
        let mut counts = PretokenCounts::default();
        for number in 0..20_000_u64 {
            counts.add(format!("{:b}", number * number).as_bytes(), 1 + number % 3);
        }
        let parent = tempfile::tempdir().unwrap();
        for (max_bytes, forms) in [(0, "CD"), (500_000, "CM"), (1 << 30, "M"), (usize::MAX, "M")] {
            let spill = Spill::new(parent.path(), None);
            let mut tokens = Tokens::new(&TrainOptions::default(), &[true; 256]).unwrap();
            let mut pool = if max_bytes == usize::MAX {
                Pool::of_table(&counts, &Stop::default()).unwrap()
            } else {
                let mut copy = PretokenCounts::default();
                counts.for_each(|pretoken, count| copy.add(pretoken, count));
                let sorted = SortedCounts::of_table(copy, &spill, &Stop::default()).unwrap();
                Pool::of_counts(Box::new(sorted), max_bytes)
            };
            let mut found = String::new();
            let mut symbols = [b'0', b'1'].map(|byte| tokens.id_of_byte[usize::from(byte)]).to_vec();
            for round in 0..4 {
                assert_eq!(scanned(&mut pool, &tokens, 1 + round % 3, &spill), merged(&counts, &tokens));
                assert_eq!(scanned(&mut pool, &tokens, 2, &spill), merged(&counts, &tokens));
                let form = match &pool.form {
                    Form::Counts(_) => 'C',
                    Form::Memory(_) => 'M',
                    Form::Disk(_) => 'D',
                };
                if !found.ends_with(form) {
                    found.push(form);
                }
                // All pairs of the last round's symbols, which halves the pretokens, and later on some of them.
                let pairs = symbols.iter().flat_map(|&left| symbols.iter().map(move |&right| (left, right)));
                symbols = pairs.take(16).map(|(left, right)| tokens.push_merge(left, right, 1)).collect();
            }
            assert_eq!(found, forms, "{max_bytes}");
            assert!(pool.memory_bytes() <= max_bytes);
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn ids_of_every_width_are_written_and_read() {
        for (num_ids, width) in [(1, 2), (0x1_0000, 2), (0x1_0001, 3), (0x100_0000, 3), (0x100_0001, 4)] {
            assert_eq!(width_of(num_ids), width);
            let piece = [0, 255, TokenId::try_from(num_ids - 1).unwrap()];
            let (mut bytes, mut ids) = (Vec::new(), Vec::new());
            write(&piece, width, &mut bytes);
            read(&bytes, width, &mut ids);
            assert_eq!((bytes.len(), &ids[..]), (3 * width, &piece[..]));
        }
    }
}
