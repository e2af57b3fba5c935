//! What training will take, estimated from a sample of the corpus before it starts.
//!
//! The number of different pretokens grows as a power of the text (Heaps' law), with an exponent that falls slowly as the text
//! grows. Both are read off the sample, at its quarters by size. Memory and spilled bytes follow from it by the sizes of the tables
//! in [`crate::count`] and in [`crate::train`], time from the speed at which the sample was counted.

use crate::corpus::Corpus;
use crate::corpus::sample::{Sampling, sample};
use crate::count::{PretokenCounts, max_pretokens_within};
use crate::error::Result;
use crate::progress::{Callback, Progress, supervise};
use crate::train::memory::Memory;
use crate::train::{TrainOptions, check};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long taking a sample may last.
const MAX_SAMPLE_TIME: Duration = Duration::from_millis(800);

/// The sample grows by this factor from one point of the curve to the next.
const CURVE_STEP: f64 = 4.0;

/// How much of a fall of the exponent from one step to the next is taken to go on.
const FALL_KEPT: f64 = 0.5;

/// Memory of a short pretoken in a table that is between half and three quarters full, and doubles: 24 bytes a slot.
const SHORT_BYTES: f64 = 56.0;

/// The same of a long one, besides its bytes.
const LONG_BYTES: f64 = 80.0;

/// What batches and blocks take besides the tables, for each thread and once.
const THREAD_BYTES: f64 = (4 << 20) as f64;

/// Counting everything is slower than counting a sample, whose table is in the cache.
const COUNT_SLOWDOWN: f64 = 1.3;

/// Time of merging for each byte of the different pretokens: 4.6 s for the 36 MB of 47 MB of Chinese poems, on one core.
const MERGE_SECONDS_PER_BYTE: f64 = 130e-9;

/// Time of a merge besides, in seconds.
const MERGE_SECONDS: f64 = 10e-6;

/// An estimate of what training on a corpus will take, and what it rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Bytes of text in the corpus.
    pub text_bytes: u64,
    /// Different pretokens.
    pub unique_pretokens: u64,
    /// The most memory at a time; at most the limit.
    pub memory_bytes: u64,
    /// The most that is on disk at a time because it does not fit into memory; 0 if everything fits.
    pub spill_bytes: u64,
    /// Time of counting.
    pub count_seconds: f64,
    /// Time of merging.
    pub merge_seconds: f64,
    /// Bytes of files that the sample has.
    pub sample_bytes: u64,
    /// Time that taking and counting the sample took.
    pub sample_seconds: f64,
    /// Whether the sample is the whole corpus.
    pub is_whole: bool,
}

/// Predicts what [`crate::train::train`] will take, from at most `max_sample_bytes` of the files and in about a second.
///
/// `None` where nothing can be said: the corpus has pipes, which can be read only once, or the sample has no text.
///
/// # Errors
/// Those of [`sample`]; [`crate::error::Error::Config`] for options that training would refuse.
pub fn predict(
    corpus: &Corpus,
    options: &TrainOptions,
    max_sample_bytes: u64,
    callback: &mut Callback<'_>,
) -> Result<Option<Prediction>> {
    check(options)?;
    if corpus.files().iter().any(|file| file.is_pipe) {
        return Ok(None);
    }
    let seen = AtomicU64::new(0);
    let total = max_sample_bytes.min(corpus.total_bytes());
    let snapshot =
        || Progress { phase: "sample", unit: "bytes", done: seen.load(Ordering::Relaxed), total, counters: Vec::new() };
    supervise(callback, snapshot, |stop| {
        let start = Instant::now();
        let mut counts = PretokenCounts::default();
        let mut curve = Curve::default();
        let mut prepared = String::new();
        let sampling = Sampling { max_bytes: max_sample_bytes, until: Some(start + MAX_SAMPLE_TIME) };
        let summary = sample(corpus, sampling, stop, &mut |text| {
            stop.check()?;
            let text = options.pretokenizer.prepare(text, true, &mut prepared).unwrap_or(text);
            options.pretokenizer.for_each_range(text, |start, end| curve.add(&mut counts, &text[start..end]));
            curve.end_text(&counts, text.len() as u64);
            seen.fetch_add(text.len() as u64, Ordering::Relaxed);
            Ok(())
        })?;
        if summary.text_bytes == 0 {
            return Ok(None);
        }
        let sample_seconds = start.elapsed().as_secs_f64();
        let mut prediction = Sampled::new(&counts, &curve, summary.text_bytes).predict(
            if summary.is_whole { 1.0 } else { (as_f64(corpus.total_bytes()) / as_f64(summary.file_bytes)).max(1.0) },
            options,
        );
        let threads = options.num_threads.min(std::thread::available_parallelism().map_or(1, usize::from));
        let times = as_f64(prediction.text_bytes) / as_f64(summary.text_bytes);
        prediction.count_seconds = sample_seconds * times * COUNT_SLOWDOWN / as_f64(threads as u64);
        prediction.sample_bytes = summary.file_bytes;
        prediction.sample_seconds = sample_seconds;
        prediction.is_whole = summary.is_whole;
        Ok(Some(prediction))
    })
}

