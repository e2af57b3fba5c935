//! Reading a corpus: documents, batches, archives, and what bad input gets.

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use slm_core::corpus::{
    Anchor, Batch, Corpus, CorpusSpec, Documents, Format, InvalidUtf8, RawDocument, ReadSummary, Reading, Skipped,
    Source, read_batches, read_batches_from,
};
use slm_core::error::{Error, Result};
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::progress::Stop;
use slm_core::special_tokens::SpecialTokenFinder;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
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
            }
            documents.last_mut().expect("a document has begun").push_str(batch.str(span));
        }
        assert_eq!(end, batch.text.len());
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

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("gzip in memory")
}

fn zstandard(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd in memory");
    let written = encoder.include_checksum(true).and_then(|()| encoder.write_all(content));
    written.and_then(|()| encoder.finish()).expect("zstd in memory")
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("xz in memory")
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

#[test]
fn a_file_is_one_document() {
    assert_eq!(
        documents_of("a.txt", "one\r\ntwo\n\nthree…".as_bytes(), Documents::File).unwrap(),
        ["one\r\ntwo\n\nthree…"]
    );
}

#[test]
fn a_line_keeps_its_ending_and_the_last_one_needs_none() {
    assert_eq!(
        documents_of("a.txt", b"one\r\n\ntwo\rthree", Documents::Line).unwrap(),
        ["one\r\n", "\n", "two\rthree"]
    );
    assert_eq!(documents_of("a.txt", b"one\n", Documents::Line).unwrap(), ["one\n"]);
}

#[test]
fn a_separator_belongs_to_no_document_and_empty_documents_are_left_out() {
    let text = b"one<|end|>two\n<|end|><|end|>three<|end|>";
    assert_eq!(documents_of("a.txt", text, separated_by("<|end|>")).unwrap(), ["one", "two\n", "three"]);
    assert_eq!(documents_of("a.txt", b"one<|end|>two<|end", separated_by("<|end|>")).unwrap(), ["one", "two<|end"]);
}

#[test]
fn an_empty_separator_is_refused() {
    assert!(matches!(documents_of("a.txt", b"text", separated_by("")), Err(Error::Config(_))));
}

#[test]
fn a_json_line_is_one_document() {
    let lines = "{\"id\": 1, \"text\": \"one\\ntwo\"}\n \r\n{\"text\": \"…\", \"more\": {\"text\": [1, \"x\"]}}\r\n{\"text\":\"\"}";
    assert_eq!(documents_of("a.jsonl", lines.as_bytes(), Documents::File).unwrap(), ["one\ntwo", "…"]);
}

#[test]
fn a_field_and_a_format_can_be_chosen() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, "{\"body\": \"one\"}").unwrap();
    let spec = CorpusSpec { format: Format::Jsonl, field: "body".to_owned(), ..spec(&path, Documents::Line) };
    let (batches, _) = read((&Corpus::open(&spec).unwrap()).into(), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["one"]);
}

