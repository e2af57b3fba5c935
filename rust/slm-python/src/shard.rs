//! Building and checking shards from Python.

use crate::corpus::Corpus;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::shard::{self, BuildOptions};
use std::path::PathBuf;

/// Builds a shard directory; false if it held the same shards already.
#[pyfunction]
#[pyo3(signature = (corpus, tokenizer, out, *, validation_fraction, shard_tokens, num_threads, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn build_shards(
    py: Python<'_>,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    out: PathBuf,
    validation_fraction: f64,
    shard_tokens: u64,
    num_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<bool> {
    let options = BuildOptions { validation_fraction, shard_tokens, num_threads };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            shard::build(source, &tokenizer.0, &out, &options, callback).map(|built| !built.was_complete)
        })
    })
}

/// The checksum of a whole file as manifests carry it: XXH3-64 in 16 hexadecimal digits.
#[pyfunction]
#[pyo3(signature = (path, *, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
pub fn file_checksum(py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<String> {
    interruptible(py, progress.as_ref(), |callback| shard::file_checksum(&path, callback))
}
