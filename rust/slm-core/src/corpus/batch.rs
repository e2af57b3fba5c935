//! Documents to batches: text of about a mebibyte, cut so that each part can be pretokenized alone.

use crate::corpus::Source;
use crate::error::Result;
use crate::pretokenize::Pattern;
use crate::progress::Stop;

/// A document, or a part of one, in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it starts in [`Batch::text`], in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Whether the document starts here, and not in a batch before.
    pub begins_document: bool,
    /// Whether the document ends here, and does not go on in the next batch.
    pub ends_document: bool,
}

/// Text of one or more documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its place in the stream, from 0. Spans of batches in this order are the documents in order.
    pub index: u64,
    /// Valid UTF-8, and every span of it is too.
    pub text: Vec<u8>,
    /// The documents in `text`, in order; none is empty.
    pub spans: Vec<Span>,
    /// Bytes of the files (of the text, for documents in memory) consumed since the batch before; for progress.
    pub bytes_read: u64,
}

impl Batch {
    /// The text of a span.
    pub fn str(&self, span: Span) -> &str {
        // Checked once by the reader; checking again costs less than a hundredth of pretokenizing.
        std::str::from_utf8(&self.text[span.start..span.end]).expect("the reader makes spans of valid UTF-8")
    }
}

/// What was read, once all of it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Files opened.
    pub files: u64,
    /// Documents with text.
    pub documents: u64,
    /// Documents without text, left out.
    pub empty_documents: u64,
    /// Bytes of the documents' text.
    pub text_bytes: u64,
    /// Identifies the text: documents, their order and their borders.
    pub fingerprint: u64,
}

/// Reads everything in the calling thread and hands each batch to `emit`, in order.
///
/// Holds about two batches, or the longest stretch of a document that has no safe cut for `pattern`.
///
/// # Errors
/// [`crate::error::Error::Io`] with the path; [`crate::error::Error::Data`] for text that is not UTF-8, JSON lines that are malformed or lack the field, a
/// truncated archive (each with file and place), or a corpus without any text; those of `emit`; `Interrupted`.
pub fn read_batches(
    source: Source<'_>,
    pattern: Pattern,
    stop: &Stop,
    emit: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<ReadSummary> {
    let _ = (source, pattern, stop, emit);
    todo!()
}
