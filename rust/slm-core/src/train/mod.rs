//! Training: the merges that a corpus asks for, equal to those of Hugging Face's `BpeTrainer`.
//!
//! Read in this order: this file (ids and stop rules), [`words`] (the text as tokens), [`learn`] (the merge loop).

mod learn;
mod words;

use crate::byte_chars::{bytes_in_char_order, bytes_of_chars};
use crate::corpus::{ReadSummary, Source};
use crate::count::{CountProgress, PretokenCounts, count};
use crate::error::{Error, Result};
use crate::merges::{Merge, Merges};
use crate::pretokenize::Pattern;
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::token::TokenId;
use crate::vocab::Vocab;
use learn::Learner;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use words::Words;

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

impl CountSummary {
    fn new(counts: &PretokenCounts) -> Self {
        let mut summary =
            Self { unique_pretokens: counts.len() as u64, fingerprint: counts.fingerprint(), ..Self::default() };
        counts.for_each(|pretoken, count| {
            summary.unique_bytes += pretoken.len() as u64;
            summary.pretokens += count;
        });
        summary
    }
}

/// Learns a vocabulary from documents.
///
/// The phases are `count`, in bytes of the corpus, and `merge`, in merges.
///
/// # Errors
/// Those of [`crate::corpus::read_batches`]; [`Error::Config`] where `vocab_size` is smaller than special tokens and alphabet,
/// where a special token is empty, or `num_threads` is 0; [`Error::Interrupted`] when `callback` breaks off.
pub fn train(source: Source<'_>, options: &TrainOptions, callback: &mut Callback<'_>) -> Result<Trained> {
    check(options)?;
    let total_bytes = source.total_bytes();
    let counted = CountProgress::default();
    let merged = MergeProgress::default();
    let snapshot = || merged.snapshot().unwrap_or_else(|| counted.snapshot(total_bytes));
    supervise(callback, snapshot, |stop| {
        let start = Instant::now();
        let (counts, corpus) = count(source, options.pattern, options.num_threads, stop, &counted)?;
        let summary = CountSummary::new(&counts);
        let count_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let (first, words) = prepare(&counts, options)?;
        drop(counts);
        let (vocab, merges) = learn(first, words, options, stop, &merged)?;
        let merge_seconds = start.elapsed().as_secs_f64();
        Ok(Trained { vocab, merges, corpus, counts: summary, count_seconds, merge_seconds })
    })
}

/// Learns a vocabulary from pretokens that are counted already; `options` says nothing about how to count them here.
///
/// # Errors
/// [`Error::Config`] and [`Error::Interrupted`] as [`train`]; [`Error::Data`] for more than 4 GiB of different pretokens.
pub fn train_on_counts(
    counts: &PretokenCounts,
    options: &TrainOptions,
    callback: &mut Callback<'_>,
) -> Result<(Vocab, Merges)> {
    check(options)?;
    let merged = MergeProgress::default();
    supervise(
        callback,
        || merged.snapshot().unwrap_or_default(),
        |stop| {
            let (first, words) = prepare(counts, options)?;
            learn(first, words, options, stop, &merged)
        },
    )
}

/// What can be said without reading the corpus.
fn check(options: &TrainOptions) -> Result<()> {
    if options.num_threads == 0 {
        return Err(Error::Config(
            "`num_threads` is 0\n\nhint: give at least 1, or leave it out for one a core".to_owned(),
        ));
    }
    if options.special_tokens.iter().any(String::is_empty) {
        return Err(Error::Config("a special token is empty\n\nhint: remove `\"\"` from `special_tokens`".to_owned()));
    }
    if options.initial_alphabet {
        first_tokens(options, &[true; 256])?;
    }
    Ok(())
}

/// How far merging has come; all 0 before it starts.
#[derive(Default)]
struct MergeProgress {
    merges: AtomicU64,
    max_merges: AtomicU64,
}

impl MergeProgress {
    fn snapshot(&self) -> Option<Progress> {
        let total = self.max_merges.load(Ordering::Relaxed);
        let done = self.merges.load(Ordering::Relaxed);
        (total > 0).then(|| Progress { phase: "merge", unit: "merges", done, total, counters: Vec::new() })
    }
}

impl CountProgress {
    fn snapshot(&self, total: u64) -> Progress {
        let done = self.bytes_read.load(Ordering::Relaxed);
        let text_bytes = self.text_bytes.load(Ordering::Relaxed);
        Progress { phase: "count", unit: "bytes", done, total, counters: vec![("text_bytes", text_bytes)] }
    }
}

