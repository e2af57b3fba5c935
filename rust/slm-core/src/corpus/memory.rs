//! Documents that a caller hands over, which are checked as those of files are.

use crate::corpus::documents::Sink;
use crate::corpus::summary::SkipReason;
use crate::corpus::{InvalidUtf8, PIECE_BYTES, floor_char_boundary};
use crate::error::{Error, Result};

/// A document in memory that may not be text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawDocument {
    /// Bytes that should be UTF-8.
    Bytes(Vec<u8>),
    /// UTF-8, but surrogates are written as if they were characters, as Python's `surrogatepass` does it.
    Text(Vec<u8>),
}

impl RawDocument {
    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) | Self::Text(bytes) => bytes,
        }
    }
}

/// Passes on a document in pieces and gives how many sequences were replaced. `number` is its place among all, for errors.
pub(super) fn read_raw(document: &RawDocument, number: u64, policy: InvalidUtf8, sink: &mut impl Sink) -> Result<u64> {
    let bytes = document.bytes();
    let mut num_replaced = 0;
    let mut start = 0;
    // Only a document that is text to its end is passed on under `Skip`.
    if policy == InvalidUtf8::Skip && simdutf8::basic::from_utf8(bytes).is_err() {
        let (reason, what) = match document {
            RawDocument::Bytes(_) => (SkipReason::InvalidUtf8, "is not UTF-8"),
            RawDocument::Text(_) => (SkipReason::LoneSurrogate, "has a lone surrogate"),
        };
        sink.leave_out(reason, || format!("document {number} of the iterable {what}"))?;
        start = bytes.len();
    }
    while start < bytes.len() {
        let (text, invalid) = match simdutf8::compat::from_utf8(&bytes[start..]) {
            Ok(text) => (text, 0),
            Err(error) => {
                let (text, rest) = bytes[start..].split_at(error.valid_up_to());
                let length = match document {
                    RawDocument::Bytes(_) => error.error_len().unwrap_or(rest.len()),
                    RawDocument::Text(_) => rest.len().min(3),
                };
                // SAFETY: the error says that the text up to it is valid.
                (unsafe { std::str::from_utf8_unchecked(text) }, length)
            }
        };
        push_in_pieces(text, sink)?;
        start += text.len();
        if invalid > 0 {
            if policy == InvalidUtf8::Error {
                return Err(invalid_document(document, number, start));
            }
            sink.push("\u{FFFD}")?;
            num_replaced += 1;
            start += invalid;
        }
    }
    sink.end_document()?;
    Ok(num_replaced)
}

/// Passes on a text, a long one in pieces.
pub(super) fn push_in_pieces(text: &str, sink: &mut impl Sink) -> Result<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(floor_char_boundary(rest, PIECE_BYTES));
        sink.push(piece)?;
        rest = after;
    }
    Ok(())
}

fn invalid_document(document: &RawDocument, number: u64, at: usize) -> Error {
    let bytes = document.bytes();
    Error::Data(match document {
        RawDocument::Bytes(_) => format!(
            "document {number} of the iterable is not UTF-8: byte 0x{:02X} at offset {at} does not belong there\n\nhint: decode it \
             as what it is and give the text, or set `invalid_utf8` to `replace` or `skip`",
            bytes[at]
        ),
        RawDocument::Text(_) => format!(
            "document {number} of the iterable has a lone surrogate at index {}, which has no form in UTF-8\n\nhint: repair it with \
             `text.encode(\"utf-16\", \"surrogatepass\").decode(\"utf-16\", \"replace\")`, or set `invalid_utf8` to `replace` or `skip`",
            bytes[..at].iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
        ),
    })
}
