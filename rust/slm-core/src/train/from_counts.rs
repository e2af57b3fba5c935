//! Training on counts that are an artifact, without the corpus.

use crate::count::{CountsArtifact, kept_out_in_words, kept_out_record};
use crate::error::{Error, Result};
use crate::io::memory::PeakMemory;
use crate::io::spill::Spill;
use crate::progress::{Callback, Progress, supervise};
use crate::train::{Learning, MergeProgress, SpecialTokensInText, TrainOptions, Trained, check};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Learns a vocabulary from a counts directory: the one that [`train`](super::train) learns from the same text.
///
/// The phases are `load`, in bytes of the file, and `merge`, in merges.
///
/// # Errors
/// [`Error::Config`] where the counts were split in another way than `options` have it, and as [`train`](super::train);
/// [`Error::Data`] for damaged counts; [`Error::Io`]; [`Error::Interrupted`] when `callback` breaks off.
pub fn train_on_artifact(
    artifact: &CountsArtifact,
    options: &TrainOptions,
    callback: &mut Callback<'_>,
) -> Result<Trained> {
    check(options)?;
    if *artifact.pretokenizer() != options.pretokenizer {
        return Err(Error::Config(format!(
            "the counts were split by the pattern `{}`, `pattern` is `{}`\n\nhint: leave `pattern` out, or count with the other one",
            artifact.pretokenizer().identity(),
            options.pretokenizer.identity()
        )));
    }
    check_special_tokens(artifact, options)?;
    let loaded = AtomicU64::new(0);
    let total = artifact.manifest().file.bytes;
    let merged = MergeProgress::default();
    let spill = options.bounds.as_ref().map(|bounds| Spill::new(&bounds.spill_dir, bounds.max_spill_bytes));
    let spilled_bytes = || spill.as_ref().map_or(0, Spill::written_bytes);
    let peak = PeakMemory::default();
    let snapshot = || {
        let done = loaded.load(Ordering::Relaxed);
        let loading = || Progress { phase: "load", unit: "bytes", done, total, counters: Vec::new() };
        let mut progress = merged.snapshot().unwrap_or_else(loading);
        progress.counters.extend([("spilled_bytes", spilled_bytes()), ("memory_bytes", peak.look())]);
        progress
    };
    supervise(callback, snapshot, |stop| {
        let start = Instant::now();
        artifact.verify(|bytes| {
            loaded.fetch_add(bytes, Ordering::Relaxed);
            stop.check()
        })?;
        // As much again is needed to make words of the table.
        let max_table_bytes = options.bounds.as_ref().map_or(usize::MAX, |bounds| bounds.memory_bytes / 2);
        let counts = artifact.counted(max_table_bytes, stop)?;
        let count_seconds = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let learning = Learning { options, spill: spill.as_ref(), stop, progress: &merged };
        let (tokens, passes) = learning.learn(counts)?;
        Ok(Trained {
            merge_counts: tokens.merge_counts(),
            vocab: tokens.vocab,
            merges: tokens.merges,
            corpus: artifact.read_summary(),
            counts: artifact.summary(),
            spilled_bytes: spilled_bytes(),
            spill_peak_bytes: spill.as_ref().map_or(0, Spill::peak_bytes),
            passes,
            peak_memory_bytes: peak.bytes(),
            count_seconds,
            merge_seconds: start.elapsed().as_secs_f64(),
        })
    })
}

/// What special tokens in the text are was settled when it was counted.
fn check_special_tokens(artifact: &CountsArtifact, options: &TrainOptions) -> Result<()> {
    let counted = &artifact.manifest().kept_out;
    let wanted = kept_out_record(&options.kept_out());
    if *counted == wanted {
        return Ok(());
    }
    let hint = match (counted.is_empty(), options.special_tokens_in_text) {
        (true, _) => "set `special_tokens_in_text` to `text`, or count again with `special_tokens_in_text: split`",
        (false, SpecialTokensInText::Text) => "set `special_tokens_in_text` to `split`, or count again without it",
        (false, SpecialTokensInText::Split) => {
            "give the special tokens, `chat_tokens` and `reserved_tokens` of the tokenizer when counting too"
        }
    };
    Err(Error::Config(format!(
        "the counts were made with {}, training is to be with {}\n\nhint: {hint}",
        kept_out_in_words(counted),
        kept_out_in_words(&wanted)
    )))
}
