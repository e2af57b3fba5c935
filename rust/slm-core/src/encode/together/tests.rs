//! Pretokens answered together against naive merging, with every kind of processor at hand.

use super::super::tests::{encode_naively, encoder};
use super::super::{Encoder, Queue, Scratch};
use super::*;
use crate::pretokenize::{Pattern, Pretokenizer};
use crate::processor::Processor;
use crate::progress::Stop;
use proptest::prelude::*;

/// Several of them share bytes; the last two have no token.
const CHARS: [char; 8] = ['中', '丽', '囩', '国', '甩', '一', '丁', '七'];

/// The merges of pairs of bytes of all characters and what they make, then of each character but the last two, and then of pairs of
/// what is known by then, of which some are parts of characters.
fn merges(of_bytes: &[(usize, usize)], pairs: &[(usize, usize)]) -> Vec<(TokenId, TokenId)> {
    let byte = |char: char, at: usize| TokenId::from(char.to_string().as_bytes()[at]);
    let (mut merges, mut known) = (Vec::new(), Vec::new());
    let merge = |merges: &mut Vec<_>, pair| {
        let rank = merges.iter().position(|merge| *merge == pair).unwrap_or_else(|| {
            merges.push(pair);
            merges.len() - 1
        });
        256 + TokenId::try_from(rank).unwrap()
    };
    let mut parts: Vec<TokenId> = CHARS.iter().flat_map(|&char| (0..3).map(move |at| byte(char, at))).collect();
    for &(left, right) in of_bytes {
        let pair = (parts[left % parts.len()], parts[right % parts.len()]);
        parts.push(merge(&mut merges, pair));
    }
    for char in CHARS.into_iter().take(CHARS.len() - 2) {
        let start = merge(&mut merges, (byte(char, 0), byte(char, 1)));
        known.push(merge(&mut merges, (start, byte(char, 2))));
    }
    known.extend([byte('中', 0), byte('囩', 2), byte('丁', 0)]);
    known.extend(&parts[3 * CHARS.len()..]);
    for &(left, right) in pairs {
        let pair = (known[left % known.len()], known[right % known.len()]);
        known.push(merge(&mut merges, pair));
    }
    merges
}

fn encode(encoder: &Encoder, scratch: &mut Scratch, text: &str) -> Vec<TokenId> {
    let (mut ids, stop) = (Vec::new(), Stop::default());
    let mut queue = Queue::new(encoder, text.as_bytes(), scratch, &mut ids, &stop);
    Pretokenizer::from(Pattern::Gpt2).find_ends(text, &mut queue);
    queue.finish();
    ids
}

fn check(words: &[Vec<usize>], merges: &[(TokenId, TokenId)]) -> Result<(), TestCaseError> {
    let words: Vec<String> = words.iter().map(|word| word.iter().map(|&idx| CHARS[idx]).collect()).collect();
    check_words(&words, merges)
}

fn check_words(words: &[String], merges: &[(TokenId, TokenId)]) -> Result<(), TestCaseError> {
    let text = words.join(",");
    let naive = |pretoken: &str| encode_naively(merges, pretoken.as_bytes());
    let expected = words.iter().map(|word| naive(word)).collect::<Vec<_>>().join(&naive(",")[..]);
    let mut encoder = encoder(merges);
    for processor in Processor::all() {
        encoder.pairs.set_processor(processor);
        let mut scratch = Scratch::default();
        for _ in 0..2 {
            prop_assert_eq!(&encode(&encoder, &mut scratch, &text), &expected, "{:?}", processor);
        }
    }
    Ok(())
}

/// Numbers of characters, of which some have no token; some words are longer than what is answered together.
fn word() -> impl Strategy<Value = Vec<usize>> {
    let char = || prop_oneof![30 => 0..6_usize, 1 => 6..8_usize];
    prop_oneof![9 => prop::collection::vec(char(), 1..11), 1 => prop::collection::vec(char(), 11..60)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn what_is_answered_together_has_the_naive_ids(
        words in prop::collection::vec(word(), 300..700),
        of_bytes in prop_oneof![
            2 => prop::collection::vec((0_usize..40, 0_usize..40), 0..1),
            1 => prop::collection::vec((0_usize..40, 0_usize..40), 1..12),
        ],
        pairs in prop::collection::vec((0_usize..40, 0_usize..40), 0..40),
    ) {
        check(&words, &merges(&of_bytes, &pairs))?;
    }
}

#[test]
fn what_merged_across_characters_joins_their_neighbours_too() {
    let mut merges = merges(&[], &[]);
    let token = |text: &str| encode_naively(&merges, text.as_bytes())[0];
    // The end of the first character and all of the second, then both, then one more before them, and one behind.
    let (whole, beginning, before) = (token("国"), token("丁"), token("甩"));
    let new = |more: u32| 256 + u32::try_from(merges.len()).unwrap() + more;
    let joined = [("丁".as_bytes()[2].into(), whole), (beginning, new(0)), (before, new(1)), (new(2), whole)];
    merges.extend(joined);
    assert_eq!(encode_naively(&merges, "甩丁国国".as_bytes()).len(), 1);
    let crossing = [4, 6, 3, 3];
    let words = (0..600).map(|number| {
        let others = [number % 6, number / 6 % 6, number / 36 % 6];
        [&others[..number % 4], &crossing, &others, &crossing[..number % 4]].concat()
    });
    check(&words.collect::<Vec<_>>(), &merges).unwrap();
}

#[test]
fn letters_whose_bits_are_those_of_a_wide_character_are_not_taken_for_it() {
    // Without the bits that tell how long a character is, `txm` is spelled as `中`.
    let word = |number: usize| {
        let digits: String = [number, number / 6, number / 36].iter().map(|number| CHARS[number % 6]).collect();
        if number.is_multiple_of(3) { digits + "中txm" } else { digits + "中" }
    };
    check_words(&(0..600).map(word).collect::<Vec<_>>(), &merges(&[], &[(0, 0), (0, 1), (2, 0)])).unwrap();
}

#[test]
fn words_beyond_the_room_of_the_row_are_encoded_too() {
    let word = |number: usize| (0..40).map(|at| (number * 7 + at * at * number + at) % 6).collect();
    check(&(0..600).map(word).collect::<Vec<_>>(), &merges(&[], &[(0, 1), (2, 3), (6, 2), (1, 1)])).unwrap();
}

#[test]
fn new_words_are_merged_together_from_the_second_batch_on() {
    let words: Vec<String> = (0..1_000_u32)
        .map(|number| (0..5).map(|digit| CHARS[number as usize / 6_usize.pow(digit) % 6]).collect())
        .collect();
    let (mut encoder, mut scratch) = (encoder(&merges(&[], &[])), Scratch::default());
    for processor in Processor::all() {
        encoder.pairs.set_processor(processor);
        encode(&encoder, &mut scratch, &words.join(","));
        let num_merged = scratch.waiting.together().num_merged;
        // Half of a batch are commas.
        assert!(num_merged > 50, "{processor:?}: {num_merged}");
        scratch = Scratch::default();
    }
}
