//! Training: the merges that a corpus asks for, equal to those of Hugging Face's `BpeTrainer`.
//!
//! Read in this order: this file (what is trained, and where), [`tokens`] (ids), [`words`] (the text as tokens), [`learn`] (the
//! merge loop), [`passes`] (learning from counts that do not fit into memory) with [`pieces`] and [`sketch`], [`from_counts`]
//! (what is counted already), [`extend`] (going on from a tokenizer).

mod extend;
mod from_counts;
mod learn;
mod memory;
mod passes;
mod pieces;
mod pool;
mod predict;
mod sketch;
mod tokens;
mod words;

pub use from_counts::train_on_artifact;

use crate::chat::ChatTokens;
use crate::corpus::{ReadSummary, Source};
use crate::count::{Bounds, CountProgress, CountSummary, Counted, PretokenCounts, SortedCounts, count};
use crate::error::{Error, Result};
use crate::io::allocator::release_freed;
use crate::io::memory::PeakMemory;
use crate::io::spill::Spill;
use crate::merges::Merges;
use crate::pretokenize::Pretokenizer;
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::special_tokens::{SpecialTokenFinder, check_contents};
use crate::tokenizer::Tokenizer;
use crate::vocab::Vocab;
use learn::Learner;
use memory::{Memory, TableSize};
use passes::learn_in_passes;
use pool::Pool;
pub use predict::{Prediction, predict, predict_counting};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokens::Tokens;
use words::{PretokenList, Words};

/// What to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainOptions {
    /// Tokens in all: special tokens, alphabet and merges. Fewer come out where the corpus has no more pairs.
    pub vocab_size: usize,
    /// How documents are split into pretokens.
    pub pretokenizer: Pretokenizer,
    /// A pair that occurs less often is not merged; 0 and 1 mean the same.
    pub min_frequency: u64,
    /// As in Hugging Face: a pair is merged if its token has fewer bytes than this, and pairs of two bytes always are.
    pub max_token_length: Option<usize>,
    /// No merge makes a token of more bytes, pairs of two bytes included.
    pub max_token_bytes: Option<usize>,
    /// Tokens that come first in the vocabulary.
    pub special_tokens: Vec<String>,
    /// The special tokens of a convention for conversations, which follow.
    pub chat_tokens: Option<ChatTokens>,
    /// Special tokens without a use yet, `<|reserved_special_token_0|>` and so on, which follow.
    ///
    /// They are at the front, because ids at the end would move with the size of the vocabulary.
    pub reserved_tokens: usize,
    /// What the text of any special token in the corpus is.
    pub special_tokens_in_text: SpecialTokensInText,
    /// Whether all 256 bytes are in the vocabulary, or only those that occur.
    pub initial_alphabet: bool,
    /// Threads that count; one more reads. The result does not depend on it.
    pub num_threads: usize,
    /// Memory and disk space that training may take; `None` for all there is. The result does not depend on it.
    pub bounds: Option<Bounds>,
    /// The tokenizer to go on from: its tokens keep their ids, its merges come first, and special tokens are added to its own.
    pub extend: Option<Arc<Tokenizer>>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            vocab_size: 32_768,
            pretokenizer: Pretokenizer::default(),
            min_frequency: 0,
            max_token_length: None,
            max_token_bytes: None,
            special_tokens: vec!["<|endoftext|>".to_owned()],
            chat_tokens: None,
            reserved_tokens: 0,
            special_tokens_in_text: SpecialTokensInText::Text,
            initial_alphabet: true,
            num_threads: 1,
            bounds: None,
            extend: None,
        }
    }
}

/// What the text of a special token in the corpus is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpecialTokensInText {
    /// Text like any other, as for Hugging Face's `BpeTrainer`.
    #[default]
    Text,
    /// A place where the text is split: nothing is learned from it or across it.
    Split,
}

impl SpecialTokensInText {
    /// The name in configs and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Split => "split",
        }
    }
}

