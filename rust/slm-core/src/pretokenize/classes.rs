//! What the patterns ask about a character: is it a letter, a number, whitespace, or something else.
//!
//! The answers for `\p{L}`, `\p{N}` and `\s` come from the Unicode 16 tables of `regex-syntax`, the same version as that of the
//! regex engine in Hugging Face's wheels; ASCII has a table of its own, which stays in the first-level cache.

use super::blocks::{Block, Table};
use regex_syntax::hir::{Class as HirClass, HirKind};
use std::sync::LazyLock;

/// The class of a character. The patterns tell no more about it, but for a few ASCII characters by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// None of the others: punctuation, symbols, marks, controls.
    Other,
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte {
            0x41..=0x5A | 0x61..=0x7A => Class::Letter,
            0x30..=0x39 => Class::Number,
            0x09..=0x0D | 0x20 => Class::Space,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

/// The class of every code point: a byte each, of which a text touches the pages of its own scripts only.
static CLASSES: LazyLock<Box<[Class]>> = LazyLock::new(|| {
    table(Class::Other, &[(r"\p{L}", Class::Letter), (r"\p{N}", Class::Number), (r"\s", Class::Space)])
});

/// A table over all code points: where several of the patterns have a character, the last of them says what it is.
pub(super) fn table<T: Copy>(other: T, patterns: &[(&str, T)]) -> Box<[T]> {
    let mut table = vec![other; 0x11_0000].into_boxed_slice();
    for (pattern, class) in patterns {
        let hir = regex_syntax::parse(pattern).expect("the patterns are literals of this package");
        let HirKind::Class(HirClass::Unicode(ranges)) = hir.kind() else {
            unreachable!("each is a class of characters")
        };
        for range in ranges.ranges() {
            table[range.start() as usize..=range.end() as usize].fill(*class);
        }
    }
    table
}

/// The class of a character and its length in bytes; made once per scan, so that the table is looked up once.
#[derive(Clone, Copy)]
pub(super) struct Classes(&'static [Class]);

impl Classes {
    /// The class and the length of the character that starts at `at`, which is within `text`.
    #[inline]
    pub(super) fn at(self, text: &[u8], at: usize) -> (Class, usize) {
        let byte = text[at];
        if byte < 0x80 { (ASCII[byte as usize], 1) } else { self.beyond_ascii(text, at) }
    }
}

impl Table for Classes {
    type Class = Class;

    const IS_CASED: bool = false;

    const HAN: Class = Class::Letter;

    fn new() -> Self {
        Self(&CLASSES)
    }

    #[inline]
    fn beyond_ascii(self, text: &[u8], at: usize) -> (Class, usize) {
        let (code_point, length) = decode(text, at);
        (self.0[code_point as usize & 0x1F_FFFF], length)
    }

    #[inline]
    fn is_space(class: Class) -> bool {
        class == Class::Space
    }

    #[inline]
    fn set(block: &mut Block, class: Class, bytes: u64) {
        match class {
            Class::Letter => block.letter |= bytes,
            Class::Number => block.number |= bytes,
            Class::Space => block.space |= bytes,
            Class::Other => {}
        }
    }
}

/// The code point and the length of the character beyond ASCII that starts at `at` in valid UTF-8.
pub(super) fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let low = |idx: usize| u32::from(text[at + idx] & 0x3F);
    let lead = u32::from(text[at]);
    match lead {
        0..0xE0 => ((lead & 0x1F) << 6 | low(1), 2),
        0xE0..0xF0 => ((lead & 0x0F) << 12 | low(1) << 6 | low(2), 3),
        _ => ((lead & 0x07) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4),
    }
}

/// The length that the first byte of a character announces; 1 for a byte that starts none.
pub(super) fn length_of_lead(lead: u8) -> usize {
    match lead {
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_decoded_as_the_standard_library_does() {
        let classes = Classes::new();
        let mut buffer = [0; 4];
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = character.encode_utf8(&mut buffer).as_bytes();
            assert_eq!(length_of_lead(text[0]), text.len());
            if character.is_ascii() {
                assert_eq!(classes.at(text, 0), (classes.0[character as usize], 1));
            } else {
                assert_eq!(decode(text, 0), (character as u32, text.len()));
            }
        }
    }

    #[test]
    fn whitespace_is_that_of_oniguruma() {
        let spaces: Vec<u32> =
            (0..).zip(CLASSES.iter()).filter(|(_, class)| **class == Class::Space).map(|(c, _)| c).collect();
        let mut expected: Vec<u32> = (0x09..=0x0D).collect();
        expected.extend([0x20, 0x85, 0xA0, 0x1680]);
        expected.extend(0x2000..=0x200A);
        expected.extend([0x2028, 0x2029, 0x202F, 0x205F, 0x3000]);
        assert_eq!(spaces, expected);
    }

    #[test]
    fn letters_and_numbers_are_those_of_unicode_16() {
        // U+1C89 is a letter since 16.0; U+10D40 is a number since 16.0.
        assert_eq!(CLASSES[0x1C89], Class::Letter);
        assert_eq!(CLASSES[0x1_0D40], Class::Number);
        let of = |class| CLASSES.iter().filter(|&&other| other == class).count();
        assert_eq!((of(Class::Letter), of(Class::Number)), (141_028, 1_911));
    }
}
