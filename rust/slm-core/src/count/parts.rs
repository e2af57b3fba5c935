//! Counting into a directory, part by part, so that a kill costs one part at most.
//!
//! After every [`CountOptions::part_bytes`] of text the workers write their tables as sorted runs into the directory, and a
//! [`Journal`] says what they are of. The same call again goes on behind the last part: files that are finished are not opened,
//! the one that is not is read again up to there and its text compared, and nothing is counted twice. In the end all runs are
//! added up to one file, whose bytes do not depend on the parts, and the manifest makes the directory complete.

use crate::corpus::{Batch, MAX_ANCHOR_BYTES, Place, Reading, Source, Sources, read_batches_from};
use crate::count::artifact::{self, CorpusRecord, CountsArtifact, MANIFEST_FILE, NOTE};
use crate::count::directory::OwnedDirectory;
use crate::count::journal::{Earlier, Journal};
use crate::count::merge::Merging;
use crate::count::sorted::Runs;
use crate::count::{CountProgress, Worker, max_pretoken_bytes};
use crate::error::{Error, Result};
use crate::io::spill::Spill;
use crate::pretokenize::Pretokenizer;
use crate::progress::{Callback, Stop, supervise};
use crate::special_tokens::SpecialTokenFinder;
use crossbeam_channel::{Sender, bounded};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::{self, Scope, ScopedJoinHandle};

/// How to count into a directory. The result depends on the pretokenizer and the special tokens alone.
#[derive(Clone, Debug)]
pub struct CountOptions {
    /// How pretokens are cut.
    pub pretokenizer: Pretokenizer,
    /// Special tokens that are kept out of the text, in any order: nothing is counted of them or across them.
    pub kept_out: Vec<String>,
    /// Threads that count; one more reads.
    pub num_threads: usize,
    /// Bytes of memory for tables. Reading and each thread take some MiB besides.
    pub memory_bytes: usize,
    /// Text after which a part is finished, in bytes.
    pub part_bytes: u64,
}

/// What a call of [`count_to`] did.
#[derive(Clone, Debug)]
pub struct CountedTo {
    /// What the directory holds.
    pub artifact: CountsArtifact,
    /// Bytes of text that this call counted; less than all of it where parts were finished before.
    pub counted_bytes: u64,
    /// Parts that were finished before, and were not counted again.
    pub resumed_parts: u64,
    /// Why finished parts were of no use, where there were some.
    pub started_over: Option<String>,
}

/// Counts a corpus into a directory, or finds that this has been done, or goes on where it was broken off.
///
/// Documents in memory, pipes and standard input can be read only once, so they are counted from the beginning.
///
/// # Errors
/// Those of [`read_batches_from`]; [`Error::Config`] for a directory that holds something else, counts of another corpus among
/// it, or that another process writes into, and for a pretoken too long for the memory; [`Error::Io`] if the disk refuses;
/// [`Error::Interrupted`]. Finished parts stay.
pub fn count_to(
    source: Source<'_>,
    directory: &Path,
    options: &CountOptions,
    callback: &mut Callback<'_>,
) -> Result<CountedTo> {
    if options.num_threads == 0 || options.part_bytes == 0 {
        let name = if options.num_threads == 0 { "num_threads" } else { "part_bytes" };
        return Err(Error::Config(format!("`{name}` is 0, it must be at least 1")));
    }
    let finder = SpecialTokenFinder::new(&options.kept_out)?;
    let owned = OwnedDirectory::claim(directory)?;
    let total_bytes = source.total_bytes();
    let mut settings = options.pretokenizer.identity();
    let kept_out = artifact::kept_out_record(&options.kept_out);
    if !kept_out.is_empty() {
        settings = format!("{settings} {kept_out:?}");
    }
    let sources = Sources::new(&source, &settings);
    let progress = CountProgress::default();
    let snapshot = || progress.snapshot(total_bytes);
    supervise(callback, snapshot, |stop| {
        let counting = Counting {
            owned: &owned,
            options,
            finder: finder.as_ref(),
            sources: sources.as_ref(),
            stop,
            progress: &progress,
        };
        counting.run(source)
    })
}

