//! Sixty-four bytes at a time: which of them are letters, numbers and whitespace, one bit a byte.
//!
//! With a bit a byte, a rule about neighbours is a shift and an `and`, and costs the same for all 64 bytes: no branch depends on
//! the text, where a loop over characters would mispredict about once a pretoken.

use super::classes::{Class, Classes, length_of_lead};
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
}

/// First bytes that only letters have: those of U+5000 to U+9FFF, the greater part of the Han characters.
const HAN_LEADS: RangeInclusive<u8> = 0xE5..=0xE9;

/// How far ahead of the block at hand the text is asked for: the processor does so too, but too late.
const PREFETCHED_BYTES: usize = 1024;

/// Reads a text block by block.
pub(super) struct BlockReader<'a> {
    text: &'a [u8],
    classes: Classes,
    has_avx512: bool,
    /// Where the next block starts; a multiple of 64.
    at: usize,
    /// Bytes of a character that began in the block before, and its class.
    carried: (usize, Class),
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, classes: Classes::new(), has_avx512: has_avx512(), at: 0, carried: (0, Class::Other) }
    }

    /// The next block, where it starts and how many bytes it has; `None` at the end of the text.
    #[inline]
    pub(super) fn next(&mut self) -> Option<(Block, usize, usize)> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
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
        let mut block = classify_ascii(bytes, self.has_avx512);
        if block.wide != 0 {
            self.classify_wide(&mut block, bytes, start, length);
        }
        Some((block, start, length))
    }

    /// Fills in the characters beyond ASCII. A character that crosses the end of the block is finished in the next one.
    fn classify_wide(&mut self, block: &mut Block, bytes: &[u8; 64], start: usize, length: usize) {
        let (carried, class) = self.carried;
        let of_carried = (1_u64 << carried) - 1;
        set(block, class, of_carried);
        // Most of what is written in Han characters is letters with these first bytes, all of three bytes.
        let han_starts = han_starts(bytes);
        let of_han = han_starts | han_starts << 1 | han_starts << 2;
        block.letter |= of_han;
        self.carried = ((han_starts >> 62) as usize, Class::Letter);
        block.continued = continuations(bytes);
        let mut left = block.wide & !of_carried & !of_han;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            let (class, bytes) = self.classes.beyond_ascii(self.text, start + at);
            // Bytes that stick out of the block are shifted out of the mask.
            let mask = ((1_u64 << bytes) - 1) << at;
            left &= !mask;
            set(block, class, mask);
            if class == Class::Space {
                block.wide_space_starts |= 1 << at;
            }
            if at + bytes > length {
                self.carried = (at + bytes - length, class);
            }
        }
    }

    /// Whether the character at `at` is whitespace, or the text ends there.
    #[inline]
    pub(super) fn is_space_or_end(&self, at: usize) -> bool {
        at >= self.text.len() || self.classes.at(self.text, at).0 == Class::Space
    }

    /// Which of these first bytes of whitespace characters, in the block that starts at `start`, are followed by something else
    /// than whitespace; the end of the text is nothing else.
    #[cold]
    pub(super) fn last_of_wide_spaces(&self, mut candidates: u64, start: usize) -> u64 {
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

    /// Whether there is a line end in the whitespace at `at`.
    #[cold]
    pub(super) fn has_line_end_in_space(&self, mut at: usize) -> bool {
        while let Some(&byte) = self.text.get(at) {
            let (class, length) = self.classes.at(self.text, at);
            if class != Class::Space || matches!(byte, b'\n' | b'\r') {
                return class == Class::Space;
            }
            at += length;
        }
        false
    }
}

fn set(block: &mut Block, class: Class, mask: u64) {
    match class {
        Class::Letter => block.letter |= mask,
        Class::Number => block.number |= mask,
        Class::Space => block.space |= mask,
        Class::Other => {}
    }
}

