//! A corpus to shards: one thread reads, several encode, one writes in document order.
//!
//! A batch needs a credit to be read and gives it back when it is written, so memory is bounded by the number of credits
//! whatever the corpus, and the order of writing is that of reading whatever the threads do.

use super::commit::{Committer, EncodedSpan};
use super::directory::{self, State};
use super::header::Element;
use super::manifest::{self, CorpusRecord, Manifest, TokenizerRecord};
use super::{MANIFEST_FILE, TOKENIZER_DIRECTORY};
use crate::corpus::{Batch, ReadSummary, Source, read_batches};
use crate::encode::Scratch;
use crate::error::{Error, Result};
use crate::io::checksum;
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::tokenizer_file;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// Batches in flight for each encoding thread: one at work, one waiting on either side.
const BATCHES_PER_THREAD: usize = 3;

/// How long the reader waits for a credit before it looks whether the work was stopped.
const CREDIT_WAIT: Duration = Duration::from_millis(20);

/// How to build shards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildOptions {
    /// The part of the documents to hold out, from 0 to 1; which ones is decided by a hash of each document's beginning.
    pub validation_fraction: f64,
    /// Ids after which a shard is closed; the document that reaches it still belongs to the shard.
    pub shard_tokens: u64,
    /// Threads that encode. The result does not depend on it.
    pub num_threads: usize,
}

/// What a call of [`build`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// What the directory holds.
    pub manifest: Manifest,
    /// Whether it held the same before, so that nothing was written.
    pub was_complete: bool,
}

/// Builds a shard directory, or finds that it is there already.
///
/// A directory that an interrupted build left is built anew. One that is finished is compared: the corpus is read again, and
/// where text, tokenizer and options are the same nothing is done.
///
/// # Errors
/// [`Error::Config`] for options out of range, a directory that is not ours, or shards of something else in it;
/// [`Error::Tokenizer`] for a tokenizer without an end-of-text token; those of [`read_batches`]; [`Error::Io`].
pub fn build(
    source: Source<'_>,
    tokenizer: &Tokenizer,
    out: &Path,
    options: &BuildOptions,
    callback: &mut Callback<'_>,
) -> Result<Built> {
    check_options(options)?;
    let end_of_text = tokenizer.end_of_text_id().ok_or_else(|| {
        Error::Tokenizer(
            "the tokenizer has no end-of-text token, and each document of a shard ends with one\n\n\
             hint: train it with `<|endoftext|>` among its special tokens"
                .into(),
        )
    })?;
    match directory::inspect(out)? {
        State::Complete(manifest) => {
            check_settings(&manifest, tokenizer, options, out)?;
            let summary = read_only(source, tokenizer, callback)?;
            check_equal(out, "corpus", &manifest.corpus.fingerprint, &checksum::hex(summary.fingerprint))?;
            Ok(Built { manifest: *manifest, was_complete: true })
        }
        State::Open => {
            let manifest = write_shards(source, tokenizer, end_of_text, out, options, callback)?;
            Ok(Built { manifest, was_complete: false })
        }
    }
}

fn check_options(options: &BuildOptions) -> Result<()> {
    let fraction = options.validation_fraction;
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Error::Config(format!("`validation_fraction` is {fraction}, it must be from 0 to 1")));
    }
    for (name, value) in [("shard_tokens", options.shard_tokens), ("num_threads", options.num_threads as u64)] {
        if value == 0 {
            return Err(Error::Config(format!("`{name}` is 0, it must be at least 1")));
        }
    }
    Ok(())
}

/// What is counted while the work goes on.
#[derive(Debug, Default)]
struct Counters {
    bytes_read: AtomicU64,
    documents: AtomicU64,
    tokens: AtomicU64,
    text_bytes: AtomicU64,
}

impl Counters {
    fn snapshot(&self, phase: &'static str, total: u64) -> Progress {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            phase,
            unit: "bytes",
            done: load(&self.bytes_read),
            total,
            counters: vec![
                ("documents", load(&self.documents)),
                ("tokens", load(&self.tokens)),
                ("text_bytes", load(&self.text_bytes)),
            ],
        }
    }
}

