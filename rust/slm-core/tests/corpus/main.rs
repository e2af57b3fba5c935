//! Reading a corpus: documents, batches, archives, and what bad input gets.

mod archives;
mod batches;
mod documents;
mod on_error;
mod parquet;
mod parts;
mod sources;
mod utf8;

use slm_core::corpus::{Batch, Corpus, CorpusSpec, Documents, InvalidUtf8, ReadSummary, Source, read_batches};
use slm_core::error::{Error, Result};
use slm_core::pretokenize::Pattern;
use slm_core::progress::Stop;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn read(source: Source<'_>, pattern: Pattern) -> Result<(Vec<Batch>, ReadSummary)> {
    let mut batches = Vec::new();
    let summary = read_batches(source, &pattern.into(), &Stop::default(), &mut |batch| {
        batches.push(batch);
        Ok(())
    })?;
    Ok((batches, summary))
}

/// The documents that the batches hold, after checking that spans are in order and cover the text.
fn documents(batches: &[Batch]) -> Vec<String> {
    let mut documents: Vec<String> = Vec::new();
    let mut is_open = false;
    for (index, batch) in batches.iter().enumerate() {
        assert_eq!(batch.index, index as u64);
        let mut end = 0;
        for &span in &batch.spans {
            assert!(span.start == end && span.end > span.start);
            assert_eq!(span.begins_document, !is_open);
            end = span.end;
            is_open = !span.ends_document;
            if span.begins_document {
                documents.push(String::new());
            } else if span.start == 0 {
                assert_eq!(batch.document_offset, documents.last().map_or(0, String::len) as u64);
            }
            documents.last_mut().expect("a document has begun").push_str(batch.str(span));
        }
        assert_eq!(end, batch.text.len());
        assert_eq!(batch.sources.first().map(|&(first, _)| first), (!batch.spans.is_empty()).then_some(0));
    }
    assert!(!is_open);
    documents
}

fn spec(path: &Path, how: Documents) -> CorpusSpec {
    CorpusSpec { paths: vec![path.to_str().expect("a UTF-8 path").to_owned()], documents: how, ..CorpusSpec::default() }
}

/// The documents of one file with this content.
fn documents_of(name: &str, content: &[u8], how: Documents) -> Result<Vec<String>> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    let corpus = Corpus::open(&spec(&path, how))?;
    let (batches, summary) = read((&corpus).into(), Pattern::Gpt2)?;
    assert_eq!(batches.iter().map(|batch| batch.bytes_read).sum::<u64>(), content.len() as u64);
    let documents = documents(&batches);
    assert_eq!(summary.documents, documents.len() as u64);
    assert_eq!(summary.text_bytes, documents.iter().map(|document| document.len() as u64).sum::<u64>());
    Ok(documents)
}

fn error_of(name: &str, content: &[u8], how: Documents) -> String {
    match documents_of(name, content, how) {
        Err(error @ Error::Data(_)) => error.to_string(),
        other => panic!("not an error about data: {other:?}"),
    }
}

fn separated_by(separator: &str) -> Documents {
    Documents::Separator(separator.to_owned())
}

/// The documents of one file and what was counted, under a policy for bytes that are not UTF-8.
fn documents_under(
    policy: InvalidUtf8,
    name: &str,
    content: &[u8],
    how: Documents,
) -> Result<(Vec<String>, ReadSummary)> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    let corpus = Corpus::open(&CorpusSpec { invalid_utf8: policy, ..spec(&path, how) })?;
    let (batches, summary) = read((&corpus).into(), Pattern::Gpt2)?;
    Ok((documents(&batches), summary))
}
