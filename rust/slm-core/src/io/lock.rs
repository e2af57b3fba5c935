//! A directory that one process at a time writes into.

use crate::error::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Locked by the process that writes; the system gives up the lock when it ends, however it ends.
pub const LOCK_FILE: &str = ".lock";

/// A directory whose lock this process has.
#[derive(Debug)]
pub struct LockedDirectory {
    path: PathBuf,
    /// Whether there was none before.
    is_new: bool,
    _lock: File,
}

impl LockedDirectory {
    /// Locks a directory, and makes it if there is none. `content` names what is written there, such as `counts`.
    ///
    /// # Errors
    /// [`Error::Config`] where another process has the lock; [`Error::Io`].
    pub fn claim(path: &Path, content: &str) -> Result<Self> {
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
                        "another process writes {content} into `{}`\n\nhint: wait for it, or choose another output directory",
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
}

impl Drop for LockedDirectory {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way: the next one takes it.
        let _ = fs::remove_file(self.path.join(LOCK_FILE));
        if self.is_new {
            // Stays if there is anything in it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_written_by_one_at_a_time_and_leaves_nothing_if_nothing_was_made() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let locked = LockedDirectory::claim(&path, "things").unwrap();
        let Err(Error::Config(message)) = LockedDirectory::claim(&path, "things") else {
            panic!("it was claimed twice")
        };
        assert!(message.starts_with("another process writes things into"), "{message}");
        drop(locked);
        assert!(!path.exists());
    }
}
