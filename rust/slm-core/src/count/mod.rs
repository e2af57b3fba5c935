//! Counting: how often each pretoken occurs in a corpus.
//!
//! The calling thread reads; workers cut batches into pretokens and count them in a table each, so they share nothing. The
//! tables are added up at the end: sums do not depend on who counted what.
//!
//! Within bounds a worker whose table is full spills it as a sorted run, all but its most frequent pretokens, and the runs are
//! added up in the end. Read in this order: this file, [`table`], [`runs`] (how a run is stored), [`sorted`] (runs to one).
//!
//! Counts are also an artifact: [`artifact`] (what is on disk), [`parts`] (counting into a directory, so that a kill costs
//! little), [`journal`] and [`directory`] (what is there of it), [`merge`] (runs to that artifact), [`total`] (adding artifacts up).

mod adding_up;
mod artifact;
mod bounds;
mod directory;
mod distinct;
mod giants;
mod journal;
mod key;
mod merge;
mod parts;
mod runs;
mod sort;
mod sorted;
mod table;
mod total;

pub use adding_up::AddingUp;
pub use artifact::{CorpusRecord, CountsArtifact, CountsRecord, FileRecord, Manifest};
pub(crate) use artifact::{kept_out_in_words, kept_out_record};
pub use bounds::Bounds;
pub use distinct::AllDistinct;
pub use giants::Giants;
pub use parts::{CountOptions, CountedTo, count_to};
pub(crate) use runs::push_number;
pub(crate) use sort::sort_by_key;
pub use sorted::SortedCounts;
pub use table::PretokenCounts;
pub use total::merge_counts;

use crate::corpus::{Batch, ReadSummary, Source, pretoken_too_long, read_batches_within};
use crate::error::{Error, Result};
use crate::io::spill::Spill;
use crate::pretokenize::Pretokenizer;
use crate::progress::Stop;
use crossbeam_channel::{Receiver, bounded};
use sorted::Runs;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How far counting has come; read by the thread that reports.
#[derive(Debug, Default)]
pub struct CountProgress {
    /// As [`Batch::bytes_read`], of the batches that are counted.
    pub bytes_read: AtomicU64,
    /// Bytes of text counted.
    pub text_bytes: AtomicU64,
    /// The different pretokens in it.
    pub distinct: AllDistinct,
    /// Their number, once everything is counted.
    pub unique_pretokens: AtomicU64,
    /// How far what was spilled is added up, which follows.
    pub adding: AddingUp,
}

/// The pretokens of a corpus in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountSummary {
    /// Different pretokens.
    pub unique_pretokens: u64,
    /// Bytes of the different pretokens.
    pub unique_bytes: u64,
    /// Pretokens in all.
    pub pretokens: u64,
    /// Those that are far longer than words.
    pub giants: Giants,
    /// Identifies the counts, in whatever order they were made.
    pub fingerprint: u64,
}

impl CountSummary {
    /// Of a table.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn new(counts: &PretokenCounts, stop: &Stop) -> Result<Self> {
        let mut summary = Self::default();
        counts.for_each_until(stop, |pretoken, count| summary.add(pretoken, count))?;
        Ok(summary)
    }

    fn add(&mut self, pretoken: &[u8], count: u64) {
        self.unique_pretokens += 1;
        self.unique_bytes += pretoken.len() as u64;
        self.pretokens += count;
        self.giants.add(pretoken, count);
        self.fingerprint = self.fingerprint.wrapping_add(xxh3_64_with_seed(pretoken, count));
    }
}

/// The counts of a corpus, wherever they are.
pub enum Counted<'a> {
    /// In memory, in no order.
    Table(PretokenCounts),
    /// On disk, sorted.
    Sorted(Box<SortedCounts<'a>>),
}