/// The classes of the ASCII bytes, and which bytes are not ASCII.
#[cfg(target_arch = "x86_64")]
#[inline]
fn classify_ascii(bytes: &[u8; 64], has_avx512: bool) -> Block {
    if has_avx512 {
        // SAFETY: the processor has been asked whether it has these instructions.
        unsafe { classify_ascii_by_avx512(bytes) }
    } else {
        // SAFETY: SSE2 belongs to every x86-64.
        unsafe { classify_ascii_by_sse2(bytes) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn classify_ascii(bytes: &[u8; 64], _: bool) -> Block {
    classify_ascii_portably(bytes)
}

/// Which bytes start a character that is surely a letter.
#[cfg(target_arch = "x86_64")]
#[inline]
fn han_starts(bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{_mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_sub_epi8};
    bytes.as_chunks::<16>().0.iter().enumerate().fold(0, |starts, (idx, part)| {
        // SAFETY: SSE2 belongs to every x86-64, and `part` is 16 readable bytes.
        let are_leads = unsafe {
            let v = _mm_loadu_si128(part.as_ptr().cast());
            // The first of the range becomes the least of all signed numbers, so one comparison does.
            let from_least = _mm_sub_epi8(v, _mm_set1_epi8(signed(HAN_LEADS.start() ^ 0x80)));
            let behind = HAN_LEADS.end() - HAN_LEADS.start() + 1;
            _mm_movemask_epi8(_mm_cmplt_epi8(from_least, _mm_set1_epi8(signed(behind ^ 0x80))))
        };
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower 16 bits are the mask")]
        let bits = u64::from(are_leads as u16);
        starts | bits << (16 * idx)
    })
}

/// Which bytes continue a character: those from 0x80 to 0xBF.
#[cfg(target_arch = "x86_64")]
#[inline]
fn continuations(bytes: &[u8; 64]) -> u64 {
    use std::arch::x86_64::{_mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    bytes.as_chunks::<16>().0.iter().enumerate().fold(0, |continued, (idx, part)| {
        // SAFETY: SSE2 belongs to every x86-64, and `part` is 16 readable bytes.
        let mask = unsafe {
            let v = _mm_loadu_si128(part.as_ptr().cast());
            _mm_movemask_epi8(_mm_cmplt_epi8(v, _mm_set1_epi8(signed(0xC0))))
        };
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower 16 bits are the mask")]
        let bits = u64::from(mask as u16);
        continued | bits << (16 * idx)
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn han_starts(bytes: &[u8; 64]) -> u64 {
    han_starts_portably(bytes)
}

/// As above, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn han_starts_portably(bytes: &[u8; 64]) -> u64 {
    bytes.iter().enumerate().fold(0, |starts, (idx, byte)| starts | u64::from(HAN_LEADS.contains(byte)) << idx)
}

#[cfg(not(target_arch = "x86_64"))]
fn continuations(bytes: &[u8; 64]) -> u64 {
    continuations_portably(bytes)
}

/// As above, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn continuations_portably(bytes: &[u8; 64]) -> u64 {
    bytes.iter().enumerate().fold(0, |mask, (idx, byte)| mask | u64::from(byte & 0xC0 == 0x80) << idx)
}

/// Whether the processor classifies 64 bytes at once.
#[inline]
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bw");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_wrap, reason = "bytes as the instructions take them")]
const fn signed(byte: u8) -> i8 {
    byte as i8
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw")]
fn classify_ascii_by_avx512(bytes: &[u8; 64]) -> Block {
    use std::arch::x86_64::{
        __m512i, _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask, _mm512_loadu_si512, _mm512_movepi8_mask,
        _mm512_or_si512, _mm512_set1_epi8, _mm512_sub_epi8,
    };
    // SAFETY: 64 readable bytes, and the load needs no alignment.
    let v: __m512i = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let all = |byte: u8| _mm512_set1_epi8(signed(byte));
    // `low <= v <= low + width`, unsigned.
    let is_between = |v, low, width| _mm512_cmple_epu8_mask(_mm512_sub_epi8(v, all(low)), all(width));
    let blank = _mm512_cmpeq_epi8_mask(v, all(b' '));
    Block {
        letter: is_between(_mm512_or_si512(v, all(0x20)), b'a', 25),
        number: is_between(v, b'0', 9),
        space: blank | is_between(v, 9, 4),
        blank,
        line_end: _mm512_cmpeq_epi8_mask(v, all(b'\n')) | _mm512_cmpeq_epi8_mask(v, all(b'\r')),
        quote: _mm512_cmpeq_epi8_mask(v, all(b'\'')),
        wide: _mm512_movepi8_mask(v),
        continued: 0,
        wide_space_starts: 0,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn classify_ascii_by_sse2(bytes: &[u8; 64]) -> Block {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        _mm_sub_epi8,
    };
    let mut block = Block::default();
    for (idx, part) in bytes.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: `part` is 16 readable bytes, and the load needs no alignment.
        let v: __m128i = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        // `low <= v <= low + width`, unsigned: after subtracting `low`, the minimum with `width` changes nothing.
        let is_between = |v, low: u8, width: u8| {
            let from_low = _mm_sub_epi8(v, _mm_set1_epi8(signed(low)));
            _mm_cmpeq_epi8(_mm_min_epu8(from_low, _mm_set1_epi8(signed(width))), from_low)
        };
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower 16 bits are the mask")]
        let bits = |mask| u64::from(_mm_movemask_epi8(mask) as u16) << (16 * idx);
        let blank = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x20));
        block.letter |= bits(is_between(_mm_or_si128(v, _mm_set1_epi8(0x20)), b'a', 25));
        block.number |= bits(is_between(v, b'0', 9));
        block.space |= bits(_mm_or_si128(blank, is_between(v, 9, 4)));
        block.blank |= bits(blank);
        let line_feed = _mm_cmpeq_epi8(v, _mm_set1_epi8(signed(b'\n')));
        block.line_end |= bits(_mm_or_si128(line_feed, _mm_cmpeq_epi8(v, _mm_set1_epi8(signed(b'\r')))));
        block.quote |= bits(_mm_cmpeq_epi8(v, _mm_set1_epi8(signed(b'\''))));
        block.wide |= bits(v);
    }
    block
}

/// As above, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn classify_ascii_portably(bytes: &[u8; 64]) -> Block {
    let mut block = Block::default();
    for (idx, &byte) in bytes.iter().enumerate() {
        let bit = |is_set: bool| u64::from(is_set) << idx;
        block.letter |= bit(byte.is_ascii_alphabetic());
        block.number |= bit(byte.is_ascii_digit());
        block.space |= bit(matches!(byte, 9..=13 | 32));
        block.blank |= bit(byte == b' ');
        block.line_end |= bit(matches!(byte, b'\n' | b'\r'));
        block.quote |= bit(byte == b'\'');
        block.wide |= bit(byte >= 0x80);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_classifications_agree(bytes in proptest::array::uniform32(any::<u8>()), rest in proptest::array::uniform32(any::<u8>())) {
            let mut block = [0; 64];
            block[..32].copy_from_slice(&bytes);
            block[32..].copy_from_slice(&rest);
            for has_avx512 in [false, has_avx512()] {
                prop_assert_eq!(classify_ascii(&block, has_avx512), classify_ascii_portably(&block));
            }
            prop_assert_eq!(han_starts(&block), han_starts_portably(&block));
            prop_assert_eq!(continuations(&block), continuations_portably(&block));
        }

        #[test]
        fn characters_beyond_ascii_are_classified_across_blocks(text in "[a中国丿鿿一、é🙂 　９]{1,90}") {
            let mut reader = BlockReader::new(text.as_bytes());
            let classes = Classes::new();
            let expected: Vec<Class> = text.char_indices().flat_map(|(at, char)| {
                std::iter::repeat_n(classes.at(text.as_bytes(), at).0, char.len_utf8())
            }).collect();
            while let Some((block, start, length)) = reader.next() {
                for (idx, class) in expected[start..start + length].iter().enumerate() {
                    let found = [(block.letter, Class::Letter), (block.number, Class::Number), (block.space, Class::Space)];
                    let found = found.iter().find(|(mask, _)| mask >> idx & 1 == 1).map_or(Class::Other, |found| found.1);
                    prop_assert_eq!(found, *class);
                }
            }
        }
    }
}
