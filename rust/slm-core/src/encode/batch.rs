//! Many texts at once: threads take chunks of neighbours from a counter, and their ids are put together in order.

use crate::error::{Error, Result};
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::token::TokenId;
use crate::tokenizer::{SpecialTokens, Tokenizer};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// Bytes of text that a thread takes at a time: a few milliseconds of work, so that threads end together.
const CHUNK_BYTES: usize = 256 * 1024;

/// Ids of many texts in one array.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EncodedBatch {
    /// The ids of all texts, one text after another.
    pub ids: Vec<TokenId>,
    /// Where each text starts in `ids`, and at the end where the last one ends: one more than there are texts.
    pub offsets: Vec<u64>,
}

impl Tokenizer {
    /// The ids of a text of any length; unlike [`Tokenizer::encode`] it can be broken off.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`]; [`Error::Interrupted`] if the callback broke off.
    pub fn encode_long(
        &self,
        text: &str,
        special_tokens: SpecialTokens,
        callback: &mut Callback<'_>,
    ) -> Result<Vec<TokenId>> {
        supervise(callback, Progress::default, |stop| {
            let mut ids = Vec::with_capacity(text.len() / 4 + 8);
            self.with_scratch(|scratch| self.encode_stoppably(text, special_tokens, scratch, &mut ids, stop))?;
            Ok(ids)
        })
    }

    /// Encodes `texts` on `num_threads` threads.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], naming the text; [`Error::Interrupted`] if the callback broke off.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        special_tokens: SpecialTokens,
        num_threads: usize,
        callback: &mut Callback<'_>,
    ) -> Result<EncodedBatch> {
        let chunks = chunks_of(texts);
        let total = texts.iter().map(|text| text.as_ref().len() as u64).sum();
        let (next_chunk, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let snapshot = || Progress {
            phase: "encode",
            unit: "bytes",
            done: done.load(Ordering::Relaxed),
            total,
            counters: Vec::new(),
        };
        let encode_chunk = |range: std::ops::Range<usize>, stop: &Stop| -> Result<EncodedBatch> {
            let mut encoded = EncodedBatch::default();
            self.with_scratch(|scratch| {
                for text_idx in range {
                    let text = texts[text_idx].as_ref();
                    self.encode_stoppably(text, special_tokens, scratch, &mut encoded.ids, stop)
                        .map_err(in_text(text_idx))?;
                    encoded.offsets.push(encoded.ids.len() as u64);
                    done.fetch_add(text.len() as u64, Ordering::Relaxed);
                }
                Ok(encoded)
            })
        };
        supervise(callback, snapshot, |stop| {
            let parts = thread::scope(|scope| {
                let work = || {
                    let mut encoded = Vec::new();
                    loop {
                        let chunk_idx = next_chunk.fetch_add(1, Ordering::Relaxed);
                        let Some(range) = chunks.get(chunk_idx) else { return Ok(encoded) };
                        stop.check()?;
                        encoded.push((chunk_idx, encode_chunk(range.clone(), stop)?));
                    }
                };
                let threads = num_threads.clamp(1, chunks.len().max(1));
                let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
                let mut parts = vec![work()];
                for worker in workers {
                    parts.push(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                }
                parts.into_iter().collect::<Result<Vec<Vec<_>>>>()
            })?;
            let mut parts: Vec<_> = parts.into_iter().flatten().collect();
            parts.sort_unstable_by_key(|(chunk_idx, _)| *chunk_idx);
            Ok(concatenate(parts.into_iter().map(|(_, part)| part).collect(), texts.len()))
        })
    }
}

/// Ranges of neighbouring texts with about [`CHUNK_BYTES`] each.
fn chunks_of<T: AsRef<str>>(texts: &[T]) -> Vec<std::ops::Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, text) in texts.iter().enumerate() {
        bytes += text.as_ref().len();
        if bytes >= CHUNK_BYTES || i + 1 == texts.len() {
            chunks.push(start..i + 1);
            (start, bytes) = (i + 1, 0);
        }
    }
    chunks
}

fn concatenate(mut parts: Vec<EncodedBatch>, num_texts: usize) -> EncodedBatch {
    let mut whole = EncodedBatch { ids: Vec::new(), offsets: Vec::with_capacity(num_texts + 1) };
    whole.offsets.push(0);
    if let [part] = parts.as_mut_slice() {
        whole.offsets.append(&mut part.offsets);
        whole.ids = std::mem::take(&mut part.ids);
        return whole;
    }
    whole.ids.reserve_exact(parts.iter().map(|part| part.ids.len()).sum());
    for part in parts {
        let start = whole.ids.len() as u64;
        whole.offsets.extend(part.offsets.iter().map(|end| start + end));
        whole.ids.extend_from_slice(&part.ids);
    }
    whole
}

fn in_text(text_idx: usize) -> impl FnOnce(Error) -> Error {
    move |error| match error {
        Error::Tokenizer(message) => Error::Tokenizer(format!("text {text_idx} of the batch: {message}")),
        other => other,
    }
}
