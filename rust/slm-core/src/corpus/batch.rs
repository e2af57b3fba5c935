//! Documents to batches: text of about a mebibyte, cut so that each part can be pretokenized alone.

use crate::corpus::documents::Sink;
use crate::corpus::fingerprint::TextHasher;
use crate::corpus::held::Holding;
use crate::corpus::parts::HardCuts;
use crate::corpus::summary::{MAX_COMPLAINTS, ReadSummary, SkipReason};
use crate::corpus::{CorpusFile, PIECE_BYTES};
use crate::error::{Error, Result};
use crate::pretokenize::Pretokenizer;
use crate::progress::Stop;
use crate::special_tokens::{Part, SpecialTokenReader};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

/// A batch is handed on once it has this much text.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// A batch is handed on once it has so many spans: documents may be as short as a byte, and each has some bytes of figures.
const MAX_SPANS: usize = 1 << 15;

/// A document, or a part of one, in a batch.
#[allow(clippy::struct_excessive_bools)] // each says something of its own
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
    /// Whether a special token, which is kept out of the text, is right before: to a pretokenizer the text begins anew.
    pub follows_special_token: bool,
    /// Whether it goes on with a pretoken that began in a batch before.
    pub continues_pretoken: bool,
    /// Whether its text, all of it, belongs to a pretoken that goes on in the next batch.
    pub pretoken_goes_on: bool,
}

/// Text of one or more documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Its place in the stream, from 0. Spans of batches in this order are the documents in order.
    pub index: u64,
    /// The text of all spans, one after another.
    pub text: String,
    /// The documents in `text`, in order; none is empty. A part of a document may end where a special token was.
    pub spans: Vec<Span>,
    /// Bytes of the files (of the text, for documents in memory) consumed since the batch before; for progress.
    pub bytes_read: u64,
    /// Bytes of the first span's document that came in batches before.
    pub document_offset: u64,
    /// The first span of each row of spans that are from one source, and the number of the source.
    pub sources: Vec<(usize, u32)>,
}

impl Span {
    /// Whether nothing that is split together with it comes before it.
    pub fn begins_text(self) -> bool {
        self.begins_document || self.follows_special_token
    }

    /// Whether it is a part of one pretoken, and nothing else.
    pub fn is_part_of_pretoken(self) -> bool {
        self.continues_pretoken || self.pretoken_goes_on
    }
}

impl Batch {
    /// The text of a span.
    pub fn str(&self, span: Span) -> &str {
        &self.text[span.start..span.end]
    }
}

/// A place in a corpus of files where reading can go on: before a file, with all that was read before it in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// What was read; its fingerprint is not known yet.
    pub summary: ReadSummary,
    /// As all [`Batch::bytes_read`] together.
    pub bytes_read: u64,
    hasher: TextHasher,
}

/// How [`read_batches_from`](super::read_batches_from) reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The bytes that a stretch that is not cut may have, about.
    pub max_stretch_bytes: usize,
    /// Whether pretokens may come in parts, each of which is a span of its own.
    pub parts_of_pretokens: bool,
    /// Where a longer stretch may be put until it is known where its first pretoken ends, where pretokens may come in parts.
    pub hold_directory: Option<&'a Path>,
    /// Where to go on; `None` from the beginning.
    pub from: Option<&'a Anchor>,
    /// There is an anchor before every file of so many bytes, and after so many bytes of shorter ones.
    pub anchor_bytes: u64,
    /// The memory that decompressing a file may take.
    pub max_decoder_bytes: u64,
}

impl Default for Reading<'_> {
    /// From the beginning, without anchors and without limits.
    fn default() -> Self {
        Self {
            max_stretch_bytes: usize::MAX,
            parts_of_pretokens: false,
            hold_directory: None,
            from: None,
            anchor_bytes: u64::MAX,
            max_decoder_bytes: u64::MAX,
        }
    }
}

/// A stretch of text that the pattern does not split, and that is longer than the memory limit allows; `text` is its beginning.
pub(crate) fn pretoken_too_long(text: &str, num_bytes: u64, max_bytes: usize) -> Error {
    let begin: String = text.chars().take(40).collect();
    Error::Config(format!(
        "a stretch of text that the pattern does not split has {num_bytes} bytes or more, `memory_limit` allows {max_bytes}; it begins \
         with {begin:?}\n\nhint: raise `memory_limit`, or break up such text beforehand"
    ))
}

