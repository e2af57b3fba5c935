//! Training: the merges that a corpus asks for, equal to those of Hugging Face's `BpeTrainer`.

use crate::corpus::{ReadSummary, Source};
use crate::error::Result;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::progress::Callback;
use crate::vocab::Vocab;

/// What to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// Tokens in all: special tokens, alphabet and merges. Fewer come out where the corpus has no more pairs.
    pub vocab_size: usize,
    /// How pretokens are cut.
    pub pattern: Pattern,
    /// A pair that occurs less often is not merged; 0 and 1 mean the same.
    pub min_frequency: u64,
    /// As in Hugging Face: a pair is merged if its token has fewer bytes than this, and pairs of two bytes always are.
    pub max_token_length: Option<usize>,
    /// Tokens that come first in the vocabulary. Their text in the corpus is text like any other.
    pub special_tokens: Vec<String>,
    /// Whether all 256 bytes are in the vocabulary, or only those that occur.
    pub initial_alphabet: bool,
    /// Threads that count; one more reads. The result does not depend on it.
    pub num_threads: usize,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            vocab_size: 32_768,
            pattern: Pattern::Gpt2,
            min_frequency: 0,
            max_token_length: None,
            special_tokens: vec!["<|endoftext|>".to_owned()],
            initial_alphabet: true,
            num_threads: 1,
        }
    }
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Special tokens, alphabet, then one token a merge, as in Hugging Face.
    pub vocab: Vocab,
    /// The merges by rank.
    pub merges: Merges,
    /// What was read.
    pub corpus: ReadSummary,
    /// What was counted.
    pub counts: CountSummary,
    /// Wall time of reading and counting.
    pub count_seconds: f64,
    /// Wall time of learning merges.
    pub merge_seconds: f64,
}

/// The pretokens of a corpus in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountSummary {
    /// Different pretokens.
    pub unique_pretokens: u64,
    /// Bytes of the different pretokens.
    pub unique_bytes: u64,
    /// Pretokens in all.
    pub pretokens: u64,
    /// Identifies the counts, in whatever order they were made.
    pub fingerprint: u64,
}

/// Learns a vocabulary from documents.
///
/// # Errors
/// Those of [`crate::corpus::read_batches`]; [`crate::error::Error::Config`] where `vocab_size` is smaller than special tokens and alphabet, or
/// `num_threads` is 0; `Interrupted` when `callback` breaks off.
pub fn train(source: Source<'_>, options: &TrainOptions, callback: &mut Callback<'_>) -> Result<Trained> {
    let _ = (source, options, callback);
    todo!()
}
