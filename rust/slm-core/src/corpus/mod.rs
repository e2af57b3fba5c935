//! The corpus: files, or documents handed over in memory, as one stream of checked UTF-8 in batches.
//!
//! Read in this order: this file (what to read), [`files`] (paths to files), [`decompress`] (files to bytes), [`pipe`]
//! (bytes from elsewhere), [`utf8`] (bytes to text), [`documents`], [`json_lines`] and [`parquet`] (files to documents),
//! [`memory`] (documents from a caller), [`skip`] (documents to leave out), [`batch`] with [`parts`] and [`held`] (documents to batches), [`read`] (all of
//! that for any source), [`fingerprint`] (the text's identity), [`summary`] (what was read), [`position`] and [`sources`] (going on
//! where work was broken off).

pub mod batch;
mod decompress;
mod documents;
mod files;
mod fingerprint;
mod held;
mod json_lines;
mod memory;
mod parquet;
mod parts;
mod pipe;
mod position;
mod read;
pub mod sample;
mod skip;
mod sources;
mod summary;
mod utf8;

pub(crate) use batch::pretoken_too_long;
pub use batch::{Anchor, Batch, Reading, Span};
pub use memory::RawDocument;
pub use position::{MAX_ANCHOR_BYTES, Mark, Place, Position};
pub use read::{read_batches, read_batches_from, read_batches_within};
pub use sources::Sources;
pub use summary::{ReadSummary, Skipped};

use crate::error::{Error, Result};
use crate::special_tokens::SpecialTokenFinder;
use std::path::PathBuf;
use xxhash_rust::xxh3::Xxh3;

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file's name: `.jsonl` and `.ndjson` (also before `.gz`, `.zst` or `.xz`) are JSON lines, `.parquet` is Parquet,
    /// everything else is text.
    #[default]
    Auto,
    /// UTF-8 text.
    Text,
    /// One JSON object a line, with the document in one field.
    Jsonl,
    /// A table with the documents in one column.
    Parquet,
}

/// Where one document of a text file ends and the next begins. In JSON lines and Parquet it is always a line or a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Documents {
    /// A file is one document.
    #[default]
    File,
    /// A line is one document and keeps its line ending, as Hugging Face's `train(files)` has it.
    Line,
    /// A document ends before this text, which belongs to no document.
    Separator(String),
}

/// What becomes of bytes that are not UTF-8, and of lone surrogates in JSON and in text from memory, which have no form in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidUtf8 {
    /// They are an error, which names the file or the document and the place.
    #[default]
    Error,
    /// Each sequence of bytes becomes U+FFFD, as in Python's `errors="replace"`, and so does each surrogate.
    Replace,
    /// The document that has them is left out.
    Skip,
}

/// What becomes of a document that cannot be read: a malformed JSON line, one without its field or with something else than
/// text in it, and what there is where a file breaks off or cannot be decompressed further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It is an error, which names the file and the place.
    #[default]
    Error,
    /// It is left out, and so are documents that are not UTF-8 where [`InvalidUtf8`] would make them an error.
    Skip,
}

/// The path that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Text of a document is handed on in pieces of about this size, so that a long one needs no second copy of itself.
const PIECE_BYTES: usize = 256 << 10;

/// Which files make up a corpus, and how to read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusSpec {
    /// Files, directories (read recursively in order of names, hidden entries left out), globs, lists of all these (`@list.txt`,
    /// a path a line) and standard input (`-`), in the order to read them.
    pub paths: Vec<String>,
    /// What the files hold.
    pub format: Format,
    /// Documents of text files.
    pub documents: Documents,
    /// The field of a JSON line, or the column of a Parquet file, that holds the document.
    pub field: String,
    /// What becomes of bytes that are not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// What becomes of what cannot be read.
    pub on_error: OnError,
}

impl Default for CorpusSpec {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            format: Format::Auto,
            documents: Documents::File,
            field: "text".to_owned(),
            invalid_utf8: InvalidUtf8::Error,
            on_error: OnError::Error,
        }
    }
}

/// A file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size on disk in bytes; 0 for a pipe.
    pub bytes: u64,
    /// What it holds; never [`Format::Auto`].
    pub format: Format,
    /// Whether it is standard input, a pipe or something else that can be read only once.
    pub is_pipe: bool,
    /// Which of [`Corpus::sources`] it is from.
    pub source: u32,
}

/// Files that were found, in the order they are read.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<CorpusFile>,
    documents: Documents,
    field: String,
    invalid_utf8: InvalidUtf8,
    on_error: OnError,
    sources: Vec<String>,
}

