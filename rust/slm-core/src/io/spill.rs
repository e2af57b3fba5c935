//! Space on disk for what does not fit into memory: a directory of this run's own, which never outlives it.
//!
//! The directory holds a file that its owner keeps locked. The system gives up the lock when the owner ends, however it ends,
//! so a directory whose lock is free belongs to nobody: the next run removes it.

use crate::error::{Error, Result};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const PREFIX: &str = ".slm-spill-";

/// How long a directory without a claim is left alone: its owner makes one within milliseconds.
const UNCLAIMED_SECONDS: u64 = 3600;

const CLAIM: &str = "owner.lock";

/// Where a run spills, and how much.
pub struct Spill {
    parent: PathBuf,
    max_bytes: u64,
    claimed: Mutex<Option<Claimed>>,
    num_files: AtomicU64,
    bytes: AtomicU64,
    written_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

/// A directory of this process's own.
struct Claimed {
    path: PathBuf,
    /// Locked as long as it is open; `None` for a directory that stays.
    owner: Option<File>,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if self.owner.is_some() {
            // Where this fails the next run tries again.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl Spill {
    /// Removes what runs that are no more left in `parent`; nothing is made there before the first file.
    pub fn new(parent: &Path, max_bytes: Option<u64>) -> Self {
        remove_abandoned(parent);
        Self {
            parent: parent.to_owned(),
            max_bytes: max_bytes.unwrap_or(u64::MAX),
            claimed: Mutex::new(None),
            num_files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        }
    }

    /// Files that stay: in `directory`, which is the caller's own, with names from the number `first` on.
    pub fn kept(directory: &Path, first: u64) -> Self {
        let claimed = Claimed { path: directory.to_owned(), owner: None };
        Self {
            parent: directory.to_owned(),
            max_bytes: u64::MAX,
            claimed: Mutex::new(Some(claimed)),
            num_files: AtomicU64::new(first),
            bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
        }
    }

    /// Bytes written so far, those that are removed again included.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that were there at one time.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Makes a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn create(&self) -> Result<SpillFile<'_>> {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = match &*claimed {
            Some(claimed) => claimed.path.clone(),
            None => claimed.insert(claim(&self.parent)?).path.clone(),
        };
        let number = self.num_files.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{number:06}.run"));
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        Ok(SpillFile { path, file, bytes: 0, spill: self })
    }

    /// Removes a finished file of `bytes` and gives its space back.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn remove(&self, path: &Path, bytes: u64) -> Result<()> {
        fs::remove_file(path).map_err(Error::io(path))?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// A file that is being written.
pub struct SpillFile<'a> {
    path: PathBuf,
    file: File,
    bytes: u64,
    spill: &'a Spill,
}

impl SpillFile<'_> {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Error::Config`] where that is more than the run may spill; [`Error::Io`] if the disk refuses or is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let len = bytes.len() as u64;
        let total = self.spill.bytes.fetch_add(len, Ordering::Relaxed) + len;
        if total > self.spill.max_bytes {
            return Err(Error::Config(format!(
                "`max_spill` is {} bytes, and the counts need more space than that in `{}`\n\nhint: raise `max_spill`, or raise \
                 `memory_limit` so that less is spilled",
                self.spill.max_bytes,
                self.spill.parent.display()
            )));
        }
        self.file.write_all(bytes).map_err(Error::io(&self.path))?;
        self.bytes += len;
        self.spill.written_bytes.fetch_add(len, Ordering::Relaxed);
        self.spill.peak_bytes.fetch_max(total, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes written to the file.
    pub fn size(&self) -> u64 {
        self.bytes
    }
}

fn claim(parent: &Path) -> Result<Claimed> {
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let mut attempt = 0_u64;
    loop {
        attempt += 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = parent.join(format!("{PREFIX}{}-{:x}-{attempt}", std::process::id(), since.as_nanos()));
        fs::create_dir(&path).map_err(Error::io(&path))?;
        let claim = path.join(CLAIM);
        let owner = File::create_new(&claim).map_err(Error::io(&claim))?;
        // Another run may find the claim before it is locked, and take the directory for an abandoned one.
        match owner.try_lock() {
            Ok(()) if claim.exists() => return Ok(Claimed { path, owner: Some(owner) }),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                let _ = fs::remove_dir_all(&path);
                return Err(Error::io(&claim)(error));
            }
        }
    }
}

