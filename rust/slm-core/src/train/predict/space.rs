//! Memory and disk space, from how many different pretokens there will be.

use crate::count::{CountOptions, max_pretokens_within};
use crate::train::memory::{MAX_PLACES_AT_ONCE, Memory};
use crate::train::passes::MAX_PIECES_BYTES;
use crate::train::predict::growth::{Growth, Of, SHORT_BYTES, as_f64};

/// What batches and blocks take besides the tables, for each thread and once.
const THREAD_BYTES: f64 = (4 << 20) as f64;

/// A pool on disk has its tokens in two bytes each once that is less than their text: so much of the text and of three bytes a
/// pretoken for its count and length. Of 36 MB of Chinese in two million pretokens it was 34 MB.
const POOL_SHARE: f64 = 0.85;

/// What counting takes.
#[derive(Default)]
pub(super) struct Counting {
    /// Tables at their largest, and what is around them.
    pub memory_bytes: f64,
    /// What is added to tables that do not have it, by all threads.
    pub added: f64,
    /// Pretokens in all sorted runs; 0 where everything stays in memory.
    pub in_runs: f64,
    /// Sorted runs and their sum, which are there together.
    pub disk_bytes: f64,
    /// Their sum; 0 where there are no runs.
    pub sum_bytes: f64,
}

impl Counting {
    /// Counting in one go: what is spilled is what does not fit.
    pub fn at_once(growth: &Growth, times: f64, num_threads: usize, memory_bytes: usize) -> Self {
        let threads = as_f64(num_threads as u64);
        let limit = as_f64(memory_bytes as u64);
        // Each thread meets a share of the text, and in it more than its share of the different pretokens.
        let of_thread = growth.grown(Of::Pretokens, times / threads);
        let tables = threads * of_thread * growth.table_bytes;
        let added = threads * of_thread;
        let per_table = max_in_table(growth, memory_bytes, num_threads);
        let fits = tables <= limit / 2.0 || threads <= 1.0 && tables <= limit / 16.0 * 13.0;
        let in_runs = if of_thread <= per_table && fits {
            0.0
        } else {
            threads * spilled(growth, times / threads, of_thread, per_table)
        };
        Self {
            memory_bytes: tables + threads * THREAD_BYTES,
            added,
            ..Self::summing(growth, times, in_runs, growth.packed_bytes)
        }
    }

    /// Counting into a directory: every thread writes all it has at the end of each part.
    pub fn in_parts(growth: &Growth, times: f64, options: &CountOptions) -> Self {
        let threads = as_f64(options.num_threads as u64);
        let part = (as_f64(options.part_bytes) / growth.text_bytes).min(times);
        let parts = times / part;
        let of_thread = growth.grown(Of::Pretokens, part / threads);
        let per_table = max_in_table(growth, options.memory_bytes, options.num_threads);
        let in_runs = parts * threads * spilled(growth, part / threads, of_thread, per_table);
        Self {
            memory_bytes: threads * (of_thread * growth.table_bytes + THREAD_BYTES),
            added: parts * threads * of_thread,
            ..Self::summing(growth, times, in_runs, growth.run_bytes)
        }
    }

    /// Runs are packed; their sum takes `bytes` a pretoken.
    fn summing(growth: &Growth, times: f64, in_runs: f64, bytes: f64) -> Self {
        let sum_bytes = if in_runs > 0.0 { growth.grown(Of::Pretokens, times) * bytes } else { 0.0 };
        Self { in_runs, sum_bytes, disk_bytes: in_runs * growth.packed_bytes + sum_bytes, ..Self::default() }
    }

    /// What learning takes from there.
    pub fn then_learn(&self, growth: &Growth, times: f64, memory: Memory) -> Learning {
        let (unique, text_bytes) = (growth.grown(Of::Pretokens, times), growth.grown(Of::Bytes, times));
        let (bytes, is_in_memory) =
            memory.to_learn(as_usize(unique), as_usize(text_bytes), as_usize(unique * growth.table_bytes));
        let pool_bytes = (text_bytes + 4.0 * unique) / 16.0 * 17.0;
        let pieces_bytes = as_f64(memory.pool_bytes().min(MAX_PIECES_BYTES) as u64);
        let places = text_bytes + unique;
        let is_at_once = self.in_runs <= 0.0 && places <= as_f64(MAX_PLACES_AT_ONCE as u64);
        // The sorted counts, and a pool beside the one that it is made of.
        let pools = 2.0 * POOL_SHARE * (text_bytes + 3.0 * unique) * growth.packed_bytes / growth.run_bytes;
        let disk_bytes = if is_in_memory { 0.0 } else { unique * growth.packed_bytes + pools };
        Learning {
            memory_bytes: as_f64(bytes as u64),
            disk_bytes,
            places,
            shortage: if is_at_once { None } else { Some(pool_bytes / pieces_bytes) },
        }
    }
}

/// What learning takes.
pub(super) struct Learning {
    pub memory_bytes: f64,
    /// What the pool takes on disk, with the counts; 0 where it is in memory.
    pub disk_bytes: f64,
    /// Bytes of pretokens, and as many ends of pretokens.
    pub places: f64,
    /// For learning in passes, how many times the memory for the pieces of one all pretokens are.
    pub shortage: Option<f64>,
}

/// How many pretokens of the corpus' kind a thread's table holds.
fn max_in_table(growth: &Growth, memory_bytes: usize, num_threads: usize) -> f64 {
    max_pretokens_within(memory_bytes, num_threads) * SHORT_BYTES / growth.table_bytes
}

/// The pretokens that a thread writes: a table is full each time that so much more text has been met.
fn spilled(growth: &Growth, times: f64, of_thread: f64, per_table: f64) -> f64 {
    if of_thread <= per_table {
        return of_thread;
    }
    let fillings = (times / growth.text_until(per_table, times)).max(1.0);
    (fillings * per_table).max(of_thread)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "estimates, none of them negative")]
fn as_usize(number: f64) -> usize {
    number as usize
}
