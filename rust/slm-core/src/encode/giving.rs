//! The texts of a batch on their way to the threads that encode them, in chunks of neighbours.
//!
//! A text is shared where it is UTF-8 already, and copied where it has to be made UTF-8 first. What is copied comes in buffers of
//! the chunks, which go back when a chunk is encoded, and never runs far ahead of the encoding: a batch of any size needs some
//! megabytes for it, and the same ones again and again.

use crate::error::Result;
use crate::progress::POLL_INTERVAL;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Bytes of text that a thread takes at a time: a few milliseconds of work, so that threads end together.
const CHUNK_BYTES: u64 = 256 * 1024;

/// Copied bytes that may wait besides those of each thread: milliseconds of work, in which Python may let another thread run.
const MAX_WAITING_BYTES: usize = 1 << 20;
const MAX_WAITING_BYTES_PER_THREAD: usize = 256 << 10;

/// Bytes of a buffer at first: a chunk, and the room that its last text is written in.
const BUFFER_BYTES: usize = 384 * 1024;

/// Buffers that are kept for chunks to come, and how large they may be.
const MAX_SPARE_BUFFERS: usize = 64;
const MAX_SPARE_BYTES: usize = 1 << 20;

/// Which texts of a batch have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// All of them.
    All,
    /// Those for which there is room so far.
    SoFar,
}

/// A text of a chunk.
enum Text<T> {
    Shared(T),
    /// In the buffer, up to here.
    Copied(usize),
}

/// Texts that one thread encodes, one after another.
pub(super) struct Chunk<T> {
    pub number: usize,
    /// The place of the first text in the batch.
    pub first: usize,
    /// Bytes of the texts.
    pub bytes: u64,
    texts: Vec<Text<T>>,
    copied: String,
    emptied: Sender<String>,
}

impl<T: AsRef<str>> Chunk<T> {
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.texts.iter().map(move |text| match text {
            Text::Shared(text) => text.as_ref(),
            &Text::Copied(end) => &self.copied[mem::replace(&mut start, end)..end],
        })
    }
}

impl<T> Drop for Chunk<T> {
    /// Gives the buffer back whatever became of the chunk, as the one who gives may wait for it.
    fn drop(&mut self) {
        if !self.copied.is_empty() {
            let _ = self.emptied.send(mem::take(&mut self.copied));
        }
    }
}

/// Takes the texts of a batch, and puts them together to chunks.
pub struct Giving<'a, T> {
    to_encode: Sender<Chunk<T>>,
    /// Where buffers come back.
    emptied: Receiver<String>,
    spare: Vec<String>,
    chunk: Chunk<T>,
    /// Bytes of all texts so far.
    given: &'a AtomicU64,
    /// Copied bytes that were sent and did not come back.
    waiting_bytes: usize,
    max_waiting_bytes: usize,
    next_report: Instant,
    is_over: bool,
}

impl<'a, T: AsRef<str>> Giving<'a, T> {
    pub(super) fn new(to_encode: Sender<Chunk<T>>, given: &'a AtomicU64, num_threads: usize) -> Self {
        let (emptied_sender, emptied) = unbounded();
        let chunk =
            Chunk { number: 0, first: 0, bytes: 0, texts: Vec::new(), copied: String::new(), emptied: emptied_sender };
        let max_waiting_bytes = MAX_WAITING_BYTES + MAX_WAITING_BYTES_PER_THREAD * num_threads;
        Self {
            to_encode,
            emptied,
            spare: Vec::new(),
            chunk,
            given,
            waiting_bytes: 0,
            next_report: Instant::now() + POLL_INTERVAL,
            max_waiting_bytes,
            is_over: false,
        }
    }

    /// Whether a text may be copied; if not, [`Given::SoFar`] is the answer to wait for it.
    pub fn has_room(&mut self) -> bool {
        while let Ok(buffer) = self.emptied.try_recv() {
            self.take_back(buffer);
        }
        self.waiting_bytes < self.max_waiting_bytes
    }

    /// Whether nobody takes further texts: the work has ended early, with an error of its own.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Gives a text that stays where it is until it is encoded.
    pub fn share(&mut self, text: T) {
        let bytes = text.as_ref().len();
        self.add(Text::Shared(text), bytes);
    }

    /// Gives a text that `append` puts behind what is in a buffer.
    ///
    /// # Errors
    /// That of `append`.
    pub fn copy<E>(
        &mut self,
        append: impl FnOnce(&mut String) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let copied = &mut self.chunk.copied;
        if copied.capacity() == 0 {
            // The first chunk is the whole of most batches, and may be a few words.
            let bytes = if self.chunk.number == 0 { 0 } else { BUFFER_BYTES };
            *copied = self.spare.pop().unwrap_or_else(|| String::with_capacity(bytes));
        }
        let start = copied.len();
        let outcome = append(copied);
        if outcome.is_ok() {
            let end = copied.len();
            self.add(Text::Copied(end), end - start);
        } else {
            copied.truncate(start);
        }
        outcome
    }