/// Paths of a corpus that are sources of their own in its figures; where more were given, the last stands for the rest.
const MAX_SOURCES: usize = 1000;

impl Corpus {
    /// Finds the files; none is opened yet.
    ///
    /// # Errors
    /// [`Error::Io`] for a path that does not exist, a list among them, or a glob that matches nothing;
    /// [`Error::Data`] where there is no file at all, or a list is not UTF-8; [`Error::Config`] for an empty separator, a
    /// malformed glob, or standard input given twice.
    pub fn open(spec: &CorpusSpec) -> Result<Self> {
        if spec.documents == Documents::Separator(String::new()) {
            return Err(Error::Config(
                "the document separator is empty\n\nhint: give the text that stands between two documents, such as `<|endoftext|>`"
                    .to_owned(),
            ));
        }
        let mut files = files::find(&spec.paths, spec.format)?;
        let CorpusSpec { paths: mut sources, documents, field, mut invalid_utf8, on_error, .. } = spec.clone();
        if sources.len() > MAX_SOURCES {
            let num_more = sources.len() - (MAX_SOURCES - 1);
            sources.truncate(MAX_SOURCES);
            sources[MAX_SOURCES - 1] = format!("{num_more} more paths");
            let last = u32::try_from(MAX_SOURCES - 1).unwrap_or(u32::MAX);
            for file in &mut files {
                file.source = file.source.min(last);
            }
        }
        if on_error == OnError::Skip && invalid_utf8 == InvalidUtf8::Error {
            invalid_utf8 = InvalidUtf8::Skip;
        }
        Ok(Self { files, documents, field, invalid_utf8, on_error, sources })
    }

    /// The paths that were given, of which each is a source of its own in the figures.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Whether a document is held back until it is known to be one to its end.
    fn is_withholding(&self) -> bool {
        self.invalid_utf8 == InvalidUtf8::Skip || self.on_error == OnError::Skip
    }

    /// The files, in the order they are read.
    pub fn files(&self) -> &[CorpusFile] {
        &self.files
    }

    /// The bytes of all files on disk, compressed as they are.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Identifies how files are read, whatever files they are.
    pub fn settings_fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        hasher.update(self.settings().as_bytes());
        hasher.digest()
    }

    fn settings(&self) -> String {
        let is_lenient = if self.on_error == OnError::Skip { "\0skip" } else { "" };
        format!("{:?}\0{:?}\0{}{is_lenient}", self.documents, self.invalid_utf8, self.field)
    }

    /// Identifies the files by path and size, and how they are read, without opening them.
    ///
    /// A file whose text changed but whose size did not goes unnoticed; [`ReadSummary::fingerprint`] is of the text itself.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        hasher.update(self.settings().as_bytes());
        for file in &self.files {
            hasher.update(file.path.as_os_str().as_encoded_bytes());
            hasher.update(&[0, file.format as u8]);
            hasher.update(&file.bytes.to_le_bytes());
        }
        hasher.digest()
    }
}

/// Hands over the next documents, or `None` after the last. Called on the reader's thread.
pub type NextDocuments<'a> = dyn FnMut() -> Result<Option<Vec<String>>> + Send + 'a;

/// As [`NextDocuments`], for documents that need not be text.
pub type NextRawDocuments<'a> = dyn FnMut() -> Result<Option<Vec<RawDocument>>> + Send + 'a;

/// Where documents come from.
pub enum Source<'a> {
    /// From files.
    Files(&'a Corpus),
    /// From memory: a caller that has an iterator wraps it, or the receiving end of a bounded channel, in a closure.
    Memory(Box<NextDocuments<'a>>),
    /// As before, but they need not be text.
    Raw {
        /// Gives the documents.
        next: Box<NextRawDocuments<'a>>,
        /// What becomes of those that are not text.
        invalid_utf8: InvalidUtf8,
    },
    /// From another source, but special tokens are kept out of the text, which is cut there.
    SplitAt {
        /// What finds the special tokens.
        special_tokens: SpecialTokenFinder,
        /// The documents.
        source: Box<Self>,
    },
}

impl<'a> From<&'a Corpus> for Source<'a> {
    fn from(corpus: &'a Corpus) -> Self {
        Self::Files(corpus)
    }
}

impl Source<'_> {
    /// The bytes that [`Batch::bytes_read`] adds up to, or 0 where nobody knows.
    pub fn total_bytes(&self) -> u64 {
        match self {
            Self::Files(corpus) => corpus.total_bytes(),
            Self::Memory(_) | Self::Raw { .. } => 0,
            Self::SplitAt { source, .. } => source.total_bytes(),
        }
    }
}

/// The last character border of `text` that is not after `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() { text.len() } else { (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0) }
}