#[test]
fn bad_json_lines_are_named_by_file_and_line() {
    let place = "a.jsonl`:2: ";
    let deep = format!("{{\"n\": {}", "[".repeat(200));
    for (line, complaint) in [
        ("{\"text\": \"one\"", "the line ends inside its object, at column 15"),
        ("{\"text\": \"one", "the line ends inside a string, at column 14"),
        ("{\"text\": \"one\\u00", "the line ends inside a string, at column 18"),
        ("{\"text\": 1}", "field `text` is a number, it must be a string or null, at column 10"),
        ("{\"text\": {}}", "field `text` is an object, it must be a string or null, at column 10"),
        ("{\"body\": \"one\"}", "there is no field `text`, at column 15"),
        ("{}", "there is no field `text`, at column 2"),
        ("{\"text\": \"a\", \"text\": \"b\"}", "field `text` comes twice, at column 16"),
        ("[1]", "'[' where a JSON object must be, at column 1"),
        ("{\"text\": \"one\"} x", "'x' where the end of the line must be, at column 17"),
        ("{\"text\": \"a\tb\"}", "'\\t' where an escape such as `\\n` or `\\u0000` must be, at column 12"),
        ("{\"text\": \"\\x\"}", "'x' where one of `\"\\/bfnrtu` behind a `\\` must be, at column 12"),
        ("{\"n\": 01, \"text\": \"\"}", "'1' where `,` or `}` must be, at column 8"),
        ("{\"n\": -, \"text\": \"\"}", "',' where a digit must be, at column 8"),
        ("{\"n\": [1 2]}", "'2' where `,` or `]` must be, at column 10"),
        ("{\"n\": nuln}", "'n' where `true`, `false` or `null` must be, at column 10"),
        ("{\"n\" 1}", "'1' where `:` must be, at column 6"),
        ("{n: 1}", "'n' where a key must be, at column 2"),
        ("{\"n\": …}", "'…' where a value must be, at column 7"),
        (deep.as_str(), "more than 128 arrays and objects in one another, at column 134"),
    ] {
        let error = error_of("a.jsonl", format!("{{\"text\": \"fine\"}}\n{line}\n").as_bytes(), Documents::File);
        assert!(error.contains(place) && error.contains(complaint) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn archives_are_read_to_their_last_member() {
    for (name, compress) in [
        ("a.txt.gz", gzip as fn(&[u8]) -> Vec<u8>),
        ("a.zst", zstandard),
        ("a.xz", xz),
        ("a", gzip),
        ("a", zstandard),
        ("a", xz),
    ] {
        let members = [compress(b"one\ntw"), compress(b"o\nthree\n")].concat();
        assert_eq!(documents_of(name, &members, Documents::Line).unwrap(), ["one\n", "two\n", "three\n"], "{name}");
    }
    let lines = gzip(b"{\"text\": \"one\"}\n");
    assert_eq!(documents_of("a.jsonl.gz", &lines, Documents::File).unwrap(), ["one"]);
}

#[test]
fn truncated_archives_are_named_with_the_offset_of_the_text() {
    let numbers: Vec<String> = (0..200_000_u64).map(|number| (number * number % 7919).to_string()).collect();
    let text = numbers.join(" ");
    for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstandard), ("a.xz", xz)] {
        let whole = compress(text.as_bytes());
        for kept in [whole.len() / 2, whole.len() - 1, 6] {
            let error = error_of(name, &whole[..kept], Documents::File);
            assert!(error.contains(&format!("{name}` is truncated")) && error.contains("bytes of text"), "{error}");
        }
    }
}

#[test]
fn corrupt_archives_are_errors() {
    for (name, compress) in [("a.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.zst", zstandard), ("a.xz", xz)] {
        let mut whole = compress(&b"text ".repeat(1000));
        // The end of all three formats says what the text must be.
        let last = whole.len() - 1;
        whole[last] ^= 0xFF;
        let error = error_of(name, &whole, Documents::File);
        assert!(
            error.contains(&format!("{name}` is corrupt")) || error.contains(&format!("{name}` is truncated")),
            "{error}"
        );
        assert!(error_of(name, b"plain text", Documents::File).contains("does not begin as a"));
    }
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_file_and_offset() {
    // The blocks of the reader have 256 KiB: once within the first, once in the middle of a later one, once at the end.
    for (before, bad) in [(3, &b"\xFF more"[..]), (700_000, b"\xE2\x28 more"), (600_001, b"\xE2\x80")] {
        let content = [&b"x".repeat(before)[..], bad].concat();
        for how in [Documents::File, Documents::Line, separated_by("|")] {
            let error = error_of("a.txt", &content, how);
            let expected = format!("a.txt` is not UTF-8: byte 0x{:02X} at offset {before} ", bad[0]);
            assert!(error.contains(&expected) && error.contains("hint: "), "{error}");
        }
        assert!(
            error_of("a.gz", &gzip(&content), Documents::File).contains(&format!("at offset {before} of its text"))
        );
    }
}

#[test]
fn a_document_that_is_not_utf8_is_skipped_and_counted_and_the_others_stay() {
    // The long ones end beyond what is held back, and are spoiled at their end or not at all.
    let long = "long line ".repeat(500_000);
    let lines =
        [b"one\n", &b"t\xFFwo\n"[..], long.as_bytes(), b"\n", long.as_bytes(), b"\xC3(\n", b"\n", b"four \xE2\x80"]
            .concat();
    let (documents, summary) = documents_under(InvalidUtf8::Skip, "a", &lines, Documents::Line).unwrap();
    assert!(documents == ["one\n", &format!("{long}\n"), "\n"]);
    assert_eq!((summary.documents, summary.skipped.invalid_utf8, summary.skipped.empty), (3, 3, 0));
    let archive = xz(&lines);
    assert!(documents_under(InvalidUtf8::Skip, "a.xz", &archive, Documents::Line).unwrap().0 == documents);

    let parts =
        [b"one|t\xFF\xFEwo|||", long.as_bytes(), b"|", long.as_bytes(), b"\xFF", long.as_bytes(), b"|five||six"]
            .concat();
    let (documents, summary) = documents_under(InvalidUtf8::Skip, "a", &parts, separated_by("||")).unwrap();
    assert_eq!((documents, summary.skipped.invalid_utf8), (vec!["six".to_owned()], 2));
}

#[test]
fn separators_and_json_lines_skip_too() {
    let parts = b"one|t\xFF\xFEwo||three\xC3|five|";
    let (documents, summary) = documents_under(InvalidUtf8::Skip, "a", parts, separated_by("|")).unwrap();
    assert_eq!(documents, ["one", "five"]);
    assert_eq!((summary.skipped.invalid_utf8, summary.skipped.empty), (2, 1));
    let lines = b"{\"text\": \"one\"}\n{\"text\": \"t\xFFwo\"}\n\xFF\n\n{\"text\": \"three\"}\n\xFE";
    let (documents, summary) = documents_under(InvalidUtf8::Skip, "a.jsonl", lines, Documents::File).unwrap();
    assert_eq!(documents, ["one", "three"]);
    assert_eq!(summary.skipped.invalid_utf8, 3);
}

#[test]
fn all_documents_skipped_is_a_corpus_without_text() {
    let error = documents_under(InvalidUtf8::Skip, "a", b"\xFF", Documents::File).unwrap_err().to_string();
    assert!(
        error.contains("1 files, in which 0 documents are empty, 0 are null, 1 are not UTF-8, 0 have lone surrogates"),
        "{error}"
    );
}

#[test]
fn a_list_names_the_files_to_read() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["b.txt", "a.txt", "@c.txt"] {
        fs::write(path(name), name).unwrap();
    }
    fs::write(path("list"), format!("{}\r\n\n{}\n{}", path("b.txt"), path("a*"), path("@c.txt"))).unwrap();
    let open = |list: String| Corpus::open(&CorpusSpec { paths: vec![list], ..CorpusSpec::default() });
    let (batches, _) = read((&open(format!("@{}", path("list"))).unwrap()).into(), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["b.txt", "a.txt", "@c.txt"]);
    assert!(
        matches!(open(format!("@{}", path("none"))), Err(Error::Io { path: named, .. }) if named == Path::new(&path("none")))
    );
    fs::write(path("list"), b"\xFF").unwrap();
    assert!(matches!(open(format!("@{}", path("list"))), Err(Error::Data(_))));
}

#[test]
fn standard_input_is_given_once_at_most() {
    let twice = CorpusSpec { paths: vec!["-".into(), "-".into()], ..CorpusSpec::default() };
    assert!(matches!(Corpus::open(&twice), Err(Error::Config(_))));
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_and_waiting_for_it_can_be_stopped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let corpus = Corpus::open(&CorpusSpec { invalid_utf8: InvalidUtf8::Skip, ..spec(&path, Documents::Line) }).unwrap();
    let write = |content: Vec<u8>| {
        let path = path.clone();
        std::thread::spawn(move || drop(fs::write(path, content)))
    };
    let writer = write(gzip(b"one\n\xFF\ntwo\n"));
    let (batches, _) = read((&corpus).into(), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["one\n", "two\n"]);
    writer.join().unwrap();

    let writer = write(b"long ".repeat(2_000_000));
    let error = read((&corpus).into(), Pattern::Gpt2).unwrap_err().to_string();
    assert!(error.contains("cannot be read twice"), "{error}");
    writer.join().unwrap();

    let stop = Stop::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_batches((&corpus).into(), &Pretokenizer::default(), &stop, &mut |_| Ok(())));
        std::thread::sleep(std::time::Duration::from_millis(50));
        stop.request();
        assert!(matches!(reader.join().unwrap(), Err(Error::Interrupted)));
    });
}