/// Counts every pretoken of a corpus with `num_threads` workers.
///
/// Memory is a table a worker, which grows with the number of different pretokens, and three batches a worker. Together the
/// tables stay within `memory_bytes`, where that is given, by spilling.
///
/// # Errors
/// Those of [`read_batches_within`]; [`Error::Config`] for a pretoken too long for the memory, and those of
/// [`Spill::create`] and of writing there; [`Error::Interrupted`] when `stop` is requested.
pub fn count<'a>(
    source: Source<'_>,
    pretokenizer: &Pretokenizer,
    num_threads: usize,
    within: Option<(usize, &'a Spill)>,
    stop: &Stop,
    progress: &CountProgress,
) -> Result<(Counted<'a>, ReadSummary)> {
    let memory_bytes = within.map_or(usize::MAX, |(memory_bytes, _)| memory_bytes);
    let runs = within.map(|(_, spill)| Runs::new(spill));
    let worker = Worker::new(pretokenizer, num_threads, memory_bytes, runs.as_ref(), stop, progress);
    let (tables, read) = thread::scope(|scope| {
        let (batches, to_count) = bounded::<Batch>(2 * num_threads);
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                let (worker, to_count) = (&worker, to_count.clone());
                scope.spawn(move || worker.count(&to_count))
            })
            .collect();
        drop(to_count);
        let max_stretch_bytes = worker.max_pretoken_bytes.saturating_mul(4);
        let read = read_batches_within(source, pretokenizer, max_stretch_bytes, stop, &mut |batch| {
            batches.send(batch).map_err(|_| Error::Interrupted)
        });
        drop(batches);
        let tables: Vec<_> =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        // Where a worker fails the reader finds nobody to hand on to: what the worker says comes first.
        let tables = tables.into_iter().collect::<Result<Vec<_>>>()?;
        Ok((tables, read?))
    })?;
    // Adding up takes as much again as the tables have.
    let allocated_bytes: usize = tables.iter().map(PretokenCounts::allocated_bytes).sum();
    let counted = match (within, runs) {
        (Some((memory_bytes, spill)), Some(runs)) if !runs.is_empty() || allocated_bytes > memory_bytes / 2 => {
            spill_all(tables, &runs, stop)?;
            let adding = &progress.adding;
            adding.begin(Some(runs.num_pretokens()));
            Counted::Sorted(Box::new(SortedCounts::of_runs(runs.into_runs(), memory_bytes / 2, spill, stop, adding)?))
        }
        _ => Counted::Table(add_up(tables, stop)?),
    };
    Ok((counted, read))
}

/// About how many short pretokens a thread's table holds before it is full.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn max_pretokens_within(memory_bytes: usize, num_threads: usize) -> f64 {
    // Between 24 / 0.94 and twice 24 / 0.75 bytes each, by how well the limit suits a power of two.
    table_bytes(memory_bytes, num_threads) as f64 / 44.0
}

/// What each thread's table may take. What is left is for the frequent pretokens while the others are sorted, and for blocks that
/// are written.
fn table_bytes(memory_bytes: usize, num_threads: usize) -> usize {
    memory_bytes / num_threads / 16 * 13
}

/// The longest pretoken that is taken where there are `memory_bytes`: encoding one takes some thirty times its bytes.
fn max_pretoken_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / 64).max(1 << 20)
}

/// What the threads that count have in common.
struct Worker<'a> {
    pretokenizer: &'a Pretokenizer,
    table_bytes: usize,
    max_pretoken_bytes: usize,
    runs: Option<&'a Runs<'a>>,
    stop: &'a Stop,
    progress: &'a CountProgress,
}

impl<'a> Worker<'a> {
    fn new(
        pretokenizer: &'a Pretokenizer,
        num_threads: usize,
        memory_bytes: usize,
        runs: Option<&'a Runs<'a>>,
        stop: &'a Stop,
        progress: &'a CountProgress,
    ) -> Self {
        Self {
            pretokenizer,
            table_bytes: table_bytes(memory_bytes, num_threads),
            max_pretoken_bytes: max_pretoken_bytes(memory_bytes),
            runs,
            stop,
            progress,
        }
    }

    /// Counts, and leaves nothing in memory.
    fn count_and_spill(&self, batches: &Receiver<Batch>) -> Result<()> {
        let mut counts = self.count(batches)?;
        match self.runs {
            Some(runs) if !counts.is_empty() => runs.spill(&mut counts, false, self.stop),
            _ => Ok(()),
        }
    }

    fn count(&self, batches: &Receiver<Batch>) -> Result<PretokenCounts> {
        let mut counts = PretokenCounts::within(self.table_bytes);
        let mut outcome = Ok(());
        let mut prepared = String::new();
        for batch in batches {
            for &span in &batch.spans {
                self.stop.check()?;
                // Text that is counted where it is: the table reads past the end of a pretoken, which it may within the batch.
                let (text, range) = match self.pretokenizer.prepare(batch.str(span), span.begins_text(), &mut prepared)
                {
                    None => (batch.text.as_str(), span.start..span.end),
                    Some(prepared) => (prepared, 0..prepared.len()),
                };
                let offset = range.start;
                self.pretokenizer.for_each_range(&text[range], |start, end| {
                    let (start, end) = (offset + start, offset + end);
                    counts.add_range(text.as_bytes(), start, end);
                    if (counts.is_full() || end - start > self.max_pretoken_bytes) && outcome.is_ok() {
                        outcome = self.make_room(&mut counts, &text[start..end]);
                    }
                });
                std::mem::replace(&mut outcome, Ok(()))?;
            }
            self.progress.distinct.absorb(counts.distinct());
            self.progress.bytes_read.fetch_add(batch.bytes_read, Ordering::Relaxed);
            self.progress.text_bytes.fetch_add(batch.text.len() as u64, Ordering::Relaxed);
        }
        Ok(counts)
    }

