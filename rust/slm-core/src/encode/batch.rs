//! Many texts at once: threads take chunks of neighbours as they come, and their ids are put together in order.
//!
//! Texts are given one by one while the first of them are encoded already ([`giving`](super::giving)). Python's strings have to be
//! brought to UTF-8 first, by one thread at a time, which for long batches would otherwise be a fifth of the time.

use super::giving::{Chunk, Given, Giving};
use super::ordered::{Ordered, Part};
use super::room::room_for;
use crate::encode::Scratch;
use crate::error::{Error, Result};
use crate::progress::{Callback, Progress, Stop, supervise, supervise_while};
use crate::token::TokenId;
use crate::tokenizer::{SpecialTokens, Tokenizer};
use crossbeam_channel::{Receiver, unbounded};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

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
            let mut ids = room_for(text.len());
            self.with_scratch(|scratch| self.encode_stoppably(text, special_tokens, scratch, &mut ids, stop))?;
            Ok(ids)
        })
    }

    /// Encodes the texts that `give` hands over, on up to `num_threads` threads. `give` runs on the calling thread, again whenever there is
    /// room for more, until it says that it has given all.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], naming the text; [`Error::Interrupted`] if the callback broke off; what `give` answers.
    pub fn encode_batch<T: AsRef<str> + Send>(
        &self,
        special_tokens: SpecialTokens,
        num_threads: usize,
        callback: &mut Callback<'_>,
        mut give: impl FnMut(&mut Giving<'_, T>) -> Result<Given>,
    ) -> Result<EncodedBatch> {
        let (to_encode, chunks) = unbounded::<Chunk<T>>();
        let (given, done, all_given) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let snapshot = || Progress {
            phase: "encode",
            unit: "bytes",
            done: done.load(Ordering::Relaxed),
            total: if all_given.load(Ordering::Relaxed) { given.load(Ordering::Relaxed) } else { 0 },
            counters: Vec::new(),
        };
        let batch = Batch { tokenizer: self, special_tokens, given: &given, done: &done, ordered: Mutex::default() };
        let shared = &batch;
        supervise_while(
            callback,
            snapshot,
            // The receiver goes with the work: once that has ended, nobody waits for chunks to be encoded.
            move |stop| shared.encode(&chunks, num_threads, stop),
            |report| {
                let mut giving = Giving::new(to_encode, &given, num_threads);
                while give(&mut giving)? == Given::SoFar && !giving.is_over() {
                    giving.wait(report)?;
                }
                giving.send();
                all_given.store(true, Ordering::Relaxed);
                Ok(())
            },
        )?;
        Ok(batch.ordered.into_inner().unwrap_or_else(PoisonError::into_inner).into_whole())
    }
}

/// What the threads of one call share.
struct Batch<'a> {
    tokenizer: &'a Tokenizer,
    special_tokens: SpecialTokens,
    /// Bytes of text that are known, and those that are encoded.
    given: &'a AtomicU64,
    done: &'a AtomicU64,
    ordered: Mutex<Ordered>,
}

impl Batch<'_> {
    /// Encodes chunks on this thread, and on others while there are more than this one takes.
    fn encode<T: AsRef<str> + Send>(&self, chunks: &Receiver<Chunk<T>>, num_threads: usize, stop: &Stop) -> Result<()> {
        if num_threads == 1 {
            return self.encode_alone(chunks, stop);
        }
        thread::scope(|scope| {
            let mut helpers = Vec::new();
            let own = self.encode_chunks(chunks, stop, || {
                if helpers.len() + 1 < num_threads && !chunks.is_empty() {
                    helpers.push(scope.spawn(|| self.encode_chunks(chunks, stop, || ())));
                }
            });
            let helped = helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
            std::iter::once(own).chain(helped).collect::<Result<()>>()
        })
    }

    /// Encodes all chunks, which come in order, to where they stay.
    fn encode_alone<T: AsRef<str>>(&self, chunks: &Receiver<Chunk<T>>, stop: &Stop) -> Result<()> {
        let mut whole = Part::default();
        self.tokenizer.with_scratch(|scratch| {
            chunks.iter().try_for_each(|chunk| {
                stop.check()?;
                whole.make_room(chunk.bytes, self.given.load(Ordering::Relaxed));
                self.encode_chunk(&chunk, scratch, &mut whole, stop)
            })
        })?;
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner).set_whole(whole);
        Ok(())
    }

    fn encode_chunks<T: AsRef<str>>(
        &self,
        chunks: &Receiver<Chunk<T>>,
        stop: &Stop,
        mut before_each: impl FnMut(),
    ) -> Result<()> {
        self.tokenizer.with_scratch(|scratch| {
            let mut part = Part::default();
            for chunk in chunks {
                stop.check()?;
                before_each();
                part.clear();
                self.encode_chunk(&chunk, scratch, &mut part, stop)?;
                let given = self.given.load(Ordering::Relaxed);
                part = self.ordered.lock().unwrap_or_else(PoisonError::into_inner).add(chunk.number, part, given);
            }
            Ok(())
        })
    }

    fn encode_chunk<T: AsRef<str>>(
        &self,
        chunk: &Chunk<T>,
        scratch: &mut Scratch,
        part: &mut Part,
        stop: &Stop,
    ) -> Result<()> {
        for (text_idx, text) in (chunk.first..).zip(chunk.texts()) {
            self.tokenizer
                .encode_stoppably(text, self.special_tokens, scratch, &mut part.ids, stop)
                .map_err(in_text(text_idx))?;
            part.ends.push(part.ids.len() as u64);
            self.done.fetch_add(text.len() as u64, Ordering::Relaxed);
        }
        part.bytes += chunk.bytes;
        Ok(())
    }
}

fn in_text(text_idx: usize) -> impl FnOnce(Error) -> Error {
    move |error| match error {
        Error::Tokenizer(message) => Error::Tokenizer(format!("text {text_idx} of the batch: {message}")),
        other => other,
    }
}
