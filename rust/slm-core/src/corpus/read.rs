//! Sources to batches: opens what there is to read, and finds out how it is to be read.

use crate::corpus::batch::{Anchor, Batch, Batcher, Reading};
use crate::corpus::decompress::Bytes;
use crate::corpus::documents::{self, Sink};
use crate::corpus::memory::{push_in_pieces, read_raw};
use crate::corpus::skip::{MAX_HELD_BYTES, Survey, Withholding};
use crate::corpus::summary::{ReadSummary, SkipReason};
use crate::corpus::utf8::{Utf8Pieces, first_paragraph};
use crate::corpus::{Corpus, CorpusFile, Documents, Format, OnError, Source, json_lines, parquet};
use crate::error::{Error, Result};
use crate::pretokenize::Pretokenizer;
use crate::progress::Stop;
use crate::special_tokens::SpecialTokenReader;
use std::rc::Rc;

/// Reads everything in the calling thread and hands each batch to `emit`, in order.
///
/// Holds about two batches, or the longest stretch of a document that is not cut; with
/// [`InvalidUtf8::Skip`](super::InvalidUtf8::Skip) or [`OnError::Skip`] four mebibytes more.
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Data`] for text that is not UTF-8, a truncated or corrupt archive, JSON lines that are
/// malformed or lack the field (each with file and place), or a corpus without any text; those of `emit` and of a source in
/// memory; [`Error::Interrupted`].
pub fn read_batches(
    source: Source<'_>,
    pretokenizer: &Pretokenizer,
    stop: &Stop,
    emit: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<ReadSummary> {
    read_batches_within(source, pretokenizer, usize::MAX, stop, emit)
}

/// As [`read_batches`], but a stretch that is not cut has at most about `max_stretch_bytes`.
///
/// # Errors
/// Those of [`read_batches`]; [`Error::Config`] for a longer stretch.
pub fn read_batches_within(
    source: Source<'_>,
    pretokenizer: &Pretokenizer,
    max_stretch_bytes: usize,
    stop: &Stop,
    emit: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<ReadSummary> {
    let reading = Reading { max_stretch_bytes, ..Reading::default() };
    read_batches_from(source, pretokenizer, reading, stop, &mut |batch, _| emit(batch))
}

/// As [`read_batches_within`], from an anchor on; `emit` also gets the last anchor, behind which the batch is whole.
///
/// Documents in memory are read from their beginning. The summary is that of reading everything at once.
///
/// # Errors
/// Those of [`read_batches_within`].
pub fn read_batches_from(
    source: Source<'_>,
    pretokenizer: &Pretokenizer,
    reading: Reading<'_>,
    stop: &Stop,
    emit: &mut dyn FnMut(Batch, &Anchor) -> Result<()>,
) -> Result<ReadSummary> {
    let mut batcher = Batcher::new(pretokenizer, reading, stop, emit);
    read(source, &mut batcher)?;
    batcher.finish()
}

fn read(source: Source<'_>, batcher: &mut Batcher<'_>) -> Result<()> {
    let stop = batcher.stop;
    match source {
        Source::Files(corpus) => read_files(corpus, batcher)?,
        Source::Memory(mut next) => {
            while let Some(documents) = next()? {
                for document in documents {
                    batcher.bytes_read.update(|bytes| bytes + document.len() as u64);
                    push_in_pieces(&document, batcher)?;
                    batcher.end_document()?;
                }
                stop.check()?;
            }
        }
        Source::Raw { mut next, invalid_utf8 } => {
            let mut number = 0;
            while let Some(documents) = next()? {
                for document in documents {
                    batcher.bytes_read.update(|bytes| bytes + document.bytes().len() as u64);
                    let num_replaced = read_raw(&document, number, invalid_utf8, batcher)?;
                    batcher.summary.replaced_sequences += num_replaced;
                    number += 1;
                }
                stop.check()?;
            }
        }
        Source::SplitAt { special_tokens, source } => {
            batcher.special_tokens = Some(SpecialTokenReader::new(special_tokens));
            read(*source, batcher)?;
        }
    }
    Ok(())
}

fn read_files(corpus: &Corpus, batcher: &mut Batcher<'_>) -> Result<()> {
    let stop = batcher.stop;
    let num_done = usize::try_from(batcher.anchor.summary.files).unwrap_or(usize::MAX);
    for file in corpus.files.iter().skip(num_done) {
        batcher.anchor_before(file)?;
        batcher.source = file.source;
        let num_replaced = if file.format == Format::Parquet {
            let taken = Rc::clone(&batcher.bytes_read);
            parquet::read(file, corpus, &taken, stop, batcher)?
        } else {
            read_file(file, corpus, batcher)?
        };
        batcher.summary.replaced_sequences += num_replaced;
        batcher.summary.files += 1;
    }
    Ok(())
}

/// Reads a file that is no table and gives how many sequences were replaced.
fn read_file(file: &CorpusFile, corpus: &Corpus, batcher: &mut Batcher<'_>) -> Result<u64> {
    let (stop, max_decoder_bytes) = (batcher.stop, batcher.max_decoder_bytes);
    let bytes = match Bytes::open(file, &batcher.bytes_read, max_decoder_bytes, stop) {
        Err(Error::Data(complaint)) if corpus.on_error == OnError::Skip => {
            batcher.leave_out(SkipReason::Unreadable, || first_paragraph(&complaint))?;
            batcher.end_document()?;
            return Ok(0);
        }
        bytes => bytes?,
    };
    let mut pieces = Utf8Pieces::new(bytes, corpus.invalid_utf8, corpus.on_error);
    let num_replaced = if corpus.is_withholding() {
        let mut survey = || find_long_spoiled(file, corpus, max_decoder_bytes, stop);
        read_documents(&mut pieces, file, corpus, &mut Withholding::new(batcher, &mut survey))?
    } else {
        read_documents(&mut pieces, file, corpus, batcher)?
    };
    Ok(num_replaced + pieces.num_replaced())
}

/// Gives how many lone surrogates were replaced.
fn read_documents(
    pieces: &mut Utf8Pieces<'_>,
    file: &CorpusFile,
    corpus: &Corpus,
    sink: &mut impl Sink,
) -> Result<u64> {
    if file.format == Format::Jsonl {
        let policies = (corpus.invalid_utf8, corpus.on_error);
        return json_lines::read(pieces, &corpus.field, policies, sink);
    }
    match &corpus.documents {
        Documents::File => documents::read_file(pieces, sink)?,
        Documents::Line => documents::read_lines(pieces, sink)?,
        Documents::Separator(separator) => documents::read_separated(pieces, separator, sink)?,
    }
    Ok(0)
}

fn find_long_spoiled(file: &CorpusFile, corpus: &Corpus, max_decoder_bytes: u64, stop: &Stop) -> Result<Vec<u64>> {
    if file.is_pipe {
        return Err(Error::Data(format!(
            "`{}` has a document of more than {} MiB, and cannot be read twice, as `invalid_utf8: skip` and `on_error: skip` have to \
             for such a document\n\nhint: give a regular file, or set `invalid_utf8` to `replace` and leave `on_error` out",
            file.path.display(),
            MAX_HELD_BYTES >> 20
        )));
    }
    let mut survey = Survey::new(stop);
    let bytes = Bytes::open(file, &Rc::default(), max_decoder_bytes, stop)?;
    let mut pieces = Utf8Pieces::new(bytes, corpus.invalid_utf8, corpus.on_error);
    read_documents(&mut pieces, file, corpus, &mut survey)?;
    Ok(survey.long_spoiled)
}
