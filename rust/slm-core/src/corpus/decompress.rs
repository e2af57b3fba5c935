//! Files to checked UTF-8: plain, gz with all its members, zst with all its frames, told apart by their first bytes.

use crate::corpus::CorpusFile;
use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;

/// How much is read at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// The text of a file, a block at a time.
pub(super) struct Utf8Blocks {
    path: PathBuf,
    reader: Box<dyn Read>,
    /// The name of the compression, if there is one.
    compression: Option<&'static str>,
    buffer: Vec<u8>,
    /// The part of `buffer` that the last block was, and where bytes of an unfinished character follow it.
    valid: usize,
    filled: usize,
    /// Where `buffer` starts in the text.
    offset: u64,
}

impl Utf8Blocks {
    /// Opens a file. `taken` goes up by what is read from the disk.
    pub(super) fn open(file: &CorpusFile, taken: &Rc<Cell<u64>>) -> Result<Self> {
        let path = file.path.clone();
        let mut file = CountingReader { file: File::open(&path).map_err(Error::io(&path))?, taken: Rc::clone(taken) };
        let mut magic = Vec::with_capacity(4);
        file.by_ref().take(4).read_to_end(&mut magic).map_err(Error::io(&path))?;
        let compression = match magic[..] {
            [0x1F, 0x8B, ..] => Some("gzip"),
            [0x28, 0xB5, 0x2F, 0xFD] | [0x50..0x60, 0x2A, 0x4D, 0x18] => Some("zstd"),
            _ => None,
        };
        let expected = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Some("gzip"),
            Some("zst") => Some("zstd"),
            _ => None,
        };
        if let Some(expected) = expected
            && compression.is_none()
        {
            return Err(Error::Data(format!(
                "`{}` does not begin as a {expected} file does\n\nhint: download it again, or rename it if it is plain text",
                path.display()
            )));
        }
        let whole = io::Cursor::new(magic).chain(file);
        let reader: Box<dyn Read> = match compression {
            None => Box::new(whole),
            Some("gzip") => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BLOCK_BYTES, whole))),
            Some(_) => {
                let mut decoder = zstd::Decoder::new(whole).map_err(Error::io(&path))?;
                // The format's limit, so that files made with `--long=31` open too.
                decoder.window_log_max(31).map_err(Error::io(&path))?;
                Box::new(decoder)
            }
        };
        Ok(Self { path, reader, compression, buffer: vec![0; BLOCK_BYTES], valid: 0, filled: 0, offset: 0 })
    }

    /// The next piece of text, or `None` at the end.
    ///
    /// # Errors
    /// [`Error::Data`] with file and offset for bytes that are not UTF-8 or cannot be decompressed.
    pub(super) fn next(&mut self) -> Result<Option<&str>> {
        self.buffer.copy_within(self.valid..self.filled, 0);
        self.offset += self.valid as u64;
        self.filled -= self.valid;
        self.valid = 0;
        loop {
            let read = match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(error)),
            };
            let is_end = read == 0;
            self.filled += read;
            match std::str::from_utf8(&self.buffer[..self.filled]) {
                Ok(_) => self.valid = self.filled,
                // An unfinished character at the end of the block waits for the next one.
                Err(error) if error.error_len().is_none() && !is_end => self.valid = error.valid_up_to(),
                Err(error) => return Err(self.not_utf8(error.valid_up_to())),
            }
            if self.valid > 0 || is_end {
                break;
            }
        }
        // SAFETY: the loop above has checked these bytes, and nothing has written to the buffer since.
        let text = unsafe { std::str::from_utf8_unchecked(&self.buffer[..self.valid]) };
        Ok((!text.is_empty()).then_some(text))
    }

    fn not_utf8(&self, at: usize) -> Error {
        Error::Data(format!(
            "`{}` is not UTF-8: byte 0x{:02X} at offset {}{} does not belong there\n\nhint: convert the file, for example with \
             `iconv -f WINDOWS-1252 -t UTF-8`, or leave it out of the corpus",
            self.path.display(),
            self.buffer[at],
            self.offset + at as u64,
            if self.compression.is_some() { " of its text" } else { "" },
        ))
    }

    fn unreadable(&self, error: io::Error) -> Error {
        let Some(compression) = self.compression.filter(|_| error.raw_os_error().is_none()) else {
            return Error::io(&self.path)(error);
        };
        let at = self.offset + self.filled as u64;
        let path = self.path.display();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Error::Data(format!(
                "`{path}` is truncated: its {compression} stream ends early, after {at} bytes of text\n\nhint: download or copy the file again"
            ))
        } else {
            Error::Data(format!(
                "`{path}` is corrupt: its {compression} stream cannot be decompressed after {at} bytes of text ({error})\n\nhint: \
                 download or copy the file again"
            ))
        }
    }
}

/// Counts what it reads.
struct CountingReader {
    file: File,
    taken: Rc<Cell<u64>>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}
