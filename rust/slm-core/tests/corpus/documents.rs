//! What of a file is one document.

use super::archives::zstandard;
use super::{documents, documents_of, documents_under, error_of, read, separated_by, spec};
use slm_core::corpus::{Corpus, CorpusSpec, Documents, Format, InvalidUtf8, Skipped, Source};
use slm_core::error::Error;
use slm_core::pretokenize::Pattern;
use std::fs;
use tempfile::TempDir;

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
        ("{\"text\": \"a\", \"text\": \"b\"}", "field `text` comes twice, at column 15"),
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
fn characters_may_cross_blocks() {
    let text = format!("x{}", "語…é".repeat(100_000));
    assert_eq!(documents_of("a.txt", text.as_bytes(), Documents::File).unwrap(), [text.as_str()]);
    assert_eq!(documents_of("a.zst", &zstandard(text.as_bytes()), Documents::Line).unwrap(), [text]);
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
fn a_corpus_without_text_is_an_error() {
    for (name, content) in [("a.txt", &b""[..]), ("a.jsonl", b"\n\n"), ("a.jsonl", b"{\"text\": \"\"}")] {
        assert!(error_of(name, content, Documents::File).starts_with("the corpus has no text: 1 files"));
    }
}
