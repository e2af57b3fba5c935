//! Batches to shards: one thread reads, several encode, one writes in document order.
//!
//! A batch needs credits to be read and gives them back when it is written, so memory is bounded by the number of credits
//! whatever the corpus, and the order of writing is that of reading whatever the threads do.

use super::budget::{Budget, cost_of};
use super::build::Counters;
use super::commit::{Choice, Committer, EncodedSpan};
use super::credits::ByteCredits;
use super::document_hash::{DocumentHash, SpanHash, whole_blocks};
use super::header::Element;
use super::parts::PartEncoder;
use crate::corpus::{
    Batch, MAX_ANCHOR_BYTES, Mark, Place, Position, ReadSummary, Reading, Source, Span, read_batches_from,
};
use crate::encode::Scratch;
use crate::error::{Error, Result};
use crate::progress::Stop;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

/// Batches in flight for each encoding thread: one at work, one waiting on either side.
const BATCHES_PER_THREAD: usize = 3;

/// Ids beyond which the work space of a thread is given back: those of a batch of common size whatever its text.
const MAX_KEPT_IDS: usize = 2 << 20;

/// A batch, its place, and the credits that were taken for it.
type ReadBatch = (Batch, Mark, u64);

/// A batch and its ids.
struct EncodedBatch {
    batch: Batch,
    mark: Mark,
    credits: u64,
    /// What the spans' documents are known by, if that is asked for.
    hashes: Vec<SpanHash>,
    /// Ids of all spans, little-endian, each document's end-of-text token included; of parts of pretokens that alone.
    tokens: Vec<u8>,
    /// Where the ids of each span end in `tokens`.
    ends: Vec<usize>,
}

/// Called whenever a shard is finished, with the position behind its last document.
pub(super) type Keep<'a> = dyn FnMut(&mut Committer<'_>, Position) -> Result<()> + 'a;

pub(super) struct Pipeline<'a> {
    pub directory: &'a Path,
    pub tokenizer: &'a Tokenizer,
    pub end_of_text: TokenId,
    pub element: Element,
    pub choice: Choice,
    pub budget: Budget,
    pub counters: &'a Counters,
    pub stop: &'a Stop,
}

