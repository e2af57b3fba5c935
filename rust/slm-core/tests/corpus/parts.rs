//! Documents that have no safe place for a cut, read by one who takes parts of pretokens.

use super::documents;
use proptest::prelude::*;
use slm_core::corpus::{Batch, Reading, Source, read_batches_from};
use slm_core::error::Result;
use slm_core::pretokenize::{Normalization, Pattern, Pretokenizer, PretokenizerSettings};
use slm_core::progress::Stop;
use slm_core::special_tokens::SpecialTokenFinder;

const MIB: usize = 1 << 20;

fn source(texts: &[String]) -> Source<'static> {
    let mut left = Some(texts.to_vec());
    Source::Memory(Box::new(move || Ok(left.take())))
}

fn read(source: Source<'_>, pretokenizer: &Pretokenizer) -> Result<Vec<Batch>> {
    let directory = tempfile::tempdir().expect("there is room");
    let hold_directory = Some(directory.path());
    let reading =
        Reading { parts_of_pretokens: true, max_stretch_bytes: 2 * MIB, hold_directory, ..Reading::default() };
    let mut batches = Vec::new();
    read_batches_from(source, pretokenizer, reading, &Stop::default(), &mut |batch, _| {
        batches.push(batch);
        Ok(())
    })?;
    Ok(batches)
}

/// The pretokens of all spans, those in parts put together; and how many came in parts.
fn pretokens(batches: &[Batch], pretokenizer: &Pretokenizer) -> (Vec<String>, usize) {
    let (mut pretokens, mut open, mut num_in_parts) = (Vec::new(), String::new(), 0);
    for batch in batches {
        for &span in &batch.spans {
            assert_eq!(span.continues_pretoken, !open.is_empty());
            if !span.is_part_of_pretoken() {
                pretokens.extend(pretokenizer.split(batch.str(span)).into_iter().map(str::to_owned));
                continue;
            }
            open.push_str(batch.str(span));
            assert!(!(span.pretoken_goes_on && span.ends_document));
            if !span.pretoken_goes_on {
                num_in_parts += 1;
                pretokens.push(std::mem::take(&mut open));
            }
        }
    }
    assert!(open.is_empty());
    (pretokens, num_in_parts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pretokens_of_any_length_are_those_of_the_whole(
        runs in prop::collection::vec(
            (prop::sample::select(vec!["a", "A", " ", "=", "7", "語", "😀", "\n", " \n", "=\n", "'s ", "'s", "\t "]),
             prop_oneof![1..30_usize, Just(3 * MIB / 2), Just(5 * MIB)]), 1..6),
        pattern in prop::sample::select(Pattern::ALL.to_vec()),
    ) {
        let text = text_of(&runs);
        let texts = ["first".to_owned(), text.clone(), text, "last".to_owned()];
        let pretokenizer = Pretokenizer::from(pattern);
        let batches = read(source(&texts), &pretokenizer).unwrap();
        prop_assert!(batches.iter().all(|batch| batch.text.len() < 3 * MIB));
        prop_assert_eq!(&documents(&batches), &texts);
        let expected = texts.iter().flat_map(|text| pretokenizer.split(text));
        let (found, _) = pretokens(&batches, &pretokenizer);
        prop_assert!(found.iter().map(String::as_str).eq(expected));
        for batch in &batches {
            let begun = batch.spans.first().is_some_and(|span| !span.begins_document);
            prop_assert_eq!(batch.document_offset > 0, begun);
        }
    }
}

/// Runs that are decided by what comes far behind them, and what may come there.
fn far_sighted() -> impl Strategy<Value = Vec<(&'static str, usize)>> {
    let unit = prop::sample::select(vec![
        " ", "\t", " \t", "\u{3000}", "\u{2000}", "\u{a0} ", "A", "語A", "\n", "\r\n", "\n ", "a", "x\u{301}",
        "e\u{301}", "=", "1", "'s",
    ]);
    let bytes = prop_oneof![4 => 1..4_usize, 2 => Just(5 * MIB / 2), 1 => Just(6 * MIB)];
    let first = prop::sample::select(vec!["", "\n", "語", "a\n", "  \r\n"]);
    (first, prop::collection::vec((unit, bytes), 1..9)).prop_map(|(first, mut runs)| {
        runs.insert(0, (first, first.len()));
        runs
    })
}

fn text_of(runs: &[(&str, usize)]) -> String {
    runs.iter().map(|(unit, bytes)| unit.repeat(bytes.div_ceil(unit.len().max(1)))).collect()
}

/// A regex of which each match takes one blank, once it has looked for a line end behind all of them.
const ONE_BLANK_AFTER_THE_OTHER: &str = r"\s*[\r\n]+|\S|\s";

/// Whether that is so of more than fits into memory: the only such text that is refused.
fn is_looked_at_again(pattern: &str, text: &str) -> bool {
    let mut blanks = text.split(|character: char| !character.is_whitespace());
    pattern == ONE_BLANK_AFTER_THE_OTHER
        && blanks.any(|run| run.rsplit(['\r', '\n']).next().is_some_and(|run| run.len() > 2 * MIB))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_far_behind_decides_as_it_does_in_the_whole(
        runs in far_sighted(),
        pattern in prop::sample::select(vec!["cl100k", "o200k", "qwen2", "gpt2", ONE_BLANK_AFTER_THE_OTHER, r"a+\n|[a-z]+|\s+|."]),
        (prefix_space, normalization) in (any::<bool>(), prop::option::of(Just(Normalization::Nfc))),
    ) {
        let text = text_of(&runs);
        let settings = PretokenizerSettings { prefix_space, normalization, ..PretokenizerSettings::of_pattern(pattern) };
        let pretokenizer = Pretokenizer::new(&settings).unwrap();
        let of_text = |text: &str, begins| {
            let mut buffer = String::new();
            pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text).to_owned()
        };
        let prepared = of_text(&text, true);
        let expected = pretokenizer.split(&prepared);
        let batches = match read(source(&[text.clone(), text.clone()]), &pretokenizer) {
            Ok(batches) => batches,
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.contains("does not split"), "{message}");
                // A pretoken that is no part of the text is no span.
                let is_blank_alone = prefix_space && expected[0] == " " && !text.starts_with(' ');
                prop_assert!(is_blank_alone || is_looked_at_again(pattern, &text), "{pattern} {message}");
                return Ok(());
            }
        };
        prop_assert!(!is_looked_at_again(pattern, &text));
        // No text in the message: it has megabytes.
        prop_assert!(documents(&batches).iter().eq([&text, &text]));
        let (mut found, mut open) = (Vec::new(), String::new());
        for batch in &batches {
            for &span in &batch.spans {
                let prepared = of_text(batch.str(span), span.begins_text());
                if span.is_part_of_pretoken() {
                    open += &prepared;
                } else {
                    found.extend(pretokenizer.split(&prepared).into_iter().map(str::to_owned));
                }
                if !span.pretoken_goes_on && !open.is_empty() {
                    found.push(std::mem::take(&mut open));
                }
            }
        }
        let is_same = found.iter().map(String::as_str).eq(expected.iter().copied().chain(expected.iter().copied()));
        prop_assert!(is_same, "{}", pattern);
    }
}

