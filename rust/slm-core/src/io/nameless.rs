//! Files without a name: room on disk that nobody else finds, and that is given back however the process ends.

use crate::error::{Error, Result};
use crate::io::durable::PARTIAL_SUFFIX;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a file in `directory`, to be written and read, and takes its name away.
///
/// # Errors
/// [`Error::Io`] with the directory.
pub fn create(directory: &Path) -> Result<File> {
    static NUM_MADE: AtomicU64 = AtomicU64::new(0);
    // Should the process be killed between the two calls, whoever builds in the directory next removes what has such a name.
    let number = NUM_MADE.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!(".nameless-{}-{number}{PARTIAL_SUFFIX}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.map_err(Error::io(directory))?;
    fs::remove_file(&path).map_err(Error::io(directory))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn it_holds_what_was_written_and_is_not_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = create(directory.path()).unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        file.rewind().unwrap();
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "abc");
        assert!(matches!(create(&directory.path().join("missing")), Err(Error::Io { .. })));
    }
}
