//! Many sorted runs to one, in which each pretoken stands once, and how that one is read by several threads.

use crate::count::runs::{Entries, Run, RunWriter};
use crate::count::{AddingUp, CountSummary, PretokenCounts};
use crate::error::Result;
use crate::io::blocks::{Blocks, Packing, Unpacker, scan_blocks};
use crate::io::spill::Spill;
use crate::progress::Stop;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pretokens between two looks at the stop flag.
pub(super) const STOP_INTERVAL: u64 = 1 << 12;

/// All pretokens of a corpus in ascending order of their bytes, on disk.
pub struct SortedCounts<'a> {
    run: Run,
    summary: CountSummary,
    is_in_alphabet: [bool; 256],
    /// Keeps the directory of a run that was spilled.
    _spill: Option<&'a Spill>,
}

impl<'a> SortedCounts<'a> {
    /// Writes a table.
    pub(crate) fn of_table(mut counts: PretokenCounts, spill: &'a Spill, stop: &Stop) -> Result<Self> {
        let mut writer = SortedWriter::new(spill, Packing::Zstd, stop)?;
        counts.take_sorted(false, stop, |pretoken, count| writer.push(pretoken, count))?;
        writer.finish()
    }

    /// Adds up runs while at most about `memory_bytes` are used to read them.
    pub(super) fn of_runs(
        runs: Vec<Run>,
        memory_bytes: usize,
        spill: &'a Spill,
        stop: &Stop,
        adding: &AddingUp,
    ) -> Result<Self> {
        let mut runs = VecDeque::from(runs);
        loop {
            // The front of the queue that can be read at once, two at least.
            let mut needed = 0;
            let together = runs.iter().take_while(|run| {
                // A block, the pretoken that is being put together, and what the allocator adds.
                needed += 2 * run.max_block_bytes + 1024;
                needed <= memory_bytes
            });
            let together = together.count().max(2);
            if together >= runs.len() {
                let mut writer = SortedWriter::new(spill, Packing::Zstd, stop)?;
                add_up(runs.make_contiguous(), adding, |pretoken, count| writer.push(pretoken, count))?;
                for run in runs {
                    spill.remove(&run.path, run.bytes)?;
                }
                return writer.finish();
            }
            let some: Vec<Run> = runs.drain(..together).collect();
            let mut writer = RunWriter::create(spill, Packing::Zstd)?;
            let mut left = STOP_INTERVAL;
            add_up(&some, adding, |pretoken, count| {
                check_at_times(&mut left, stop)?;
                writer.push(pretoken, count)
            })?;
            runs.push_back(writer.finish()?);
            for run in some {
                spill.remove(&run.path, run.bytes)?;
            }
        }
    }

    /// Counts that were made before, of which the caller knows what they are.
    pub(super) fn of_file(run: Run, summary: CountSummary, is_in_alphabet: [bool; 256]) -> Self {
        Self { run, summary, is_in_alphabet, _spill: None }
    }

    /// Where they are.
    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// The counts in figures.
    pub fn summary(&self) -> CountSummary {
        self.summary
    }

    /// Which bytes occur.
    pub(crate) fn is_in_alphabet(&self) -> &[bool; 256] {
        &self.is_in_alphabet
    }

    /// Calls `each` with every pretoken and its count, in no particular order, on `num_threads` threads, each of which has
    /// something of its own that `start` makes and that is given back at the end.
    pub(crate) fn scan<S: Send>(
        &self,
        num_threads: usize,
        stop: &Stop,
        start: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, &[u8], u64) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        scan_blocks(&self.run.path, num_threads, stop, start, |own, bytes, num_entries| {
            let mut entries = Entries::new(bytes, num_entries);
            while entries.advance() {
                each(own, entries.pretoken(), entries.count())?;
            }
            Ok(entries.into_bytes())
        })
    }
}

pub(super) fn check_at_times(left: &mut u64, stop: &Stop) -> Result<()> {
    *left -= 1;
    if *left == 0 {
        *left = STOP_INTERVAL;
        stop.check()?;
    }
    Ok(())
}

/// Writes the one run, and takes down what is known of all pretokens.
pub(super) struct SortedWriter<'a, 'stop> {
    writer: RunWriter<'a>,
    spill: &'a Spill,
    stop: &'stop Stop,
    left: u64,
    summary: CountSummary,
    is_in_alphabet: [bool; 256],
}