    #[cold]
    fn make_room(&self, counts: &mut PretokenCounts, last: &str) -> Result<()> {
        if last.len() > self.max_pretoken_bytes {
            return Err(pretoken_too_long(last, last.len() as u64, self.max_pretoken_bytes));
        }
        self.runs.map_or(Ok(()), |runs| runs.spill(counts, true, self.stop))
    }
}

fn spill_all(tables: Vec<PretokenCounts>, runs: &Runs<'_>, stop: &Stop) -> Result<()> {
    thread::scope(|scope| {
        let spilling: Vec<_> = tables
            .into_iter()
            .filter(|table| !table.is_empty())
            .map(|mut table| scope.spawn(move || runs.spill(&mut table, false, stop)))
            .collect();
        spilling.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Adds tables up in pairs, in parallel.
fn add_up(mut tables: Vec<PretokenCounts>, stop: &Stop) -> Result<PretokenCounts> {
    while tables.len() > 1 {
        let others = tables.split_off(tables.len().div_ceil(2));
        thread::scope(|scope| {
            let adding = tables.iter_mut().zip(others);
            let adding: Vec<_> = adding.map(|(table, other)| scope.spawn(move || table.absorb(other, stop))).collect();
            adding.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })?;
    }
    Ok(tables.pop().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_text(documents: &[&str], num_threads: usize) -> Vec<(Vec<u8>, u64)> {
        let mut left = Some(documents.iter().map(|&document| document.to_owned()).collect());
        let source = Source::Memory(Box::new(move || Ok(left.take())));
        let (counted, _) =
            count(source, &Pretokenizer::default(), num_threads, None, &Stop::default(), &CountProgress::default())
                .unwrap();
        let Counted::Table(counts) = counted else { panic!("nothing was to be spilled") };
        let mut found = Vec::new();
        counts.for_each(|pretoken, count| found.push((pretoken.to_vec(), count)));
        found.sort_unstable();
        found
    }

    #[test]
    fn pretokens_are_counted_over_all_documents() {
        let found = count_text(&["the cat the", " the"], 2);
        assert_eq!(found, [(b" cat".to_vec(), 1), (b" the".to_vec(), 2), (b"the".to_vec(), 1)]);
    }

    #[test]
    fn counts_do_not_depend_on_threads() {
        let long = "pneumonoultramicroscopicsilicovolcanoconiosis ".repeat(60_000);
        let documents = [long.as_str(), "a b c", long.as_str()];
        let one = count_text(&documents, 1);
        assert_eq!(one, count_text(&documents, 3));
        assert_eq!(one, count_text(&[documents[1], documents[0], documents[0]], 2));
    }

    #[test]
    fn a_requested_stop_ends_counting() {
        let stop = Stop::default();
        stop.request();
        let source = Source::Memory(Box::new(|| Ok(Some(vec!["text ".repeat(1 << 20)]))));
        let outcome = count(source, &Pretokenizer::default(), 2, None, &stop, &CountProgress::default());
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }

    #[test]
    fn counts_that_are_spilled_are_the_same() {
        let words: Vec<_> = (0..200_000_u64).map(|number| format!(" {:x}", number * number % 70_001 * 7919)).collect();
        let text = words.concat();
        let mut expected = PretokenCounts::default();
        Pretokenizer::default().for_each_range(&text, |start, end| expected.add_range(text.as_bytes(), start, end));
        let parent = tempfile::tempdir().unwrap();
        for num_threads in [1, 3] {
            let spill = Spill::new(parent.path(), None);
            let mut left = Some(vec![text.clone()]);
            let source = Source::Memory(Box::new(move || Ok(left.take())));
            let within = Some((1 << 20, &spill));
            let (counted, _) = count(
                source,
                &Pretokenizer::default(),
                num_threads,
                within,
                &Stop::default(),
                &CountProgress::default(),
            )
            .unwrap();
            let Counted::Sorted(sorted) = counted else { panic!("it was too much for the memory") };
            assert_eq!(sorted.summary(), CountSummary::new(&expected, &Stop::default()).unwrap());
        }
    }

    #[test]
    fn a_pretoken_too_long_for_the_memory_is_refused_with_its_beginning() {
        let parent = tempfile::tempdir().unwrap();
        for length in [3 << 19, 9 << 20] {
            let spill = Spill::new(parent.path(), None);
            let mut left = Some(vec!["x".repeat(length)]);
            let source = Source::Memory(Box::new(move || Ok(left.take())));
            let within = Some((1 << 20, &spill));
            let outcome =
                count(source, &Pretokenizer::default(), 1, within, &Stop::default(), &CountProgress::default());
            let Err(Error::Config(message)) = outcome else { panic!("it was taken") };
            assert!(message.contains("begins with \"xxxx"), "{message}");
        }
    }
}
