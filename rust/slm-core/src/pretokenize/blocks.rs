//! Sixty-four bytes at a time: which of them are letters, numbers and whitespace, one bit a byte.
//!
//! With a bit a byte, a rule about neighbours is a shift and an `and`, and costs the same for all 64 bytes: no branch depends on
//! the text, where a loop over characters would mispredict about once a pretoken.

use super::classes::length_of_lead;
use super::vectors::{CAPITALS, CONTINUATIONS, HAN_LEADS, SLASHES, Vectors};
use crate::prefetch::prefetch;
use std::ops::RangeInclusive;

/// The classes of up to 64 bytes; bit `i` speaks of byte `i`. Every byte of a character has the character's class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Bytes of letters.
    pub letter: u64,
    /// Bytes of numbers.
    pub number: u64,
    /// Bytes of whitespace.
    pub space: u64,
    /// The byte 0x20.
    pub blank: u64,
    /// The bytes of line feed and carriage return.
    pub line_end: u64,
    /// The byte `'`.
    pub quote: u64,
    /// Bytes of characters beyond ASCII.
    pub wide: u64,
    /// Bytes of characters that begin before them.
    pub continued: u64,
    /// First bytes of whitespace characters beyond ASCII.
    pub wide_space_starts: u64,
    /// Where these are told apart: bytes of capitals, of small letters and of marks, which are counted as letters then.
    pub upper: u64,
    pub lower: u64,
    pub mark: u64,
    /// As above, the byte `/`.
    pub slash: u64,
}

/// What a pattern asks about characters, in a table of all code points.
pub(super) trait Table: Copy {
    /// What it knows of a character.
    type Class: Copy;

    /// Whether capitals, small letters, marks and slashes are told apart from others.
    const IS_CASED: bool;

    /// The class of Han characters.
    const HAN: Self::Class;

    fn new() -> Self;

    /// The class and the length of the character beyond ASCII that starts at `at`.
    fn beyond_ascii(self, text: &[u8], at: usize) -> (Self::Class, usize);

    fn is_space(class: Self::Class) -> bool;

    /// Adds bytes of a class to a block.
    fn set(block: &mut Block, class: Self::Class, bytes: u64);
}

/// How far ahead of the block at hand the text is asked for: the processor does so too, but too late.
const PREFETCHED_BYTES: usize = 1024;

/// A text as characters, for what the bytes of a block alone do not say. By value, so that a scanner's state stays in registers.
#[derive(Clone, Copy)]
pub(super) struct Characters<'a, T> {
    text: &'a [u8],
    table: T,
}

impl<T: Table> Characters<'_, T> {
    /// Whether the character at `at` is whitespace, or the text ends there; not, if `at` is within a character.
    #[inline]
    pub(super) fn is_space_or_end(self, at: usize) -> bool {
        match self.text.get(at) {
            None => true,
            Some(&byte) if byte < 0x80 => is_ascii_space(byte),
            Some(&byte) => length_of_lead(byte) > 1 && self.is_wide_space(at),
        }
    }

    #[inline(never)]
    fn is_wide_space(self, at: usize) -> bool {
        T::is_space(self.table.beyond_ascii(self.text, at).0)
    }

    /// The length of the whitespace character at `at`, 0 if it is none; `None` at the end of the text.
    #[inline]
    fn length_of_space(self, at: usize) -> Option<usize> {
        let byte = *self.text.get(at)?;
        if byte < 0x80 {
            return Some(usize::from(is_ascii_space(byte)));
        }
        let (class, length) = self.table.beyond_ascii(self.text, at);
        Some(if T::is_space(class) { length } else { 0 })
    }

    /// Which of these first bytes of whitespace characters, in the block that starts at `start`, are followed by something else
    /// than whitespace; the end of the text is nothing else.
    #[cold]
    pub(super) fn last_of_spaces(self, mut candidates: u64, start: usize) -> u64 {
        let mut last = 0;
        while candidates != 0 {
            let at = start + candidates.trailing_zeros() as usize;
            if !self.is_space_or_end(at + length_of_lead(self.text[at])) {
                last |= candidates & candidates.wrapping_neg();
            }
            candidates &= candidates - 1;
        }
        last
    }

    /// Whether there is a line end in the whitespace at `at`, or behind the character that `at` is within.
    #[cold]
    pub(super) fn has_line_end_in_space(self, mut at: usize) -> bool {
        at += self.text[at.min(self.text.len())..].iter().take_while(|&&byte| byte & 0xC0 == 0x80).count();
        while let Some(length @ 1..) = self.length_of_space(at) {
            if matches!(self.text[at], b'\n' | b'\r') {
                return true;
            }
            at += length;
        }
        false
    }
}

