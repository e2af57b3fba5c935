//! One array that lies in many files, read by position.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A file that holds a part of the array behind a header.
#[derive(Clone, Debug)]
pub struct ArrayFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes before the first element.
    pub header_bytes: u64,
    /// Elements in it.
    pub len: u64,
}

/// The files of one array. The first ones stay open; of the others each read opens its own.
pub struct ArrayFiles {
    files: Vec<ArrayFile>,
    /// Elements before each file, and in all.
    starts: Vec<u64>,
    element_bytes: u64,
    open: Vec<File>,
}

impl ArrayFiles {
    /// Opens at most `max_open` of the files, fewer where the system allows no more.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be opened; [`Error::Data`] if one has another length than it should.
    pub fn open(files: Vec<ArrayFile>, element_bytes: u64, max_open: usize) -> Result<Self> {
        let mut starts = vec![0];
        starts.extend(files.iter().scan(0, |end, file| {
            *end += file.len;
            Some(*end)
        }));
        let mut array = Self { files, starts, element_bytes, open: Vec::new() };
        for file_idx in 0..array.files.len().min(max_open) {
            match array.open_file(file_idx) {
                Ok(file) => array.open.push(file),
                // ENFILE and EMFILE: some are given back, for the files that are opened one at a time and for everybody else.
                Err(Error::Io { source, .. }) if matches!(source.raw_os_error(), Some(23 | 24)) => {
                    array.open.truncate(array.open.len() / 2);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(array)
    }

    /// Elements in all files.
    pub fn num_elements(&self) -> u64 {
        self.starts[self.files.len()]
    }

    /// The files.
    pub fn files(&self) -> &[ArrayFile] {
        &self.files
    }

    /// Elements before each file, and in all.
    pub fn starts(&self) -> &[u64] {
        &self.starts
    }

    /// The file that holds the element at `position`.
    pub fn file_of(&self, position: u64) -> usize {
        self.starts.partition_point(|&start| start <= position) - 1
    }

    /// Fills `bytes` with consecutive elements; the end of one file runs into the start of the next.
    ///
    /// # Errors
    /// [`Error::Data`] if a file has become shorter; [`Error::Io`] if it cannot be read.
    pub fn read(&self, position: u64, mut bytes: &mut [u8]) -> Result<()> {
        let mut file_idx = self.file_of(position);
        let mut offset = position - self.starts[file_idx];
        while !bytes.is_empty() {
            let held = (self.files[file_idx].len - offset) * self.element_bytes;
            let count = usize::try_from(held).map_or(bytes.len(), |held| held.min(bytes.len()));
            let (here, rest) = bytes.split_at_mut(count);
            self.read_file(file_idx, offset, here)?;
            bytes = rest;
            file_idx += 1;
            offset = 0;
        }
        Ok(())
    }

    /// Fills `bytes` with elements of one file, from its element `offset` on.
    ///
    /// # Errors
    /// As [`ArrayFiles::read`].
    pub fn read_file(&self, file_idx: usize, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let at = self.files[file_idx].header_bytes + offset * self.element_bytes;
        let outcome = match self.open.get(file_idx) {
            Some(file) => file.read_exact_at(bytes, at),
            None => self.open_file(file_idx)?.read_exact_at(bytes, at),
        };
        let path = &self.files[file_idx].path;
        outcome.map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => Error::Data(format!(
                "`{}` ends before element {}: it was changed while it was read\n\nhint: copy it again from where it came, or \
                 rebuild the shards with `slm data build`",
                path.display(),
                offset + bytes.len() as u64 / self.element_bytes
            )),
            _ => Error::Io { path: path.clone(), source },
        })
    }

    /// Says where an element is, for messages.
    pub fn locate(&self, position: u64) -> (usize, u64) {
        let file_idx = self.file_of(position);
        (file_idx, position - self.starts[file_idx])
    }

    fn open_file(&self, file_idx: usize) -> Result<File> {
        let ArrayFile { path, header_bytes, len } = &self.files[file_idx];
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        if size == header_bytes + len * self.element_bytes {
            return Ok(file);
        }
        Err(Error::Data(format!(
            "`{}` has {size} bytes, a header of {header_bytes} and {len} elements of {} would be {}\n\nhint: copy it again from \
             where it came, or rebuild the shards with `slm data build`",
            path.display(),
            self.element_bytes,
            header_bytes + len * self.element_bytes
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(directory: &std::path::Path, lens: &[u64]) -> Vec<ArrayFile> {
        let mut next = 0u16;
        let file = |(number, &len): (usize, &u64)| {
            let path = directory.join(number.to_string());
            let mut bytes = vec![b'x'; 3];
            for _ in 0..len {
                bytes.extend(next.to_le_bytes());
                next += 1;
            }
            fs::write(&path, bytes).unwrap();
            ArrayFile { path, header_bytes: 3, len }
        };
        lens.iter().enumerate().map(file).collect()
    }

    fn read(files: &ArrayFiles, position: u64, count: usize) -> Result<Vec<u16>> {
        let mut bytes = vec![0; count * 2];
        files.read(position, &mut bytes)?;
        Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
    }

    #[test]
    fn elements_run_across_files_whether_open_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let listed = written(directory.path(), &[3, 0, 1, 5]);
        for max_open in [0, 1, 10] {
            let files = ArrayFiles::open(listed.clone(), 2, max_open).unwrap();
            for start in 0..9u16 {
                for stop in start..=9 {
                    let expected: Vec<u16> = (start..stop).collect();
                    assert_eq!(read(&files, u64::from(start), expected.len()).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_file_cut_off_before_or_after_opening_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let listed = written(directory.path(), &[3, 5]);
        for max_open in [0, 10] {
            let files = ArrayFiles::open(listed.clone(), 2, max_open).unwrap();
            let whole = fs::read(&listed[1].path).unwrap();
            fs::write(&listed[1].path, &whole[..10]).unwrap();
            let error = read(&files, 2, 6).unwrap_err().to_string();
            assert!(error.contains(if max_open > 0 { "ends before element 5" } else { "has 10 bytes" }), "{error}");
            assert!(matches!(ArrayFiles::open(listed.clone(), 2, 2), Err(Error::Data(_))));
            fs::write(&listed[1].path, whole).unwrap();
        }
    }
}