/// Removes the directories of runs that ended without doing so. What cannot be read or removed is left: it may be another user's.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        match File::open(entry.path().join(CLAIM)) {
            // Locked while the rest is removed, so that an owner who is only about to lock it finds out.
            Ok(owner) => {
                if owner.try_lock().is_ok() {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_old(&entry.path()) => {
                let _ = fs::remove_dir_all(entry.path());
            }
            Err(_) => {}
        }
    }
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|metadata| metadata.modified()).map(|modified| modified.elapsed());
    matches!(age, Ok(Ok(age)) if age > Duration::from_secs(UNCLAIMED_SECONDS))
}

/// Whether files in `directory` live in memory, by the list of mounted file systems. False where the system has no such list.
pub fn is_in_memory(directory: &Path) -> bool {
    let Some(path) = directory.ancestors().find_map(|path| fs::canonicalize(path).ok()) else { return false };
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| is_mounted_in_memory(&mounts, &path))
}

/// `36 35 98:0 / /mount/point rw,noatime shared:1 - tmpfs source rw`; of several mounts around a path the innermost counts,
/// and of several at one point the last.
fn is_mounted_in_memory(mounts: &str, path: &Path) -> bool {
    let mut innermost = (0, false);
    for line in mounts.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let Some(point) = mount.split(' ').nth(4) else { continue };
        let point = point.replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        if path.starts_with(&point) && depth >= innermost.0 {
            innermost = (depth, kind.starts_with("tmpfs ") || kind.starts_with("ramfs "));
        }
    }
    innermost.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num_entries(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn nothing_is_there_before_the_first_file_and_after_the_last_use() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Spill::new(parent.path(), None);
        assert_eq!(num_entries(parent.path()), 0);
        let mut file = spill.create().unwrap();
        file.write(b"abc").unwrap();
        let path = file.path().to_owned();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        spill.remove(&path, 3).unwrap();
        file = spill.create().unwrap();
        file.write(b"de").unwrap();
        assert_eq!((spill.bytes.load(Ordering::Relaxed), spill.written_bytes(), spill.peak_bytes()), (2, 5, 3));
        assert_eq!(num_entries(parent.path()), 1);
        drop(spill);
        assert_eq!(num_entries(parent.path()), 0);
    }

    #[test]
    fn directories_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let living = Spill::new(parent.path(), None);
        living.create().unwrap().write(b"abc").unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(CLAIM), b"").unwrap();
        fs::write(dead.join("000000.run"), b"abc").unwrap();
        fs::create_dir(parent.path().join(format!("{PREFIX}without-a-claim"))).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        Spill::new(parent.path(), None);
        assert!(!dead.exists());
        assert_eq!(num_entries(parent.path()), 3);
        living.create().unwrap();
    }

    #[test]
    fn more_than_the_limit_is_refused_with_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Spill::new(parent.path(), Some(4));
        let mut file = spill.create().unwrap();
        file.write(b"abcd").unwrap();
        let error = file.write(b"e").unwrap_err();
        assert!(matches!(&error, Error::Config(message) if message.starts_with("`max_spill` is 4 bytes")), "{error}");
    }

    #[test]
    fn the_innermost_mount_decides_whether_files_are_in_memory() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /tmp rw - tmpfs tmpfs rw\n3 2 8:2 / /tmp/d rw shared:1 - xfs /dev/b rw\n";
        for (path, expected) in
            [("/home", false), ("/tmp/a", true), ("/tmp", true), ("/tmpx", false), ("/tmp/d/e", false)]
        {
            assert_eq!(is_mounted_in_memory(mounts, Path::new(path)), expected, "{path}");
        }
    }
}
