//! Corpora from Python: paths, or any iterable of `str` and `bytes`.

use crate::error::guarded;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyString};
use slm_core::corpus::{
    self, CorpusSpec, Documents, Format, InvalidUtf8, NextRawDocuments, OnError, RawDocument, Source,
};
use slm_core::error::{Error, Result};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of documents taken from an iterator at a time, so that the GIL is taken rarely.
const CHUNK_BYTES: usize = 256 * 1024;

/// Documents to read: files, or an iterable that is read once.
#[pyclass(frozen, module = "slm._core")]
pub struct Corpus(Kind);

enum Kind {
    Files { corpus: corpus::Corpus, spec: CorpusSpec },
    Iterable { iterable: Py<PyAny>, invalid_utf8: InvalidUtf8 },
}

#[pymethods]
impl Corpus {
    /// Finds the files of a corpus; none is opened yet.
    #[staticmethod]
    #[allow(clippy::too_many_arguments)] // each is a setting of its own in Python
    fn from_paths(
        py: Python<'_>,
        paths: Vec<String>,
        format: &str,
        documents: &str,
        separator: Option<String>,
        field: String,
        invalid_utf8: &str,
        on_error: &str,
    ) -> PyResult<Self> {
        guarded(py, || {
            let format = match format {
                "auto" => Format::Auto,
                "text" => Format::Text,
                "jsonl" => Format::Jsonl,
                "parquet" => Format::Parquet,
                other => return Err(unknown("format", other, "`auto`, `text`, `jsonl` or `parquet`")),
            };
            let documents = match (documents, separator) {
                ("file", None) => Documents::File,
                ("line", None) => Documents::Line,
                ("separator", Some(separator)) => Documents::Separator(separator),
                ("separator", None) => {
                    return Err(Error::Config("`documents` is `separator`, so `separator` must be given".into()));
                }
                ("file" | "line", Some(_)) => {
                    return Err(Error::Config(format!(
                        "`separator` is given, so `documents` must be `separator`, not `{documents}`"
                    )));
                }
                (other, _) => return Err(unknown("documents", other, "`file`, `line` or `separator`")),
            };
            let (invalid_utf8, on_error) = (parse_invalid_utf8(invalid_utf8)?, parse_on_error(on_error)?);
            let spec = CorpusSpec { paths, format, documents, field, invalid_utf8, on_error };
            Ok(Self(Kind::Files { corpus: corpus::Corpus::open(&spec)?, spec }))
        })
    }

    /// Takes documents from an iterable of `str` and `bytes`.
    #[staticmethod]
    fn from_iterable(
        py: Python<'_>,
        iterable: &Bound<'_, PyAny>,
        invalid_utf8: &str,
        on_error: &str,
    ) -> PyResult<Self> {
        let policies = guarded(py, || Ok((parse_invalid_utf8(invalid_utf8)?, parse_on_error(on_error)?)))?;
        let invalid_utf8 = match policies {
            (InvalidUtf8::Error, OnError::Skip) => InvalidUtf8::Skip,
            (invalid_utf8, _) => invalid_utf8,
        };
        Ok(Self(Kind::Iterable { iterable: iterable.try_iter()?.into_any().unbind(), invalid_utf8 }))
    }

    /// The files in the order they are read; empty for an iterable.
    #[getter]
    fn files(&self) -> Vec<PathBuf> {
        match &self.0 {
            Kind::Files { corpus, .. } => corpus.files().iter().map(|file| file.path.clone()).collect(),
            Kind::Iterable { .. } => Vec::new(),
        }
    }

    /// Bytes of all files on disk; 0 for an iterable.
    #[getter]
    fn total_bytes(&self) -> u64 {
        match &self.0 {
            Kind::Files { corpus, .. } => corpus.total_bytes(),
            Kind::Iterable { .. } => 0,
        }
    }
}

