//! GPT-4o's pattern, character by character: for stretches that are hard by masks, and their reference.

use super::kinds::{Kind, Kinds};
use crate::pretokenize::joining::contraction;

/// Where the pretoken that starts at `start`, which is within `text`, ends. At most `MAX_NUMBERS` numbers are in one.
#[inline]
pub(in crate::pretokenize) fn end_of_pretoken<const MAX_NUMBERS: u8>(text: &[u8], kinds: Kinds, start: usize) -> usize {
    let (kind, length) = kinds.at(text, start);
    let second = start + length;
    let word = match kind {
        Kind::Upper | Kind::Lower | Kind::Caseless => {
            cased_word(text, kinds, start).or_else(|| capitals(text, kinds, start))
        }
        // What may come before a word.
        Kind::Mark => cased_word(text, kinds, second).or_else(|| cased_word(text, kinds, start)),
        Kind::Other => cased_word(text, kinds, second).or_else(|| capitals(text, kinds, second)),
        Kind::Space if !is_line_end(text[start]) => {
            cased_word(text, kinds, second).or_else(|| capitals(text, kinds, second))
        }
        Kind::Space | Kind::Number => None,
    };
    match (word, kind) {
        (Some(end), _) => end_of_contraction(text, end),
        (None, Kind::Number) => end_of_numbers::<MAX_NUMBERS>(text, kinds, second),
        (None, Kind::Space) if text[start] != b' ' || kinds.at(text, second).0 != Kind::Other => {
            end_of_space(text, kinds, start)
        }
        (None, _) => {
            let end = kinds.end_of_run(text, second, |kind| matches!(kind, Kind::Other | Kind::Mark));
            end + text[end..].iter().take_while(|&&byte| is_line_end(byte) || byte == b'/').count()
        }
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// The end of `(U|B)*(l|B)+` from `at` on.
#[inline]
fn cased_word(text: &[u8], kinds: Kinds, mut at: usize) -> Option<usize> {
    let mut after_last_caseless = None;
    loop {
        let (kind, length) = kinds.at(text, at);
        match kind {
            Kind::Upper => {}
            Kind::Caseless | Kind::Mark => after_last_caseless = Some(at + length),
            Kind::Lower => {
                let is_in = |kind| matches!(kind, Kind::Lower | Kind::Caseless | Kind::Mark);
                return Some(kinds.end_of_run(text, at + length, is_in));
            }
            Kind::Other | Kind::Number | Kind::Space => return after_last_caseless,
        }
        at += length;
    }
}

/// The end of `U+` from `at` on, where [`cased_word`] has found no word.
fn capitals(text: &[u8], kinds: Kinds, at: usize) -> Option<usize> {
    let end = kinds.end_of_run(text, at, |kind| kind == Kind::Upper);
    (end > at).then_some(end)
}

fn end_of_contraction(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'\'') => contraction(&text[at + 1..]).map_or(at, |length| at + length),
        _ => at,
    }
}

/// The end of numbers, of which the first ends at `at`.
fn end_of_numbers<const MAX_NUMBERS: u8>(text: &[u8], kinds: Kinds, mut at: usize) -> usize {
    for _ in 1..MAX_NUMBERS {
        let (kind, length) = kinds.at(text, at);
        if kind != Kind::Number {
            break;
        }
        at += length;
    }
    at
}

/// The end of a pretoken of whitespace: after the last line end; else before the last character, unless it is all there is
/// or nothing follows.
fn end_of_space(text: &[u8], kinds: Kinds, start: usize) -> usize {
    let (mut at, mut last, mut after_line_end) = (start, start, None);
    loop {
        let (kind, length) = kinds.at(text, at);
        if length == 0 || kind != Kind::Space {
            break;
        }
        last = at;
        at += length;
        if is_line_end(text[last]) {
            after_line_end = Some(at);
        }
    }
    match after_line_end {
        Some(end) => end,
        None if at == text.len() || last == start => at,
        None => last,
    }
}