/// Fills a batch and hands it on.
pub(super) struct Batcher<'a> {
    pub(super) pretokenizer: &'a Pretokenizer,
    pub(super) stop: &'a Stop,
    emit: &'a mut dyn FnMut(Batch, &Anchor) -> Result<()>,
    pub(super) anchor: Anchor,
    anchor_bytes: u64,
    pub(super) batch: Batch,
    /// Where the open document starts in the batch, and whether it began in a batch before.
    document_start: usize,
    is_continued: bool,
    /// What finds special tokens in documents, where they are to be kept out.
    pub(super) special_tokens: Option<SpecialTokenReader>,
    /// Whether a special token ended the text of the open document that there is so far.
    is_cut: bool,
    /// Whether one is right before `document_start`.
    follows_special_token: bool,
    /// Bytes of the open document.
    document_bytes: u64,
    /// Why the open document, of which nothing was pushed, is to be left out.
    left_out: Option<SkipReason>,
    /// The length of `batch.text` from which on it is handed on, or a cut is searched.
    pub(super) full_at: usize,
    pub(super) max_stretch_bytes: usize,
    pub(super) hard_cuts: HardCuts,
    pub(super) holding: Holding,
    pub(super) max_decoder_bytes: u64,
    /// The source of what is pushed.
    pub(super) source: u32,
    pub(super) bytes_read: Rc<Cell<u64>>,
    bytes_reported: u64,
    pub(super) summary: ReadSummary,
    hasher: TextHasher,
}

impl<'a> Batcher<'a> {
    pub(super) fn new(
        pretokenizer: &'a Pretokenizer,
        reading: Reading<'_>,
        stop: &'a Stop,
        emit: &'a mut dyn FnMut(Batch, &Anchor) -> Result<()>,
    ) -> Self {
        let anchor = reading.from.cloned().unwrap_or_default();
        Self {
            pretokenizer,
            stop,
            emit,
            anchor_bytes: reading.anchor_bytes,
            batch: Batch::default(),
            document_start: 0,
            is_continued: false,
            special_tokens: None,
            is_cut: false,
            follows_special_token: false,
            document_bytes: 0,
            left_out: None,
            full_at: BATCH_BYTES,
            max_stretch_bytes: reading.max_stretch_bytes,
            hard_cuts: HardCuts::new(reading.parts_of_pretokens),
            holding: Holding::new(reading.hold_directory),
            max_decoder_bytes: reading.max_decoder_bytes,
            source: 0,
            bytes_read: Rc::new(Cell::new(anchor.bytes_read)),
            bytes_reported: anchor.bytes_read,
            summary: anchor.summary.clone(),
            hasher: anchor.hasher.clone(),
            anchor,
        }
    }

    /// Makes the beginning of `file` an anchor, where it is worth one.
    pub(super) fn anchor_before(&mut self, file: &CorpusFile) -> Result<()> {
        let behind = self.summary.text_bytes - self.anchor.summary.text_bytes;
        if behind.max(file.bytes) < self.anchor_bytes {
            return Ok(());
        }
        if !self.batch.text.is_empty() {
            self.hand_on(self.batch.text.len())?;
        }
        let (summary, bytes_read) = (self.summary.clone(), self.bytes_read.get());
        self.anchor = Anchor { summary, bytes_read, hasher: self.hasher.clone() };
        Ok(())
    }

    /// Whether nothing that is split together with it comes before the open document's text in the batch.
    pub(super) fn begins_text(&self) -> bool {
        !self.is_continued || self.follows_special_token
    }

    /// Adds what there is of the open document up to `end` to the batch.
    pub(super) fn push_span(&mut self, end: usize, ends_document: bool, pretoken_goes_on: bool) {
        let Self { document_start: start, is_continued, follows_special_token, source, .. } = *self;
        let continues_pretoken = self.hard_cuts.is_in_pretoken();
        let Batch { spans, sources, .. } = &mut self.batch;
        if sources.last().is_none_or(|&(_, last)| last != source) {
            sources.push((spans.len(), source));
        }
        spans.push(Span {
            start,
            end,
            begins_document: !is_continued,
            ends_document,
            follows_special_token,
            continues_pretoken,
            pretoken_goes_on,
        });
        self.document_start = end;
        self.is_continued = !ends_document;
        self.follows_special_token = false;
        self.hard_cuts.leave_pretoken();
    }

    /// Adds text to the open document.
    pub(super) fn append(&mut self, text: &str) -> Result<()> {
        if std::mem::take(&mut self.is_cut) {
            self.end_pretoken()?;
            let end = self.batch.text.len();
            if end > self.document_start {
                self.push_span(end, false, false);
            }
            self.follows_special_token = true;
        }
        self.batch.text.push_str(text);
        if self.batch.text.len() < self.full_at {
            Ok(())
        } else if self.holding.is_open() {
            self.hold_more(false)
        } else {
            self.hand_on_open()
        }
    }