impl Pipeline<'_> {
    /// Reads what comes behind `place` and encodes it on other threads, and writes on this one.
    pub fn run(
        &self,
        (source, place): (Source<'_>, &mut Place),
        num_threads: usize,
        committer: &mut Committer<'_>,
        keep: &mut Keep<'_>,
    ) -> Result<ReadSummary> {
        let max_batches = num_threads * BATCHES_PER_THREAD;
        let credits = ByteCredits::new(self.budget.in_flight_bytes);
        // Any one that fails ends the others. A flag of its own, because `stop` belongs to the caller.
        let failed = AtomicBool::new(false);
        thread::scope(|scope| {
            // As long as there are batches, so that only the wait for credits ever blocks.
            let (to_encode, batches) = bounded::<ReadBatch>(max_batches);
            let (to_commit, encoded) = bounded::<EncodedBatch>(max_batches);
            let (failed, credits) = (&failed, &credits);
            let reader = scope.spawn(move || {
                let _guard = FailureGuard(failed);
                let least_cost = self.budget.in_flight_bytes / max_batches as u64;
                let summary = self.read(source, place, (credits, least_cost), &to_encode, failed);
                tell(summary, failed)
            });
            let workers: Vec<ScopedJoinHandle<'_, Result<()>>> = (0..num_threads)
                .map(|_| {
                    let (batches, to_commit) = (batches.clone(), to_commit.clone());
                    scope.spawn(move || {
                        let _guard = FailureGuard(failed);
                        tell(self.encode(&batches, &to_commit, failed), failed)
                    })
                })
                .collect();
            drop((batches, to_commit));
            let committed = tell(self.commit(&encoded, credits, committer, keep, failed), failed);
            drop(encoded);
            let mut outcomes: Vec<Result<()>> = workers.into_iter().map(join).collect();
            outcomes.push(committed);
            let summary = join(reader);
            // Where one part fails the others report that they were interrupted: the cause is the one that does not.
            let mut interrupted = None;
            for outcome in outcomes {
                match outcome {
                    Ok(()) => {}
                    Err(Error::Interrupted) => interrupted = Some(Error::Interrupted),
                    Err(error) => return Err(error),
                }
            }
            match (summary, interrupted) {
                (Ok(_), Some(error)) => Err(error),
                (summary, _) => summary,
            }
        })
    }

    fn check(&self, failed: &AtomicBool) -> Result<()> {
        if failed.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { self.stop.check() }
    }

    fn read(
        &self,
        source: Source<'_>,
        place: &mut Place,
        (credits, least_cost): (&ByteCredits, u64),
        to_encode: &Sender<ReadBatch>,
        failed: &AtomicBool,
    ) -> Result<ReadSummary> {
        let from = place.position().anchor;
        let reading = Reading {
            max_stretch_bytes: self.budget.max_stretch_bytes,
            parts_of_pretokens: self.tokenizer.encoder().takes_parts(),
            hold_directory: Some(self.directory),
            from: Some(&from),
            anchor_bytes: MAX_ANCHOR_BYTES,
            max_decoder_bytes: self.budget.decoder_bytes,
        };
        let mut index = 0;
        let summary =
            read_batches_from(source, self.tokenizer.pretokenizer(), reading, self.stop, &mut |batch, anchor| {
                self.check(failed)?;
                let bytes_read = batch.bytes_read;
                let Some((mut batch, mark)) = place.take(batch, anchor)? else {
                    self.counters.bytes_read.fetch_add(bytes_read, Ordering::Relaxed);
                    return Ok(());
                };
                batch.index = index;
                index += 1;
                let cost = cost_of(batch.text.len()).max(least_cost);
                let taken = credits.take(cost, || self.check(failed))?;
                to_encode.send((batch, mark, taken)).map_err(|_| Error::Interrupted)
            })?;
        place.finish()?;
        Ok(summary)
    }

    fn encode(
        &self,
        batches: &Receiver<ReadBatch>,
        to_commit: &Sender<EncodedBatch>,
        failed: &AtomicBool,
    ) -> Result<()> {
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        for batch in batches {
            self.check(failed)?;
            let encoded = self.encode_batch(batch, &mut scratch, &mut ids)?;
            if ids.capacity() > MAX_KEPT_IDS {
                ids = Vec::new();
            }
            to_commit.send(encoded).map_err(|_| Error::Interrupted)?;
        }
        Ok(())
    }

    fn encode_batch(
        &self,
        (batch, mark, credits): ReadBatch,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
    ) -> Result<EncodedBatch> {
        ids.clear();
        let mut ends = Vec::with_capacity(batch.spans.len());
        for &span in &batch.spans {
            if !span.is_part_of_pretoken() {
                self.tokenizer.encode_part(batch.str(span), span.begins_text(), scratch, ids)?;
            }
            if span.ends_document {
                ids.push(self.end_of_text);
            }
            ends.push(ids.len() * self.element.bytes());
        }
        let tokens = self.bytes_of(ids);
        self.counters.tokens.fetch_add(ids.len() as u64, Ordering::Relaxed);
        self.counters.text_bytes.fetch_add(batch.text.len() as u64, Ordering::Relaxed);
        let hashes = if self.choice.hashes() { self.hashes_of(&batch) } else { Vec::new() };
        Ok(EncodedBatch { batch, mark, credits, hashes, tokens, ends })
    }

    /// Ids as they are in a shard.
    fn bytes_of(&self, ids: &[TokenId]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ids.len() * self.element.bytes());
        match self.element {
            // Every id is below the vocabulary size, which chose the element.
            #[allow(clippy::cast_possible_truncation)]
            Element::U16 => bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            _ => bytes.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
        bytes
    }

    /// What decides over the documents of a batch, as far as it is there.
    fn hashes_of(&self, batch: &Batch) -> Vec<SpanHash> {
        let mut offset = batch.document_offset;
        let hash = |span: &Span| {
            let text = batch.str(*span).as_bytes();
            let start = if span.begins_document { 0 } else { offset };
            offset = start + text.len() as u64;
            if span.begins_document && span.ends_document {
                return SpanHash::Whole(DocumentHash::of(text, self.choice.deduplicate));
            }
            SpanHash::Blocks(whole_blocks(text, start))
        };
        batch.spans.iter().map(hash).collect()
    }

    fn commit(
        &self,
        encoded: &Receiver<EncodedBatch>,
        credits: &ByteCredits,
        committer: &mut Committer<'_>,
        keep: &mut Keep<'_>,
        failed: &AtomicBool,
    ) -> Result<()> {
        let mut waiting = BTreeMap::new();
        let mut next_index = 0;
        let mut parts = PartEncoder::new(self.tokenizer, self.stop);
        for arrived in encoded {
            waiting.insert(arrived.batch.index, arrived);
            while let Some(EncodedBatch { batch, mark, credits: taken, hashes, tokens, ends }) =
                waiting.remove(&next_index)
            {
                self.check(failed)?;
                let mut start = 0;
                let mut sources = batch.sources.iter().peekable();
                let mut source = 0;
                for (idx, (span, end)) in batch.spans.iter().zip(ends).enumerate() {
                    while let Some(&(_, next)) = sources.next_if(|&&(first, _)| first <= idx) {
                        source = next;
                    }
                    let mut part = Vec::new();
                    if span.is_part_of_pretoken() {
                        let ids = parts.encode(batch.str(*span), *span)?;
                        self.counters.tokens.fetch_add(ids.len() as u64, Ordering::Relaxed);
                        part = self.bytes_of(&ids);
                        part.extend_from_slice(&tokens[start..end]);
                    }
                    let has_finished = committer.commit(&EncodedSpan {
                        tokens: if part.is_empty() { &tokens[start..end] } else { &part },
                        text: &batch.text.as_bytes()[span.start..span.end],
                        ends_document: span.ends_document,
                        hash: hashes.get(idx),
                        source,
                    })?;
                    if has_finished {
                        keep(committer, mark.behind(&batch.text[..span.end]))?;
                    }
                    start = end;
                }
                let num_ended = batch.spans.iter().filter(|span| span.ends_document).count();
                self.counters.documents.fetch_add(num_ended as u64, Ordering::Relaxed);
                self.counters.bytes_read.fetch_add(batch.bytes_read, Ordering::Relaxed);
                next_index += 1;
                credits.give(taken);
            }
        }
        Ok(())
    }
}

/// Raises the flag when a thread panics, so that nobody waits for it.
struct FailureGuard<'a>(&'a AtomicBool);

impl Drop for FailureGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Raises the flag when a thread ends with an error.
fn tell<T>(outcome: Result<T>, failed: &AtomicBool) -> Result<T> {
    if outcome.is_err() {
        failed.store(true, Ordering::Relaxed);
    }
    outcome
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