#[inline]
fn is_ascii_space(byte: u8) -> bool {
    matches!(byte, 9..=13 | 32)
}

/// Reads a text block by block.
pub(super) struct BlockReader<'a, T: Table, V> {
    pub characters: Characters<'a, T>,
    pub vectors: V,
    /// Where the next block starts.
    at: usize,
    /// Bytes of a character that began in the block before, and its class.
    carried: Carried<T>,
}

type Carried<T> = (usize, <T as Table>::Class);

impl<'a, T: Table, V: Vectors> BlockReader<'a, T, V> {
    /// Reads from `at` on, where a character starts.
    #[inline]
    pub(super) fn new(text: &'a [u8], at: usize, vectors: V) -> Self {
        Self { characters: Characters { text, table: T::new() }, vectors, at, carried: (0, T::HAN) }
    }

    /// The next block, where it starts and how many bytes it has; `None` at the end of the text.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<(Block, usize, usize)> {
        let start = self.at;
        let rest = self.characters.text.get(start..).filter(|rest| !rest.is_empty())?;
        self.at += 64;
        prefetch(rest.as_ptr().wrapping_add(PREFETCHED_BYTES));
        // Blanks at the end change no class before them, and look like the end to rules about what follows whitespace.
        let mut padded = [b' '; 64];
        let (bytes, length) = if let Some(bytes) = rest.first_chunk::<64>() {
            (bytes, 64)
        } else {
            padded[..rest.len()].copy_from_slice(rest);
            (&padded, rest.len())
        };
        let mut block = self.vectors.classify_ascii(bytes);
        if T::IS_CASED {
            block.upper = self.vectors.within(bytes, &CAPITALS);
            block.lower = block.letter & !block.upper;
            block.slash = self.vectors.within(bytes, &SLASHES);
        }
        if block.wide != 0 {
            block.continued = self.vectors.within(bytes, &CONTINUATIONS);
            let starts = self.starts(bytes);
            (block, self.carried) = self.characters.classify_wide(block, starts, self.carried, start, length);
        }
        Some((block, start, length))
    }

    /// First bytes of what Chinese and Japanese are written with, as far as the bytes of this block tell.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn starts(&self, bytes: &[u8; 64]) -> Starts {
        let mut starts = Starts { han: self.vectors.within(bytes, &HAN_LEADS), other: 0 };
        // Text that has none of the first ones hardly has the others.
        if starts.han != 0 {
            let spelled = |bounds: &[RangeInclusive<u8>]| {
                let masks = bounds.iter().enumerate().map(|(at, range)| self.vectors.within(bytes, range) >> at);
                masks.fold(u64::MAX, |all, mask| all & mask)
            };
            starts.han |= spelled(&MORE_HAN);
            starts.other = spelled(&STOPS) | spelled(&WIDE_MARKS);
        }
        starts
    }
}

/// First bytes of characters of three bytes.
#[derive(Clone, Copy, Debug)]
struct Starts {
    /// Han characters, which are letters.
    han: u64,
    /// Punctuation; all three bytes are in the block.
    other: u64,
}