/// Different pretokens and their bytes at growing parts of the sample.
#[derive(Default)]
struct Curve {
    text_bytes: u64,
    unique_bytes: u64,
    points: Vec<(u64, usize, u64)>,
}

impl Curve {
    fn add(&mut self, counts: &mut PretokenCounts, pretoken: &str) {
        let before = counts.len();
        counts.add(pretoken.as_bytes(), 1);
        self.unique_bytes += if counts.len() > before { pretoken.len() as u64 } else { 0 };
    }

    fn end_text(&mut self, counts: &PretokenCounts, num_bytes: u64) {
        self.text_bytes += num_bytes;
        self.points.push((self.text_bytes, counts.len(), self.unique_bytes));
    }

    /// Different pretokens and their bytes in the first `text_bytes`, as far as they were looked at.
    fn at(&self, text_bytes: f64) -> (f64, f64) {
        let idx = self.points.partition_point(|point| as_f64(point.0) < text_bytes).min(self.points.len() - 1);
        let (bytes, unique, unique_bytes) = self.points[idx];
        // Between two points the number is about proportional to the text.
        let share = (text_bytes / as_f64(bytes)).min(1.0);
        (as_f64(unique as u64) * share, as_f64(unique_bytes) * share)
    }
}

/// The sample in figures, and how they grow.
struct Sampled {
    text_bytes: f64,
    unique: f64,
    unique_bytes: f64,
    /// The exponent by which the number of different pretokens last grew, and by which their bytes did.
    exponents: [f64; 2],
    /// How much the exponents fell from the step before.
    falls: [f64; 2],
    /// Bytes that a pretoken takes in a table.
    table_bytes: f64,
    /// Bytes that a pretoken takes in a sorted run.
    run_bytes: f64,
}

impl Sampled {
    fn new(counts: &PretokenCounts, curve: &Curve, text_bytes: u64) -> Self {
        let size = as_f64(text_bytes);
        let points = [0, 1, 2].map(|back| curve.at(size / CURVE_STEP.powi(back)));
        let exponent = |larger: f64, smaller: f64| {
            if smaller > 0.0 { ((larger / smaller).ln() / CURVE_STEP.ln()).clamp(0.0, 1.0) } else { 1.0 }
        };
        let [(unique, unique_bytes), middle, first] = points;
        let exponents = [exponent(unique, middle.0), exponent(unique_bytes, middle.1)];
        let before = [exponent(middle.0, first.0), exponent(middle.1, first.1)];
        let (table_bytes, run_bytes) = bytes_of_pretoken(counts);
        Self {
            text_bytes: size,
            unique,
            unique_bytes,
            exponents,
            falls: [0, 1].map(|i| (before[i] - exponents[i]).max(0.0)),
            table_bytes,
            run_bytes,
        }
    }

    /// Different pretokens, or their bytes, in `times` as much text.
    fn grown(&self, which: usize, mut times: f64) -> f64 {
        let mut grown = if which == 0 { self.unique } else { self.unique_bytes };
        if times <= 1.0 {
            return grown * times.powf(self.exponents[which]);
        }
        let (mut exponent, mut fall) = (self.exponents[which], self.falls[which]);
        while times > 1.0 {
            fall *= FALL_KEPT;
            exponent = (exponent - fall).max(0.0);
            let step = times.min(CURVE_STEP);
            grown *= step.powf(exponent);
            times /= step;
        }
        grown
    }