impl<'a, 'stop> SortedWriter<'a, 'stop> {
    pub fn new(spill: &'a Spill, packing: Packing, stop: &'stop Stop) -> Result<Self> {
        Ok(Self {
            writer: RunWriter::create(spill, packing)?,
            spill,
            stop,
            left: STOP_INTERVAL,
            summary: CountSummary::default(),
            is_in_alphabet: [false; 256],
        })
    }

    /// As [`RunWriter::push_note`].
    pub fn push_note(&mut self, note: &[u8]) -> Result<()> {
        self.writer.push_note(note)
    }

    pub fn push(&mut self, pretoken: &[u8], count: u64) -> Result<()> {
        check_at_times(&mut self.left, self.stop)?;
        self.summary.add(pretoken, count);
        for &byte in pretoken {
            self.is_in_alphabet[byte as usize] = true;
        }
        self.writer.push(pretoken, count)
    }

    pub fn finish(self) -> Result<SortedCounts<'a>> {
        let Self { writer, spill, summary, is_in_alphabet, .. } = self;
        Ok(SortedCounts { run: writer.finish()?, summary, is_in_alphabet, _spill: Some(spill) })
    }
}

/// The entries of a run in order.
struct Cursor {
    blocks: Blocks,
    entries: Entries,
    /// The first bytes of the pretoken as a number that sorts as they do; nearly all comparisons end there.
    prefix: u64,
}

impl Cursor {
    fn open(run: &Run, unpacker: &mut Unpacker) -> Result<Option<Self>> {
        let mut cursor = Self { blocks: Blocks::open(&run.path)?, entries: Entries::default(), prefix: 0 };
        Ok(cursor.advance(unpacker)?.then_some(cursor))
    }

    fn advance(&mut self, unpacker: &mut Unpacker) -> Result<bool> {
        while !self.entries.advance() {
            let mut bytes = std::mem::take(&mut self.entries).into_bytes();
            let Some(num_entries) = self.blocks.next(unpacker, &mut bytes)? else { return Ok(false) };
            self.entries = Entries::new(bytes, num_entries);
        }
        let pretoken = self.entries.pretoken();
        let mut first = [0; 8];
        let length = pretoken.len().min(8);
        first[..length].copy_from_slice(&pretoken[..length]);
        self.prefix = u64::from_be_bytes(first);
        Ok(true)
    }

    fn is_before(&self, other: &Self) -> bool {
        (self.prefix, self.entries.pretoken()) < (other.prefix, other.entries.pretoken())
    }
}

/// Calls `emit` with each pretoken of the runs once, in ascending order.
pub(super) fn add_up(runs: &[Run], adding: &AddingUp, mut emit: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
    let mut unpacker = Unpacker::default();
    let mut heap = Vec::with_capacity(runs.len());
    for run in runs {
        heap.extend(Cursor::open(run, &mut unpacker)?.map(Box::new));
    }
    for at in (0..heap.len()).rev() {
        sift_down(&mut heap, at);
    }
    let mut pretoken = Vec::new();
    let mut num_read = 0;
    while let Some(first) = heap.first_mut() {
        pretoken.clear();
        pretoken.extend_from_slice(first.entries.pretoken());
        let mut count = 0;
        while let Some(first) = heap.first_mut()
            && first.entries.pretoken() == pretoken
        {
            count += first.entries.count();
            num_read += 1;
            if !first.advance(&mut unpacker)? {
                heap.swap_remove(0);
            }
            sift_down(&mut heap, 0);
        }
        emit(&pretoken, count)?;
        if num_read >= STOP_INTERVAL {
            adding.note(std::mem::take(&mut num_read));
        }
    }
    adding.note(num_read);
    Ok(())
}

/// Moves an element that may be too large for its place to where it belongs in a heap with the smallest at the front.
fn sift_down(heap: &mut [Box<Cursor>], mut at: usize) {
    loop {
        let mut smallest = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if child < heap.len() && heap[child].is_before(&heap[smallest]) {
                smallest = child;
            }
        }
        if smallest == at {
            return;
        }
        heap.swap(at, smallest);
        at = smallest;
    }
}

/// Runs that several threads make, and the place for them.
pub(super) struct Runs<'a> {
    spill: &'a Spill,
    done: Mutex<Vec<Run>>,
    num_pretokens: AtomicU64,
}

impl<'a> Runs<'a> {
    pub fn new(spill: &'a Spill) -> Self {
        Self { spill, done: Mutex::default(), num_pretokens: AtomicU64::new(0) }
    }

