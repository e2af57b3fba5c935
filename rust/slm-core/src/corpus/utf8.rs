//! Bytes to text: every byte is checked, and what is not UTF-8 is an error, replaced, or left to the reader of documents.

use crate::corpus::decompress::{BLOCK_BYTES, Bytes};
use crate::corpus::summary::SkipReason;
use crate::corpus::{InvalidUtf8, OnError};
use crate::error::{Error, Result};
use std::ops::Range;

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text; not empty.
    Text(&'a str),
    /// Something that no document can have, only where such documents are to be skipped: one or more bytes that are not UTF-8, or
    /// the place from which on nothing can be read. [`Utf8Pieces::complaint`] says more.
    Spoiled(SkipReason),
}

/// An error's message without its hint.
pub(super) fn first_paragraph(message: &str) -> String {
    message.split("\n\n").next().unwrap_or_default().to_owned()
}

/// The text of a file, a piece at a time.
pub(super) struct Utf8Pieces<'a> {
    bytes: Bytes<'a>,
    policy: InvalidUtf8,
    on_error: OnError,
    /// Why nothing more can be read.
    unreadable: Option<String>,
    /// Where the last sequence began that is not UTF-8.
    invalid_at: u64,
    buffer: Vec<u8>,
    /// The part of `buffer` that has not been handed out.
    left: Range<usize>,
    /// Where `buffer` starts in the text.
    offset: u64,
    has_ended: bool,
    num_replaced: u64,
}

impl<'a> Utf8Pieces<'a> {
    pub(super) fn new(bytes: Bytes<'a>, policy: InvalidUtf8, on_error: OnError) -> Self {
        Self {
            bytes,
            policy,
            on_error,
            unreadable: None,
            invalid_at: 0,
            buffer: vec![0; BLOCK_BYTES],
            left: 0..0,
            offset: 0,
            has_ended: false,
            num_replaced: 0,
        }
    }

    /// The next piece, or `None` at the end.
    ///
    /// A sequence that is not UTF-8 is replaced as Python's `errors="replace"` and the WHATWG standard do it: one U+FFFD for
    /// the longest beginning of a character, or else for a byte.
    ///
    /// # Errors
    /// [`Error::Data`] with file and offset for bytes that cannot be decompressed, or are not UTF-8 where that is an error.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'_>>> {
        loop {
            match simdutf8::compat::from_utf8(&self.buffer[self.left.clone()]) {
                Ok("") => {}
                Ok(_) => return Ok(Some(self.take_text(self.left.end))),
                Err(error) if error.valid_up_to() > 0 => {
                    return Ok(Some(self.take_text(self.left.start + error.valid_up_to())));
                }
                Err(error) => match (error.error_len(), self.has_ended) {
                    // An unfinished character at the end of the block waits for the next one.
                    (None, false) => {}
                    (length, _) => return self.take_invalid(length.unwrap_or(self.left.len())).map(Some),
                },
            }
            if self.has_ended {
                return Ok(None);
            }
            self.buffer.copy_within(self.left.clone(), 0);
            self.offset += self.left.start as u64;
            self.left = 0..self.left.len();
            let read = match self.bytes.read(&mut self.buffer[self.left.end..]) {
                Err(Error::Data(complaint)) if self.on_error == OnError::Skip => {
                    self.unreadable = Some(first_paragraph(&complaint));
                    (self.left, self.has_ended) = (0..0, true);
                    return Ok(Some(Piece::Spoiled(SkipReason::Unreadable)));
                }
                read => read?,
            };
            self.left.end += read;
            self.has_ended = read == 0;
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &std::path::Path {
        self.bytes.path()
    }

    /// Where the last spoiled piece is, and what is wrong there.
    pub(super) fn complaint(&self) -> String {
        let of_its_text = if self.bytes.is_compressed() { " of its text" } else { "" };
        self.unreadable.clone().unwrap_or_else(|| {
            format!("`{}` is not UTF-8 at offset {}{of_its_text}", self.path().display(), self.invalid_at)
        })
    }

    /// How many sequences were replaced so far.
    pub(super) fn num_replaced(&self) -> u64 {
        self.num_replaced
    }

    /// Hands out what is left up to `end`, which [`Utf8Pieces::next`] has just checked.
    fn take_text(&mut self, end: usize) -> Piece<'_> {
        let text = &self.buffer[self.left.start..end];
        self.left.start = end;
        // SAFETY: the caller has checked these bytes, and nothing has written to the buffer since.
        Piece::Text(unsafe { std::str::from_utf8_unchecked(text) })
    }

    fn take_invalid(&mut self, length: usize) -> Result<Piece<'_>> {
        let at = self.left.start;
        self.left.start += length;
        match self.policy {
            InvalidUtf8::Error => Err(self.not_utf8(at)),
            InvalidUtf8::Skip => {
                self.invalid_at = self.offset + at as u64;
                Ok(Piece::Spoiled(SkipReason::InvalidUtf8))
            }
            InvalidUtf8::Replace => {
                self.num_replaced += 1;
                Ok(Piece::Text("\u{FFFD}"))
            }
        }
    }

    fn not_utf8(&self, at: usize) -> Error {
        Error::Data(format!(
            "`{}` is not UTF-8: byte 0x{:02X} at offset {}{} does not belong there\n\nhint: convert the file, for example with \
             `iconv -f WINDOWS-1252 -t UTF-8`, leave it out of the corpus, or set `invalid_utf8` to `replace` or `skip`",
            self.path().display(),
            self.buffer[at],
            self.offset + at as u64,
            if self.bytes.is_compressed() { " of its text" } else { "" },
        ))
    }
}
