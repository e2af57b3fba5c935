//! What is finished of a count that goes on: the parts on disk, and where in the corpus the next one begins.

use crate::corpus::{Anchor, Corpus, ReadSummary};
use crate::count::runs::Run;
use crate::error::{Error, Result};
use crate::io::checksum::hex;
use crate::io::durable;
use crate::pretokenize::Pretokenizer;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;
use xxhash_rust::xxh3::Xxh3;

pub(super) const JOURNAL_FILE: &str = "journal.json";

const FORMAT: &str = "slm.counts.journal";
const VERSION: u64 = 1;

/// What `journal.json` says; replaced as a whole after each part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: String,
    version: u64,
    /// Identifies how the corpus is read and split.
    settings: String,
    /// Identifies the files that were read, and the one that is being read.
    files: String,
    /// Parts that are finished.
    pub num_parts: u64,
    /// What they are made of.
    pub runs: Vec<RunRecord>,
    /// Where the file, or the row of short files, begins in which the last part ends.
    pub anchor: Anchor,
    /// Bytes of text from there to the end of the last part.
    pub behind_bytes: u64,
    /// XXH3-64 of them.
    pub behind_hash: u64,
    /// What was read, once that is all.
    pub read: Option<ReadSummary>,
}

/// A run of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    name: String,
    bytes: u64,
    max_block_bytes: u64,
}

/// Which files are read, and how: what must be the same for a count to go on.
pub(super) struct Sources<'a> {
    corpus: &'a Corpus,
    settings: String,
}

impl<'a> Sources<'a> {
    pub fn new(corpus: &'a Corpus, pretokenizer: &Pretokenizer, kept_out: &[String]) -> Self {
        let mut settings = format!("{} {}", hex(corpus.settings_fingerprint()), pretokenizer.identity());
        if !kept_out.is_empty() {
            settings = format!("{settings} {kept_out:?}");
        }
        Self { corpus, settings }
    }

    /// Identifies the first `num_files` by path, size and time of change, and how they are read.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there any more.
    pub fn fingerprint(&self, num_files: usize) -> Result<String> {
        let mut hasher = Xxh3::new();
        hasher.update(self.settings.as_bytes());
        for file in self.corpus.files().iter().take(num_files) {
            let modified =
                fs::metadata(&file.path).and_then(|metadata| metadata.modified()).map_err(Error::io(&file.path))?;
            let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
            let path = file.path.as_os_str().as_encoded_bytes();
            hasher.update(&(path.len() as u64).to_le_bytes());
            hasher.update(path);
            hasher.update(&file.bytes.to_le_bytes());
            hasher.update(&since.to_le_bytes());
        }
        Ok(hex(hasher.digest()))
    }

    /// The files that reading up to some place has begun.
    fn num_begun(&self, journal: &Journal) -> usize {
        if journal.read.is_some() {
            return self.corpus.files().len();
        }
        let done = usize::try_from(journal.anchor.summary.files).unwrap_or(usize::MAX);
        // Behind an anchor short files may follow; those are compared by their text.
        done.saturating_add(usize::from(journal.behind_bytes > 0))
    }
}

/// What is known of an earlier run of the same command.
pub(super) enum Earlier {
    /// Nothing.
    None,
    /// How far it came.
    GoOn(Box<Journal>),
    /// It was of other text, for this reason.
    StartOver(String),
}

impl Journal {
    /// Looks for the journal of an earlier run.
    ///
    /// # Errors
    /// [`Error::Config`] for one of other settings; [`Error::Io`].
    pub fn find(directory: &Path, sources: Option<&Sources<'_>>) -> Result<Earlier> {
        let path = directory.join(JOURNAL_FILE);
        let content = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Earlier::None),
            content => content.map_err(Error::io(&path))?,
        };
        let journal: Option<Self> = serde_json::from_slice(&content).ok();
        let Some(journal) = journal.filter(|journal| journal.format == FORMAT && journal.version == VERSION) else {
            return Ok(Earlier::StartOver(format!("`{}` was written by another version", path.display())));
        };
        let Some(sources) = sources.filter(|sources| sources.settings == journal.settings) else {
            return Err(Error::Config(format!(
                "`{}` holds counts that are not finished, of a corpus that is read or split in another way\n\nhint: finish them with the \
                 settings they were begun with, remove the directory, or choose another one",
                directory.display()
            )));
        };
        if sources.fingerprint(sources.num_begun(&journal))? != journal.files {
            return Ok(Earlier::StartOver("files that were counted already have changed".to_owned()));
        }
        let is_there =
            |run: &RunRecord| fs::metadata(directory.join(&run.name)).is_ok_and(|file| file.len() == run.bytes);
        if !journal.runs.iter().all(is_there) {
            return Ok(Earlier::StartOver(format!("parts are missing in `{}`", directory.display())));
        }
        Ok(Earlier::GoOn(Box::new(journal)))
    }

    /// Keeps runs: they are on the disk before the journal says so.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn add_part(&mut self, runs: &[Run]) -> Result<()> {
        for run in runs {
            durable::flush_file(&run.path)?;
            self.runs.push(RunRecord {
                name: run.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                bytes: run.bytes,
                max_block_bytes: run.max_block_bytes as u64,
            });
        }
        self.num_parts += 1;
        Ok(())
    }

    /// Writes the journal.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, or a file of the corpus is not there any more.
    pub fn write(&mut self, directory: &Path, sources: &Sources<'_>) -> Result<()> {
        FORMAT.clone_into(&mut self.format);
        self.version = VERSION;
        self.settings.clone_from(&sources.settings);
        self.files = sources.fingerprint(sources.num_begun(self))?;
        let content = serde_json::to_vec(self)
            .map_err(|error| Error::Data(format!("the journal cannot be written as JSON: {error}")))?;
        durable::flush_directory(directory)?;
        durable::write_file(&directory.join(JOURNAL_FILE), &content)
    }

    /// The runs of all parts.
    pub fn runs(&self, directory: &Path) -> Vec<Run> {
        let run = |run: &RunRecord| Run {
            path: directory.join(&run.name),
            bytes: run.bytes,
            max_block_bytes: usize::try_from(run.max_block_bytes).unwrap_or(usize::MAX),
        };
        self.runs.iter().map(run).collect()
    }

    /// The number from which on names of runs are free.
    pub fn next_number(&self) -> u64 {
        let numbers = self.runs.iter().filter_map(|run| run.name.split('.').next()?.parse::<u64>().ok());
        numbers.max().map_or(0, |number| number + 1)
    }

    /// The names of all files that it speaks of, its own included.
    pub fn names(&self) -> HashSet<String> {
        self.runs.iter().map(|run| run.name.clone()).chain([JOURNAL_FILE.to_owned()]).collect()
    }
}