impl FromStr for SpecialTokensInText {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "text" => Ok(Self::Text),
            "split" => Ok(Self::Split),
            other => Err(Error::Config(format!("`special_tokens_in_text` is `{other}`, it must be `text` or `split`"))),
        }
    }
}

impl TrainOptions {
    /// Every special token by id, each once.
    pub fn all_special_tokens(&self) -> Vec<String> {
        let chat_tokens = self.chat_tokens.map_or(&[][..], ChatTokens::special_tokens);
        let mut all: Vec<String> = Vec::new();
        for token in self.special_tokens.iter().map(String::as_str).chain(chat_tokens.iter().copied()) {
            if !all.iter().any(|other| other == token) {
                all.push(token.to_owned());
            }
        }
        let reserved = (0..).map(|number| format!("<|reserved_special_token_{number}|>"));
        let reserved: Vec<String> = reserved.filter(|token| !all.contains(token)).take(self.reserved_tokens).collect();
        all.extend(reserved);
        all
    }

    /// The special tokens at which documents are split: all there will be, or none.
    pub fn kept_out(&self) -> Vec<String> {
        match self.special_tokens_in_text {
            SpecialTokensInText::Text => Vec::new(),
            SpecialTokensInText::Split => {
                let old = self.extend.iter().flat_map(|old| old.vocab().special_tokens());
                let mut special_tokens = self.all_special_tokens();
                special_tokens.extend(old.map(|special| special.content.clone()));
                special_tokens
            }
        }
    }

    /// Keeps special tokens, those of the tokenizer to go on from too, out of documents where the options say so.
    ///
    /// # Errors
    /// [`Error::Config`] for a special token that cannot be.
    pub fn prepare<'a>(&self, source: Source<'a>) -> Result<Source<'a>> {
        Ok(match SpecialTokenFinder::new(&self.kept_out())? {
            None => source,
            Some(special_tokens) => Source::SplitAt { special_tokens, source: Box::new(source) },
        })
    }

    /// The most bytes that a merge may make a token of. Every merge makes two or more, so Hugging Face's rule, fewer than
    /// `max_token_length` or exactly two, is such a limit too.
    pub(crate) fn max_merged_bytes(&self) -> usize {
        let by_their_rule = self.max_token_length.map_or(usize::MAX, |length| length.saturating_sub(1).max(2));
        by_their_rule.min(self.max_token_bytes.unwrap_or(usize::MAX))
    }
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Special tokens, alphabet, then one token a merge, as in Hugging Face.
    pub vocab: Vocab,
    /// The merges by rank.
    pub merges: Merges,
    /// How often the pair of each merge occurred when it was merged, by rank; 0 where that is not known.
    pub merge_counts: Vec<u64>,
    /// What was read.
    pub corpus: ReadSummary,
    /// What was counted.
    pub counts: CountSummary,
    /// Bytes that were written to disk because they did not fit into memory.
    pub spilled_bytes: u64,
    /// The most of them that were there at one time.
    pub spill_peak_bytes: u64,
    /// How often the counts were gone through to learn merges: 1 where all of them fit into memory.
    pub passes: u64,
    /// The most anonymous memory of the whole process that was seen on the way, in bytes; 0 where the system does not say.
    pub peak_memory_bytes: u64,
    /// Wall time of reading and counting.
    pub count_seconds: f64,
    /// Wall time of learning merges.
    pub merge_seconds: f64,
}

