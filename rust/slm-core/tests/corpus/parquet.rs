//! Parquet files.

use super::{documents, documents_of, documents_under, error_of, read, spec};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use slm_core::corpus::{Corpus, CorpusSpec, Documents, InvalidUtf8};
use slm_core::error::Error;
use slm_core::pretokenize::Pattern;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// A Parquet file with the columns `id`, `text` and `meta.note`, a few rows to a group.
fn table(texts: &[Option<&[u8]>], compression: Compression) -> Vec<u8> {
    let schema =
        "message m { required int64 id; optional binary text (UTF8); required group meta { required binary note; } }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a writer");
    for texts in texts.chunks(100) {
        let ids: Vec<i64> = texts.iter().map(|_| 7).collect();
        let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
        let values: Vec<ByteArray> = texts.iter().flatten().map(|text| text.to_vec().into()).collect();
        let notes: Vec<ByteArray> = texts.iter().map(|_| "note".into()).collect();
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("a column").expect("the first");
        column.typed::<Int64Type>().write_batch(&ids, None, None).expect("in memory");
        column.close().expect("in memory");
        for (values, levels) in [(values, Some(&levels[..])), (notes, None)] {
            let mut column = group.next_column().expect("a column").expect("two more");
            column.typed::<ByteArrayType>().write_batch(&values, levels, None).expect("in memory");
            column.close().expect("in memory");
        }
        group.close().expect("in memory");
    }
    writer.into_inner().expect("in memory")
}

#[test]
fn a_row_of_parquet_is_one_document() {
    let texts: Vec<String> = (0..1000).map(|number| format!("text {} …", number % 300)).collect();
    let mut rows: Vec<Option<&[u8]>> = texts.iter().map(|text| Some(text.as_bytes())).collect();
    rows[500] = None;
    let expected = [&texts[..500], &texts[501..]].concat();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        assert_eq!(documents_of("a.parquet", &table(&rows, compression), Documents::File).unwrap(), expected);
    }
}

#[test]
fn a_column_of_parquet_can_be_chosen_and_the_choice_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, table(&[Some(b"one"), None], Compression::SNAPPY)).unwrap();
    let of = |field: &str| {
        let corpus = Corpus::open(&CorpusSpec { field: field.to_owned(), ..spec(&path, Documents::File) })?;
        read((&corpus).into(), Pattern::Gpt2).map(|(batches, summary)| (documents(&batches), summary.skipped.null))
    };
    assert_eq!(of("text").unwrap(), (vec!["one".to_owned()], 1));
    assert_eq!(of("meta.note").unwrap(), (vec!["note".to_owned(); 2], 0));
    for (field, problem) in [("body", "column `body` is not there"), ("id", "column `id` is not a column of text")] {
        let error = of(field).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("this file has `text`, `meta.note`"), "{error}");
    }
}

#[test]
fn parquet_that_is_cut_off_or_damaged_is_named() {
    let whole = table(&[Some(&b"text ".repeat(1000)[..])], Compression::ZSTD(ZstdLevel::default()));
    for kept in [0, 3, whole.len() / 2, whole.len() - 1] {
        let error = error_of("a.parquet", &whole[..kept], Documents::File);
        assert!(error.contains("a.parquet` cannot be read as Parquet at row 0: "), "{error}");
    }
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        // Not every byte is used, but none may end the process.
        if let Err(error) = documents_of("a.parquet", &damaged, Documents::File) {
            assert!(matches!(error, Error::Data(_)), "{error}");
        }
    }
}

#[test]
fn rows_of_parquet_that_are_not_utf8_follow_the_policy() {
    let rows: [Option<&[u8]>; 3] = [Some(b"one"), Some(b"t\xFFwo"), Some(b"three")];
    let content = table(&rows, Compression::SNAPPY);
    let error = error_of("a.parquet", &content, Documents::File);
    assert!(error.contains("a.parquet` is not UTF-8: byte 0xFF at offset 1 of column `text` in row 1 "), "{error}");
    let (documents, summary) = documents_under(InvalidUtf8::Skip, "a.parquet", &content, Documents::File).unwrap();
    assert_eq!((documents, summary.skipped.invalid_utf8), (vec!["one".to_owned(), "three".to_owned()], 1));
    let (documents, summary) = documents_under(InvalidUtf8::Replace, "a.parquet", &content, Documents::File).unwrap();
    assert_eq!((documents[1].as_str(), summary.replaced_sequences), ("t\u{FFFD}wo", 1));
}