/// The Han characters from U+4E00 to U+4FFF.
const MORE_HAN: [RangeInclusive<u8>; 2] = [0xE4..=0xE4, 0xB8..=0xBF];

/// The ideographic comma and full stop, U+3001 and U+3002.
const STOPS: [RangeInclusive<u8>; 3] = [0xE3..=0xE3, 0x80..=0x80, 0x81..=0x82];

/// Punctuation as wide as Han characters, U+FF01 to U+FF0F.
const WIDE_MARKS: [RangeInclusive<u8>; 3] = [0xEF..=0xEF, 0xBC..=0xBC, 0x81..=0x8F];

impl<T: Table> Characters<'_, T> {
    /// Fills in the characters beyond ASCII, given some of their first bytes. One that crosses the end of the block is finished in the
    /// next one.
    #[inline(never)]
    fn classify_wide(
        self,
        mut block: Block,
        starts: Starts,
        (carried, class): Carried<T>,
        start: usize,
        length: usize,
    ) -> (Block, Carried<T>) {
        let of_carried = (1_u64 << carried) - 1;
        T::set(&mut block, class, of_carried);
        let three = |starts: u64| starts | starts << 1 | starts << 2;
        let (of_han, of_other) = (three(starts.han), three(starts.other));
        T::set(&mut block, T::HAN, of_han);
        let mut carried = ((starts.han >> 62) as usize, T::HAN);
        let mut left = block.wide & !of_carried & !of_han & !of_other;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            let (class, bytes) = self.table.beyond_ascii(self.text, start + at);
            // Bytes that stick out of the block are shifted out of the mask.
            let mask = ((1_u64 << bytes) - 1) << at;
            left &= !mask;
            T::set(&mut block, class, mask);
            if T::is_space(class) {
                block.wide_space_starts |= 1 << at;
            }
            if at + bytes > length {
                carried = (at + bytes - length, class);
            }
        }
        (block, carried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretokenize::classes::Classes;
    use crate::pretokenize::o200k::Kinds;
    use crate::pretokenize::vectors::Common;
    use proptest::prelude::*;

    /// What a table says of each character, and a block of all alike.
    fn check<T: Table>(text: &str) -> Result<(), TestCaseError> {
        let mut reader = BlockReader::<T, _>::new(text.as_bytes(), 0, Common);
        let mut expected = Vec::new();
        for (at, char) in text.char_indices() {
            let mut block = Block::default();
            if char.is_ascii() {
                let mut bytes = [b' '; 64];
                bytes[0] = text.as_bytes()[at];
                block = BlockReader::<T, _>::new(&bytes, 0, Common).next().unwrap().0;
            } else {
                T::set(&mut block, T::new().beyond_ascii(text.as_bytes(), at).0, u64::MAX);
            }
            let bits =
                [block.letter, block.number, block.space, block.upper, block.lower, block.mark].map(|mask| mask & 1);
            expected.extend(std::iter::repeat_n(bits, char.len_utf8()));
        }
        while let Some((block, start, length)) = reader.next() {
            for (idx, bits) in expected[start..start + length].iter().enumerate() {
                let masks = [block.letter, block.number, block.space, block.upper, block.lower, block.mark];
                prop_assert_eq!(masks.map(|mask| mask >> idx & 1), *bits, "byte {} of {:?}", start + idx, text);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn characters_beyond_ascii_are_classified_across_blocks(text in "[a中国丿鿿一、。，々〇䷿é🙂 　９]{1,90}") {
            check::<Classes>(&text)?;
            check::<Kinds>(&text)?;
        }
    }

    #[test]
    fn characters_of_three_bytes_have_their_classes_beside_han_characters() {
        for char in '\u{800}'..='\u{FFFF}' {
            let text = format!("国{char}");
            check::<Classes>(&text).unwrap();
            check::<Kinds>(&text).unwrap();
        }
    }
}
