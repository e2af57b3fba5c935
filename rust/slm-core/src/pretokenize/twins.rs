//! Scanners by masks against the same patterns character by character, on hostile text at every place of a block.

use super::blocks::Table;
use super::classes::Classes;
use super::pattern::{self, Named, Ranges};
use super::vectors::Common;
use super::{cl100k, o200k};
use crate::processor::Processor;
use proptest::prelude::*;

/// The limits on numbers that a pattern can have.
type ByLimit = [fn(&str) -> Vec<usize>; 3];

const CL100K: [ByLimit; 2] =
    [[cl100k_by_masks::<1>, cl100k_by_masks::<2>, cl100k_by_masks::<3>], [cl100k::<1>, cl100k::<2>, cl100k::<3>]];

const O200K: [ByLimit; 2] =
    [[o200k_by_masks::<1>, o200k_by_masks::<2>, o200k_by_masks::<3>], [o200k::<1>, o200k::<2>, o200k::<3>]];

/// With what every processor has; [`assert_same_on_any_processor`] tells whether this one finds the same.
fn cl100k_by_masks<const DIGITS: u8>(text: &str) -> Vec<usize> {
    ends_by_masks(text, cl100k::Starts::<_, DIGITS>::new(text.as_bytes(), Common))
}

fn o200k_by_masks<const DIGITS: u8>(text: &str) -> Vec<usize> {
    ends_by_masks(text, o200k::Starts::<_, DIGITS>::new(text.as_bytes(), Common))
}

fn cl100k<const DIGITS: u8>(text: &str) -> Vec<usize> {
    let classes = Classes::new();
    ends_one_by_one(text, |start| cl100k::by_char::end_of_pretoken::<DIGITS>(text.as_bytes(), classes, start))
}

fn o200k<const DIGITS: u8>(text: &str) -> Vec<usize> {
    let kinds = o200k::Kinds::new();
    ends_one_by_one(text, |start| o200k::by_char::end_of_pretoken::<DIGITS>(text.as_bytes(), kinds, start))
}

fn ends_by_masks(text: &str, starts: impl Iterator<Item = (usize, u64)>) -> Vec<usize> {
    let mut ends = Vec::new();
    pattern::tell(starts, Common, text.as_bytes(), &mut Ranges::new(|_, end| ends.push(end)));
    ends
}

fn ends_one_by_one(text: &str, end_of: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut ends = Vec::new();
    while ends.last().copied().unwrap_or(0) < text.len() {
        ends.push(end_of(ends.last().copied().unwrap_or(0)));
    }
    ends
}

/// With each of what this processor has.
fn assert_same_on_any_processor(text: &str) {
    for named in Named::all() {
        let ends_on = |processor| {
            let mut ends = Vec::new();
            named.find_ends_on(processor, text.as_bytes(), &mut Ranges::new(|start, end| ends.push((start, end))));
            ends
        };
        let expected = ends_on(Processor::Common);
        for processor in Processor::all() {
            assert_eq!(ends_on(processor), expected, "{named:?} of {text:?} on {processor:?}");
        }
    }
}

fn assert_same(text: &str, [by_masks, by_char]: [ByLimit; 2]) {
    for (limit, (by_masks, by_char)) in by_masks.iter().zip(by_char).enumerate() {
        assert_eq!(by_masks(text), by_char(text), "{} numbers in {text:?}", limit + 1);
    }
    assert_same_on_any_processor(text);
}

/// Characters of all that patterns tell apart, of one to four bytes.
const ALPHABET: &str = "aelrstvdmRSTLEVDMZſKé語ʰǅÀ𐐀𐐨123٣Ⅷ𝟘''''.!-#//\0\u{7f}…，’😀\u{301}\u{903}     \n\n\r\t\u{b}\u{85}\u{a0}\u{2028}\u{3000}\u{1c89}";

fn texts() -> impl Strategy<Value = String> {
    let character = prop_oneof![9 => prop::sample::select(ALPHABET.chars().collect::<Vec<_>>()), 1 => any::<char>()];
    // Most runs are short; some reach over a whole block.
    let run = (character, prop_oneof![30 => Just(1), 5 => 2..7_usize, 1 => 55..140_usize]);
    prop::collection::vec(run, 1..40).prop_map(|runs| {
        runs.into_iter().flat_map(|(character, length)| std::iter::repeat_n(character, length)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_text_is_split_alike_at_every_offset(text in texts(), before in prop::sample::select(vec!['a', ' ', '!', '\n', '1'])) {
        for offset in 0..64 {
            let text: String = std::iter::repeat_n(before, offset).chain(text.chars()).collect();
            assert_same(&text, CL100K);
            assert_same(&text, O200K);
        }
    }
}

/// Every text of five of these characters, across the end of a block at some places.
fn short_texts(characters: &[char]) -> impl Iterator<Item = String> {
    (0..characters.len().pow(5)).flat_map(move |code| {
        [0, 59, 61, 63].map(|offset| {
            let before = std::iter::repeat_n('a', offset);
            before.chain((0..5).map(|idx| characters[code / characters.len().pow(idx) % characters.len()])).collect()
        })
    })
}

#[test]
fn every_short_text_is_split_alike_across_blocks() {
    for text in short_texts(&['a', 's', '1', '\'', '!', ' ', '\t', '\n', '\u{3000}', '，']) {
        assert_same(&text, CL100K);
    }
    for text in short_texts(&['a', 'S', 'B', '語', '\u{301}', '\'', '!', ' ', '\n', '/']) {
        assert_same(&text, O200K);
    }
}

/// Runs that begin at, or reach over, any place of a block, in what decides over a run from either side.
#[test]
fn every_run_is_split_alike_across_blocks() {
    for (unit, length) in ALPHABET.chars().flat_map(|unit| (15..70).map(move |length| (unit, length))) {
        let run: String = std::iter::repeat_n(unit, length).collect();
        for before in ["", "\n", "a\n", "!a\n", "!\n", " \n", "a ", "語"] {
            for after in ["", "\n", "a", " \n", "!", " a", "/\n"] {
                let text = format!("{before}{run}{after}");
                assert_same(&text, CL100K);
                assert_same(&text, O200K);
            }
        }
    }
}