struct Counting<'a> {
    owned: &'a OwnedDirectory,
    options: &'a CountOptions,
    /// What finds the special tokens that are kept out, if there are some.
    finder: Option<&'a SpecialTokenFinder>,
    sources: Option<&'a Sources<'a>>,
    stop: &'a Stop,
    progress: &'a CountProgress,
}

impl Counting<'_> {
    fn run(&self, mut source: Source<'_>) -> Result<CountedTo> {
        let directory = self.owned.path();
        if directory.join(MANIFEST_FILE).exists() {
            return self.find_complete();
        }
        let (mut journal, mut started_over) = match Journal::find(directory, self.sources)? {
            Earlier::None => (Journal::default(), None),
            Earlier::GoOn(journal) => (*journal, None),
            Earlier::StartOver(reason) => (Journal::default(), Some(reason)),
        };
        let mut resumed_parts = journal.num_parts;
        self.owned.sweep(&self.kept(&journal))?;
        let mut num_pretokens = 0;
        while journal.read.is_none() {
            let again = if let Source::Files(corpus) = &source { Some(Source::Files(corpus)) } else { None };
            let mut place = Place::before(&journal.position);
            let outcome = self.count_parts(source, &mut journal, &mut place);
            if let (true, Some(again)) = (place.is_changed(), again) {
                started_over = Some("the text of files that were counted already has changed".to_owned());
                (journal, resumed_parts) = (Journal::default(), 0);
                self.owned.sweep(&HashSet::new())?;
                source = again;
                continue;
            }
            if outcome.is_err() {
                // What the part had so far; the journal knows nothing of it.
                self.owned.sweep(&self.kept(&journal))?;
            }
            num_pretokens = outcome?;
            break;
        }
        // The journal does not say how many pretokens the runs of earlier parts have.
        self.progress.adding.begin(Some(num_pretokens).filter(|_| resumed_parts == 0));
        let artifact = self.add_up(&journal)?;
        let counted_bytes = self.progress.text_bytes.load(Ordering::Relaxed);
        Ok(CountedTo { artifact, counted_bytes, resumed_parts, started_over })
    }

    fn kept(&self, journal: &Journal) -> HashSet<String> {
        if journal.num_parts > 0 && self.sources.is_some() { journal.names() } else { HashSet::new() }
    }

    /// A kill between the manifest and the end leaves files that nobody needs.
    fn find_complete(&self) -> Result<CountedTo> {
        let artifact = CountsArtifact::open(self.owned.path())?;
        let is_same = match (&artifact.manifest().corpora[..], self.sources) {
            ([corpus], Some(sources)) => corpus.sources == Some(sources.fingerprint()?),
            _ => false,
        };
        if !is_same {
            return Err(Error::Config(format!(
                "`{}` holds counts already, of other files or settings, or of what can be read only once\n\nhint: choose another output \
                 directory, or remove this one to count anew",
                self.owned.path().display()
            )));
        }
        self.owned.sweep(&[artifact::COUNTS_FILE.to_owned()].into())?;
        Ok(CountedTo { artifact, counted_bytes: 0, resumed_parts: 0, started_over: None })
    }

    /// Counts what is left, and says in the journal that all is read; gives how many pretokens the new runs have.
    fn count_parts(&self, source: Source<'_>, journal: &mut Journal, place: &mut Place) -> Result<u64> {
        let Self { options, stop, progress, .. } = *self;
        let spill = Spill::kept(self.owned.path(), journal.next_number());
        let runs = Runs::new(&spill);
        let worker =
            Worker::new(&options.pretokenizer, options.num_threads, options.memory_bytes, Some(&runs), stop, progress);
        let from = journal.position.anchor.clone();
        let reading = Reading {
            max_stretch_bytes: max_pretoken_bytes(options.memory_bytes).saturating_mul(4),
            from: Some(&from),
            anchor_bytes: options.part_bytes.min(MAX_ANCHOR_BYTES),
            ..Reading::default()
        };
        progress.bytes_read.fetch_add(from.bytes_read, Ordering::Relaxed);
        let source = match self.finder {
            None => source,
            Some(finder) => Source::SplitAt { special_tokens: finder.clone(), source: Box::new(source) },
        };
        thread::scope(|scope| {
            let mut open: Option<Part<'_>> = None;
            let read = read_batches_from(source, &options.pretokenizer, reading, stop, &mut |batch, anchor| {
                let bytes_read = batch.bytes_read;
                let Some((batch, _)) = place.take(batch, anchor)? else {
                    progress.bytes_read.fetch_add(bytes_read, Ordering::Relaxed);
                    return Ok(());
                };
                let part = open.get_or_insert_with(|| Part::begin(scope, &worker, options.num_threads));
                part.text_bytes += batch.text.len() as u64;
                if part.batches.send(batch).is_ok() && part.text_bytes < options.part_bytes {
                    return Ok(());
                }
                // Where nobody takes batches any more, the workers say why.
                open.take().map_or(Ok(()), Part::finish)?;
                self.keep(journal, &runs, place)
            });
            let finished = open.map_or(Ok(()), Part::finish);
            let read = read?;
            finished?;
            place.finish()?;
            journal.read = Some(read);
            self.keep(journal, &runs, place)?;
            Ok(runs.num_pretokens())
        })
    }

    /// Makes the part that is finished one that is not counted again.
    fn keep(&self, journal: &mut Journal, runs: &Runs<'_>, place: &Place) -> Result<()> {
        journal.add_part(&runs.take_runs())?;
        journal.position = place.position();
        self.sources.map_or(Ok(()), |sources| journal.write(self.owned.path(), sources))
    }

    fn add_up(&self, journal: &Journal) -> Result<CountsArtifact> {
        let directory = self.owned.path();
        let scratch = Spill::new(directory, None);
        let target = Spill::kept(directory, journal.next_number());
        let (stop, adding) = (self.stop, &self.progress.adding);
        let merging = Merging { memory_bytes: self.options.memory_bytes / 2, scratch: &scratch, stop, adding };
        let sorted = merging.write(&journal.runs(directory), NOTE, &target)?;
        let sources = self.sources.map(Sources::fingerprint).transpose()?;
        let corpora = journal.read.iter().map(|read| CorpusRecord::new(read, sources.clone())).collect();
        let splitting = artifact::SplittingRecord::new(self.options);
        let artifact = artifact::finish(directory, &sorted, splitting, corpora, |_| stop.check())?;
        drop(scratch);
        self.owned.sweep(&[artifact::COUNTS_FILE.to_owned()].into())?;
        Ok(artifact)
    }
}

/// The workers of one part.
struct Part<'scope> {
    batches: Sender<Batch>,
    workers: Vec<ScopedJoinHandle<'scope, Result<()>>>,
    text_bytes: u64,
}

impl<'scope> Part<'scope> {
    fn begin<'env>(scope: &'scope Scope<'scope, 'env>, worker: &'scope Worker<'_>, num_threads: usize) -> Self {
        let (batches, to_count) = bounded::<Batch>(2 * num_threads);
        let workers = (0..num_threads).map(|_| {
            let to_count = to_count.clone();
            scope.spawn(move || worker.count_and_spill(&to_count))
        });
        Self { workers: workers.collect(), batches, text_bytes: 0 }
    }

    fn finish(self) -> Result<()> {
        drop(self.batches);
        let outcomes: Vec<_> =
            self.workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        outcomes.into_iter().collect()
    }
}
