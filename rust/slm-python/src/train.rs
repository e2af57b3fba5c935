//! Training a tokenizer from Python.

use crate::corpus::Corpus;
use crate::error::guarded;
use crate::interruptible::interruptible;
use crate::tokenizer::Tokenizer;
use pyo3::prelude::*;
use slm_core::train::TrainOptions;
use slm_core::{tokenizer_file, train};

/// Learns a tokenizer from a corpus; its merges are those of Hugging Face's `BpeTrainer` on the same documents.
#[pyfunction]
#[pyo3(signature = (
    corpus, *, vocab_size, pattern, special_tokens, min_frequency, max_token_length, initial_alphabet, num_threads,
    progress: "collections.abc.Callable[[Progress], object] | None"=None
))]
#[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
pub fn train_tokenizer(
    py: Python<'_>,
    corpus: &Corpus,
    vocab_size: usize,
    pattern: &str,
    special_tokens: Vec<String>,
    min_frequency: u64,
    max_token_length: Option<usize>,
    initial_alphabet: bool,
    num_threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Tokenizer> {
    let pattern = guarded(py, || pattern.parse())?;
    let options = TrainOptions {
        vocab_size,
        pattern,
        min_frequency,
        max_token_length,
        special_tokens,
        initial_alphabet,
        num_threads,
    };
    corpus.with_source(py, |source| {
        interruptible(py, progress.as_ref(), |callback| {
            let trained = train::train(source, &options, callback)?;
            tokenizer_file::of_training(trained, &options, corpus.spec()).map(Tokenizer)
        })
    })
}
