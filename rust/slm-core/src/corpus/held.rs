//! Text of which nobody knows yet where its first pretoken ends, and which is too long to be kept in memory until then.
//!
//! Blanks after a line end are such text where the pattern has `\s*[\r\n]+`: they belong to it if another line end follows, and
//! are a pretoken of their own otherwise. They are written to a file, compressed, while the automaton looks at what follows. Once the
//! end is known the text is read from there: the pretoken in parts, and the rest as if it were just coming in.

use crate::corpus::PIECE_BYTES;
use crate::corpus::batch::{BATCH_BYTES, Batcher, pretoken_too_long};
use crate::error::{Error, Result};
use crate::io::nameless;
use crate::pretokenize::{FoundEnd, OpenPretoken};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use zstd::stream::{read::Decoder, write::Encoder};

/// The least work: most such text is one character over and over.
const LEVEL: i32 = 1;

/// What a reader has on disk of the open document.
#[derive(Default)]
pub(super) struct Holding {
    /// Where that may be.
    directory: Option<PathBuf>,
    /// An open stretch that grows there.
    stretch: Option<Box<Held>>,
    /// Bytes that are still to be read from there, once its pretoken has an end.
    pub(super) bytes_left: u64,
    /// Whether what comes is from there.
    is_releasing: bool,
}

impl Holding {
    pub(super) fn new(directory: Option<&Path>) -> Self {
        Self { directory: directory.map(Path::to_owned), ..Self::default() }
    }

    /// Whether text that comes belongs to a stretch on disk.
    pub(super) fn is_open(&self) -> bool {
        self.stretch.is_some()
    }
}

/// An open stretch.
struct Held {
    file: HeldFile,
    pretoken: OpenPretoken,
    /// Where the pretoken ends as far as it is known; `None` where there is no end, or none for a cut.
    end: Option<u64>,
}

/// Its text on disk.
struct HeldFile {
    directory: PathBuf,
    encoder: Encoder<'static, File>,
    bytes: u64,
}

impl HeldFile {
    fn create(directory: &Path) -> Result<Self> {
        let encoder = Encoder::new(nameless::create(directory)?, LEVEL).map_err(Error::io(directory))?;
        Ok(Self { directory: directory.to_owned(), encoder, bytes: 0 })
    }

    fn push(&mut self, text: &str) -> Result<()> {
        self.bytes += text.len() as u64;
        self.encoder.write_all(text.as_bytes()).map_err(Error::io(&self.directory))
    }

    fn read(self) -> Result<HeldReader> {
        let Self { directory, encoder, .. } = self;
        let open = || -> io::Result<_> {
            let mut file = encoder.finish()?;
            file.rewind()?;
            Decoder::new(file)
        };
        let decoder = open().map_err(Error::io(&directory))?;
        Ok(HeldReader { directory, decoder, buffer: Vec::new() })
    }
}

/// Reads it once.
struct HeldReader {
    directory: PathBuf,
    decoder: Decoder<'static, BufReader<File>>,
    /// The beginning of a character whose end was not asked for.
    buffer: Vec<u8>,
}

impl HeldReader {
    /// Appends the next characters, as many as are whole within `max_bytes`, and gives how many bytes they have.
    fn read(&mut self, max_bytes: usize, text: &mut String) -> Result<usize> {
        let Self { directory, decoder, buffer } = self;
        let to_read = max_bytes.saturating_sub(buffer.len()) as u64;
        decoder.by_ref().take(to_read).read_to_end(buffer).map_err(Error::io(&directory))?;
        let whole = match std::str::from_utf8(buffer) {
            Ok(whole) => whole.len(),
            Err(error) => error.valid_up_to(),
        };
        text.push_str(&String::from_utf8_lossy(&buffer[..whole]));
        buffer.drain(..whole);
        Ok(whole)
    }
}

