//! A corpus to a shard directory, at once or in as many goes as it takes.

use super::budget::Budget;
use super::commit::{Choice, Committer, SourceTotals};
use super::directory::{self, State};
use super::header::Element;
use super::journal::{Earlier, Journal};
use super::manifest::{self, CorpusRecord, Manifest, SourceRecord, TokenizerRecord};
use super::pipeline::Pipeline;
use super::{MANIFEST_FILE, TOKENIZER_DIRECTORY};
use crate::corpus::{Place, Position, ReadSummary, Reading, Source, Sources, read_batches_from};
use crate::error::{Error, Result};
use crate::io::allocator::release_freed;
use crate::io::checksum;
use crate::io::lock::LockedDirectory;
use crate::io::memory::PeakMemory;
use crate::progress::{Callback, Progress, Stop, supervise};
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::tokenizer_file;
use std::collections::HashSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How to build shards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildOptions {
    /// The part of the documents to hold out, from 0 to 1; which ones is decided by a hash of each document.
    pub validation_fraction: f64,
    /// Whether documents that are equal to one before them are left out.
    pub deduplicate: bool,
    /// Ids after which a shard is closed; the document that reaches it still belongs to the shard.
    pub shard_tokens: u64,
    /// Threads that encode. The result does not depend on it.
    pub num_threads: usize,
    /// Memory for the whole process, besides 32 MiB for each thread. The result does not depend on it.
    pub memory_limit: u64,
}

/// What a call of [`build`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// What the directory holds.
    pub manifest: Manifest,
    /// Whether it held the same before, so that nothing was written.
    pub was_complete: bool,
    /// Shards that an earlier, unfinished build had finished, and that were not made again.
    pub resumed_shards: u64,
    /// Bytes of text that this call encoded.
    pub encoded_bytes: u64,
    /// The most memory of its own that the process was seen to have, in bytes; 0 where the system does not say.
    pub peak_memory_bytes: u64,
    /// Why what an unfinished build left was of no use, where it left something.
    pub started_over: Option<String>,
}

/// Builds a shard directory, or finds that it is there already.
///
/// In a directory that an interrupted build left, finished shards are not made again: the corpus is read from where the last one
/// ended. Documents in memory, pipes and standard input can be read only once, so those are encoded from the beginning. A directory
/// that is finished is compared: the corpus is read again, and where text, tokenizer and options are the same nothing is done.
///
/// # Errors
/// [`Error::Config`] for options out of range, a directory that is not ours or that another process builds in, or shards of
/// something else in it;
/// [`Error::Tokenizer`] for a tokenizer without an end-of-text token; those of [`read_batches`]; [`Error::Io`].
pub fn build(
    source: Source<'_>,
    tokenizer: &Tokenizer,
    out: &Path,
    options: &BuildOptions,
    callback: &mut Callback<'_>,
) -> Result<Built> {
    let budget = check_options(options)?;
    let end_of_text = tokenizer.end_of_text_id().ok_or_else(|| {
        Error::Tokenizer(
            "the tokenizer has no end-of-text token, and each document of a shard ends with one\n\n\
             hint: train it with `<|endoftext|>` among its special tokens"
                .into(),
        )
    })?;
    if matches!(directory::inspect(out)?, State::Open) {
        let _locked = LockedDirectory::claim(out, "shards")?;
        // Another process may have finished it just before.
        if matches!(directory::inspect(out)?, State::Open) {
            return Building { tokenizer, end_of_text, out, options, budget }.run(source, callback);
        }
    }
    let State::Complete(manifest) = directory::inspect(out)? else {
        return Err(Error::Data(format!("`{}` was removed while shards were compared with it", out.display())));
    };
    check_settings(&manifest, tokenizer, options, out)?;
    let counters = Counters::default();
    let summary = read_only(source, tokenizer, (out, &budget), &counters, callback)?;
    check_equal(out, "corpus", &manifest.corpus.fingerprint, &checksum::hex(summary.fingerprint))?;
    // A kill right after the manifest leaves files that nobody needs; where they cannot be removed they stay.
    if directory::has_remains(out)
        && let Ok(_locked) = LockedDirectory::claim(out, "shards")
    {
        let _ = directory::tidy(out);
    }
    Ok(Built {
        manifest: *manifest,
        was_complete: true,
        resumed_shards: 0,
        encoded_bytes: 0,
        peak_memory_bytes: counters.memory.bytes(),
        started_over: None,
    })
}

