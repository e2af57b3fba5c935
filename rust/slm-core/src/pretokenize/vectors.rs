//! What the bytes of a block are, asked of all of them at once where the processor can.

use super::blocks::Block;
use std::ops::RangeInclusive;

/// First bytes that only letters have: those of U+5000 to U+9FFF, the greater part of the Han characters.
const HAN_LEADS: RangeInclusive<u8> = 0xE5..=0xE9;

/// Bytes that continue a character.
const CONTINUATIONS: RangeInclusive<u8> = 0x80..=0xBF;

/// Which bytes start a character that is surely a letter.
#[inline]
pub(super) fn han_starts(bytes: &[u8; 64]) -> u64 {
    within(bytes, &HAN_LEADS)
}

/// Which bytes continue a character.
#[inline]
pub(super) fn continuations(bytes: &[u8; 64]) -> u64 {
    within(bytes, &CONTINUATIONS)
}

/// Which bytes are capitals of ASCII.
#[inline]
pub(super) fn capitals(bytes: &[u8; 64]) -> u64 {
    within(bytes, &(b'A'..=b'Z'))
}

/// Which bytes are a `/`.
#[inline]
pub(super) fn slashes(bytes: &[u8; 64]) -> u64 {
    within(bytes, &(b'/'..=b'/'))
}

/// Which bytes are in a range.
#[cfg(target_arch = "x86_64")]
#[inline]
fn within(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    use std::arch::x86_64::{_mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_sub_epi8};
    bytes.as_chunks::<16>().0.iter().enumerate().fold(0, |mask, (idx, part)| {
        // SAFETY: SSE2 belongs to every x86-64, and `part` is 16 readable bytes.
        let are_within = unsafe {
            let v = _mm_loadu_si128(part.as_ptr().cast());
            // The first of the range becomes the least of all signed numbers, so one comparison does.
            let from_least = _mm_sub_epi8(v, _mm_set1_epi8(signed(range.start() ^ 0x80)));
            let behind = range.end() - range.start() + 1;
            _mm_movemask_epi8(_mm_cmplt_epi8(from_least, _mm_set1_epi8(signed(behind ^ 0x80))))
        };
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower 16 bits are the mask")]
        let bits = u64::from(are_within as u16);
        mask | bits << (16 * idx)
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn within(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    within_portably(bytes, range)
}

/// As above, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn within_portably(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    bytes.iter().enumerate().fold(0, |mask, (idx, byte)| mask | u64::from(range.contains(byte)) << idx)
}

/// The classes of the ASCII bytes, and which bytes are not ASCII.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn classify_ascii(bytes: &[u8; 64], has_avx512: bool) -> Block {
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
pub(super) fn classify_ascii(bytes: &[u8; 64], _: bool) -> Block {
    classify_ascii_portably(bytes)
}

/// Whether the processor classifies 64 bytes at once.
#[inline]
pub(super) fn has_avx512() -> bool {
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
        ..Block::default()
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
            for range in [HAN_LEADS, CONTINUATIONS, b'A'..=b'Z', b'/'..=b'/'] {
                prop_assert_eq!(within(&block, &range), within_portably(&block, &range));
            }
        }
    }
}
