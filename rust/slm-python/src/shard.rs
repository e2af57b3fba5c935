//! Building and checking shards from Python.

use crate::corpus::Corpus;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::shard::{self, BuildOptions};
use std::path::PathBuf;

/// What a build did: whether the directory held the same shards already, how many finished shards of an interrupted build were not
/// made again, how many bytes of text were encoded, the most memory that the process had, and why what such a build left was of
/// no use, where it left something.
type Built = (bool, u64, u64, u64, Option<String>);

/// Builds a shard directory.
#[pyfunction]
#[pyo3(signature = (corpus, tokenizer, out, *, validation_fraction, shard_tokens, deduplicate, num_threads, memory_limit, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn build_shards(
    py: Python<'_>,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    out: PathBuf,
    validation_fraction: f64,
    shard_tokens: u64,
    deduplicate: bool,
    num_threads: usize,
    memory_limit: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Built> {
    let options = BuildOptions { validation_fraction, shard_tokens, deduplicate, num_threads, memory_limit };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let built = shard::build(source, &tokenizer.0, &out, &options, callback)?;
            let shard::Built { was_complete, resumed_shards, encoded_bytes, peak_memory_bytes, started_over, .. } =
                built;
            Ok((was_complete, resumed_shards, encoded_bytes, peak_memory_bytes, started_over))
        })
    })
}

/// The checksum of a whole file as manifests carry it: XXH3-64 in 16 hexadecimal digits.
#[pyfunction]
#[pyo3(signature = (path, *, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
pub fn file_checksum(py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<String> {
    interruptible(py, progress.as_ref(), |callback| shard::file_checksums(&path, callback).map(|(whole, _)| whole))
}

/// The checksum of a whole file, and those of its blocks of 4 MiB one after another, as manifests carry them.
#[pyfunction]
#[pyo3(signature = (path, *, progress: "collections.abc.Callable[[Progress], object] | None"=None))]
pub fn file_checksums(py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<(String, String)> {
    interruptible(py, progress.as_ref(), |callback| shard::file_checksums(&path, callback))
}
