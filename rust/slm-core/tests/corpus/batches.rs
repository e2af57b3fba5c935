//! Batches: borders of documents, cuts, fingerprints, and going on in the middle.

use super::{documents, read, spec};
use proptest::prelude::*;
use slm_core::corpus::{Anchor, Corpus, Documents, ReadSummary, Reading, Source, read_batches, read_batches_from};
use slm_core::error::Error;
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::progress::Stop;
use slm_core::special_tokens::SpecialTokenFinder;
use std::fs;
use tempfile::TempDir;

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
        let reading = Reading { from, anchor_bytes, ..Reading::default() };
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