#[test]
fn a_special_token_ends_a_pretoken_in_parts() {
    let special_tokens = SpecialTokenFinder::new(&["<|a|>".to_owned()]).expect("none is empty");
    let [long, rest] = [3 * MIB, 2 * MIB].map(|bytes| "=".repeat(bytes));
    let text = format!("{long}<|a|>{long}  x<|a|><|a|>{rest}<|a|>");
    let source = Source::SplitAt {
        special_tokens: special_tokens.expect("there is one"),
        source: Box::new(source(&[text.clone(), text])),
    };
    let pretokenizer = Pretokenizer::default();
    let (found, num_in_parts) = pretokens(&read(source, &pretokenizer).unwrap(), &pretokenizer);
    assert_eq!(found, [&*long, &*long, " ", " x", &*rest].repeat(2));
    assert_eq!(num_in_parts, 6);
}

#[test]
fn a_reader_that_takes_no_parts_gets_whole_pretokens() {
    let text = "a".repeat(5 * MIB / 2);
    let mut batches = Vec::new();
    let reading = Reading { max_stretch_bytes: 3 * MIB, ..Reading::default() };
    let text = [text];
    read_batches_from(source(&text), &Pretokenizer::default(), reading, &Stop::default(), &mut |batch, _| {
        batches.push(batch);
        Ok(())
    })
    .unwrap();
    assert!(batches.len() == 1 && !batches[0].spans[0].is_part_of_pretoken());
}
