//! Documents that have no safe place for a cut, read by one who takes parts of pretokens.

use super::documents;
use proptest::prelude::*;
use slm_core::corpus::{Batch, Reading, Source, read_batches_from};
use slm_core::error::{Error, Result};
use slm_core::pretokenize::{Pattern, Pretokenizer};
use slm_core::progress::Stop;
use slm_core::special_tokens::SpecialTokenFinder;

const MIB: usize = 1 << 20;

fn source(texts: &[String]) -> Source<'static> {
    let mut left = Some(texts.to_vec());
    Source::Memory(Box::new(move || Ok(left.take())))
}

fn read(source: Source<'_>, pretokenizer: &Pretokenizer) -> Result<Vec<Batch>> {
    let reading = Reading { parts_of_pretokens: true, max_stretch_bytes: 2 * MIB, ..Reading::default() };
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
        let text: String = runs.iter().map(|(unit, bytes)| unit.repeat(bytes.div_ceil(unit.len()))).collect();
        let texts = ["first".to_owned(), text.clone(), text, "last".to_owned()];
        let pretokenizer = Pretokenizer::from(pattern);
        match read(source(&texts), &pretokenizer) {
            Ok(batches) => {
                prop_assert!(batches.iter().all(|batch| batch.text.len() < 3 * MIB));
                prop_assert_eq!(&documents(&batches), &texts);
                let expected = texts.iter().flat_map(|text| pretokenizer.split(text));
                let (found, _) = pretokens(&batches, &pretokenizer);
                prop_assert!(found.iter().map(String::as_str).eq(expected));
            }
            // Only what is decided by the next line end, or by the next small letter, may be too long.
            Err(Error::Config(message)) => {
                prop_assert!(message.contains("does not split"), "{message}");
                prop_assert_ne!(pattern, Pattern::Gpt2);
                prop_assert!(runs.iter().any(|(unit, _)| ["\n", " \n", "=\n", "語"].contains(unit)));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
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
