//! One column of a Parquet file as documents, a row each.
//!
//! Pages are read one after another, so memory is that of a page, whatever the size of a row group.

use crate::corpus::documents::Sink;
use crate::corpus::memory::push_in_pieces;
use crate::corpus::summary::SkipReason;
use crate::corpus::utf8::first_paragraph;
use crate::corpus::{Corpus, CorpusFile, InvalidUtf8, OnError};
use crate::error::{Error, Result};
use crate::progress::Stop;
use parquet::basic::Type;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;
use std::cell::Cell;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

/// Rows read at a time. Each keeps the page that it is in, and pages have about a mebibyte.
const ROWS: usize = 32;

/// Passes on each row of the column `field` (nested ones as `outer.inner`); a null is a document that is left out.
///
/// `taken` goes up by the size of the file, in step with the rows. Gives the number of sequences that were replaced.
///
/// # Errors
/// [`Error::Data`] with file and row for what is malformed, is not text or has no such column; [`Error::Io`];
/// [`Error::Interrupted`].
pub(super) fn read(
    file: &CorpusFile,
    corpus: &Corpus,
    taken: &Cell<u64>,
    stop: &Stop,
    sink: &mut impl Sink,
) -> Result<u64> {
    let taken_before = taken.get();
    let Corpus { field, invalid_utf8: policy, .. } = corpus;
    let broken = Cell::new(None);
    let mut column = Column { file, field, policy: *policy, row: 0, num_replaced: 0, broken: &broken };
    match read_rows(&mut column, taken, stop, sink) {
        Err(Error::Data(complaint)) if corpus.on_error == OnError::Skip => {
            // An error of the sink is not the file's.
            let reason = broken.take().ok_or_else(|| Error::Data(complaint.clone()))?;
            sink.leave_out(reason, || first_paragraph(&complaint))?;
            sink.end_document()?;
        }
        outcome => outcome?,
    }
    taken.set(taken_before + file.bytes);
    Ok(column.num_replaced)
}

fn read_rows(column: &mut Column<'_>, taken: &Cell<u64>, stop: &Stop, sink: &mut impl Sink) -> Result<()> {
    let file = column.file;
    let opened = File::open(&file.path).map_err(Error::io(&file.path))?;
    let reader = column.guarded(|| SerializedFileReader::new(opened))?;
    let metadata = reader.metadata();
    let (column_idx, max_level) = column.find(metadata.file_metadata().schema_descr())?;
    let num_rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let taken_before = taken.get();
    for group_idx in 0..reader.num_row_groups() {
        let pages = column.guarded(|| reader.get_row_group(group_idx)?.get_column_reader(column_idx))?;
        let mut pages = get_typed_column_reader::<ByteArrayType>(pages);
        loop {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let (num_read, _, _) = column.guarded(|| pages.read_records(ROWS, Some(&mut levels), None, &mut values))?;
            stop.check()?;
            if num_read == 0 {
                break;
            }
            column.pass_on(num_read, &levels, max_level, &values, sink)?;
            // By the rows, as the other columns are passed over: in the end it is the whole file.
            let share = u128::from(file.bytes) * u128::from(column.row.min(num_rows)) / u128::from(num_rows.max(1));
            taken.set(taken_before + u64::try_from(share).unwrap_or(file.bytes));
        }
    }
    Ok(())
}

thread_local! {
    /// Whether this thread is in a call whose panics are caught and told as errors.
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Catches a panic of `call` without the report that a panic puts on stderr.
///
/// The process has one hook for such reports. It is wrapped once, and stays what it was for all other threads and calls.
fn catch_quietly<T>(call: impl FnOnce() -> T) -> thread::Result<T> {
    static WRAP_HOOK: Once = Once::new();
    WRAP_HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_CATCHING.get() {
                report(info);
            }
        }));
    });
    IS_CATCHING.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    IS_CATCHING.set(false);
    outcome
}

/// A column, and how far it is read.
struct Column<'a> {
    file: &'a CorpusFile,
    field: &'a str,
    policy: InvalidUtf8,
    /// The row to be read next.
    row: u64,
    num_replaced: u64,
    /// What kept the file from being read on, once something has.
    broken: &'a Cell<Option<SkipReason>>,
}

