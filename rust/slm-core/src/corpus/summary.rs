//! What was read, and what was left out and why.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::AddAssign;

/// What was read, once all of it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Documents left out by the number of their source; sources behind the last of which something was are not there.
    #[serde(default)]
    pub skipped_by_source: Vec<Skipped>,
    /// The first documents that were left out for what is wrong with them: where they are, and what it is.
    #[serde(default)]
    pub complaints: Vec<String>,
}

/// Complaints that a summary has at most.
pub(super) const MAX_COMPLAINTS: usize = 5;

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
    /// That are no JSON object with text in the field, under [`OnError::Skip`](super::OnError::Skip).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub malformed: u64,
    /// At which their file breaks off or cannot be decompressed, under the same; what comes after them in the file is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: u64,
    /// That are equal to one before them; only for shards without duplicates.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicate: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it so
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Why a document is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    Empty,
    InvalidUtf8,
    LoneSurrogate,
    Null,
    Malformed,
    Unreadable,
}

impl fmt::Display for Skipped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { empty, invalid_utf8, lone_surrogate, null, malformed, unreadable, duplicate } = self;
        write!(
            formatter,
            "{empty} documents are empty, {null} are null, {invalid_utf8} are not UTF-8, {lone_surrogate} have lone surrogates"
        )?;
        for (count, what) in [(malformed, "malformed"), (unreadable, "unreadable"), (duplicate, "duplicates")] {
            if *count > 0 {
                write!(formatter, ", {count} are {what}")?;
            }
        }
        Ok(())
    }
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        let Self { empty, invalid_utf8, lone_surrogate, null, malformed, unreadable, duplicate } = other;
        self.empty += empty;
        self.invalid_utf8 += invalid_utf8;
        self.lone_surrogate += lone_surrogate;
        self.null += null;
        self.malformed += malformed;
        self.unreadable += unreadable;
        self.duplicate += duplicate;
    }
}

impl Skipped {
    pub(super) fn add(&mut self, reason: SkipReason) {
        *match reason {
            SkipReason::Empty => &mut self.empty,
            SkipReason::InvalidUtf8 => &mut self.invalid_utf8,
            SkipReason::LoneSurrogate => &mut self.lone_surrogate,
            SkipReason::Null => &mut self.null,
            SkipReason::Malformed => &mut self.malformed,
            SkipReason::Unreadable => &mut self.unreadable,
        } += 1;
    }
}

impl ReadSummary {
    /// Counts a document of a source that was left out.
    pub(super) fn skip(&mut self, reason: SkipReason, source: u32) {
        self.skipped.add(reason);
        let source = source as usize;
        if self.skipped_by_source.len() <= source {
            self.skipped_by_source.resize(source + 1, Skipped::default());
        }
        self.skipped_by_source[source].add(reason);
    }
}
