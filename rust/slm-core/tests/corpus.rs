//! Reading a corpus: documents, batches, archives, and what bad input gets.

use proptest::prelude::*;
use slm_core::corpus::{Batch, Corpus, CorpusSpec, Documents, Format, ReadSummary, Source, read_batches};
use slm_core::error::{Error, Result};
use slm_core::pretokenize::Pattern;
use slm_core::progress::Stop;
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

fn read(source: Source<'_>, pattern: Pattern) -> Result<(Vec<Batch>, ReadSummary)> {
    let mut batches = Vec::new();
    let summary = read_batches(source, pattern, &Stop::default(), &mut |batch| {
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
    for (line, complaint) in [
        ("{\"text\": \"one\"", "EOF while parsing an object, at column 14"),
        ("{\"text\": 1}", "field `text`: invalid type: integer `1`, expected a string"),
        ("{\"text\": null}", "field `text`: invalid type: null, expected a string"),
        ("{\"body\": \"one\"}", "there is no field `text`"),
        ("[1]", "invalid type: sequence, expected a JSON object"),
        ("{\"text\": \"one\"} x", "trailing characters"),
    ] {
        let error = error_of("a.jsonl", format!("{{\"text\": \"fine\"}}\n{line}\n").as_bytes(), Documents::File);
        assert!(error.contains(place) && error.contains(complaint) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn archives_are_read_to_their_last_member() {
    for (name, compress) in
        [("a.txt.gz", gzip as fn(&[u8]) -> Vec<u8>), ("a.txt.zst", zstandard), ("a", gzip), ("a", zstandard)]
    {
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
    for (name, whole) in [("a.gz", gzip(text.as_bytes())), ("a.zst", zstandard(text.as_bytes()))] {
        for kept in [whole.len() / 2, whole.len() - 1, 6] {
            let error = error_of(name, &whole[..kept], Documents::File);
            assert!(error.contains(&format!("{name}` is truncated")) && error.contains("bytes of text"), "{error}");
        }
    }
}

#[test]
fn corrupt_archives_are_errors() {
    for (name, mut whole) in [("a.gz", gzip(&b"text ".repeat(1000))), ("a.zst", zstandard(&b"text ".repeat(1000)))] {
        // The end of both formats says what the text must be.
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
fn empty_documents_are_counted() {
    let source = Source::Memory(Box::new({
        let mut batches = vec![vec!["one".to_owned()], vec![String::new(), "two".to_owned()], vec![]];
        move || Ok(batches.pop())
    }));
    let (batches, summary) = read(source, Pattern::Gpt2).unwrap();
    assert_eq!(documents(&batches), ["two", "one"]);
    assert_eq!((summary.documents, summary.empty_documents, summary.files), (2, 1, 0));
}

#[test]
fn an_error_of_the_source_or_of_the_consumer_ends_reading() {
    let failing = Source::Memory(Box::new(|| Err(Error::Config("no more".to_owned()))));
    assert!(matches!(read(failing, Pattern::Gpt2), Err(Error::Config(_))));
    let endless = Source::Memory(Box::new(|| Ok(Some(vec!["some text ".repeat(1000)]))));
    let outcome = read_batches(endless, Pattern::Gpt2, &Stop::default(), &mut |_| Err(Error::Interrupted));
    assert!(matches!(outcome, Err(Error::Interrupted)));
}

#[test]
fn a_requested_stop_ends_reading() {
    let stop = Stop::default();
    stop.request();
    let endless = Source::Memory(Box::new(|| Ok(Some(vec!["some text ".repeat(1000)]))));
    assert!(matches!(read_batches(endless, Pattern::Gpt2, &stop, &mut |_| Ok(())), Err(Error::Interrupted)));
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
        prop_assert!(spans.flat_map(|span| pattern.split(span)).eq(pattern.split(&text)));
    }
}