    /// Spills a table; its most frequent pretokens stay in it if `keep_frequent`.
    pub fn spill(&self, counts: &mut PretokenCounts, keep_frequent: bool, stop: &Stop) -> Result<()> {
        let mut writer = RunWriter::create(self.spill, Packing::Zstd)?;
        let mut left = STOP_INTERVAL;
        let mut num_pretokens = 0;
        counts.take_sorted(keep_frequent, stop, |pretoken, count| {
            check_at_times(&mut left, stop)?;
            num_pretokens += 1;
            writer.push(pretoken, count)
        })?;
        self.num_pretokens.fetch_add(num_pretokens, Ordering::Relaxed);
        let run = writer.finish()?;
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(run);
        Ok(())
    }

    /// Pretokens in all runs that were ever made.
    pub fn num_pretokens(&self) -> u64 {
        self.num_pretokens.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes the runs there are.
    pub fn take_runs(&self) -> Vec<Run> {
        std::mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn into_runs(self) -> Vec<Run> {
        self.done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::collections::BTreeMap;

    fn random_tables(num_tables: u64) -> (Vec<PretokenCounts>, BTreeMap<Vec<u8>, u64>) {
        let mut expected = BTreeMap::new();
        let tables = (0..num_tables).map(|table| {
            let mut counts = PretokenCounts::default();
            for number in 0..3000_u64 {
                let word = (number * 7919 + table * 104_729) % 9973;
                let pretoken = format!("{:>width$}", word, width = 1 + (word % 40) as usize).into_bytes();
                let count = 1 + (number % 5) * 100 * table;
                counts.add(&pretoken, count);
                *expected.entry(pretoken).or_default() += count;
            }
            counts
        });
        (tables.collect(), expected)
    }

    fn scanned(sorted: &SortedCounts<'_>, num_threads: usize) -> BTreeMap<Vec<u8>, u64> {
        let parts = sorted.scan(num_threads, &Stop::default(), BTreeMap::new, |own, pretoken, count| {
            assert!(own.insert(pretoken.to_vec(), count).is_none());
            Ok(())
        });
        let mut all = BTreeMap::new();
        for (pretoken, count) in parts.unwrap().into_iter().flatten() {
            assert!(all.insert(pretoken, count).is_none());
        }
        all
    }

    #[test]
    fn runs_add_up_however_many_can_be_read_at_once() {
        let parent = tempfile::tempdir().unwrap();
        for memory_bytes in [0, 150_000, 1 << 30] {
            let (tables, expected) = random_tables(7);
            let spill = Spill::new(parent.path(), None);
            let runs = Runs::new(&spill);
            let mut whole = PretokenCounts::default();
            for mut table in tables {
                table.for_each(|pretoken, count| whole.add(pretoken, count));
                runs.spill(&mut table, false, &Stop::default()).unwrap();
                assert!(table.is_empty());
            }
            let adding = AddingUp::default();
            adding.begin(Some(runs.num_pretokens()));
            let sorted =
                SortedCounts::of_runs(runs.into_runs(), memory_bytes, &spill, &Stop::default(), &adding).unwrap();
            let told = adding.snapshot().unwrap();
            // Where not all can be read at once some are read again, and the number of all is not known.
            assert!(told.done == 7 * 3000 && told.total == told.done || memory_bytes < 1 << 20, "{told:?}");
            assert_eq!(sorted.summary(), CountSummary::new(&whole, &Stop::default()).unwrap());
            assert_eq!(scanned(&sorted, 1), expected);
            assert_eq!(scanned(&sorted, 3), expected);
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_changed_byte_is_found() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Spill::new(parent.path(), None);
        let (mut tables, _) = random_tables(1);
        let sorted = SortedCounts::of_table(tables.remove(0), &spill, &Stop::default()).unwrap();
        let whole = std::fs::read(&sorted.run.path).unwrap();
        for (at, length) in [(0, whole.len()), (9, whole.len()), (100, whole.len()), (0, 8), (0, whole.len() - 1)] {
            let mut changed = whole[..length].to_vec();
            if length == whole.len() {
                changed[at] ^= 1;
            }
            std::fs::write(&sorted.run.path, changed).unwrap();
            let outcome = sorted.scan(2, &Stop::default(), || (), |(), _, _| Ok(()));
            assert!(matches!(&outcome, Err(Error::Data(message)) if message.contains("is damaged")));
        }
    }
}