#[test]
fn characters_may_cross_blocks() {
    let text = format!("x{}", "語…é".repeat(100_000));
    assert_eq!(documents_of("a.txt", text.as_bytes(), Documents::File).unwrap(), [text.as_str()]);
    assert_eq!(documents_of("a.zst", &zstandard(text.as_bytes()), Documents::Line).unwrap(), [text]);
}

#[test]
fn a_missing_file_is_not_found_under_its_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("none.txt");
    let error = Corpus::open(&spec(&path, Documents::File)).unwrap_err();
    assert!(
        matches!(error, Error::Io { path: named, source } if named == path && source.kind() == std::io::ErrorKind::NotFound)
    );
}

#[test]
fn a_corpus_without_text_is_an_error() {
    for (name, content) in [("a.txt", &b""[..]), ("a.jsonl", b"\n\n"), ("a.jsonl", b"{\"text\": \"\"}")] {
        assert!(error_of(name, content, Documents::File).starts_with("the corpus has no text: 1 files"));
    }
}

#[test]
fn a_null_in_json_lines_is_left_out_and_counted() {
    let lines = b"{\"text\": null}\n{\"id\": null, \"text\": \"one\"}\n{\"text\":null , \"id\": 1}\n{\"text\": \"\"}\n";
    for policy in [InvalidUtf8::Error, InvalidUtf8::Replace, InvalidUtf8::Skip] {
        let (documents, summary) = documents_under(policy, "a.jsonl", lines, Documents::File).unwrap();
        assert_eq!(documents, ["one"]);
        assert_eq!(summary.skipped, Skipped { empty: 1, null: 2, ..Skipped::default() });
    }
}

