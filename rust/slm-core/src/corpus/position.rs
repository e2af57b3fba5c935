//! How far work on a corpus has come, so that it can be broken off and gone on with: where to read again, and how much of what
//! is read there is done.

use crate::corpus::batch::{Anchor, Batch};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Text after which short files get an anchor: reading that much again takes a fraction of a second.
pub const MAX_ANCHOR_BYTES: u64 = 16 << 20;

/// Up to where a corpus is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Where the file, or the row of short files, begins in which this is.
    pub anchor: Anchor,
    /// Bytes of text from there.
    pub behind_bytes: u64,
    /// XXH3-64 of them.
    pub behind_hash: u64,
}

/// The place of a batch: before its text.
#[derive(Clone)]
pub struct Mark {
    anchor: Anchor,
    behind_bytes: u64,
    hasher: Xxh3,
}

impl Mark {
    /// The position behind `text`, which begins at the mark.
    pub fn behind(&self, text: &str) -> Position {
        let mut hasher = self.hasher.clone();
        hasher.update(text.as_bytes());
        Position {
            anchor: self.anchor.clone(),
            behind_bytes: self.behind_bytes + text.len() as u64,
            behind_hash: hasher.digest(),
        }
    }
}

/// Where a reader is, and what of the text it reads is done already.
pub struct Place {
    mark: Mark,
    /// Files before the anchor of the batch that came last.
    files_seen: u64,
    /// Bytes behind the first anchor that are done, and what their hash must be.
    done: (u64, u64),
    is_changed: bool,
}

impl Place {
    /// The place of a reader that begins at the anchor of a position.
    pub fn before(position: &Position) -> Self {
        let mark = Mark { anchor: position.anchor.clone(), behind_bytes: 0, hasher: Xxh3::new() };
        let done = (position.behind_bytes, position.behind_hash);
        Self { mark, files_seen: position.anchor.summary.files, done, is_changed: false }
    }

    /// Whether the text is not that of the position.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Up to where everything was read.
    pub fn position(&self) -> Position {
        self.mark.behind("")
    }

    /// Gives what of a batch is not done yet, and its place.
    ///
    /// # Errors
    /// [`Error::Data`] where the text that is done is not what it was.
    pub fn take(&mut self, mut batch: Batch, anchor: &Anchor) -> Result<Option<(Batch, Mark)>> {
        let is_new_anchor = std::mem::replace(&mut self.files_seen, anchor.summary.files) != anchor.summary.files;
        let left = self.done.0.saturating_sub(self.mark.behind_bytes);
        if left == 0 {
            if is_new_anchor {
                self.mark = Mark { anchor: anchor.clone(), behind_bytes: 0, hasher: Xxh3::new() };
                self.done = (0, 0);
            }
            let mark = self.mark.clone();
            self.pass(&batch.text);
            return Ok(Some((batch, mark)));
        }
        let cut = usize::try_from(left).map_or(batch.text.len(), |left| left.min(batch.text.len()));
        if !batch.text.is_char_boundary(cut) {
            return Err(self.changed());
        }
        self.pass(&batch.text[..cut]);
        if self.mark.behind_bytes == self.done.0 && self.mark.hasher.digest() != self.done.1 {
            return Err(self.changed());
        }
        if cut == batch.text.len() {
            return Ok(None);
        }
        batch.text.drain(..cut);
        let num_done = batch.spans.partition_point(|span| span.end <= cut);
        batch.document_offset = match batch.spans.get(num_done) {
            // The part of the document that came in the same batch is the span itself.
            Some(span) if num_done == 0 => batch.document_offset + cut.saturating_sub(span.start) as u64,
            Some(span) => cut.saturating_sub(span.start) as u64,
            None => 0,
        };
        batch.spans.drain(..num_done);
        let last_done = batch.sources.partition_point(|&(first, _)| first <= num_done).saturating_sub(1);
        batch.sources.drain(..last_done);
        for (first, _) in &mut batch.sources {
            *first = first.saturating_sub(num_done);
        }
        for span in &mut batch.spans {
            span.begins_document &= span.start >= cut;
            span.follows_special_token &= span.start >= cut;
            (span.start, span.end) = (span.start.max(cut) - cut, span.end - cut);
        }
        let mark = self.mark.clone();
        self.pass(&batch.text);
        Ok(Some((batch, mark)))
    }

    /// After the last batch.
    ///
    /// # Errors
    /// [`Error::Data`] where the corpus ends before what is done of it does.
    pub fn finish(&mut self) -> Result<()> {
        if self.mark.behind_bytes < self.done.0 { Err(self.changed()) } else { Ok(()) }
    }

    fn pass(&mut self, text: &str) {
        self.mark.hasher.update(text.as_bytes());
        self.mark.behind_bytes += text.len() as u64;
    }

    fn changed(&mut self) -> Error {
        self.is_changed = true;
        Error::Data("a file of the corpus was changed after a part of it was read".into())
    }
}