    fn predict(&self, times: f64, options: &TrainOptions) -> Prediction {
        let threads = as_f64(options.num_threads as u64);
        let (unique, unique_bytes) = (self.grown(0, times), self.grown(1, times));
        // Each thread meets a share of the text, and in it more than its share of the different pretokens.
        let of_thread = self.grown(0, times / threads);
        let tables = threads * of_thread * self.table_bytes;
        let bounds = options.bounds.as_ref();
        let memory = bounds.map_or(Memory::UNLIMITED, |bounds| Memory::new(bounds.memory_bytes, options));
        let (merging, merges_in_memory) =
            memory.to_learn(as_usize(unique), as_usize(unique_bytes), as_usize(unique * self.table_bytes));
        let unbounded = tables.max(as_f64(merging as u64)) + threads * THREAD_BYTES;
        let limit = bounds.map_or(f64::MAX, |bounds| as_f64(bounds.memory_bytes as u64));
        let mut spilled = 0.0;
        let fits = tables <= limit / 2.0 || threads <= 1.0 && tables <= limit / 16.0 * 13.0;
        let per_table = bounds.map_or(f64::MAX, |bounds| {
            max_pretokens_within(bounds.memory_bytes, options.num_threads) * SHORT_BYTES / self.table_bytes
        });
        if of_thread > per_table || !fits {
            // A table is full each time that so much more text has been met.
            let text = self.text_until(per_table, times / threads);
            let fillings = (times / threads / text).max(1.0);
            spilled += threads * (fillings * per_table.min(of_thread)).max(of_thread);
        }
        if spilled > 0.0 || !merges_in_memory {
            // All of them once more, while what they are added up from is still there.
            spilled += unique;
        }
        Prediction {
            text_bytes: as_u64(self.text_bytes * times),
            unique_pretokens: as_u64(unique),
            memory_bytes: as_u64(unbounded.min(limit)),
            spill_bytes: as_u64(spilled * self.run_bytes),
            merge_seconds: unique_bytes * MERGE_SECONDS_PER_BYTE * if spilled > 0.0 { 2.0 } else { 1.0 }
                + as_f64(options.vocab_size as u64) * MERGE_SECONDS,
            ..Prediction::default()
        }
    }

    /// How many times the text of the sample it takes until there are `unique` different pretokens; `most` at most.
    fn text_until(&self, unique: f64, most: f64) -> f64 {
        let (mut low, mut high) = (0.0, most);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.grown(0, middle) < unique { low = middle } else { high = middle }
        }
        high.max(f64::MIN_POSITIVE)
    }
}

/// Bytes that a pretoken of the sample takes in a table, and in a sorted run where neighbours share their beginning.
fn bytes_of_pretoken(counts: &PretokenCounts) -> (f64, f64) {
    let mut sorted: Vec<Vec<u8>> = Vec::with_capacity(counts.len());
    let mut table_bytes = 0.0;
    counts.for_each(|pretoken, _| {
        let is_long = pretoken.len() > 15;
        table_bytes += if is_long { LONG_BYTES + 1.5 * as_f64(pretoken.len() as u64) } else { SHORT_BYTES };
        sorted.push(pretoken.to_vec());
    });
    sorted.sort_unstable();
    let mut run_bytes = 0;
    let mut previous: &[u8] = &[];
    for pretoken in &sorted {
        let shared = previous.iter().zip(pretoken).take_while(|(one, other)| one == other).count();
        // Two lengths and the count, of which most are one byte.
        run_bytes += pretoken.len() - shared + 3;
        previous = pretoken;
    }
    let num = as_f64(counts.len().max(1) as u64);
    (table_bytes / num, as_f64(run_bytes as u64) / num)
}

fn as_usize(number: f64) -> usize {
    usize::try_from(as_u64(number)).unwrap_or(usize::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "estimates, none of them negative")]
fn as_u64(number: f64) -> u64 {
    number as u64
}