#[test]
fn a_json_line_longer_than_what_is_held_back_is_skipped_for_what_is_at_its_end() {
    let long = "long text ".repeat(500_000);
    for (end, reason) in [
        (&b"\xC3("[..], Skipped { invalid_utf8: 1, ..Skipped::default() }),
        (b"\\ud800", Skipped { lone_surrogate: 1, ..Skipped::default() }),
    ] {
        let lines = [b"{\"text\": \"", long.as_bytes(), end, b"\"}\n{\"text\": \"", long.as_bytes(), b"\"}\n"].concat();
        let (documents, summary) = documents_under(InvalidUtf8::Skip, "a.jsonl", &lines, Documents::File).unwrap();
        assert!(documents == [long.as_str()]);
        assert_eq!(summary.skipped, reason);
    }
}

fn of_raw(documents: &[RawDocument], invalid_utf8: InvalidUtf8) -> Result<(Vec<String>, ReadSummary)> {
    let mut left = Some(documents.to_vec());
    let next = Box::new(move || Ok(left.take()));
    let (batches, summary) = read(Source::Raw { next, invalid_utf8 }, Pattern::Gpt2)?;
    Ok((self::documents(&batches), summary))
}

#[test]
fn documents_in_memory_that_are_not_text_follow_the_policy() {
    // Two surrogates, one after the other, and the beginning of a character at the end.
    let text = RawDocument::Text("é\u{8a9e}".bytes().chain(*b"\xED\xA0\xBD\xED\xB8\x80!").collect());
    let bytes = RawDocument::Bytes(b"a\xFFb\xE8\xAA".to_vec());
    let fine = RawDocument::Bytes(b"fine".to_vec());
    let error = of_raw(&[fine.clone(), text.clone()], InvalidUtf8::Error).unwrap_err().to_string();
    assert!(error.starts_with("document 1 of the iterable has a lone surrogate at index 2"), "{error}");
    let error = of_raw(&[fine.clone(), fine.clone(), bytes.clone()], InvalidUtf8::Error).unwrap_err().to_string();
    assert!(error.starts_with("document 2 of the iterable is not UTF-8: byte 0xFF at offset 1 "), "{error}");
    let all = [text, fine, bytes];
    let (documents, summary) = of_raw(&all, InvalidUtf8::Replace).unwrap();
    assert_eq!(documents, ["é\u{8a9e}\u{FFFD}\u{FFFD}!", "fine", "a\u{FFFD}b\u{FFFD}"]);
    assert_eq!((summary.replaced_sequences, summary.skipped), (4, Skipped::default()));
    let (documents, summary) = of_raw(&all, InvalidUtf8::Skip).unwrap();
    assert_eq!(documents, ["fine"]);
    assert_eq!(summary.skipped, Skipped { invalid_utf8: 1, lone_surrogate: 1, ..Skipped::default() });
}