impl Column<'_> {
    /// Runs a call of the reader; for what it makes of a malformed file it may panic too.
    fn guarded<T>(&self, call: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
        let outcome = catch_quietly(call);
        if !matches!(outcome, Ok(Ok(_))) {
            self.broken.set(Some(SkipReason::Unreadable));
        }
        let complaint = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.to_string().contains("brotli") => {
                return Err(Error::Data(format!(
                    "`{}` is compressed with brotli, which is not read\n\nhint: write the file again with zstd or snappy",
                    self.file.path.display()
                )));
            }
            Ok(Err(ParquetError::External(source))) if source.is::<std::io::Error>() => source.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the reader gave up".to_owned(),
        };
        Err(Error::Data(format!(
            "`{}` cannot be read as Parquet at row {}: {complaint}\n\nhint: download or copy the file again",
            self.file.path.display(),
            self.row
        )))
    }

    /// The place of the column, and its definition level where it is not null.
    fn find(&self, schema: &SchemaDescriptor) -> Result<(usize, i16)> {
        let columns = schema.columns();
        let is_text = |column_idx: usize| {
            columns[column_idx].physical_type() == Type::BYTE_ARRAY && columns[column_idx].max_rep_level() == 0
        };
        match columns.iter().position(|column| column.path().string() == self.field) {
            Some(column_idx) if is_text(column_idx) => Ok((column_idx, columns[column_idx].max_def_level())),
            found => {
                self.broken.set(Some(SkipReason::Malformed));
                let problem = if found.is_some() { "is not a column of text" } else { "is not there" };
                let names: Vec<String> = (0..columns.len())
                    .filter(|&column_idx| is_text(column_idx))
                    .map(|column_idx| format!("`{}`", columns[column_idx].path().string()))
                    .collect();
                Err(Error::Data(format!(
                    "`{}`: column `{}` {problem}\n\nhint: set `field` to a column of text; this file has {}",
                    self.file.path.display(),
                    self.field,
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                )))
            }
        }
    }

    /// Passes on `num_rows` rows, of which those at the level `max_level` have a value. A required column has no levels.
    fn pass_on(
        &mut self,
        num_rows: usize,
        levels: &[i16],
        max_level: i16,
        values: &[ByteArray],
        sink: &mut impl Sink,
    ) -> Result<()> {
        let mut values = values.iter();
        for row_idx in 0..num_rows {
            let is_null = max_level > 0 && levels.get(row_idx) != Some(&max_level);
            match if is_null { None } else { values.next() } {
                Some(value) => self.pass_on_value(value.data(), sink)?,
                None => sink.leave_out(SkipReason::Null, String::new)?,
            }
            sink.end_document()?;
            self.row += 1;
        }
        Ok(())
    }

    fn pass_on_value(&mut self, value: &[u8], sink: &mut impl Sink) -> Result<()> {
        let at = match simdutf8::compat::from_utf8(value) {
            Ok(text) => return push_in_pieces(text, sink),
            Err(error) => error.valid_up_to(),
        };
        match self.policy {
            InvalidUtf8::Skip => sink.leave_out(SkipReason::InvalidUtf8, || {
                format!("`{}` is not UTF-8 in row {}", self.file.path.display(), self.row)
            }),
            InvalidUtf8::Replace => {
                for chunk in value.utf8_chunks() {
                    push_in_pieces(chunk.valid(), sink)?;
                    if !chunk.invalid().is_empty() {
                        self.num_replaced += 1;
                        sink.push("\u{FFFD}")?;
                    }
                }
                Ok(())
            }
            InvalidUtf8::Error => Err(Error::Data(format!(
                "`{}` is not UTF-8: byte 0x{:02X} at offset {at} of column `{}` in row {} does not belong there\n\nhint: leave the \
                 file out of the corpus, or set `invalid_utf8` to `replace` or `skip`",
                self.file.path.display(),
                value[at],
                self.field,
                self.row
            ))),
        }
    }
}
