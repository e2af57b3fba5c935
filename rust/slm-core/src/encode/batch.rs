//! Many texts at once: threads take chunks of neighbours as they come, and their ids are put together in order.
//!
//! Texts are given one by one while the first of them are encoded already. Python's strings have to be brought to UTF-8 first,
//! by one thread at a time, which for long batches would otherwise be a fifth of the time.

use super::ordered::{Ordered, Part};
use super::room::room_for;
use crate::encode::Scratch;
use crate::error::{Error, Result};
use crate::progress::{Callback, Progress, Stop, supervise, supervise_while};
use crate::token::TokenId;
use crate::tokenizer::{SpecialTokens, Tokenizer};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes of text that a thread takes at a time: a few milliseconds of work, so that threads end together.
const CHUNK_BYTES: u64 = 256 * 1024;

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

    /// Encodes the texts that `give` hands over, on up to `num_threads` threads. `give` runs on the calling thread.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], naming the text; [`Error::Interrupted`] if the callback broke off; what `give` answers.
    pub fn encode_batch<T: AsRef<str> + Send>(
        &self,
        special_tokens: SpecialTokens,
        num_threads: usize,
        callback: &mut Callback<'_>,
        give: impl FnOnce(&mut dyn FnMut(T)) -> Result<()>,
    ) -> Result<EncodedBatch> {
        let (to_encode, chunks) = unbounded::<Chunk<T>>();
        let (given, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let snapshot = || Progress {
            phase: "encode",
            unit: "bytes",
            done: done.load(Ordering::Relaxed),
            total: given.load(Ordering::Relaxed),
            counters: Vec::new(),
        };
        let batch = Batch { tokenizer: self, special_tokens, given: &given, done: &done, ordered: Mutex::default() };
        supervise_while(
            callback,
            snapshot,
            |stop| batch.encode(&chunks, num_threads, stop),
            || {
                let mut giving = Giving { to_encode, chunk: Chunk::default() };
                give(&mut |text| {
                    given.fetch_add(text.as_ref().len() as u64, Ordering::Relaxed);
                    giving.add(text);
                })?;
                giving.send();
                Ok(())
            },
        )?;
        Ok(batch.ordered.into_inner().unwrap_or_else(PoisonError::into_inner).into_whole())
    }
}

/// Texts that one thread encodes, one after another.
struct Chunk<T> {
    number: usize,
    /// The place of the first text in the batch.
    first: usize,
    texts: Vec<T>,
    /// Bytes of the texts.
    bytes: u64,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { number: 0, first: 0, texts: Vec::new(), bytes: 0 }
    }
}

/// Puts texts together to chunks.
struct Giving<T> {
    to_encode: Sender<Chunk<T>>,
    chunk: Chunk<T>,
}

impl<T: AsRef<str>> Giving<T> {
    fn add(&mut self, text: T) {
        self.chunk.bytes += text.as_ref().len() as u64;
        self.chunk.texts.push(text);
        if self.chunk.bytes >= CHUNK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        let Chunk { number, first, ref texts, .. } = self.chunk;
        let next = Chunk { number: number + 1, first: first + texts.len(), ..Chunk::default() };
        // Nobody takes it where the work has ended early, with an error of its own.
        let _ = self.to_encode.send(std::mem::replace(&mut self.chunk, next));
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
        for (text_idx, text) in (chunk.first..).zip(&chunk.texts) {
            let text = text.as_ref();
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
