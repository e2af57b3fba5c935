//! A directory that counts are written into: whose it is, and what in it is of use after a kill.

use crate::count::artifact::{COUNTS_FILE, MANIFEST_FILE};
use crate::count::journal::JOURNAL_FILE;
use crate::error::{Error, Result};
use crate::io::durable::{self, PARTIAL_SUFFIX};
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Locked by the process that writes here; the system gives up the lock when it ends, however it ends.
const LOCK_FILE: &str = ".lock";

/// What the directories of [`Spill`](crate::io::spill::Spill) begin with.
const SPILL_PREFIX: &str = ".slm-spill-";

const RUN_SUFFIX: &str = ".run";

/// A directory that no other process writes into.
pub(super) struct OwnedDirectory {
    path: PathBuf,
    /// Whether there was none before.
    is_new: bool,
    _lock: File,
}

impl OwnedDirectory {
    /// Makes a directory, or takes one that is empty or holds counts, finished or not.
    ///
    /// # Errors
    /// [`Error::Config`] where it holds anything else, or another process writes there; [`Error::Io`].
    pub fn claim(path: &Path) -> Result<Self> {
        check_ours(path)?;
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(Error::io(path))?;
        let lock_path = path.join(LOCK_FILE);
        loop {
            let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
            let lock = lock.map_err(Error::io(&lock_path))?;
            match lock.try_lock() {
                // Its owner may have removed it between the two calls.
                Ok(()) if lock_path.exists() => return Ok(Self { path: path.to_owned(), is_new, _lock: lock }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Config(format!(
                        "another process writes counts into `{}`\n\nhint: wait for it, or choose another output directory",
                        path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(Error::io(&lock_path)(error)),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that unfinished work left, but for the files named `kept`.
    pub fn sweep(&self, kept: &HashSet<String>) -> Result<()> {
        for name in entries(&self.path)? {
            if name == LOCK_FILE || name == MANIFEST_FILE || kept.contains(&name) {
                continue;
            }
            let path = self.path.join(&name);
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            } else {
                durable::remove_if_exists(&path)?;
            }
        }
        Ok(())
    }
}

impl Drop for OwnedDirectory {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way: the next one takes it.
        let _ = fs::remove_file(self.path.join(LOCK_FILE));
        if self.is_new {
            // Stays if there is anything in it.
            let _ = fs::remove_dir(&self.path);
        }
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
    fn a_directory_is_written_by_one_at_a_time_and_leaves_nothing_if_nothing_was_made() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let owned = OwnedDirectory::claim(&path).unwrap();
        let Err(Error::Config(message)) = OwnedDirectory::claim(&path) else { panic!("it was claimed twice") };
        assert!(message.starts_with("another process writes counts into"), "{message}");
        drop(owned);
        assert!(!path.exists());
    }

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