/// Learns a vocabulary from documents.
///
/// The phases are `count`, in bytes of the corpus, with `text_bytes` and `unique_pretokens` (about, until all are counted), then,
/// where counts were spilled, `add up`, in pretokens of the spilled runs, and `merge`, in merges, with `merge_count`: how often the
/// last merged pair occurred, and `pass`, from 1. All say `spilled_bytes`, and `memory_bytes`: the anonymous memory of the process.
///
/// # Errors
/// Those of [`crate::corpus::read_batches`]; [`Error::Config`] where `vocab_size` is smaller than special tokens and alphabet,
/// where a special token cannot be, `num_threads` is 0, a pretoken is too long for the memory limit, or more must be spilled than
/// the bounds allow; [`Error::Interrupted`] when `callback` breaks off.
pub fn train(source: Source<'_>, options: &TrainOptions, callback: &mut Callback<'_>) -> Result<Trained> {
    check(options)?;
    let source = options.prepare(source)?;
    let total_bytes = source.total_bytes();
    let counted = CountProgress::default();
    let merged = MergeProgress::default();
    let spill = options.bounds.as_ref().map(|bounds| Spill::new(&bounds.spill_dir, bounds.max_spill_bytes));
    let spilled_bytes = || spill.as_ref().map_or(0, Spill::written_bytes);
    let peak = PeakMemory::default();
    let snapshot = || {
        let resources = [("spilled_bytes", spilled_bytes()), ("memory_bytes", peak.look())];
        let mut progress = merged.snapshot().unwrap_or_else(|| counted.snapshot(total_bytes));
        progress.counters.extend(resources);
        progress
    };
    supervise(callback, snapshot, |stop| {
        let start = Instant::now();
        let within = options.bounds.as_ref().map(|bounds| bounds.memory_bytes).zip(spill.as_ref());
        let (counts, corpus) = count(source, &options.pretokenizer, options.num_threads, within, stop, &counted)?;
        let summary = match &counts {
            Counted::Table(counts) => CountSummary::new(counts, stop)?,
            Counted::Sorted(sorted) => sorted.summary(),
        };
        counted.unique_pretokens.store(summary.unique_pretokens, Ordering::Relaxed);
        let count_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let learner = Learning { options, spill: spill.as_ref(), stop, progress: &merged };
        let (tokens, passes) = learner.learn(counts)?;
        Ok(Trained {
            merge_counts: tokens.merge_counts(),
            vocab: tokens.vocab,
            merges: tokens.merges,
            corpus,
            counts: summary,
            spilled_bytes: spilled_bytes(),
            spill_peak_bytes: spill.as_ref().map_or(0, Spill::peak_bytes),
            passes,
            peak_memory_bytes: peak.bytes(),
            count_seconds,
            merge_seconds: start.elapsed().as_secs_f64(),
        })
    })
}