/// The text between special tokens, one string a span, with `^` before those that begin a document and `|` before those that
/// follow a special token; `documents` are in memory, and so are their borders.
fn texts_between(documents: &[String], special_tokens: &[String]) -> (Vec<String>, ReadSummary) {
    let mut left = Some(documents.to_vec());
    let source = Source::Memory(Box::new(move || Ok(left.take())));
    let special_tokens = SpecialTokenFinder::new(special_tokens).expect("none is empty").expect("there are some");
    let (batches, summary) =
        read(Source::SplitAt { special_tokens, source: Box::new(source) }, Pattern::Gpt2).expect("it is text");
    let spans = batches.iter().flat_map(|batch| {
        batch.spans.iter().map(|&span| {
            let begins = if span.begins_document { "^" } else { "" };
            let follows = if span.follows_special_token { "|" } else { "" };
            format!("{begins}{follows}{}", batch.str(span))
        })
    });
    (spans.collect(), summary)
}

#[test]
fn documents_are_cut_where_special_tokens_are_kept_out_and_read_as_the_same() {
    let special_tokens = ["<|a|>".to_owned(), "<|a|>!".to_owned()];
    let documents = ["one <|a|>!two<|a|><|a|>", "<|a|>", "", "plain", "<|a", "<|a|>x"].map(str::to_owned);
    let (spans, summary) = texts_between(&documents, &special_tokens);
    assert_eq!(spans, ["^one ", "|two", "^plain", "^<|a", "^|x"]);
    let mut left = Some(documents.to_vec());
    let whole = read(Source::Memory(Box::new(move || Ok(left.take()))), Pattern::Gpt2).unwrap().1;
    assert_eq!(summary, whole);
}

#[test]
fn special_tokens_are_found_across_pieces_and_batches() {
    // No text has a safe cut, so only special tokens end spans; one lies across the end of the first piece of 256 KiB.
    let long = "x".repeat((256 << 10) - 2);
    let document = format!("{long}<|a|>{}", format!("{long}<|a|>").repeat(9));
    let (spans, _) = texts_between(&[document.clone(), document], &["<|a|>".to_owned()]);
    assert!(spans.len() == 20 && spans.iter().all(|span| span.trim_start_matches(['^', '|']) == long));
    assert_eq!(spans.iter().filter(|span| span.starts_with('|')).count(), 18);
    assert_eq!(spans.iter().filter(|span| span.starts_with("^x")).count(), 2);
}

