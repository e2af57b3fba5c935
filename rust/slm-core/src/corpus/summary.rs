//! What was read, and what was left out and why.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What was read, once all of it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadSummary {
    /// Files read; 0 for documents in memory.
    pub files: u64,
    /// Documents with text.
    pub documents: u64,
    /// Documents left out.
    pub skipped: Skipped,
    /// Sequences of bytes and lone surrogates that became U+FFFD under [`InvalidUtf8::Replace`](super::InvalidUtf8::Replace).
    pub replaced_sequences: u64,
    /// Bytes of the documents' text.
    pub text_bytes: u64,
    /// Identifies the text: documents, their order and their borders.
    pub fingerprint: u64,
}

/// Documents that were left out, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Without text.
    pub empty: u64,
    /// With bytes that are not UTF-8, under [`InvalidUtf8::Skip`](super::InvalidUtf8::Skip).
    #[serde(default)]
    pub invalid_utf8: u64,
    /// With half a character of UTF-16, as JSON and Python's `str` can hold it, under the same policy.
    #[serde(default)]
    pub lone_surrogate: u64,
    /// With a null in the place of text, in JSON lines and Parquet.
    #[serde(default)]
    pub null: u64,
}

/// Why a document is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    Empty,
    InvalidUtf8,
    LoneSurrogate,
    Null,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { empty, invalid_utf8, lone_surrogate, null } = self;
        write!(
            formatter,
            "{empty} documents are empty, {null} are null, {invalid_utf8} are not UTF-8, {lone_surrogate} have lone surrogates"
        )
    }
}

impl Skipped {
    pub(super) fn add(&mut self, reason: SkipReason) {
        *match reason {
            SkipReason::Empty => &mut self.empty,
            SkipReason::InvalidUtf8 => &mut self.invalid_utf8,
            SkipReason::LoneSurrogate => &mut self.lone_surrogate,
            SkipReason::Null => &mut self.null,
        } += 1;
    }
}
