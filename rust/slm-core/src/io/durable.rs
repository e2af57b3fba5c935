//! Files that are old, absent or complete after a kill or a power cut, and never torn.
//!
//! Everything is written beside its target, flushed to the disk and renamed; then the directory is flushed, because a rename
//! lives in the directory. The order is that of Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI).

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What the name of a file ends in until it is complete.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// Replaces a file by `content`, or leaves it as it was.
///
/// # Errors
/// [`Error::Io`] if the disk refuses; the old file is untouched.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let staged = stage(path, content)?;
    fs::rename(&staged, path).map_err(Error::io(path))?;
    flush_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Replaces several files of a directory that belong together; the last of them is the one that readers look for.
///
/// All of them are on the disk under other names before the first one is replaced, and the last is removed first and put back
/// last: a kill between leaves a directory that says by its absence that it is not complete.
///
/// # Errors
/// [`Error::Io`] if the disk refuses; while it refuses to store, every old file is untouched.
pub fn write_together(directory: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let mut staged = Vec::with_capacity(files.len());
    for (name, content) in files {
        match stage(&directory.join(name), content) {
            Ok(path) => staged.push(path),
            Err(error) => {
                for path in &staged {
                    let _ = fs::remove_file(path);
                }
                return Err(error);
            }
        }
    }
    if let Some((marker, _)) = files.last() {
        remove_if_exists(&directory.join(marker))?;
        flush_directory(directory)?;
    }
    let last = files.len().saturating_sub(1);
    for (i, (staged, (name, _))) in staged.iter().zip(files).enumerate() {
        if i == last {
            flush_directory(directory)?;
        }
        let target = directory.join(name);
        fs::rename(staged, &target).map_err(Error::io(&target))?;
    }
    flush_directory(directory)
}

/// Removes a file that may not exist.
///
/// # Errors
/// [`Error::Io`] if the file exists and cannot be removed.
pub fn remove_if_exists(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// Asks the disk to keep what was written to a file.
///
/// # Errors
/// [`Error::Io`] if the disk refuses.
pub fn flush_file(path: &Path) -> Result<()> {
    File::options().append(true).open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

/// Asks the disk to keep a directory's entries; systems that cannot open a directory need no such call.
///
/// # Errors
/// [`Error::Io`] if the disk refuses.
pub fn flush_directory(path: &Path) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(Error::io(path))
}

/// Writes and flushes `content` beside `target` and gives the path; leaves nothing behind when it fails.
fn stage(target: &Path, content: &[u8]) -> Result<PathBuf> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let staged = target.with_file_name(format!(".{name}.{}{PARTIAL_SUFFIX}", std::process::id()));
    let written = File::create(&staged).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(staged),
        Err(error) => {
            let _ = fs::remove_file(&staged);
            Err(Error::io(target)(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for content in [&b"old"[..], b"new"] {
            write_file(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_set_that_cannot_be_stored_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        write_together(directory.path(), &[("a", b"1"), ("marker", b"1")]).unwrap();
        assert!(write_together(directory.path(), &[("a", b"2"), ("no/such", b"2"), ("marker", b"2")]).is_err());
        assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"1");
        assert_eq!(fs::read(directory.path().join("marker")).unwrap(), b"1");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
