//! Counting: how often each pretoken occurs in a corpus.
//!
//! The calling thread reads; workers cut batches into pretokens and count them in a table each, so they share nothing. The
//! tables are added up at the end: sums do not depend on who counted what.

mod table;

pub use table::PretokenCounts;

use crate::corpus::{Batch, ReadSummary, Source, read_batches};
use crate::error::{Error, Result};
use crate::pretokenize::Pattern;
use crate::progress::Stop;
use crossbeam_channel::{Receiver, bounded};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How far counting has come; read by the thread that reports.
#[derive(Debug, Default)]
pub struct CountProgress {
    /// As [`Batch::bytes_read`], of the batches that are counted.
    pub bytes_read: AtomicU64,
    /// Bytes of text counted.
    pub text_bytes: AtomicU64,
}

/// Counts every pretoken of a corpus with `num_threads` workers.
///
/// Memory is a table a worker, which grows with the number of different pretokens, and three batches a worker.
///
/// # Errors
/// Those of [`read_batches`]; [`Error::Interrupted`] when `stop` is requested.
pub fn count(
    source: Source<'_>,
    pattern: Pattern,
    num_threads: usize,
    stop: &Stop,
    progress: &CountProgress,
) -> Result<(PretokenCounts, ReadSummary)> {
    thread::scope(|scope| {
        let (batches, to_count) = bounded::<Batch>(2 * num_threads);
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                let to_count = to_count.clone();
                scope.spawn(move || count_batches(&to_count, pattern, stop, progress))
            })
            .collect();
        drop(to_count);
        // Workers end early only when asked to stop, and then so does the reader.
        let read =
            read_batches(source, pattern, stop, &mut |batch| batches.send(batch).map_err(|_| Error::Interrupted));
        drop(batches);
        let tables: Vec<_> =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        let read = read?;
        let tables = tables.into_iter().collect::<Result<Vec<_>>>()?;
        Ok((add_up(tables), read))
    })
}

fn count_batches(
    batches: &Receiver<Batch>,
    pattern: Pattern,
    stop: &Stop,
    progress: &CountProgress,
) -> Result<PretokenCounts> {
    let mut counts = PretokenCounts::default();
    for batch in batches {
        for &span in &batch.spans {
            stop.check()?;
            pattern.for_each_range(batch.str(span), |start, end| {
                counts.add_range(batch.text.as_bytes(), span.start + start, span.start + end);
            });
        }
        progress.bytes_read.fetch_add(batch.bytes_read, Ordering::Relaxed);
        progress.text_bytes.fetch_add(batch.text.len() as u64, Ordering::Relaxed);
    }
    Ok(counts)
}

/// Adds tables up in pairs, in parallel.
fn add_up(mut tables: Vec<PretokenCounts>) -> PretokenCounts {
    while tables.len() > 1 {
        let others = tables.split_off(tables.len().div_ceil(2));
        thread::scope(|scope| {
            for (table, other) in tables.iter_mut().zip(others) {
                scope.spawn(move || table.absorb(other));
            }
        });
    }
    tables.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_text(documents: &[&str], num_threads: usize) -> Vec<(Vec<u8>, u64)> {
        let mut left = Some(documents.iter().map(|&document| document.to_owned()).collect());
        let source = Source::Memory(Box::new(move || Ok(left.take())));
        let (counts, _) =
            count(source, Pattern::Gpt2, num_threads, &Stop::default(), &CountProgress::default()).unwrap();
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
        let outcome = count(source, Pattern::Gpt2, 2, &stop, &CountProgress::default());
        assert!(matches!(outcome, Err(Error::Interrupted)));
    }
}
