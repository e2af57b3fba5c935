//! Documents to shards, in document order: one thread decides the split of each, closes full shards and opens new ones.

use super::header::Element;
use super::manifest::{ShardRecord, Split};
use super::writer::{OpenRecord, ShardWriter};
use crate::error::Result;
use crate::progress::Stop;
use std::path::PathBuf;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes at the beginning of a document that decide its split. Enough to tell documents apart, and few enough that the ids of
/// a document of any size can go to its shard while it is still being read.
pub(super) const DECIDING_BYTES: usize = 64 * 1024;

/// The ids of a document, or of a part of one, as a worker hands them over.
#[derive(Debug)]
pub(super) struct EncodedSpan<'a> {
    /// Ids, little-endian; the last part of a document includes the end-of-text token.
    pub tokens: &'a [u8],
    /// Its text: all of it where it may still decide the split, at least the first [`DECIDING_BYTES`].
    pub text: &'a [u8],
    pub ends_document: bool,
}

/// The open shard of each split.
pub(super) type OpenShards = [Option<OpenRecord>; 2];

/// A document that has begun and not ended.
#[derive(Debug, Default)]
struct OpenDocument {
    split: Option<Split>,
    /// Waiting for the split: text (no more than decides) and ids.
    beginning: Vec<u8>,
    tokens: Vec<u8>,
    text_bytes: u64,
}

/// Where documents go.
#[derive(Debug)]
pub(super) struct Committer<'a> {
    directory: PathBuf,
    element: Element,
    shard_tokens: u64,
    validation_fraction: f64,
    stop: &'a Stop,
    document: OpenDocument,
    open: [Option<ShardWriter>; 2],
    next_number: u32,
    finished: Vec<ShardRecord>,
}

impl<'a> Committer<'a> {
    pub(super) fn new(
        directory: PathBuf,
        element: Element,
        shard_tokens: u64,
        validation_fraction: f64,
        stop: &'a Stop,
    ) -> Self {
        Self {
            directory,
            element,
            shard_tokens,
            validation_fraction,
            stop,
            document: OpenDocument::default(),
            open: [None, None],
            next_number: 0,
            finished: Vec::new(),
        }
    }

    /// Goes on where an earlier build was.
    pub(super) fn resume(&mut self, finished: Vec<ShardRecord>, open: &OpenShards, next_number: u32) -> Result<()> {
        for (split, record) in [Split::Train, Split::Validation].into_iter().zip(open) {
            if let Some(record) = record {
                let shard = ShardWriter::resume(&self.directory, record, split, self.element)?;
                self.open[split as usize] = Some(shard);
            }
        }
        self.finished = finished;
        self.next_number = next_number;
        Ok(())
    }

    /// Brings everything so far to the disk: finished shards, open ones and the number of the next; between two documents.
    pub(super) fn record(&mut self) -> Result<(Vec<ShardRecord>, OpenShards, u32)> {
        let mut open = OpenShards::default();
        for (record, shard) in open.iter_mut().zip(&mut self.open) {
            *record = shard.as_mut().map(ShardWriter::record).transpose()?;
        }
        Ok((self.finished.clone(), open, self.next_number))
    }

    /// Takes the next part of the document at hand; true if with it a shard was finished.
    pub(super) fn commit(&mut self, span: &EncodedSpan<'_>) -> Result<bool> {
        let text_bytes = span.text.len() as u64;
        if let Some(split) = self.document.split {
            self.shard(split)?.append(span.tokens, text_bytes)?;
        } else if self.document.beginning.is_empty() && (span.ends_document || span.text.len() >= DECIDING_BYTES) {
            // The usual case, a whole document at once, copies nothing.
            let split = self.split_of(span.text);
            self.document.split = Some(split);
            self.shard(split)?.append(span.tokens, text_bytes)?;
        } else {
            self.hold(span)?;
        }
        if span.ends_document { self.end_document() } else { Ok(false) }
    }

    /// Closes the shards and gives all of them by number.
    pub(super) fn finish(mut self) -> Result<Vec<ShardRecord>> {
        for shard in self.open.into_iter().flatten() {
            self.finished.push(shard.finish(self.stop)?);
        }
        // Numbers of more than five digits are longer, and come after.
        self.finished
            .sort_unstable_by(|left, right| (left.name.len(), &left.name).cmp(&(right.name.len(), &right.name)));
        Ok(self.finished)
    }

    /// Keeps a part until enough of the document is there to decide its split.
    fn hold(&mut self, span: &EncodedSpan<'_>) -> Result<()> {
        let document = &mut self.document;
        let missing = DECIDING_BYTES - document.beginning.len();
        document.beginning.extend_from_slice(&span.text[..span.text.len().min(missing)]);
        document.tokens.extend_from_slice(span.tokens);
        document.text_bytes += span.text.len() as u64;
        if span.ends_document || document.beginning.len() == DECIDING_BYTES {
            let (beginning, tokens) = (std::mem::take(&mut document.beginning), std::mem::take(&mut document.tokens));
            let text_bytes = document.text_bytes;
            let split = self.split_of(&beginning);
            self.document.split = Some(split);
            self.shard(split)?.append(&tokens, text_bytes)?;
        }
        Ok(())
    }

    fn end_document(&mut self) -> Result<bool> {
        let document = std::mem::take(&mut self.document);
        let Some(split) = document.split else { return Ok(false) };
        let is_full = {
            let shard_tokens = self.shard_tokens;
            let shard = self.shard(split)?;
            shard.end_document()?;
            shard.num_tokens() >= shard_tokens
        };
        if is_full && let Some(shard) = self.open[split as usize].take() {
            self.finished.push(shard.finish(self.stop)?);
        }
        Ok(is_full)
    }

    /// The open shard of a split, opened if need be.
    fn shard(&mut self, split: Split) -> Result<&mut ShardWriter> {
        let open = &mut self.open[split as usize];
        if let Some(shard) = open {
            return Ok(shard);
        }
        let number = self.next_number;
        self.next_number += 1;
        Ok(open.insert(ShardWriter::create(&self.directory, number, split, self.element)?))
    }

    /// Equal documents get the same split, wherever they are in the corpus.
    #[allow(clippy::cast_precision_loss)] // a split is not decided by the last bits of the hash
    fn split_of(&self, text: &[u8]) -> Split {
        let hash = xxh3_64(&text[..text.len().min(DECIDING_BYTES)]);
        let position = hash as f64 / u64::MAX as f64;
        if position < self.validation_fraction { Split::Validation } else { Split::Train }
    }
}