/// Reads the corpus for its fingerprint alone.
fn read_only(source: Source<'_>, tokenizer: &Tokenizer, callback: &mut Callback<'_>) -> Result<ReadSummary> {
    let counters = Counters::default();
    let total = source.total_bytes();
    supervise(
        callback,
        || counters.snapshot("compare", total),
        |stop| {
            read_batches(source, tokenizer.pretokenizer(), stop, &mut |batch| {
                counters.bytes_read.fetch_add(batch.bytes_read, Ordering::Relaxed);
                stop.check()
            })
        },
    )
}

/// Compares what can be compared without reading the corpus.
fn check_settings(manifest: &Manifest, tokenizer: &Tokenizer, options: &BuildOptions, out: &Path) -> Result<()> {
    check_equal(out, "tokenizer", manifest.tokenizer.fingerprint.as_str(), tokenizer.fingerprint())?;
    check_equal(out, "validation_fraction", &manifest.validation_fraction, &options.validation_fraction)?;
    check_equal(out, "shard_tokens", &manifest.shard_tokens, &options.shard_tokens)
}

fn check_equal<T: PartialEq + Display + ?Sized>(out: &Path, name: &str, there: &T, asked: &T) -> Result<()> {
    if there == asked {
        return Ok(());
    }
    Err(Error::Config(format!(
        "`{}` holds finished shards of another build: {name} is {there} there and {asked} here; nothing was changed\n\n\
         hint: choose another output directory, or remove this one to build it anew",
        out.display()
    )))
}

fn write_shards(
    source: Source<'_>,
    tokenizer: &Tokenizer,
    end_of_text: TokenId,
    out: &Path,
    options: &BuildOptions,
    callback: &mut Callback<'_>,
) -> Result<Manifest> {
    let counters = Counters::default();
    let element = Element::for_vocab_size(tokenizer.vocab().len());
    let total = source.total_bytes();
    supervise(
        callback,
        || counters.snapshot("encode", total),
        |stop| {
            directory::begin(out)?;
            tokenizer_file::save(tokenizer, &out.join(TOKENIZER_DIRECTORY))?;
            let mut committer =
                Committer::new(out.to_owned(), element, options.shard_tokens, options.validation_fraction, stop);
            let pipeline = Pipeline { tokenizer, end_of_text, element, counters: &counters, stop };
            let summary = pipeline.run(source, options.num_threads, &mut committer)?;
            let shards = committer.finish()?;
            let manifest = Manifest {
                format: manifest::FORMAT.into(),
                version: manifest::VERSION,
                dtype: element.name().into(),
                tokenizer: TokenizerRecord {
                    fingerprint: tokenizer.fingerprint().into(),
                    vocab_size: tokenizer.vocab().len() as u64,
                    end_of_text_id: end_of_text,
                    pattern: tokenizer.pretokenizer().name().into(),
                },
                splits: manifest::totals(&shards),
                shards,
                corpus: CorpusRecord {
                    files: summary.files,
                    bytes: summary.text_bytes,
                    documents: summary.documents,
                    skipped: summary.skipped,
                    replaced_sequences: summary.replaced_sequences,
                    fingerprint: checksum::hex(summary.fingerprint),
                },
                validation_fraction: options.validation_fraction,
                shard_tokens: options.shard_tokens,
                created_by: concat!("slm ", env!("CARGO_PKG_VERSION")).into(),
            };
            stop.check()?;
            directory::finish(out, &manifest).map(|()| manifest)
        },
    )
    .map_err(|error| match error {
        Error::Io { path, source }
            if source.kind() == std::io::ErrorKind::NotFound && path == out.join(MANIFEST_FILE) =>
        {
            Error::Data(format!("`{}` was removed while shards were written to it", out.display()))
        }
        other => other,
    })
}

/// A batch and its ids.
struct EncodedBatch {
    batch: Batch,
    /// Ids of all spans, little-endian, each document's end-of-text token included.
    tokens: Vec<u8>,
    /// Where the ids of each span end in `tokens`.
    ends: Vec<usize>,
}

struct Pipeline<'a> {
    tokenizer: &'a Tokenizer,
    end_of_text: TokenId,
    element: Element,
    counters: &'a Counters,
    stop: &'a Stop,
}