#[test]
fn empty_documents_are_counted() {
    let source = Source::Memory(Box::new({
        let mut batches = vec![vec!["one".to_owned()], vec![String::new(), "two".to_owned()], vec![]];
        move || Ok(batches.pop())
    }));
    let (batches, summary) = read(source, Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["two", "one"]);
    assert_eq!((summary.documents, summary.skipped.empty, summary.files), (2, 1, 0));
}

#[test]
fn an_error_of_the_source_or_of_the_consumer_ends_reading() {
    let failing = Source::Memory(Box::new(|| Err(Error::Config("no more".to_owned()))));
    assert!(matches!(read(failing, Pattern::Gpt2), Err(Error::Config(_))));
    let endless = Source::Memory(Box::new(|| Ok(Some(vec!["some text ".repeat(1000)]))));
    let outcome = read_batches(endless, &Pretokenizer::default(), &Stop::default(), &mut |_| Err(Error::Interrupted));
    assert!(matches!(outcome, Err(Error::Interrupted)));
}

#[test]
fn a_requested_stop_ends_reading() {
    let stop = Stop::default();
    stop.request();
    let endless = Source::Memory(Box::new(|| Ok(Some(vec!["some text ".repeat(1000)]))));
    assert!(matches!(read_batches(endless, &Pretokenizer::default(), &stop, &mut |_| Ok(())), Err(Error::Interrupted)));
}

#[test]
fn the_fingerprint_tells_borders_between_documents() {
    let of = |documents: &[&str]| {
        let mut documents = Some(documents.iter().map(|&document| document.to_owned()).collect());
        read(Source::Memory(Box::new(move || Ok(documents.take()))), Pattern::Gpt2).unwrap().1.fingerprint
    };
    assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    assert_ne!(of(&["ab", "c"]), of(&["c", "ab"]));
}

#[test]
fn batches_stay_near_a_mebibyte_and_a_pretoken_longer_than_that_stays_whole() {
    let long_word = "x".repeat(3 << 20);
    let text = format!("{}{long_word} {}", "short words ".repeat(300_000), "1 ".repeat(1_000_000));
    let mut left = Some(vec![text.clone()]);
    let (batches, _) = read(Source::Memory(Box::new(move || Ok(left.take()))), Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), [text]);
    let with_word = batches.iter().filter(|batch| batch.text.contains("xx")).collect::<Vec<_>>();
    assert!(with_word.len() == 1 && with_word[0].text.contains(&long_word));
    assert!(batches.iter().all(|batch| batch.text.len() < 5 << 20));
    assert!(batches.iter().filter(|batch| batch.text.len() > 3 << 19).count() <= 2);
}

