//! Files to bytes: plain, gz with all its members, zst with all its frames, xz with all its streams, told apart by their first
//! bytes.

use crate::corpus::pipe::Pipe;
use crate::corpus::{CorpusFile, STANDARD_INPUT};
use crate::error::{Error, Result};
use crate::progress::Stop;
use flate2::read::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Error as XzError, Stream};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How much is read at a time.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Memory that a decoder of xz may take. `xz -9` needs 65 MiB; the format would allow 4 GiB.
const MAX_XZ_BYTES: u64 = 256 << 20;

/// The window of a zstd frame that is always allowed, 8 MiB: that of any level below 20.
const MIN_WINDOW_LOG: u32 = 23;

/// The largest window that the format has, 2 GiB.
const MAX_WINDOW_LOG: u32 = 31;

/// The bytes of a file, decompressed.
pub(super) struct Bytes<'a> {
    path: PathBuf,
    reader: Box<dyn Read + 'a>,
    /// The name of the compression, if there is one.
    compression: Option<&'static str>,
    /// Memory that the decoder may take.
    memory_limit: u64,
    stop: &'a Stop,
    /// How many bytes have been handed out.
    offset: u64,
}

impl<'a> Bytes<'a> {
    /// Opens a file. `taken` goes up by what is read from the disk. A decoder takes no more than about `max_decoder_bytes`.
    pub(super) fn open(
        file: &CorpusFile,
        taken: &Rc<Cell<u64>>,
        max_decoder_bytes: u64,
        stop: &'a Stop,
    ) -> Result<Self> {
        let path = file.path.clone();
        let source: Box<dyn Read + 'a> = if path == Path::new(STANDARD_INPUT) {
            Box::new(Pipe::new(|| Ok(io::stdin()), stop))
        } else if file.is_pipe {
            let path = path.clone();
            Box::new(Pipe::new(|| File::open(path), stop))
        } else {
            Box::new(File::open(&path).map_err(Error::io(&path))?)
        };
        let mut source = CountingReader { source, taken: Rc::clone(taken) };
        let mut magic = Vec::with_capacity(6);
        if let Err(error) = source.by_ref().take(6).read_to_end(&mut magic) {
            stop.check()?;
            return Err(Error::io(&path)(error));
        }
        let compression = match magic[..] {
            [0x1F, 0x8B, ..] => Some("gzip"),
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..0x60, 0x2A, 0x4D, 0x18, ..] => Some("zstd"),
            [0xFD, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
            _ => None,
        };
        let expected = match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Some("gzip"),
            Some("zst") => Some("zstd"),
            Some("xz") => Some("xz"),
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
        let whole = io::Cursor::new(magic).chain(source);
        let buffered = |whole| BufReader::with_capacity(BLOCK_BYTES, whole);
        let reader: Box<dyn Read + 'a> = match compression {
            None => Box::new(whole),
            Some("gzip") => Box::new(MultiGzDecoder::new(buffered(whole))),
            Some("xz") => {
                let decoder = Stream::new_stream_decoder(MAX_XZ_BYTES.min(max_decoder_bytes), CONCATENATED);
                Box::new(XzDecoder::new_stream(
                    buffered(whole),
                    decoder.map_err(|error| Error::io(&path)(error.into()))?,
                ))
            }
            Some(_) => {
                let mut decoder = zstd::Decoder::new(whole).map_err(Error::io(&path))?;
                // Up to the format's limit, so that files made with `--long=31` open too.
                let window_log = max_decoder_bytes.ilog2().clamp(MIN_WINDOW_LOG, MAX_WINDOW_LOG);
                decoder.window_log_max(window_log).map_err(Error::io(&path))?;
                Box::new(decoder)
            }
        };
        Ok(Self { path, reader, compression, memory_limit: max_decoder_bytes, stop, offset: 0 })
    }

    /// Fills the beginning of `buffer` and says how much; 0 at the end.
    ///
    /// # Errors
    /// [`Error::Data`] with file and offset for what cannot be decompressed; [`Error::Io`]; [`Error::Interrupted`].
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.stop.check()?;
                    return Err(self.unreadable(error));
                }
            }
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether offsets are those of decompressed bytes.
    pub(super) fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    fn unreadable(&self, error: io::Error) -> Error {
        let Some(compression) = self.compression.filter(|_| error.raw_os_error().is_none()) else {
            return Error::io(&self.path)(error);
        };
        let (path, at) = (self.path.display(), self.offset);
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Error::Data(format!(
                "`{path}` is truncated: its {compression} stream ends early, after {at} bytes of text\n\nhint: download or copy the file again"
            ));
        }
        let xz_error = error.get_ref().and_then(|error| error.downcast_ref());
        let is_xz_limit = matches!(xz_error, Some(XzError::MemLimit));
        // What the library says where a frame's window is larger than it may be.
        if is_xz_limit || error.to_string().contains("requires too much memory") {
            let most = if is_xz_limit { MAX_XZ_BYTES } else { 1 << MAX_WINDOW_LOG };
            let hint = if self.memory_limit < most {
                "raise `memory_limit`, or compress it again with a smaller window"
            } else {
                "compress it again with `xz -9` or less, or with zstd"
            };
            let allowed = self.memory_limit.min(most) >> 20;
            return Error::Data(format!("`{path}` needs more than {allowed} MiB to be decompressed\n\nhint: {hint}"));
        }
        Error::Data(format!(
            "`{path}` is corrupt: its {compression} stream cannot be decompressed after {at} bytes of text ({error})\n\nhint: \
             download or copy the file again"
        ))
    }
}

/// Counts what it reads.
struct CountingReader<R> {
    source: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}