impl Batcher<'_> {
    /// Begins to put the text of the batch on disk, an open stretch and nothing else.
    ///
    /// # Errors
    /// [`Error::Config`] where that is not allowed, or what is read from there is such a stretch again.
    pub(super) fn hold(&mut self) -> Result<()> {
        let directory =
            self.holding.directory.as_ref().filter(|_| self.hard_cuts.is_allowed() && !self.holding.is_releasing);
        let Some(directory) = directory else { return Err(self.too_long()) };
        let pretoken = self.hard_cuts.pretoken().unwrap_or_default();
        self.holding.stretch = Some(Box::new(Held { file: HeldFile::create(directory)?, pretoken, end: None }));
        self.full_at = PIECE_BYTES;
        self.hold_more(false)
    }

    /// Puts more text on disk, with `is_whole` the last there is, and goes on with what is there once the end of the pretoken is known.
    pub(super) fn hold_more(&mut self, is_whole: bool) -> Result<()> {
        let begins = self.begins_text();
        let Some(held) = &mut self.holding.stretch else { return Ok(()) };
        self.stop.check()?;
        let text = &self.batch.text;
        let begins = begins && held.file.bytes == 0;
        let looked = self.hard_cuts.splitter(self.pretokenizer)?.look_on(&mut held.pretoken, text, begins, is_whole);
        held.end = match looked.end {
            FoundEnd::Before => held.end,
            FoundEnd::At(end) => Some(held.file.bytes + end as u64),
            FoundEnd::Uncut => None,
        };
        held.file.push(&text[..looked.bytes])?;
        self.batch.text.drain(..looked.bytes);
        if looked.is_decided {
            return self.release();
        }
        // A letter and its marks, where it is composed.
        if self.batch.text.len() > self.max_stretch_bytes { Err(self.too_long()) } else { Ok(()) }
    }

    /// Reads what was held: a pretoken, and what follows it.
    fn release(&mut self) -> Result<()> {
        let Some(held) = self.holding.stretch.take() else { return Ok(()) };
        let behind = std::mem::take(&mut self.batch.text);
        self.holding.bytes_left = held.file.bytes + behind.len() as u64;
        let mut reader = held.file.read()?;
        let Some(mut left) = held.end else {
            reader.read(PIECE_BYTES, &mut self.batch.text)?;
            return Err(self.too_long());
        };
        loop {
            let asked = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_BYTES);
            let read = reader.read(asked, &mut self.batch.text)? as u64;
            self.holding.bytes_left -= read;
            left -= read;
            if left == 0 {
                break;
            }
            let cut = self.hard_cuts.splitter(self.pretokenizer)?.lasting(&self.batch.text, false).len();
            if cut == 0 || read == 0 {
                return Err(self.too_long());
            }
            self.hand_on_part(cut, OpenPretoken::default())?;
        }
        let begins = self.begins_text();
        let is_alone = self.hard_cuts.is_in_pretoken()
            || self.hard_cuts.splitter(self.pretokenizer)?.is_one(&self.batch.text, begins);
        if !is_alone {
            return Err(self.too_long());
        }
        self.full_at = BATCH_BYTES;
        if self.holding.bytes_left == 0 {
            self.hard_cuts.end_with_text();
            return Ok(());
        }
        self.push_span(self.batch.text.len(), false, false);
        self.holding.is_releasing = true;
        let mut piece = String::new();
        while reader.read(PIECE_BYTES, &mut piece)? > 0 {
            self.holding.bytes_left -= piece.len() as u64;
            self.append(&piece)?;
            piece.clear();
        }
        self.holding.bytes_left = 0;
        self.append(&behind)?;
        self.holding.is_releasing = false;
        Ok(())
    }

    fn too_long(&self) -> Error {
        let num_bytes = self.holding.bytes_left + self.batch.text.len() as u64;
        pretoken_too_long(&self.batch.text, num_bytes, self.max_stretch_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_in_whole_characters_whatever_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let text = "aé語😀 \n".repeat(1000);
        for max_bytes in [4, 5, 7, 100, 1 << 20] {
            let mut file = HeldFile::create(directory.path()).unwrap();
            for piece in [&text[..1], &text[1..300], &text[300..]] {
                file.push(piece).unwrap();
            }
            assert_eq!(file.bytes, text.len() as u64);
            let (mut reader, mut found) = (file.read().unwrap(), String::new());
            loop {
                let before = found.len();
                let read = reader.read(max_bytes, &mut found).unwrap();
                assert!(read == found.len() - before && read <= max_bytes);
                if read == 0 {
                    break;
                }
            }
            assert_eq!(found, text);
        }
    }
}
