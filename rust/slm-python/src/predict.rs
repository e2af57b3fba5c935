//! What training will take, and some of a corpus' text, from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use pyo3::prelude::*;
use slm_core::corpus::sample::{Sampling, sample};
use slm_core::count::Bounds;
use slm_core::progress::{Progress, supervise};
use slm_core::train::{self, TrainOptions};
use std::path::PathBuf;

/// An estimate of what training will take, and what it rests on.
#[pyclass(frozen, get_all, module = "slm._core")]
pub struct Prediction {
    /// Bytes of text in the corpus.
    text_bytes: u64,
    /// Different pretokens.
    unique_pretokens: u64,
    /// The most memory at a time; at most the limit.
    memory_bytes: u64,
    /// The most on disk at a time; 0 if everything fits into memory.
    spill_bytes: u64,
    /// Time of counting.
    count_seconds: f64,
    /// Time of merging.
    merge_seconds: f64,
    /// Bytes of files in the sample.
    sample_bytes: u64,
    /// Time that the sample took.
    sample_seconds: f64,
    /// Whether the sample is the whole corpus.
    is_whole: bool,
}

/// Predicts what training will take from a sample of the files; None where they cannot be read twice.
#[pyfunction]
#[pyo3(signature = (corpus, *, vocab_size, pattern, num_threads, memory_limit, max_sample_bytes))]
pub fn predict_training(
    py: Python<'_>,
    corpus: &Corpus,
    vocab_size: usize,
    pattern: &str,
    num_threads: usize,
    memory_limit: u64,
    max_sample_bytes: u64,
) -> PyResult<Option<Prediction>> {
    let Some(files) = corpus.files_alone() else { return Ok(None) };
    let pretokenizer = guarded(py, || pattern.parse())?;
    let bounds = guarded(py, || Bounds::new(memory_limit, PathBuf::new(), None))?;
    let special_tokens = Vec::new();
    let options = TrainOptions {
        vocab_size,
        pretokenizer,
        num_threads,
        bounds: Some(bounds),
        special_tokens,
        initial_alphabet: false,
        ..TrainOptions::default()
    };
    let predicted = interruptible(py, None, |callback| train::predict(files, &options, max_sample_bytes, callback))?;
    Ok(predicted.map(|predicted| {
        let train::Prediction {
            text_bytes,
            unique_pretokens,
            memory_bytes,
            spill_bytes,
            count_seconds,
            merge_seconds,
            sample_bytes,
            sample_seconds,
            is_whole,
        } = predicted;
        Prediction {
            text_bytes,
            unique_pretokens,
            memory_bytes,
            spill_bytes,
            count_seconds,
            merge_seconds,
            sample_bytes,
            sample_seconds,
            is_whole,
        }
    }))
}

/// Texts from all over the files of a corpus, about `max_bytes` of the files; none of documents in memory and of pipes.
#[pyfunction]
pub fn sample_texts(py: Python<'_>, corpus: &Corpus, max_bytes: u64) -> PyResult<Vec<String>> {
    let Some(files) = corpus.files_alone() else { return Ok(Vec::new()) };
    interruptible(py, None, |callback| {
        supervise(callback, Progress::default, |stop| {
            let mut texts = Vec::new();
            sample(files, Sampling { max_bytes, until: None }, stop, &mut |text| {
                texts.push(text.to_owned());
                Ok(())
            })?;
            Ok(texts)
        })
    })
}
