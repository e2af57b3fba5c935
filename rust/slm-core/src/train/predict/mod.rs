//! What training or counting will take, estimated from a sample of the corpus before it starts.
//!
//! The number of different pretokens grows as a power of the text (Heaps' law), with an exponent that falls slowly as the text
//! grows; [`growth`] reads both off the sample, at its quarters by size. Memory and spilled bytes follow from it by the sizes of the
//! tables in [`crate::count`] and of the pool in [`crate::train`] ([`space`]), time from the speed at which the sample was counted
//! and from measured runs ([`time`]).

mod growth;
mod space;
mod time;

use crate::corpus::Corpus;
use crate::corpus::sample::{SampleSummary, Sampling, sample_batches};
use crate::count::CountOptions;
use crate::error::{Error, Result};
use crate::pretokenize::Pretokenizer;
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::special_tokens::SpecialTokenFinder;
use crate::train::memory::Memory;
use crate::train::{TrainOptions, check};
use growth::{Curve, Growth, Of, as_f64};
use serde::Serialize;
use space::Counting;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long taking a sample may last.
const MAX_SAMPLE_TIME: Duration = Duration::from_millis(800);

/// An estimate of what work on a corpus will take, and what it rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Prediction {
    /// Bytes of text in the corpus.
    pub text_bytes: u64,
    /// Different pretokens.
    pub unique_pretokens: u64,
    /// The most memory at a time; at most the limit.
    pub memory_bytes: u64,
    /// The most that is on disk at a time besides the result; for training 0 if everything fits into memory.
    pub spill_bytes: u64,
    /// The file with the counts, where counting is all that is done; else 0.
    pub counts_bytes: u64,
    /// Time of counting, adding up included.
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

impl Prediction {
    /// Its fields by name, as JSON.
    ///
    /// # Errors
    /// [`Error::Data`] if JSON cannot express it, which no estimate causes.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|error| Error::Data(format!("the prediction cannot be written as JSON: {error}")))
    }
}

/// Predicts what [`crate::train::train`] will take, from at most `max_sample_bytes` of the files and in about a second.
///
/// `None` where nothing can be said: the corpus has pipes, which can be read only once, or the sample has no text.
///
/// # Errors
/// Those of [`crate::corpus::sample::sample`]; [`Error::Config`] for options that training would refuse.
pub fn predict(
    corpus: &Corpus,
    options: &TrainOptions,
    max_sample_bytes: u64,
    callback: &mut Callback<'_>,
) -> Result<Option<Prediction>> {
    check(options)?;
    let special_tokens = SpecialTokenFinder::new(&options.kept_out())?;
    let splitting = (&options.pretokenizer, special_tokens.as_ref());
    let Some(sample) = take(corpus, splitting, max_sample_bytes, callback)? else { return Ok(None) };
    let memory_bytes = options.bounds.as_ref().map_or(usize::MAX, |bounds| bounds.memory_bytes);
    let growth = &sample.growth;
    let counting = Counting::at_once(growth, sample.times, options.num_threads, memory_bytes);
    let memory = options.bounds.as_ref().map_or(Memory::UNLIMITED, |bounds| Memory::new(bounds.memory_bytes, options));
    let learning = counting.then_learn(growth, sample.times, memory);
    Ok(Some(Prediction {
        memory_bytes: as_u64(counting.memory_bytes.max(learning.memory_bytes)).min(memory_bytes as u64),
        spill_bytes: as_u64(counting.disk_bytes.max(learning.disk_bytes)),
        count_seconds: time::to_count(&sample, &counting, options.num_threads),
        merge_seconds: time::to_merge(&learning, options.vocab_size, options.num_threads),
        ..sample.prediction()
    }))
}