    /// Adds what is between special tokens to the open document, which is cut at each of them once more text follows.
    fn append_part(&mut self, part: &Part<'_>) -> Result<()> {
        match part {
            Part::Text(text) => self.append(text),
            Part::Special => {
                self.is_cut = true;
                Ok(())
            }
        }
    }

    /// Makes room in a full batch while a document is open.
    fn hand_on_open(&mut self) -> Result<()> {
        let open = &self.batch.text[self.document_start..];
        let is_short = open.len() < BATCH_BYTES / 2 || self.hard_cuts.is_in_pretoken();
        let cut = if is_short { 0 } else { self.pretokenizer.safe_cut(open.as_bytes()) };
        if cut > 0 {
            let end = self.document_start + cut;
            self.push_span(end, false, false);
            self.hand_on(end)
        } else if self.document_start > 0 {
            self.hand_on(self.document_start)
        } else if self.hand_on_hard()? {
            Ok(())
        } else if self.batch.text.len() > self.max_stretch_bytes {
            self.hold()
        } else {
            // One long pretoken, so far: look again at twice the length, so that the searches add up to the length only.
            self.full_at = (2 * self.batch.text.len()).min(self.max_stretch_bytes.saturating_add(1));
            Ok(())
        }
    }

    /// Hands on the text before `end` and keeps the rest, which is part of the open document.
    pub(super) fn hand_on(&mut self, end: usize) -> Result<()> {
        self.stop.check()?;
        let mut text = String::with_capacity(BATCH_BYTES + PIECE_BYTES);
        text.push_str(&self.batch.text[end..]);
        let document_offset = self.document_bytes.saturating_sub(self.holding.bytes_left + text.len() as u64);
        let mut batch = std::mem::replace(&mut self.batch, Batch { text, document_offset, ..Batch::default() });
        batch.text.truncate(end);
        let bytes_read = self.bytes_read.get();
        batch.bytes_read = bytes_read - self.bytes_reported;
        self.bytes_reported = bytes_read;
        self.batch.index = batch.index + 1;
        self.document_start = 0;
        // Where hard cuts are allowed, the next look nearly always finds one.
        let times = if self.hard_cuts.is_allowed() { 1 } else { 2 };
        self.full_at = BATCH_BYTES.max(times * self.batch.text.len());
        (self.emit)(batch, &self.anchor)
    }

    pub(super) fn finish(mut self) -> Result<ReadSummary> {
        if !self.batch.text.is_empty() {
            self.hand_on(self.batch.text.len())?;
        }
        if self.summary.documents == 0 {
            return Err(Error::Data(format!(
                "the corpus has no text: {} files, in which {}\n\nhint: check the paths, and the field of jsonl and parquet files",
                self.summary.files, self.summary.skipped
            )));
        }
        self.summary.fingerprint = self.hasher.digest();
        Ok(self.summary)
    }
}

impl Sink for Batcher<'_> {
    fn push(&mut self, text: &str) -> Result<()> {
        self.hasher.update(text.as_bytes());
        self.document_bytes += text.len() as u64;
        match self.special_tokens.take() {
            None => self.append(text),
            Some(mut reader) => {
                reader.feed(text, &mut |part| self.append_part(&part))?;
                self.special_tokens = Some(reader);
                Ok(())
            }
        }
    }

    fn leave_out(&mut self, reason: SkipReason, complain: impl FnOnce() -> String) -> Result<()> {
        debug_assert_eq!(self.document_bytes, 0, "what was pushed cannot be taken back");
        self.left_out = Some(reason);
        if reason != SkipReason::Null && self.summary.complaints.len() < MAX_COMPLAINTS {
            self.summary.complaints.push(complain());
        }
        Ok(())
    }

    fn end_document(&mut self) -> Result<()> {
        let empty = (self.document_bytes == 0).then_some(SkipReason::Empty);
        if let Some(reason) = self.left_out.take().or(empty) {
            self.summary.skip(reason, self.source);
            return Ok(());
        }
        self.hasher.update(&self.document_bytes.to_le_bytes());
        self.summary.documents += 1;
        self.summary.text_bytes += self.document_bytes;
        if let Some(mut reader) = self.special_tokens.take() {
            reader.end(&mut |part| self.append_part(&part))?;
            self.special_tokens = Some(reader);
            self.is_cut = false;
        }
        self.end_pretoken()?;
        let end = self.batch.text.len();
        // There is no text in a document of special tokens alone, where they are kept out.
        if end > self.document_start {
            self.push_span(end, true, false);
        }
        self.document_start = end;
        self.document_bytes = 0;
        self.is_continued = false;
        self.follows_special_token = false;
        if end >= BATCH_BYTES || self.batch.spans.len() >= MAX_SPANS {
            self.hand_on(end)?;
        }
        Ok(())
    }
}
