//! Counting pretokens from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use crate::train::pretokenizer_of;
use pyo3::prelude::*;
use slm_core::count::{self, Bounds, CountOptions, CountsArtifact};
use slm_core::train::TrainOptions;
use std::path::PathBuf;

/// Counts a corpus into a directory, going on where that was broken off.
///
/// Gives the bytes of text that were counted, the parts that had been counted before, and why there were none of use.
#[pyfunction]
#[pyo3(signature = (
    corpus, out, *, pattern, digits, prefix_space, normalization, kept_out, num_threads, memory_limit, part_bytes,
    progress: "collections.abc.Callable[[Progress], object] | None"=None
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn count_pretokens(
    py: Python<'_>,
    corpus: &Corpus,
    out: PathBuf,
    pattern: String,
    digits: Option<u64>,
    prefix_space: bool,
    normalization: Option<&str>,
    kept_out: Vec<String>,
    num_threads: usize,
    memory_limit: u64,
    part_bytes: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, u64, Option<String>)> {
    let pretokenizer = guarded(py, || pretokenizer_of(pattern, digits, prefix_space, normalization))?;
    let memory_bytes = guarded(py, || Bounds::new(memory_limit, out.clone(), None))?.memory_bytes;
    let options = CountOptions { pretokenizer, kept_out, num_threads, memory_bytes, part_bytes };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let counted = count::count_to(source, &out, &options, callback)?;
            Ok((counted.counted_bytes, counted.resumed_parts, counted.started_over))
        })
    })
}

/// Adds counts up into a directory.
#[pyfunction]
#[pyo3(signature = (
    paths, out, *, memory_limit, progress: "collections.abc.Callable[[Progress], object] | None"=None
))]
pub fn merge_counts(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    out: PathBuf,
    memory_limit: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let memory_bytes = guarded(py, || Bounds::new(memory_limit, out.clone(), None))?.memory_bytes;
    interruptible(py, progress.as_ref(), |callback| {
        count::merge_counts(&paths, &out, memory_bytes, callback).map(|_| ())
    })
}

/// The manifest of a counts directory, as JSON, once it is found to be one.
#[pyfunction]
pub fn read_counts_manifest(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    guarded(py, || CountsArtifact::open(&path)?.manifest().to_json())
}

/// All special tokens that training with these settings makes, by id.
#[pyfunction]
#[pyo3(signature = (*, special_tokens, chat_tokens, reserved_tokens))]
pub fn all_special_tokens(
    py: Python<'_>,
    special_tokens: Vec<String>,
    chat_tokens: Option<&str>,
    reserved_tokens: usize,
) -> PyResult<Vec<String>> {
    guarded(py, || {
        let chat_tokens = chat_tokens.map(str::parse).transpose()?;
        Ok(TrainOptions { special_tokens, chat_tokens, reserved_tokens, ..TrainOptions::default() }
            .all_special_tokens())
    })
}
