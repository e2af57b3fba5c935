//! Unicode's composed form, NFC, of text that mostly has it already.
//!
//! Only where a character may change, or may have changed one before it, is anything done: a text is looked through with one
//! look at a table for each character beyond ASCII. What has to be composed is left to `unicode-normalization-alignments`, which
//! is what Hugging Face's `tokenizers` composes with. Its tables are those of Unicode 9: a mark that is younger stays where it
//! is, here as there.

use super::classes::{decode, length_of_lead};
use std::sync::LazyLock;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A character that may be composed with one before it.
const UNSTABLE: u8 = u8::MAX;

/// A character that is written as others, of which the first is stable: U+2000 as U+2002.
const REWRITTEN: u8 = u8::MAX - 1;

/// For every code point [`UNSTABLE`], [`REWRITTEN`], or else its canonical combining class, which is at most 240.
static ORDER: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let order_alone = |character| match is_nfc_quick(std::iter::once(character)) {
        IsNormalized::Yes => canonical_combining_class(character),
        _ => UNSTABLE,
    };
    let order = |code_point| {
        let Some(character) = char::from_u32(code_point) else { return 0 };
        let order = order_alone(character);
        let mut first = None;
        decompose_canonical(character, |part| _ = first.get_or_insert(part));
        let is_rewritten = order == UNSTABLE && first.is_some_and(|first| order_alone(first) == 0);
        if is_rewritten { REWRITTEN } else { order }
    };
    (0..=0x10_FFFF).map(order).collect()
});

/// The table, looked up once for a text.
#[derive(Clone, Copy)]
pub(super) struct Order(&'static [u8]);

impl Order {
    pub(super) fn new() -> Self {
        Self(&ORDER)
    }

    /// The order and the length of the character that starts at `at`.
    #[inline]
    fn at(self, text: &[u8], at: usize) -> (u8, usize) {
        if text[at] < 0x80 {
            return (0, 1);
        }
        let (code_point, length) = decode(text, at);
        (self.0[code_point as usize], length)
    }

    /// Whether the character that starts at `at` never changes, and nothing before it changes because of it. A text can be cut
    /// before such a character, and both parts be composed alone.
    pub(super) fn is_stable(self, text: &[u8], at: usize) -> bool {
        self.at(text, at).0 == 0
    }

    /// Whether nothing before the character that starts at `at` changes because of it, as it may itself. A text can be cut before
    /// such a character too.
    pub(super) fn is_border(self, text: &[u8], at: usize) -> bool {
        matches!(self.at(text, at).0, 0 | REWRITTEN)
    }
}

/// The composed form of `text` where it differs, written to `buffer`.
pub(super) fn compose<'a>(text: &str, buffer: &'a mut String) -> Option<&'a str> {
    let bytes = text.as_bytes();
    let order = Order::new();
    let (mut first, mut end) = next_disorder(bytes, order, 0)?;
    buffer.clear();
    let mut copied = 0;
    loop {
        buffer.push_str(&text[copied..first]);
        buffer.extend(text[first..end].nfc().map(|(character, _)| character));
        copied = end;
        match next_disorder(bytes, order, end) {
            Some(next) => (first, end) = next,
            None => break,
        }
    }
    buffer.push_str(&text[copied..]);
    // Where everything that had to be looked at closely was composed already.
    (buffer.as_str() != text).then_some(buffer)
}

/// The next stretch from `from` on, a place before which a text can be cut, that may not be in composed form; it is from one such
/// place to another.
fn next_disorder(text: &[u8], order: Order, from: usize) -> Option<(usize, usize)> {
    let (mut at, mut last_stable, mut last_order) = (from, from, 0);
    while at < text.len() {
        // A stretch of ASCII is stable but for what may follow it.
        if let Some(chunk) = text[at..].first_chunk::<16>()
            && chunk.is_ascii()
        {
            at += 16;
            (last_stable, last_order) = (at - 1, 0);
            continue;
        }
        let (next_order, length) = order.at(text, at);
        if next_order >= REWRITTEN || next_order != 0 && next_order < last_order {
            let mut end = at + length;
            while end < text.len() && !order.is_stable(text, end) {
                end += length_of_lead(text[end]);
            }
            return Some((last_stable, end));
        }
        if next_order == 0 {
            last_stable = at;
        }
        last_order = next_order;
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn composed(text: &str) -> String {
        let mut buffer = String::from("what was there before");
        compose(text, &mut buffer).unwrap_or(text).to_owned()
    }

    fn plainly(text: &str) -> String {
        text.nfc().map(|(character, _)| character).collect()
    }

    #[test]
    fn what_is_composed_is_left_alone() {
        for text in
            ["", "ascii only, and more than sixteen bytes", "déjà vu 日本語 한국어", "กำลังใจ ที่นี่", "q\u{301}\u{345}"]
        {
            assert_eq!(compose(text, &mut String::new()), None);
        }
        assert_eq!(composed("e\u{301}a\u{30a}"), "éå");
        assert_eq!(composed("q\u{301}\u{316}"), "q\u{316}\u{301}");
        assert_eq!(composed("\u{1112}\u{1161}\u{11ab}"), "한");
    }

    #[test]
    fn every_character_is_composed_as_it_is_plainly() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text =
                format!("{character}a{character}\u{301}\u{316}{character}\u{1161}{character}{character}\u{11a8}");
            assert_eq!(composed(&text), plainly(&text), "{character:?}");
        }
    }

    #[test]
    fn a_text_can_be_cut_before_every_border() {
        let is_border = |character: char| Order::new().is_border(character.to_string().as_bytes(), 0);
        for character in (0..=0x10_FFFF).filter_map(char::from_u32).filter(|&character| is_border(character)) {
            let right = format!("{character}\u{301}\u{316}{character}");
            for left in ["a", "a\u{301}", "\u{1100}", "\u{1100}\u{1161}", "\u{915}", &character.to_string()] {
                assert_eq!(composed(left) + &composed(&right), plainly(&(left.to_owned() + &right)), "{character:?}");
            }
        }
        for (character, expected) in [('\u{2000}', true), ('\u{958}', true), ('\u{301}', false), ('\u{1161}', false)] {
            assert_eq!(is_border(character), expected, "{character:?}");
        }
    }

    proptest! {
        #[test]
        fn random_text_is_composed_as_it_is_plainly(
            text in "[a-c \u{e9}\u{301}\u{316}\u{345}\u{30a}\u{1100}\u{1161}\u{11a8}\u{ac00}\u{958}\u{f73}\u{212b}\u{1b6b}\u{2000}]{0,60}"
        ) {
            prop_assert_eq!(composed(&text), plainly(&text));
            for (at, _) in text.char_indices().filter(|(at, _)| Order::new().is_border(text.as_bytes(), *at)) {
                prop_assert_eq!(composed(&text[..at]) + &composed(&text[at..]), composed(&text));
            }
        }
    }
}
