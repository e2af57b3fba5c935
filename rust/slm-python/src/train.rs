//! Training a tokenizer from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::count::Bounds;
use slm_core::error::{Error, Result};
use slm_core::io::{memory, spill};
use slm_core::pretokenize::{Normalization, Pretokenizer, PretokenizerSettings};
use slm_core::train::TrainOptions;
use slm_core::{tokenizer_file, train};
use std::path::PathBuf;

/// Learns a tokenizer from a corpus; its merges are those of Hugging Face's `BpeTrainer` on the same documents.
#[pyfunction]
#[pyo3(signature = (
    corpus, *, vocab_size, pattern, digits, prefix_space, normalization, special_tokens, chat_tokens, reserved_tokens,
    special_tokens_in_text, min_frequency, max_token_length, max_token_bytes,
    initial_alphabet, num_threads, memory_limit, spill_dir, max_spill, progress: "collections.abc.Callable[[Progress], object] | None"=None
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn train_tokenizer(
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
    min_frequency: u64,
    max_token_length: Option<usize>,
    max_token_bytes: Option<usize>,
    initial_alphabet: bool,
    num_threads: usize,
    memory_limit: u64,
    spill_dir: PathBuf,
    max_spill: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Tokenizer> {
    let pretokenizer = guarded(py, || {
        let normalization = normalization.map(normalization_of).transpose()?;
        Pretokenizer::new(&PretokenizerSettings { pattern, digits, prefix_space, normalization })
    })?;
    let bounds = guarded(py, || Bounds::new(memory_limit, spill_dir, max_spill))?;
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
    };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let trained = train::train(source, &options, callback)?;
            tokenizer_file::of_training(trained, &options, corpus.spec()).map(Tokenizer)
        })
    })
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