/// Bytes that are nearly UTF-8.
fn broken_text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => any::<u8>().prop_map(|byte| vec![byte]),
        3 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        3 => (any::<char>(), 0..4_usize).prop_map(|(character, kept)| {
            let bytes = character.to_string().into_bytes();
            bytes[..kept.min(bytes.len())].to_vec()
        }),
        1 => prop::sample::select(vec![&b"\xED\xA0\x80"[..], b"\xF4\x90\x80\x80", b"\xE0\x80\x80", b"\n", b"\xC0\xAF", b"a"])
            .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(part, 1..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn replacing_is_that_of_the_standard_library(content in broken_text(), before in 0..8_usize) {
        // The first block of the reader may end anywhere in it.
        let content = [&b"x".repeat((256 << 10) - before)[..], &content].concat();
        let (documents, summary) = documents_under(InvalidUtf8::Replace, "a", &content, Documents::File).unwrap();
        prop_assert_eq!(documents.concat(), String::from_utf8_lossy(&content));
        let expected = content.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
        prop_assert_eq!(summary.replaced_sequences, expected as u64);
    }

    #[test]
    fn skipping_leaves_out_exactly_the_lines_that_are_not_utf8(content in broken_text()) {
        let lines: Vec<_> = content.split_inclusive(|&byte| byte == b'\n').collect();
        let expected: Vec<_> = lines.iter().filter_map(|line| std::str::from_utf8(line).ok()).collect();
        match documents_under(InvalidUtf8::Skip, "a", &content, Documents::Line) {
            Ok((documents, summary)) => {
                prop_assert_eq!(documents, expected.clone());
                prop_assert_eq!(summary.skipped.invalid_utf8, (lines.len() - expected.len()) as u64);
            }
            Err(error) => prop_assert!(expected.is_empty(), "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_document_over_many_batches_has_the_pretokens_of_the_whole(
        words in prop::collection::vec("[a-z]{1,9}| {1,4}|\\n{1,3}|[,.'!]{1,3}|'s|[0-9]{1,5}|語{1,3}|\u{3000}|\r\n", 20..60),
        pattern in prop::sample::select(Pattern::ALL.to_vec()),
    ) {
        let words = words.concat();
        let text = words.repeat(3_000_000 / words.len());
        let mut left = Some(vec![text.clone()]);
        let (batches, _) = read(Source::Memory(Box::new(move || Ok(left.take()))), pattern).unwrap();
        prop_assert!(batches.len() > 1);
        let spans = batches.iter().flat_map(|batch| batch.spans.iter().map(|&span| batch.str(span)));
        let pretokenizer = Pretokenizer::from(pattern);
        prop_assert!(spans.flat_map(|span| pretokenizer.split(span)).eq(pretokenizer.split(&text)));
    }
}

#[test]
fn reading_goes_on_from_any_anchor_with_the_same_text_and_summary() {
    let folder = TempDir::new().expect("a folder");
    for (i, lines) in [40, 3000, 1, 0, 90_000, 200, 300, 5].into_iter().enumerate() {
        let text: Vec<_> = (0..lines).map(|line| format!("line {line} of file {i}, with a few words\n\n")).collect();
        fs::write(folder.path().join(format!("{i}.txt")), text.concat()).expect("a file");
    }
    let corpus = Corpus::open(&spec(folder.path(), Documents::Line)).expect("it is there");
    let read = |from: Option<&Anchor>, anchor_bytes| {
        let reading = Reading { max_stretch_bytes: usize::MAX, from, anchor_bytes };
        let mut batches: Vec<(String, Anchor)> = Vec::new();
        let summary = read_batches_from(
            (&corpus).into(),
            &Pretokenizer::default(),
            reading,
            &Stop::default(),
            &mut |batch, anchor| {
                batches.push((batch.text, anchor.clone()));
                Ok(())
            },
        );
        (batches, summary.expect("it is read"))
    };
    let (whole, expected) = read(None, u64::MAX);
    assert!(whole.iter().all(|(_, anchor)| *anchor == Anchor::default()));
    let whole: String = whole.into_iter().map(|(text, _)| text).collect();
    let mut anchors = 0;
    for anchor_bytes in [0, 5000, 1 << 20] {
        let (batches, summary) = read(None, anchor_bytes);
        assert_eq!(summary, expected);
        for (_, anchor) in &batches {
            let written = serde_json::to_string(anchor).expect("it is written");
            let anchor: Anchor = serde_json::from_str(&written).expect("it is read");
            let (batches, summary) = read(Some(&anchor), anchor_bytes);
            assert_eq!(summary, expected);
            let rest: String = batches.into_iter().map(|(text, _)| text).collect();
            assert_eq!(rest, whole[usize::try_from(anchor.summary.text_bytes).expect("it fits")..]);
            anchors += usize::from(anchor.summary.files > 0);
        }
    }
    assert!(anchors > 10);
}
