//! A directory that counts are written into: whose it is, and what in it is of use after a kill.

use crate::count::artifact::{COUNTS_FILE, MANIFEST_FILE};
use crate::count::journal::JOURNAL_FILE;
use crate::error::{Error, Result};
use crate::io::durable::{self, PARTIAL_SUFFIX};
use crate::io::lock::{LOCK_FILE, LockedDirectory};
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What the directories of [`Spill`](crate::io::spill::Spill) begin with.
const SPILL_PREFIX: &str = ".slm-spill-";

const RUN_SUFFIX: &str = ".run";

/// A directory that no other process writes counts into.
pub(super) struct OwnedDirectory(LockedDirectory);

impl OwnedDirectory {
    /// Makes a directory, or takes one that is empty or holds counts, finished or not.
    ///
    /// # Errors
    /// [`Error::Config`] where it holds anything else, or another process writes there; [`Error::Io`].
    pub fn claim(path: &Path) -> Result<Self> {
        check_ours(path)?;
        LockedDirectory::claim(path, "counts").map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes all that unfinished work left, but for the files named `kept`.
    pub fn sweep(&self, kept: &HashSet<String>) -> Result<()> {
        for name in entries(self.path())? {
            if name == LOCK_FILE || name == MANIFEST_FILE || kept.contains(&name) {
                continue;
            }
            let path = self.path().join(&name);
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            } else {
                durable::remove_if_exists(&path)?;
            }
        }
        Ok(())
    }
}

fn check_ours(path: &Path) -> Result<()> {
    let names = match entries(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    let is_counts = names.iter().any(|name| [LOCK_FILE, JOURNAL_FILE, COUNTS_FILE].contains(&name.as_str()));
    match names.iter().find(|name| !is_counts || !is_ours(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Config(format!(
            "`{}` is not empty and holds something else than counts (`{name}`), so nothing was written\n\nhint: choose another output \
             directory",
            path.display()
        ))),
    }
}

fn is_ours(name: &str) -> bool {
    [LOCK_FILE, JOURNAL_FILE, COUNTS_FILE, MANIFEST_FILE].contains(&name)
        || name.strip_suffix(RUN_SUFFIX).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        || name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX)
        || name.starts_with(SPILL_PREFIX)
}

fn entries(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).map_err(Error::io(path))?;
    entries.map(|entry| Ok(entry.map_err(Error::io(path))?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_refused_by_name_and_stays() {
        let parent = tempfile::tempdir().unwrap();
        for foreign in ["notes.txt", "manifest.json", "000001.run"] {
            let path = parent.path().join(foreign.replace('.', "-"));
            fs::create_dir(&path).unwrap();
            fs::write(path.join(foreign), "x").unwrap();
            let Err(Error::Config(message)) = OwnedDirectory::claim(&path) else { panic!("it was taken") };
            assert!(message.contains(&format!("(`{foreign}`)")), "{message}");
            assert_eq!(entries(&path).unwrap(), [foreign]);
        }
    }

    #[test]
    fn leftovers_are_swept_but_for_what_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        for name in [LOCK_FILE, JOURNAL_FILE, "000000.run", "000001.run", ".journal.json.7.partial"] {
            fs::write(parent.path().join(name), "x").unwrap();
        }
        fs::create_dir(parent.path().join(".slm-spill-1")).unwrap();
        let owned = OwnedDirectory::claim(parent.path()).unwrap();
        owned.sweep(&["000001.run".to_owned(), JOURNAL_FILE.to_owned()].into()).unwrap();
        drop(owned);
        let mut left = entries(parent.path()).unwrap();
        left.sort();
        assert_eq!(left, ["000001.run", JOURNAL_FILE]);
    }
}
