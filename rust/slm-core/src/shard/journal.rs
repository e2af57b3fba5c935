//! What is finished of a build that goes on: shards, how far the open ones are on the disk, and where in the corpus that is.

use super::commit::Committed;
use super::header::{Element, HEADER_BYTES};
use super::identities::IDENTITIES_FILE;
use super::manifest::ShardRecord;
use super::writer::{self, OpenRecord};
use crate::corpus::{Position, Sources};
use crate::error::{Error, Result};
use crate::io::durable;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

pub(super) const JOURNAL_FILE: &str = ".journal.json";

const FORMAT: &str = "slm.shards.journal";
const VERSION: u64 = 2;

/// What `.journal.json` says; replaced as a whole whenever a shard is finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: String,
    version: u64,
    /// Identifies how the corpus is read and encoded.
    settings: String,
    /// Identifies the files that were read, and the one that is being read.
    files: String,
    /// Up to where the corpus is in what was written.
    pub position: Position,
    /// What was written up to there.
    pub committed: Committed,
}

/// What is known of an earlier build into the same directory.
pub(super) enum Earlier {
    /// Nothing.
    None,
    /// How far it came.
    GoOn(Box<Journal>),
    /// It is of no use, for this reason.
    StartOver(String),
}

impl Journal {
    /// Looks for the journal of an earlier build.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn find(directory: &Path, sources: Option<&Sources<'_>>, element: Element) -> Result<Earlier> {
        let path = directory.join(JOURNAL_FILE);
        let content = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Earlier::None),
            content => content.map_err(Error::io(&path))?,
        };
        let journal: Option<Self> = serde_json::from_slice(&content).ok();
        let Some(journal) = journal.filter(|journal| journal.format == FORMAT && journal.version == VERSION) else {
            return Ok(Earlier::StartOver(format!("`{}` was written by another version", path.display())));
        };
        let Some(sources) = sources.filter(|sources| sources.settings() == journal.settings) else {
            return Ok(Earlier::StartOver(
                "the unfinished build was of another tokenizer or other settings".to_owned(),
            ));
        };
        if sources.fingerprint_up_to(&journal.position)? != journal.files {
            return Ok(Earlier::StartOver("files that were encoded already have changed".to_owned()));
        }
        let is_open_there = |record: &OpenRecord| writer::is_there(directory, record, element);
        let Committed { finished, open, identities, .. } = &journal.committed;
        if !finished.iter().all(|shard| is_there(directory, shard, element))
            || !open.iter().flatten().all(is_open_there)
            || !identities.as_ref().is_none_or(|record| record.is_there(directory))
        {
            return Ok(Earlier::StartOver(format!("shards are missing in `{}`", directory.display())));
        }
        Ok(Earlier::GoOn(Box::new(journal)))
    }

    /// Writes the journal; what it speaks of is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, or a file of the corpus is not there any more.
    pub fn write(&mut self, directory: &Path, sources: &Sources<'_>) -> Result<()> {
        FORMAT.clone_into(&mut self.format);
        self.version = VERSION;
        sources.settings().clone_into(&mut self.settings);
        self.files = sources.fingerprint_up_to(&self.position)?;
        let content = serde_json::to_vec(self)
            .map_err(|error| Error::Data(format!("the journal cannot be written as JSON: {error}")))?;
        durable::flush_directory(directory)?;
        durable::write_file(&directory.join(JOURNAL_FILE), &content)
    }

    /// The names of all files that it speaks of, its own included.
    pub fn names(&self) -> HashSet<String> {
        let finished = self.committed.finished.iter().flat_map(|shard| writer::file_names(&shard.name));
        // A shard that was open then may have been finished since: it has its names, and is shortened again.
        let open = self.committed.open.iter().flatten().flat_map(|shard| writer::file_names(&shard.name()));
        let open = open.flat_map(|name| [format!("{name}{}", durable::PARTIAL_SUFFIX), name]);
        finished.chain(open).chain([JOURNAL_FILE, IDENTITIES_FILE].map(str::to_owned)).collect()
    }
}

fn is_there(directory: &Path, shard: &ShardRecord, element: Element) -> bool {
    let has = |name: &str, length: u64, element: Element| {
        let bytes = HEADER_BYTES as u64 + length * element.bytes() as u64;
        fs::metadata(directory.join(name)).is_ok_and(|file| file.len() == bytes)
    };
    let [tokens, index] = writer::file_names(&shard.name);
    has(&tokens, shard.tokens, element) && has(&index, shard.documents + 1, Element::U64)
}
