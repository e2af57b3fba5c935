//! The corpus: files, or documents handed over in memory, as one stream of checked UTF-8 in batches.
//!
//! Read in this order: this file (what to read), [`files`] (paths to files), [`decompress`] (files to bytes), [`documents`]
//! (bytes to documents), [`batch`] (documents to batches).

pub mod batch;
mod decompress;
mod documents;
mod files;

pub(crate) use batch::pretoken_too_long;
pub use batch::{Batch, ReadSummary, Span, read_batches, read_batches_within};

use crate::error::{Error, Result};
use std::path::PathBuf;
use xxhash_rust::xxh3::Xxh3;

/// What the bytes of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// By the file's name: `.jsonl` and `.ndjson` (also before `.gz` or `.zst`) are JSON lines, everything else is text.
    #[default]
    Auto,
    /// UTF-8 text.
    Text,
    /// One JSON object a line, with the document in one field.
    Jsonl,
}

/// Where one document of a text file ends and the next begins. JSON lines are always a document a line.
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

/// Which files make up a corpus, and how to read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusSpec {
    /// Files, directories (read recursively in order of names, hidden entries left out) and globs, in the order to read them.
    pub paths: Vec<String>,
    /// What the files hold.
    pub format: Format,
    /// Documents of text files.
    pub documents: Documents,
    /// The field of a JSON line that holds the document.
    pub field: String,
}

impl Default for CorpusSpec {
    fn default() -> Self {
        Self { paths: Vec::new(), format: Format::Auto, documents: Documents::File, field: "text".to_owned() }
    }
}

/// A file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size on disk in bytes; 0 for a pipe.
    pub bytes: u64,
    /// Whether it is read as JSON lines.
    pub is_jsonl: bool,
}

/// Files that were found, in the order they are read.
#[derive(Clone, Debug)]
pub struct Corpus {
    files: Vec<CorpusFile>,
    documents: Documents,
    field: String,
}

impl Corpus {
    /// Finds the files; none is opened yet.
    ///
    /// # Errors
    /// [`Error::Io`] for a path that does not exist, or a glob that matches nothing; [`Error::Data`] where there is no file
    /// at all; [`Error::Config`] for an empty separator or a malformed glob.
    pub fn open(spec: &CorpusSpec) -> Result<Self> {
        if spec.documents == Documents::Separator(String::new()) {
            return Err(Error::Config(
                "the document separator is empty\n\nhint: give the text that stands between two documents, such as `<|endoftext|>`"
                    .to_owned(),
            ));
        }
        let files = files::find(&spec.paths, spec.format)?;
        Ok(Self { files, documents: spec.documents.clone(), field: spec.field.clone() })
    }

    /// The files, in the order they are read.
    pub fn files(&self) -> &[CorpusFile] {
        &self.files
    }

    /// The bytes of all files on disk, compressed as they are.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Identifies the files by path and size, and how they are read, without opening them.
    ///
    /// A file whose text changed but whose size did not goes unnoticed; [`ReadSummary::fingerprint`] is of the text itself.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        hasher.update(format!("{:?}\0{}", self.documents, self.field).as_bytes());
        for file in &self.files {
            hasher.update(file.path.as_os_str().as_encoded_bytes());
            hasher.update(&[0, u8::from(file.is_jsonl)]);
            hasher.update(&file.bytes.to_le_bytes());
        }
        hasher.digest()
    }
}

/// Hands over the next documents, or `None` after the last. Called on the reader's thread.
pub type NextDocuments<'a> = dyn FnMut() -> Result<Option<Vec<String>>> + Send + 'a;

/// Where documents come from.
pub enum Source<'a> {
    /// From files.
    Files(&'a Corpus),
    /// From memory: a caller that has an iterator wraps it, or the receiving end of a bounded channel, in a closure.
    Memory(Box<NextDocuments<'a>>),
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
            Self::Memory(_) => 0,
        }
    }
}

/// The last character border of `text` that is not after `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() { text.len() } else { (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0) }
}