fn check_options(options: &BuildOptions) -> Result<Budget> {
    let fraction = options.validation_fraction;
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Error::Config(format!("`validation_fraction` is {fraction}, it must be from 0 to 1")));
    }
    for (name, value) in [("shard_tokens", options.shard_tokens), ("num_threads", options.num_threads as u64)] {
        if value == 0 {
            return Err(Error::Config(format!("`{name}` is 0, it must be at least 1")));
        }
    }
    Budget::new(options.memory_limit, options.num_threads, options.deduplicate)
}

/// What is counted while the work goes on.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub bytes_read: AtomicU64,
    pub documents: AtomicU64,
    pub tokens: AtomicU64,
    pub text_bytes: AtomicU64,
    pub memory: PeakMemory,
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
                ("memory_bytes", self.memory.look()),
            ],
        }
    }
}

/// Reads the corpus for its fingerprint alone.
fn read_only(
    source: Source<'_>,
    tokenizer: &Tokenizer,
    (out, budget): (&Path, &Budget),
    counters: &Counters,
    callback: &mut Callback<'_>,
) -> Result<ReadSummary> {
    let total = source.total_bytes();
    let Budget { max_stretch_bytes, decoder_bytes: max_decoder_bytes, .. } = *budget;
    let parts_of_pretokens = tokenizer.encoder().takes_parts();
    let hold_directory = Some(out);
    let reading =
        Reading { max_stretch_bytes, parts_of_pretokens, hold_directory, max_decoder_bytes, ..Reading::default() };
    supervise(
        callback,
        || counters.snapshot("compare", total),
        |stop| {
            read_batches_from(source, tokenizer.pretokenizer(), reading, stop, &mut |batch, _| {
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
    check_equal(out, "shard_tokens", &manifest.shard_tokens, &options.shard_tokens)?;
    check_equal(out, "deduplicate", &manifest.deduplicate, &options.deduplicate)
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

/// A build into a directory that is this process's own.
struct Building<'a> {
    tokenizer: &'a Tokenizer,
    end_of_text: TokenId,
    out: &'a Path,
    options: &'a BuildOptions,
    budget: Budget,
}

impl Building<'_> {
    fn run(&self, source: Source<'_>, callback: &mut Callback<'_>) -> Result<Built> {
        let counters = Counters::default();
        let total = source.total_bytes();
        let outcome =
            supervise(callback, || counters.snapshot("encode", total), |stop| self.go_on(source, &counters, stop));
        outcome.map_err(|error| match error {
            Error::Io { path, source }
                if source.kind() == std::io::ErrorKind::NotFound && path == self.out.join(MANIFEST_FILE) =>
            {
                Error::Data(format!("`{}` was removed while shards were written to it", self.out.display()))
            }
            other => other,
        })
    }

    /// Goes on where an earlier build was, or begins.
    fn go_on(&self, mut source: Source<'_>, counters: &Counters, stop: &Stop) -> Result<Built> {
        let sources = Sources::new(&source, &self.settings());
        let (mut journal, mut started_over) = match Journal::find(self.out, sources.as_ref(), self.element())? {
            Earlier::None => (Journal::default(), None),
            Earlier::GoOn(journal) => (*journal, None),
            Earlier::StartOver(reason) => (Journal::default(), Some(reason)),
        };
        loop {
            let resumed_shards = journal.committed.finished.len() as u64;
            let mut place = Place::before(&journal.position);
            counters.bytes_read.store(journal.position.anchor.bytes_read, Ordering::Relaxed);
            let outcome = self.write(source, &mut place, (&mut journal, sources.as_ref()), counters, stop);
            if let (true, Some(sources)) = (place.is_changed(), &sources) {
                started_over = Some("the text of files that were encoded already has changed".to_owned());
                journal = Journal::default();
                source = sources.source();
                continue;
            }
            let manifest = outcome?;
            let encoded_bytes = counters.text_bytes.load(Ordering::Relaxed);
            let peak_memory_bytes = counters.memory.bytes();
            let was_complete = false;
            return Ok(Built {
                manifest,
                was_complete,
                resumed_shards,
                encoded_bytes,
                peak_memory_bytes,
                started_over,
            });
        }
    }

    /// Writes what the journal does not have yet.
    fn write(
        &self,
        source: Source<'_>,
        place: &mut Place,
        (journal, sources): (&mut Journal, Option<&Sources<'_>>),
        counters: &Counters,
        stop: &Stop,
    ) -> Result<Manifest> {
        let Self { tokenizer, end_of_text, out, options, budget } = *self;
        let BuildOptions { validation_fraction, deduplicate, shard_tokens, .. } = *options;
        let element = self.element();
        let has_journal = *journal != Journal::default();
        directory::begin(out, &if has_journal { journal.names() } else { HashSet::new() })?;
        tokenizer_file::save(tokenizer, &out.join(TOKENIZER_DIRECTORY))?;
        // Reading and writing a tokenizer of many tokens leaves more freed memory than the tokenizer takes.
        release_freed();
        let choice = Choice { validation_fraction, deduplicate };
        let identities = (choice, budget.identity_bytes);
        let mut committer =
            Committer::new(out.to_owned(), (element, shard_tokens), identities, &journal.committed, stop)?;
        let given = given_sources(&source);
        let mut keep = |committer: &mut Committer<'_>, position: Position| {
            let Some(sources) = sources else { return Ok(()) };
            journal.committed = committer.record()?;
            journal.position = position;
            journal.write(out, sources)
        };
        let pipeline = Pipeline { directory: out, tokenizer, end_of_text, element, choice, budget, counters, stop };
        let mut summary = pipeline.run((source, place), options.num_threads, &mut committer, &mut keep)?;
        let (shards, totals) = committer.finish()?;
        let splits = manifest::totals(&shards);
        summary.skipped.duplicate = totals.iter().map(|source| source.duplicates).sum();
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
            splits,
            shards,
            sources: source_records(given, &summary, &totals),
            corpus: CorpusRecord {
                files: summary.files,
                bytes: splits.train.bytes + splits.validation.bytes,
                documents: splits.train.documents + splits.validation.documents,
                skipped: summary.skipped,
                first_skipped: summary.complaints,
                replaced_sequences: summary.replaced_sequences,
                fingerprint: checksum::hex(summary.fingerprint),
            },
            validation_fraction,
            shard_tokens,
            deduplicate,
            created_by: concat!("slm ", env!("CARGO_PKG_VERSION")).into(),
        };
        stop.check()?;
        directory::finish(out, &manifest).map(|()| manifest)
    }

    fn element(&self) -> Element {
        Element::for_vocab_size(self.tokenizer.vocab().len())
    }

    /// Identifies what is done with the corpus.
    fn settings(&self) -> String {
        let BuildOptions { validation_fraction, shard_tokens, deduplicate, .. } = self.options;
        let equal_ones = if *deduplicate { " deduplicate" } else { "" };
        format!("{} {validation_fraction} {shard_tokens}{equal_ones}", self.tokenizer.fingerprint())
    }
}

/// The sources of a corpus and how many files each has.
fn given_sources(source: &Source<'_>) -> Vec<(Option<String>, u64)> {
    match source {
        Source::Files(corpus) => {
            let mut given: Vec<_> = corpus.sources().iter().map(|path| (Some(path.clone()), 0)).collect();
            for file in corpus.files() {
                given[file.source as usize].1 += 1;
            }
            given
        }
        Source::Memory(_) | Source::Raw { .. } => vec![(None, 0)],
        Source::SplitAt { source, .. } => given_sources(source),
    }
}

fn source_records(
    given: Vec<(Option<String>, u64)>,
    summary: &ReadSummary,
    totals: &[SourceTotals],
) -> Vec<SourceRecord> {
    let record = |(idx, (path, files)): (usize, (Option<String>, u64))| {
        let SourceTotals { documents, tokens, bytes, duplicates } = totals.get(idx).copied().unwrap_or_default();
        let mut skipped = summary.skipped_by_source.get(idx).copied().unwrap_or_default();
        skipped.duplicate = duplicates;
        SourceRecord { path, files, documents, tokens, bytes, skipped }
    };
    given.into_iter().enumerate().map(record).collect()
}
