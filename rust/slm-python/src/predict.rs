//! What training or counting will take, and some of a corpus' text, from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use crate::train::pretokenizer_of;
use pyo3::prelude::*;
use slm_core::corpus::sample::{Sampling, sample};
use slm_core::count::{Bounds, CountOptions};
use slm_core::progress::{Progress, supervise};
use slm_core::train::{self, TrainOptions};
use std::path::PathBuf;

/// Predicts what training will take from a sample of the files, as JSON; None where they cannot be read twice.
#[pyfunction]
#[pyo3(signature = (
    corpus, *, vocab_size, pattern, digits, prefix_space, normalization, special_tokens, chat_tokens, reserved_tokens,
    special_tokens_in_text, num_threads, memory_limit, max_sample_bytes
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn predict_training(
    py: Python<'_>,
    corpus: &Corpus,
    vocab_size: usize,
    pattern: String,
    digits: Option<u64>,
    prefix_space: bool,
    normalization: Option<&str>,
    special_tokens: Vec<String>,
    chat_tokens: Option<&str>,
    reserved_tokens: usize,
    special_tokens_in_text: &str,
    num_threads: usize,
    memory_limit: u64,
    max_sample_bytes: u64,
) -> PyResult<Option<String>> {
    let Some(files) = corpus.files_alone() else { return Ok(None) };
    let options = TrainOptions {
        vocab_size,
        pretokenizer: guarded(py, || pretokenizer_of(pattern, digits, prefix_space, normalization))?,
        special_tokens,
        chat_tokens: guarded(py, || chat_tokens.map(str::parse).transpose())?,
        reserved_tokens,
        special_tokens_in_text: guarded(py, || special_tokens_in_text.parse())?,
        initial_alphabet: false,
        num_threads,
        bounds: Some(guarded(py, || Bounds::new(memory_limit, PathBuf::new(), None))?),
        ..TrainOptions::default()
    };
    interruptible(py, None, |callback| {
        train::predict(files, &options, max_sample_bytes, callback)?.map(|predicted| predicted.to_json()).transpose()
    })
}

/// Predicts what counting will take from a sample of the files, as JSON; None where they cannot be read twice.
#[pyfunction]
#[pyo3(signature = (
    corpus, *, pattern, digits, prefix_space, normalization, kept_out, num_threads, memory_limit, part_bytes,
    max_sample_bytes
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn predict_counting(
    py: Python<'_>,
    corpus: &Corpus,
    pattern: String,
    digits: Option<u64>,
    prefix_space: bool,
    normalization: Option<&str>,
    kept_out: Vec<String>,
    num_threads: usize,
    memory_limit: u64,
    part_bytes: u64,
    max_sample_bytes: u64,
) -> PyResult<Option<String>> {
    let Some(files) = corpus.files_alone() else { return Ok(None) };
    let pretokenizer = guarded(py, || pretokenizer_of(pattern, digits, prefix_space, normalization))?;
    let memory_bytes = guarded(py, || Bounds::new(memory_limit, PathBuf::new(), None))?.memory_bytes;
    let options = CountOptions { pretokenizer, kept_out, num_threads, memory_bytes, part_bytes };
    interruptible(py, None, |callback| {
        let predicted = train::predict_counting(files, &options, max_sample_bytes, callback)?;
        predicted.map(|predicted| predicted.to_json()).transpose()
    })
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