/// The tokens that are there before the first merge.
struct FirstTokens {
    vocab: Vocab,
    id_of_byte: [TokenId; 256],
    /// Ids of special tokens by the bytes that their text stands for in byte-level files. A merge that makes one of them takes
    /// its id, as it does in Hugging Face, where both are the same string.
    special_ids: HashMap<Vec<u8>, TokenId>,
}

/// Special tokens in their order without repeats, then bytes in the order of their characters.
fn first_tokens(options: &TrainOptions, is_in_alphabet: &[bool; 256]) -> Result<FirstTokens> {
    let mut vocab = Vocab::default();
    let mut special_ids = HashMap::new();
    for content in &options.special_tokens {
        if vocab.special_tokens().iter().all(|special| special.content != *content) {
            let id = vocab.push_special(content);
            special_ids.extend(bytes_of_chars(content).map(|bytes| (bytes, id)));
        }
    }
    let num_special = vocab.len();
    let mut id_of_byte = [TokenId::MAX; 256];
    for byte in bytes_in_char_order().into_iter().filter(|&byte| is_in_alphabet[byte as usize]) {
        id_of_byte[byte as usize] = special_ids.get(&[byte][..]).copied().unwrap_or_else(|| vocab.push(&[byte]));
    }
    for (byte, &id) in (0..=255).zip(&id_of_byte) {
        if vocab.token(id) == Some(&[byte]) {
            vocab.index(id);
        }
    }
    if vocab.len() > options.vocab_size {
        return Err(Error::Config(format!(
            "`vocab_size` is {}, but {num_special} special tokens and {} bytes of the alphabet are {} tokens before any merge\n\nhint: set \
             `vocab_size` to more than {}",
            options.vocab_size,
            vocab.len() - num_special,
            vocab.len(),
            vocab.len()
        )));
    }
    if u32::try_from(options.vocab_size).is_err() {
        return Err(Error::Config(format!(
            "`vocab_size` is {}\n\nhint: it must be less than {}",
            options.vocab_size,
            u32::MAX
        )));
    }
    Ok(FirstTokens { vocab, id_of_byte, special_ids })
}

/// The vocabulary before the first merge, and the pretokens in its tokens.
fn prepare(counts: &PretokenCounts, options: &TrainOptions) -> Result<(FirstTokens, Words)> {
    let mut is_in_alphabet = [options.initial_alphabet; 256];
    counts.for_each(|pretoken, _| pretoken.iter().for_each(|&byte| is_in_alphabet[byte as usize] = true));
    let first = first_tokens(options, &is_in_alphabet)?;
    let words = Words::new(counts, &first.id_of_byte)?;
    Ok((first, words))
}

fn learn(
    first: FirstTokens,
    words: Words,
    options: &TrainOptions,
    stop: &Stop,
    progress: &MergeProgress,
) -> Result<(Vocab, Merges)> {
    let FirstTokens { mut vocab, id_of_byte, special_ids } = first;
    progress.max_merges.store((options.vocab_size - vocab.len()) as u64, Ordering::Relaxed);

    // Bytes that tokens stand for in pretokens: for a special token that merging makes, not its text but what it is made of.
    let mut token_bytes = vec![Vec::new(); vocab.len()];
    for (byte, &id) in (0..=255).zip(&id_of_byte) {
        if id != TokenId::MAX {
            token_bytes[id as usize] = vec![byte];
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "0 or 1")]
    let lengths = token_bytes.iter().map(|bytes: &Vec<u8>| bytes.len() as u32).collect();
    let mut learner = Learner::new(words, lengths, options.min_frequency, options.max_token_length, stop);
    let mut merges = Merges::default();
    while vocab.len() < options.vocab_size
        && let Some(next) = learner.next_pair()?
    {
        let (left, right) = (next.left, next.right);
        let bytes = [&token_bytes[left as usize][..], &token_bytes[right as usize][..]].concat();
        let produced = if let Some(&id) = special_ids.get(&bytes) {
            if vocab.token(id) == Some(&bytes) {
                vocab.index(id);
            }
            token_bytes[id as usize] = bytes;
            id
        } else {
            let id = vocab.push(&bytes);
            token_bytes.push(bytes);
            id
        };
        merges.push(Merge { left, right, produced });
        learner.merge(next, produced);
        progress.merges.store(merges.len() as u64, Ordering::Relaxed);
    }
    Ok((vocab, merges))
}