/// Learns a vocabulary from pretokens that are counted already; `options` says nothing about how to count them here.
///
/// # Errors
/// [`Error::Config`] and [`Error::Interrupted`] as [`train`]; [`Error::Data`] for more than 4 GiB of different pretokens.
pub fn train_on_counts(
    counts: PretokenCounts,
    options: &TrainOptions,
    callback: &mut Callback<'_>,
) -> Result<(Vocab, Merges)> {
    check(options)?;
    let merged = MergeProgress::default();
    let spill = options.bounds.as_ref().map(|bounds| Spill::new(&bounds.spill_dir, bounds.max_spill_bytes));
    supervise(
        callback,
        || merged.snapshot().unwrap_or_default(),
        |stop| {
            let learner = Learning { options, spill: spill.as_ref(), stop, progress: &merged };
            let (tokens, _) = learner.learn(Counted::Table(counts))?;
            Ok((tokens.vocab, tokens.merges))
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
    check_contents(&options.special_tokens)?;
    if let Some(old) = &options.extend {
        extend::check(old, options)?;
    }
    // Without the alphabet this is the least that there will be.
    Tokens::new(options, &[false; 256]).map(drop)
}

/// How far merging has come; all 0 before it starts.
#[derive(Default)]
struct MergeProgress {
    merges: AtomicU64,
    max_merges: AtomicU64,
    /// How often the pair of the last merge occurred.
    last_count: AtomicU64,
    /// The pass over all pretokens that is under way; 0 where all are learned from at once.
    pass: AtomicU64,
}

impl MergeProgress {
    fn start(&self, tokens: &Tokens, options: &TrainOptions) {
        self.max_merges.store((options.vocab_size - tokens.vocab.len()) as u64, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Option<Progress> {
        let total = self.max_merges.load(Ordering::Relaxed);
        let done = self.merges.load(Ordering::Relaxed);
        let mut counters = vec![("merge_count", self.last_count.load(Ordering::Relaxed))];
        counters.extend(Some(("pass", self.pass.load(Ordering::Relaxed))).filter(|(_, pass)| *pass > 0));
        (total > 0).then_some(Progress { phase: "merge", unit: "merges", done, total, counters })
    }
}

impl CountProgress {
    pub(crate) fn snapshot(&self, total: u64) -> Progress {
        let done = self.bytes_read.load(Ordering::Relaxed);
        let unique_pretokens = match self.unique_pretokens.load(Ordering::Relaxed) {
            0 => self.distinct.estimate(),
            exact => exact,
        };
        let counters =
            vec![("text_bytes", self.text_bytes.load(Ordering::Relaxed)), ("unique_pretokens", unique_pretokens)];
        if let Some(adding) = self.adding.snapshot() {
            return Progress { counters, ..adding };
        }
        Progress { phase: "count", unit: "bytes", done, total, counters }
    }
}

/// Learning from counts, with all that it needs besides.
struct Learning<'a> {
    options: &'a TrainOptions,
    spill: Option<&'a Spill>,
    stop: &'a Stop,
    progress: &'a MergeProgress,
}

impl<'a> Learning<'a> {
    /// Learns where there is room for it: in memory at once, or from the disk in passes, of which it gives the number.
    fn learn(&self, counts: Counted<'a>) -> Result<(Tokens, u64)> {
        release_freed();
        let bounds = self.options.bounds.as_ref();
        let memory = bounds.map_or(Memory::UNLIMITED, |bounds| Memory::new(bounds.memory_bytes, self.options));
        let (pool, is_in_alphabet) = match counts {
            Counted::Sorted(sorted) => {
                let is_in_alphabet = *sorted.is_in_alphabet();
                (Pool::of_counts(sorted, memory.pool_bytes()), is_in_alphabet)
            }
            Counted::Table(counts) => {
                let size = TableSize::new(&counts, self.stop)?;
                // Merges there are already are made up for in the first pass over a pool.
                if self.options.extend.is_none() && memory.holds_at_once(&counts, &size) {
                    return Ok((self.learn_at_once(counts, memory, &size.is_in_alphabet)?, 1));
                }
                match self.spill {
                    Some(spill) if !memory.holds_pool(&size) => {
                        let sorted = Box::new(SortedCounts::of_table(counts, spill, self.stop)?);
                        (Pool::of_counts(sorted, memory.pool_bytes()), size.is_in_alphabet)
                    }
                    _ => (Pool::of_table(&counts, self.stop)?, size.is_in_alphabet),
                }
            }
        };
        let mut tokens = Tokens::new(self.options, &is_in_alphabet)?;
        self.progress.start(&tokens, self.options);
        let passes = learn_in_passes(pool, &mut tokens, memory, self)?;
        Ok((tokens, passes))
    }

    fn learn_at_once(&self, counts: PretokenCounts, memory: Memory, is_in_alphabet: &[bool; 256]) -> Result<Tokens> {
        let mut tokens = Tokens::new(self.options, is_in_alphabet)?;
        self.progress.start(&tokens, self.options);
        let list = PretokenList::<1>::new(&counts, self.stop)?;
        drop(counts);
        let words = Words::new(list, |[byte]| tokens.id_of_byte[byte as usize], self.stop)?;
        let max_tracked = memory.max_tracked(&words);
        let lengths = tokens.lengths();
        let mut learner = Learner::new(words, lengths.clone(), lengths, self.options, max_tracked, self.stop);
        self.merge_all(&mut tokens, &mut learner)?;
        Ok(tokens)
    }

    /// Merges until the vocabulary is full, or `learner` has no more pairs.
    fn merge_all(&self, tokens: &mut Tokens, learner: &mut Learner<'_>) -> Result<()> {
        while tokens.vocab.len() < self.options.vocab_size
            && let Some(next) = learner.next_pair()?
        {
            let produced = tokens.push_merge(next.left, next.right, next.count);
            self.progress.last_count.store(next.count, Ordering::Relaxed);
            learner.merge(next, produced);
            self.progress.merges.store(tokens.merges.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
