//! Bytes that are not UTF-8, and lone surrogates.

use super::archives::{gzip, xz};
use super::{documents, documents_under, error_of, read, separated_by};
use proptest::prelude::*;
use slm_core::corpus::{Documents, InvalidUtf8, RawDocument, ReadSummary, Skipped, Source};
use slm_core::error::Result;
use slm_core::pretokenize::Pattern;

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
