//! Training a tokenizer from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::count::{Bounds, CountsArtifact};
use slm_core::error::{Error, Result};
use slm_core::io::{memory, spill};
use slm_core::pretokenize::{Normalization, Pretokenizer, PretokenizerSettings};
use slm_core::train::TrainOptions;
use slm_core::{tokenizer_file, train};
use std::path::PathBuf;

/// Learns a tokenizer from a corpus, or from counts if there is none; its merges are those of Hugging Face's `BpeTrainer` on
/// the same documents.
#[pyfunction]
#[pyo3(signature = (
    corpus, counts, *, vocab_size, pattern, digits, prefix_space, normalization, special_tokens, chat_tokens, reserved_tokens,
    special_tokens_in_text, min_frequency, max_token_length, max_token_bytes, initial_alphabet, num_threads, memory_limit,
    spill_dir, max_spill, extend=None, progress: "collections.abc.Callable[[Progress], object] | None"=None
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn train_tokenizer(
    py: Python<'_>,
    corpus: Option<&Corpus>,
    counts: Option<PathBuf>,
    vocab_size: usize,
    pattern: String,
    digits: Option<u64>,
    prefix_space: bool,
    normalization: Option<&str>,
    special_tokens: Vec<String>,
    chat_tokens: Option<&str>,
    reserved_tokens: usize,
    special_tokens_in_text: &str,
    min_frequency: u64,
    max_token_length: Option<usize>,
    max_token_bytes: Option<usize>,
    initial_alphabet: bool,
    num_threads: usize,
    memory_limit: u64,
    spill_dir: PathBuf,
    max_spill: Option<u64>,
    extend: Option<&Tokenizer>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Tokenizer> {
    let pretokenizer = guarded(py, || pretokenizer_of(pattern, digits, prefix_space, normalization))?;
    let bounds = guarded(py, || Bounds::new(memory_limit, spill_dir, max_spill))?;
    let extend = match extend {
        Some(Tokenizer(old)) => Some(guarded(py, || old.renewed())?),
        None => None,
    };
    let options = TrainOptions {
        vocab_size,
        pretokenizer,
        min_frequency,
        max_token_length,
        max_token_bytes,
        special_tokens,
        chat_tokens: guarded(py, || chat_tokens.map(str::parse).transpose())?,
        reserved_tokens,
        special_tokens_in_text: guarded(py, || special_tokens_in_text.parse())?,
        initial_alphabet,
        num_threads,
        bounds: Some(bounds),
        extend,
    };
    let Some(corpus) = corpus else {
        return interruptible(py, progress.as_ref(), |callback| {
            let counts = CountsArtifact::open(&counts.unwrap_or_default())?;
            let trained = train::train_on_artifact(&counts, &options, callback)?;
            tokenizer_file::of_training(trained, &options, None).map(Tokenizer)
        });
    };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let trained = train::train(source, &options, callback)?;
            tokenizer_file::of_training(trained, &options, corpus.spec()).map(Tokenizer)
        })
    })
}

/// How text is split, by its settings.
pub fn pretokenizer_of(
    pattern: String,
    digits: Option<u64>,
    prefix_space: bool,
    normalization: Option<&str>,
) -> Result<Pretokenizer> {
    let normalization = normalization.map(normalization_of).transpose()?;
    Pretokenizer::new(&PretokenizerSettings { pattern, digits, prefix_space, normalization })
}

fn normalization_of(name: &str) -> Result<Normalization> {
    match name {
        "nfc" => Ok(Normalization::Nfc),
        other => Err(Error::Config(format!("`normalization` is `{other}`, it must be `nfc` or None"))),
    }
}

/// A quarter of the memory of the machine or the container, at least 64 MiB and at most 4 GiB; in bytes.
#[pyfunction]
pub fn default_memory_limit() -> u64 {
    memory::default_limit()
}

/// Whether files in a directory live in memory, as on tmpfs.
#[pyfunction]
pub fn is_in_memory(directory: PathBuf) -> bool {
    spill::is_in_memory(&directory)
}