impl Corpus {
    /// The files, if they are files.
    pub fn files_alone(&self) -> Option<&corpus::Corpus> {
        match &self.0 {
            Kind::Files { corpus, .. } => Some(corpus),
            Kind::Iterable { .. } => None,
        }
    }

    /// How the files were asked for, if they are files.
    pub fn spec(&self) -> Option<&CorpusSpec> {
        match &self.0 {
            Kind::Files { spec, .. } => Some(spec),
            Kind::Iterable { .. } => None,
        }
    }

    /// Calls `work` with the documents. An exception of the iterable ends it and is raised here.
    pub fn with_source<T>(&self, py: Python<'_>, work: impl FnOnce(Source<'_>) -> PyResult<T>) -> PyResult<T> {
        match &self.0 {
            Kind::Files { corpus, .. } => work(Source::Files(corpus)),
            Kind::Iterable { iterable, invalid_utf8 } => {
                let raised = Arc::new(Mutex::new(None));
                let next = documents_of(iterable.clone_ref(py), Arc::clone(&raised));
                let outcome = work(Source::Raw { next, invalid_utf8: *invalid_utf8 });
                let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).take();
                match (outcome, raised) {
                    (Err(_), Some(error)) => Err(error),
                    (outcome, _) => outcome,
                }
            }
        }
    }
}

/// Draws documents from an iterator on the reader's thread. An exception is left in `raised`, because the core knows of none.
fn documents_of(iterator: Py<PyAny>, raised: Arc<Mutex<Option<PyErr>>>) -> Box<NextRawDocuments<'static>> {
    let mut num_documents = 0_u64;
    Box::new(move || -> Result<Option<Vec<RawDocument>>> {
        Python::attach(|py| next_chunk(iterator.bind(py), &mut num_documents)).map_err(|error| {
            *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Error::Interrupted
        })
    })
}

fn next_chunk(iterator: &Bound<'_, PyAny>, num_documents: &mut u64) -> PyResult<Option<Vec<RawDocument>>> {
    let mut iterator = iterator.cast::<PyIterator>()?.clone();
    let (mut documents, mut num_bytes) = (Vec::new(), 0);
    while num_bytes < CHUNK_BYTES {
        let Some(document) = iterator.next() else { break };
        let document = document?;
        let (document, length) = if let Ok(text) = document.cast::<PyString>() {
            // Text in order is copied once; with lone surrogates Python writes it down first.
            let bytes = match text.to_str() {
                Ok(text) => text.as_bytes().to_vec(),
                Err(_) => text.call_method1("encode", ("utf-8", "surrogatepass"))?.extract()?,
            };
            let length = bytes.len();
            (RawDocument::Text(bytes), length)
        } else if let Ok(bytes) = document.cast::<PyBytes>() {
            (RawDocument::Bytes(bytes.as_bytes().to_vec()), bytes.as_bytes().len())
        } else {
            let kind = document.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "document {num_documents} of the iterable is {kind}, it must be str or bytes"
            )));
        };
        // Empty documents count too: an iterable of only those must come to its end.
        num_bytes += length + 1;
        *num_documents += 1;
        documents.push(document);
    }
    Ok(if documents.is_empty() { None } else { Some(documents) })
}

fn parse_invalid_utf8(name: &str) -> Result<InvalidUtf8> {
    match name {
        "error" => Ok(InvalidUtf8::Error),
        "replace" => Ok(InvalidUtf8::Replace),
        "skip" => Ok(InvalidUtf8::Skip),
        other => Err(unknown("invalid_utf8", other, "`error`, `replace` or `skip`")),
    }
}

fn parse_on_error(name: &str) -> Result<OnError> {
    match name {
        "error" => Ok(OnError::Error),
        "skip" => Ok(OnError::Skip),
        other => Err(unknown("on_error", other, "`error` or `skip`")),
    }
}

fn unknown(name: &str, value: &str, allowed: &str) -> Error {
    Error::Config(format!("`{name}` is `{value}`, it must be {allowed}"))
}
