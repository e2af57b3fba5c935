//! Time, from the sample's speed and from measured runs.
//!
//! Measured with two threads on two hyperthreads of a cloud machine, vocabulary 32,768: 100 MB of English books, 1.18 GB of C, 47 MB
//! of Chinese poems, and 100 MB of random words; `docs/performance.md` has the figures. Only counting is scaled by what the sample
//! says of the machine, so merging takes longer than is said here on a slower one.

use crate::train::predict::Sample;
use crate::train::predict::growth::Of;
use crate::train::predict::space::{Counting, Learning};
use std::thread::available_parallelism;

/// The threads that count are slower than the one that counted the sample: they share cores, memory and the reader.
const SCAN_SLOWDOWN: f64 = 1.8;

/// Time that a pretoken that is new to the sample's table takes, in seconds: the table is in a cache.
const SAMPLED_NEW_SECONDS: f64 = 60e-9;

/// Time that one that is new takes in the end, growing tables and adding them up included.
const NEW_SECONDS: f64 = 330e-9;

/// Time of a pretoken of a run when runs are added up, on one thread.
const ADD_UP_SECONDS: f64 = 90e-9;

/// Time of a place where all are learned from at once, and of a merge.
const AT_ONCE_SECONDS: f64 = 150e-9;
const MERGE_SECONDS: f64 = 3e-6;

/// Time of a place in a pass, with two threads.
const PASS_SECONDS: f64 = 38e-9;

/// Passes for a vocabulary of 32,768 with all the memory they want; further ones for each doubling of it, and for each time that
/// the pretokens are as much again as the memory for a pass's pieces.
const PASSES: f64 = 4.5;
const PASSES_OF_DOUBLING: f64 = 0.6;
const PASSES_OF_SHORTAGE: f64 = 1.1;

/// The share of a pass that one thread does, at the speed of a pass with two.
const PASS_ALONE: f64 = 0.4;

pub(super) fn to_count(sample: &Sample, counting: &Counting, num_threads: usize) -> f64 {
    let unique = sample.growth.grown(Of::Pretokens, 1.0);
    // A sample of next to nothing but new pretokens says little of the scan itself.
    let scanning = (sample.scan_seconds - unique * SAMPLED_NEW_SECONDS).max(sample.scan_seconds / 4.0);
    let new = (counting.added * NEW_SECONDS).max(unique * SAMPLED_NEW_SECONDS);
    (scanning * sample.times * SCAN_SLOWDOWN + new) / threads(num_threads) + counting.in_runs * ADD_UP_SECONDS
}

pub(super) fn to_merge(learning: &Learning, vocab_size: usize, num_threads: usize) -> f64 {
    let vocab_size = u32::try_from(vocab_size).map_or(f64::MAX, f64::from);
    let Some(shortage) = learning.shortage else {
        return learning.places * AT_ONCE_SECONDS + vocab_size * MERGE_SECONDS;
    };
    let doublings = (vocab_size / 32_768.0).log2();
    let passes = (PASSES + PASSES_OF_DOUBLING * doublings).max(1.0) + PASSES_OF_SHORTAGE * shortage;
    let of_threads = PASS_ALONE + (1.0 - PASS_ALONE) * 2.0 / threads(num_threads);
    learning.places * passes * PASS_SECONDS * of_threads
}

/// Threads that find a core.
fn threads(num_threads: usize) -> f64 {
    let threads = num_threads.min(available_parallelism().map_or(1, usize::from)).max(1);
    u32::try_from(threads).map_or(1.0, f64::from)
}