/// Predicts what [`crate::count::count_to`] will take, as [`predict`].
///
/// # Errors
/// Those of [`predict`].
pub fn predict_counting(
    corpus: &Corpus,
    options: &CountOptions,
    max_sample_bytes: u64,
    callback: &mut Callback<'_>,
) -> Result<Option<Prediction>> {
    let special_tokens = SpecialTokenFinder::new(&options.kept_out)?;
    let splitting = (&options.pretokenizer, special_tokens.as_ref());
    let Some(sample) = take(corpus, splitting, max_sample_bytes, callback)? else { return Ok(None) };
    let growth = &sample.growth;
    let counting = Counting::in_parts(growth, sample.times, options);
    Ok(Some(Prediction {
        memory_bytes: as_u64(counting.memory_bytes).min(options.memory_bytes as u64),
        spill_bytes: as_u64(counting.disk_bytes - counting.sum_bytes),
        counts_bytes: as_u64(counting.sum_bytes),
        count_seconds: time::to_count(&sample, &counting, options.num_threads),
        ..sample.prediction()
    }))
}

/// What was looked at, and how much more there is.
struct Sample {
    growth: Growth,
    /// How many times the text of the sample all of it is.
    times: f64,
    /// Time of splitting and counting its text, without reading it.
    scan_seconds: f64,
    seconds: f64,
    summary: SampleSummary,
}

impl Sample {
    fn prediction(&self) -> Prediction {
        Prediction {
            text_bytes: as_u64(self.growth.text_bytes * self.times),
            unique_pretokens: as_u64(self.growth.grown(Of::Pretokens, self.times)),
            sample_bytes: self.summary.file_bytes,
            sample_seconds: self.seconds,
            is_whole: self.summary.is_whole,
            ..Prediction::default()
        }
    }
}

fn take(
    corpus: &Corpus,
    splitting: (&Pretokenizer, Option<&SpecialTokenFinder>),
    max_bytes: u64,
    callback: &mut Callback<'_>,
) -> Result<Option<Sample>> {
    if corpus.files().iter().any(|file| file.is_pipe) {
        return Ok(None);
    }
    let seen = AtomicU64::new(0);
    let total = max_bytes.min(corpus.total_bytes());
    let snapshot =
        || Progress { phase: "sample", unit: "bytes", done: seen.load(Ordering::Relaxed), total, counters: Vec::new() };
    supervise(callback, snapshot, |stop| take_until(corpus, splitting, max_bytes, stop, &seen))
}

fn take_until(
    corpus: &Corpus,
    splitting: (&Pretokenizer, Option<&SpecialTokenFinder>),
    max_bytes: u64,
    stop: &Stop,
    seen: &AtomicU64,
) -> Result<Option<Sample>> {
    let start = Instant::now();
    let (pretokenizer, _) = splitting;
    let mut curve = Curve::default();
    let mut prepared = String::new();
    let mut scanning = Duration::ZERO;
    let sampling = Sampling { max_bytes, until: Some(start + MAX_SAMPLE_TIME) };
    let summary = sample_batches(corpus, sampling, splitting, stop, &mut |batch| {
        let start = Instant::now();
        for &span in &batch.spans {
            stop.check()?;
            let (text, range) = match pretokenizer.prepare(batch.str(span), span.begins_text(), &mut prepared) {
                None => (batch.text.as_str(), span.start..span.end),
                Some(prepared) => (prepared, 0..prepared.len()),
            };
            let offset = range.start;
            let num_bytes = range.len() as u64;
            pretokenizer.for_each_range(&text[range], |start, end| {
                curve.add(text.as_bytes(), offset + start, offset + end);
            });
            curve.end_text(num_bytes);
        }
        scanning += start.elapsed();
        seen.fetch_add(batch.text.len() as u64, Ordering::Relaxed);
        Ok(())
    })?;
    if curve.text_bytes == 0 {
        return Ok(None);
    }
    let times = if summary.is_whole { 1.0 } else { as_f64(corpus.total_bytes()) / as_f64(summary.file_bytes.max(1)) };
    let growth = Growth::new(curve, stop)?;
    let (times, seconds) = (times.max(1.0), start.elapsed().as_secs_f64());
    Ok(Some(Sample { growth, times, scan_seconds: scanning.as_secs_f64(), seconds, summary }))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "estimates, none of them negative")]
fn as_u64(number: f64) -> u64 {
    number as u64
}