    fn add(&mut self, text: Text<T>, bytes: usize) {
        self.given.fetch_add(bytes as u64, Ordering::Relaxed);
        self.chunk.bytes += bytes as u64;
        self.chunk.texts.push(text);
        if self.chunk.bytes >= CHUNK_BYTES {
            self.send();
        }
    }

    /// Sends what there is.
    pub(super) fn send(&mut self) {
        let Chunk { number, first, ref texts, ref copied, ref emptied, .. } = self.chunk;
        let next = Chunk {
            number: number + 1,
            first: first + texts.len(),
            bytes: 0,
            texts: Vec::new(),
            copied: String::new(),
            emptied: emptied.clone(),
        };
        self.waiting_bytes += copied.len();
        self.is_over |= self.to_encode.send(mem::replace(&mut self.chunk, next)).is_err();
    }

    /// Waits until there is room for many texts, telling `report` every [`POLL_INTERVAL`]. To wake for each buffer that comes back
    /// would take a processor from those who encode hundreds of times a second.
    pub(super) fn wait(&mut self, report: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        while self.waiting_bytes > self.max_waiting_bytes / 2 {
            if let Ok(buffer) = self.emptied.recv_deadline(self.next_report) {
                self.take_back(buffer);
            }
            if Instant::now() >= self.next_report {
                report()?;
                self.next_report = Instant::now() + POLL_INTERVAL;
            }
        }
        Ok(())
    }

    fn take_back(&mut self, mut buffer: String) {
        self.waiting_bytes -= buffer.len();
        if self.spare.len() < MAX_SPARE_BUFFERS && buffer.capacity() <= MAX_SPARE_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::thread;

    const TEXT: &str = "chunk ";

    fn append(buffer: &mut String, text: &str) -> std::result::Result<(), &'static str> {
        buffer.push_str(text);
        if text == "refused" { Err("refused") } else { Ok(()) }
    }

    /// Gives copies of a text until there is no room.
    fn fill(giving: &mut Giving<'_, &str>) -> usize {
        let mut num_texts = 0;
        while giving.has_room() {
            giving.copy(|buffer| append(buffer, &TEXT.repeat(1000))).unwrap();
            num_texts += 1;
        }
        num_texts
    }

    #[test]
    fn texts_keep_their_order_however_they_are_given() {
        let long = "x".repeat(200_000);
        let (to_encode, chunks) = unbounded();
        let given = AtomicU64::new(0);
        let mut giving = Giving::new(to_encode, &given, 1);
        for _ in 0..5 {
            giving.share("shared");
            giving.copy(|buffer| append(buffer, "copied")).unwrap();
            giving.copy(|buffer| append(buffer, "")).unwrap();
            assert_eq!(giving.copy(|buffer| append(buffer, "refused")), Err("refused"));
            giving.share(&long);
        }
        giving.send();
        drop(giving);
        let chunks: Vec<Chunk<&str>> = chunks.iter().collect();
        let texts: Vec<&str> = chunks.iter().flat_map(Chunk::texts).collect();
        assert_eq!(texts, ["shared", "copied", "", &long].repeat(5));
        assert_eq!(chunks.iter().map(|chunk| chunk.first).collect::<Vec<_>>(), [0, 8, 16]);
        let bytes = chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
        assert_eq!((bytes, given.load(Ordering::Relaxed)), (5 * (6 + 6 + 200_000), 5 * (6 + 6 + 200_000)));
    }

    #[test]
    fn copies_run_ahead_no_further_than_there_is_room_and_go_on_when_some_is_encoded() {
        let (to_encode, chunks) = unbounded();
        let given = AtomicU64::new(0);
        let mut giving = Giving::new(to_encode, &given, 1);
        let most = MAX_WAITING_BYTES + MAX_WAITING_BYTES_PER_THREAD;
        let mut num_texts = fill(&mut giving);
        for _ in 0..20 {
            thread::scope(|scope| {
                scope.spawn(|| while chunks.try_recv().is_ok() {});
                giving.wait(&mut || Ok(())).unwrap();
            });
            assert!(giving.has_room());
            num_texts += fill(&mut giving);
        }
        assert!(num_texts * TEXT.len() * 1000 > 10 * most, "{num_texts} texts went through");
        assert!(giving.spare.len() <= most / usize::try_from(CHUNK_BYTES).unwrap() + 2);
    }

    #[test]
    fn a_wait_reports_and_may_be_broken_off() {
        let (to_encode, chunks) = unbounded();
        let given = AtomicU64::new(0);
        let mut giving = Giving::new(to_encode, &given, 1);
        fill(&mut giving);
        let mut reports = 0;
        let outcome = giving.wait(&mut || {
            reports += 1;
            if reports == 2 { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Error::Interrupted)) && reports == 2);
        // Where the work ends early all that waits is dropped, which ends the wait.
        drop(chunks);
        giving.wait(&mut || Ok(())).unwrap();
        giving.share(TEXT);
        giving.send();
        assert!(giving.is_over());
    }
}
