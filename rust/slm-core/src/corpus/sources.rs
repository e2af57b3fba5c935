//! Which files work is done on, and how: what must be the same for work that was broken off to go on.

use crate::corpus::position::Position;
use crate::corpus::{Corpus, Source};
use crate::error::{Error, Result};
use crate::io::checksum::hex;
use std::fs;
use std::time::SystemTime;
use xxhash_rust::xxh3::Xxh3;

/// Files that can be read again, and settings.
pub struct Sources<'a> {
    corpus: &'a Corpus,
    settings: String,
}

impl<'a> Sources<'a> {
    /// Of files that can be read more than once; `settings` say what is done with them.
    pub fn new(source: &Source<'a>, settings: &str) -> Option<Self> {
        match source {
            Source::Files(corpus) if corpus.files().iter().all(|file| !file.is_pipe) => {
                Some(Self { corpus, settings: format!("{} {settings}", hex(corpus.settings_fingerprint())) })
            }
            _ => None,
        }
    }

    /// Identifies how the files are read and what is done with them.
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// The files, to be read again.
    pub fn source(&self) -> Source<'a> {
        Source::Files(self.corpus)
    }

    /// Identifies all files by path, size and time of change, and the settings.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there any more.
    pub fn fingerprint(&self) -> Result<String> {
        self.fingerprint_of(usize::MAX)
    }

    /// Identifies the files that reading up to a position has begun.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there any more.
    pub fn fingerprint_up_to(&self, position: &Position) -> Result<String> {
        let done = usize::try_from(position.anchor.summary.files).unwrap_or(usize::MAX);
        // Behind an anchor short files may follow; those are compared by their text.
        self.fingerprint_of(done.saturating_add(usize::from(position.behind_bytes > 0)))
    }

    fn fingerprint_of(&self, num_files: usize) -> Result<String> {
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
}
