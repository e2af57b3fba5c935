//! GPT-4o's pattern, pretoken by pretoken.
//!
//! ```text
//!  [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! Write `U` for `[\p{Lu}\p{Lt}]`, `l` for `\p{Ll}` and `B` for `[\p{Lm}\p{Lo}\p{M}]`, which is in both classes. The first
//! line takes `(U|B)*(l|B)+`: all of `U` and `B` from a place on, and then all of `l` and `B`, where an `l` follows. Where none
//! does, the regex gives back what it took until the second part has a `B`: the word ends after the last `B`, and the capitals
//! behind that are a word of their own. Only capitals alone are left to the second line.

use super::classes::{decode, table};
use super::joining::contraction;
use std::sync::LazyLock;

/// What this pattern asks about a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Punctuation, symbols, controls.
    Other,
    /// `[\p{Lu}\p{Lt}]`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `[\p{Lm}\p{Lo}]`.
    Caseless,
    /// `\p{M}`.
    Mark,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
}

static KINDS: LazyLock<Box<[Kind]>> = LazyLock::new(|| {
    table(
        Kind::Other,
        &[
            (r"[\p{Lu}\p{Lt}]", Kind::Upper),
            (r"\p{Ll}", Kind::Lower),
            (r"[\p{Lm}\p{Lo}]", Kind::Caseless),
            (r"\p{M}", Kind::Mark),
            (r"\p{N}", Kind::Number),
            (r"\s", Kind::Space),
        ],
    )
});

/// The kind of a character and its length in bytes; made once per scan, so that the table is looked up once.
#[derive(Clone, Copy)]
pub(super) struct Kinds(&'static [Kind]);

impl Kinds {
    pub(super) fn new() -> Self {
        Self(&KINDS)
    }

    /// The kind and the length of the character at `at`; something else than any word has at the end of the text.
    #[inline]
    fn at(self, text: &[u8], at: usize) -> (Kind, usize) {
        match text.get(at) {
            None => (Kind::Space, 0),
            Some(&byte) if byte < 0x80 => (self.0[usize::from(byte)], 1),
            Some(_) => {
                let (code_point, length) = decode(text, at);
                (self.0[code_point as usize], length)
            }
        }
    }

    /// Whether what is at `at` may belong to the word before it though it is no letter: a mark, or the `'` of a contraction.
    pub(super) fn continues_word(self, text: &[u8], at: usize) -> bool {
        text[at] == b'\'' || self.at(text, at).0 == Kind::Mark
    }

    #[inline]
    fn end_of_run(self, text: &[u8], mut at: usize, is_in: impl Fn(Kind) -> bool) -> usize {
        loop {
            let (kind, length) = self.at(text, at);
            if length == 0 || !is_in(kind) {
                return at;
            }
            at += length;
        }
    }
}

/// Where the pretoken that starts at `start`, which is within `text`, ends. At most `MAX_NUMBERS` numbers are in one.
#[inline]
pub(super) fn end_of_pretoken<const MAX_NUMBERS: usize>(text: &[u8], kinds: Kinds, start: usize) -> usize {
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
fn end_of_numbers<const MAX_NUMBERS: usize>(text: &[u8], kinds: Kinds, mut at: usize) -> usize {
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
