//! Text to documents: whole files, lines, or parts between separators.

use crate::corpus::floor_char_boundary;
use crate::corpus::summary::SkipReason;
use crate::corpus::utf8::{Piece, Utf8Pieces};
use crate::error::Result;
use memchr::{memchr, memmem};

/// Takes documents in pieces.
pub(super) trait Sink {
    /// Adds text to the document.
    fn push(&mut self, text: &str) -> Result<()>;
    /// Marks the document as one to be left out. What was pushed of it is forgotten, and so is what will be.
    ///
    /// `complain` says where it is and what is wrong with it, if that is worth saying; it is asked where it is the first reason.
    fn leave_out(&mut self, reason: SkipReason, complain: impl FnOnce() -> String) -> Result<()>;
    /// Ends the document; what is pushed next belongs to another one.
    fn end_document(&mut self) -> Result<()>;
}

/// One document.
pub(super) fn read_file(pieces: &mut Utf8Pieces<'_>, sink: &mut impl Sink) -> Result<()> {
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Text(text) => sink.push(text)?,
            Piece::Spoiled(reason) => sink.leave_out(reason, || pieces.complaint())?,
        }
    }
    sink.end_document()
}

/// A document a line, with its line feed.
pub(super) fn read_lines(pieces: &mut Utf8Pieces<'_>, sink: &mut impl Sink) -> Result<()> {
    let mut is_open = false;
    while let Some(piece) = pieces.next()? {
        let mut text = match piece {
            Piece::Text(text) => text,
            Piece::Spoiled(reason) => {
                sink.leave_out(reason, || pieces.complaint())?;
                is_open = true;
                continue;
            }
        };
        while let Some(at) = memchr(b'\n', text.as_bytes()) {
            let (line, rest) = text.split_at(at + 1);
            sink.push(line)?;
            sink.end_document()?;
            text = rest;
            is_open = false;
        }
        if !text.is_empty() {
            sink.push(text)?;
            is_open = true;
        }
    }
    if is_open { sink.end_document() } else { Ok(()) }
}

/// Documents between separators. After a separator at the end of the file there is no further document.
pub(super) fn read_separated(pieces: &mut Utf8Pieces<'_>, separator: &str, sink: &mut impl Sink) -> Result<()> {
    let finder = memmem::Finder::new(separator);
    // What may be the beginning of a separator is held back until more text has come.
    let mut held = String::new();
    let mut is_open = false;
    while let Some(piece) = pieces.next()? {
        let text = match piece {
            Piece::Text(text) => text,
            Piece::Spoiled(reason) => {
                // No separator goes on behind it.
                sink.push(&held)?;
                held.clear();
                sink.leave_out(reason, || pieces.complaint())?;
                is_open = true;
                continue;
            }
        };
        held.push_str(text);
        let mut start = 0;
        while let Some(at) = finder.find(&held.as_bytes()[start..]) {
            sink.push(&held[start..start + at])?;
            sink.end_document()?;
            start += at + separator.len();
            is_open = false;
        }
        let kept = floor_char_boundary(&held, (held.len() + 1).saturating_sub(separator.len())).max(start);
        if kept > start {
            sink.push(&held[start..kept])?;
            is_open = true;
        }
        held.drain(..kept);
    }
    if is_open || !held.is_empty() {
        sink.push(&held)?;
        sink.end_document()?;
    }
    Ok(())
}