impl Pipeline<'_> {
    /// Reads and encodes on other threads and writes on this one.
    fn run(&self, source: Source<'_>, num_threads: usize, committer: &mut Committer<'_>) -> Result<ReadSummary> {
        let num_credits = num_threads * BATCHES_PER_THREAD;
        // Any one that fails ends the others. A flag of its own, because `stop` belongs to the caller.
        let failed = AtomicBool::new(false);
        let (give_credit, take_credit) = bounded::<()>(num_credits);
        for _ in 0..num_credits {
            give_credit.send(()).expect("the channel holds every credit and its other end is in scope");
        }
        thread::scope(|scope| {
            // As long as the credits, so that only the wait for a credit ever blocks.
            let (to_encode, batches) = bounded::<Batch>(num_credits);
            let (to_commit, encoded) = bounded::<EncodedBatch>(num_credits);
            let failed = &failed;
            let reader = scope.spawn(move || {
                let _guard = FailureGuard(failed);
                let summary = self.read(source, &take_credit, &to_encode, failed);
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
            let committed = tell(self.commit(&encoded, &give_credit, committer, failed), failed);
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
        credits: &Receiver<()>,
        to_encode: &Sender<Batch>,
        failed: &AtomicBool,
    ) -> Result<ReadSummary> {
        read_batches(source, self.tokenizer.pretokenizer(), self.stop, &mut |batch| {
            while let Err(error) = credits.recv_timeout(CREDIT_WAIT) {
                self.check(failed)?;
                if error == RecvTimeoutError::Disconnected {
                    return Err(Error::Interrupted);
                }
            }
            to_encode.send(batch).map_err(|_| Error::Interrupted)
        })
    }

    fn encode(&self, batches: &Receiver<Batch>, to_commit: &Sender<EncodedBatch>, failed: &AtomicBool) -> Result<()> {
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        for batch in batches {
            self.check(failed)?;
            let encoded = self.encode_batch(batch, &mut scratch, &mut ids)?;
            to_commit.send(encoded).map_err(|_| Error::Interrupted)?;
        }
        Ok(())
    }

    fn encode_batch(&self, batch: Batch, scratch: &mut Scratch, ids: &mut Vec<TokenId>) -> Result<EncodedBatch> {
        ids.clear();
        let mut ends = Vec::with_capacity(batch.spans.len());
        for &span in &batch.spans {
            self.tokenizer.encode_part(batch.str(span), span.begins_text(), scratch, ids)?;
            if span.ends_document {
                ids.push(self.end_of_text);
            }
            ends.push(ids.len() * self.element.bytes());
        }
        let mut tokens = Vec::with_capacity(ids.len() * self.element.bytes());
        match self.element {
            // Every id is below the vocabulary size, which chose the element.
            #[allow(clippy::cast_possible_truncation)]
            Element::U16 => tokens.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            _ => tokens.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
        self.counters.tokens.fetch_add(ids.len() as u64, Ordering::Relaxed);
        self.counters.text_bytes.fetch_add(batch.text.len() as u64, Ordering::Relaxed);
        Ok(EncodedBatch { batch, tokens, ends })
    }

    fn commit(
        &self,
        encoded: &Receiver<EncodedBatch>,
        give_credit: &Sender<()>,
        committer: &mut Committer<'_>,
        failed: &AtomicBool,
    ) -> Result<()> {
        let mut waiting = BTreeMap::new();
        let mut next_index = 0;
        for arrived in encoded {
            waiting.insert(arrived.batch.index, arrived);
            while let Some(EncodedBatch { batch, tokens, ends }) = waiting.remove(&next_index) {
                self.check(failed)?;
                let mut start = 0;
                for (span, end) in batch.spans.iter().zip(ends) {
                    committer.commit(&EncodedSpan {
                        tokens: &tokens[start..end],
                        text: &batch.text.as_bytes()[span.start..span.end],
                        ends_document: span.ends_document,
                    })?;
                    start = end;
                    self.counters.documents.fetch_add(u64::from(span.ends_document), Ordering::Relaxed);
                }
                self.counters.bytes_read.fetch_add(batch.bytes_read, Ordering::Relaxed);
                next_index += 1;
                // The reader may have ended and taken its end of the channel along.
                let _ = give_credit.try_send(());
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
