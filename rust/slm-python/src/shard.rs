//! Building and checking shards from Python.

use crate::corpus::Corpus;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::shard::{self, BuildOptions};
use std::path::PathBuf;

/// Builds a shard directory; gives whether it held the same shards already, how many finished shards of an interrupted build were
/// not made again, how many bytes of text were encoded, and why what such a build left was of no use, where it left something.
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
) -> PyResult<(bool, u64, u64, Option<String>)> {
    let options = BuildOptions { validation_fraction, shard_tokens, num_threads };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let built = shard::build(source, &tokenizer.0, &out, &options, callback)?;
            Ok((built.was_complete, built.resumed_shards, built.encoded_bytes, built.started_over))
        })
    })
}

/// The checksum of a whole file as manifests carry it: XXH3-64 in 16 hexadecimal digits.
#[pyfunction]
#[pyo3(signature = (path, *, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
pub fn file_checksum(py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<String> {
    interruptible(py, progress.as_ref(), |callback| shard::file_checksum(&path, callback))
}
