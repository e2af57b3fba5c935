//! What the bytes of a block are, asked of all of them at once where the processor can.

use super::blocks::Block;
#[cfg(target_arch = "x86_64")]
use crate::avx512::Avx512;
use std::ops::RangeInclusive;

/// First bytes that only letters have: those of U+5000 to U+9FFF, the greater part of the Han characters.
pub(super) const HAN_LEADS: RangeInclusive<u8> = 0xE5..=0xE9;

/// Bytes that continue a character.
pub(super) const CONTINUATIONS: RangeInclusive<u8> = 0x80..=0xBF;

/// Capitals of ASCII.
pub(super) const CAPITALS: RangeInclusive<u8> = b'A'..=b'Z';

pub(super) const SLASHES: RangeInclusive<u8> = b'/'..=b'/';

/// What 64 bytes are asked with.
pub(super) trait Vectors: Places {
    /// The classes of the ASCII bytes, and which bytes are not ASCII.
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block;

    /// Which bytes are in a range.
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64;
}

/// Where a mask has bits.
pub(crate) trait Places: Copy {
    /// Writes the places of the bits, counted from `offset` and from the lowest bit on. What is behind them may be anything then.
    fn places(self, mask: u64, offset: usize, to: &mut [usize; 64]);
}

/// What every processor of an architecture has.
#[derive(Clone, Copy)]
pub(super) struct Common;

impl Vectors for Common {
    #[inline]
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to every x86-64.
        return unsafe { classify_ascii_by_sse2(bytes) };
        #[cfg(not(target_arch = "x86_64"))]
        classify_ascii_portably(bytes)
    }

    #[inline]
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to every x86-64.
        return unsafe { within_by_sse2(bytes, range) };
        #[cfg(not(target_arch = "x86_64"))]
        within_portably(bytes, range)
    }
}

impl Places for Common {
    #[inline]
    fn places(self, mut mask: u64, offset: usize, to: &mut [usize; 64]) {
        // More than there are, most of the time: a branch for each would be mistaken once a block.
        for part in to.as_chunks_mut::<16>().0 {
            for place in part {
                *place = offset + mask.trailing_zeros() as usize;
                mask &= mask.wrapping_sub(1);
            }
            if mask == 0 {
                break;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vectors for Avx512 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block {
        // SAFETY: the processor has been asked whether it has these instructions.
        unsafe { classify_ascii_by_avx512(bytes) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
        // SAFETY: see above.
        unsafe { within_by_avx512(bytes, range) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Places for Avx512 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn places(self, mask: u64, offset: usize, to: &mut [usize; 64]) {
        // SAFETY: the processor has these instructions, or there was no `self`.
        unsafe { places_by_avx512(mask, offset, to) }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn within_by_sse2(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    use std::arch::x86_64::{_mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_sub_epi8};
    bytes.as_chunks::<16>().0.iter().enumerate().fold(0, |mask, (idx, part)| {
        // SAFETY: `part` is 16 readable bytes, and the load needs no alignment.
        let v = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        // The first of the range becomes the least of all signed numbers, so one comparison does.
        let from_least = _mm_sub_epi8(v, _mm_set1_epi8(signed(range.start() ^ 0x80)));
        let behind = range.end() - range.start() + 1;
        let are_within = _mm_movemask_epi8(_mm_cmplt_epi8(from_least, _mm_set1_epi8(signed(behind ^ 0x80))));
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the lower 16 bits are the mask")]
        let bits = u64::from(are_within as u16);
        mask | bits << (16 * idx)
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn within_by_avx512(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    use std::arch::x86_64::{_mm512_cmple_epu8_mask, _mm512_loadu_si512, _mm512_set1_epi8, _mm512_sub_epi8};
    // SAFETY: 64 readable bytes, and the load needs no alignment.
    let v = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let from_start = _mm512_sub_epi8(v, _mm512_set1_epi8(signed(*range.start())));
    _mm512_cmple_epu8_mask(from_start, _mm512_set1_epi8(signed(range.end() - range.start())))
}

/// Which bytes are in a range, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn within_portably(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    bytes.iter().enumerate().fold(0, |mask, (idx, byte)| mask | u64::from(range.contains(byte)) << idx)
}

/// The places of all bytes of a block.
#[cfg(target_arch = "x86_64")]
const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut place = 0;
    while place < 64 {
        places[place as usize] = place;
        place += 1;
    }
    places
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn places_by_avx512(mask: u64, offset: usize, to: &mut [usize; 64]) {
    use std::arch::x86_64::{
        _mm_loadl_epi64, _mm512_add_epi64, _mm512_cvtepu8_epi64, _mm512_loadu_si512, _mm512_maskz_compress_epi8,
        _mm512_set1_epi64, _mm512_storeu_si512,
    };
    let mut places = [0_u8; 64];
    // SAFETY: 64 readable bytes and 64 that may be written; neither needs to be aligned.
    unsafe {
        let found = _mm512_maskz_compress_epi8(mask, _mm512_loadu_si512(PLACES.as_ptr().cast()));
        _mm512_storeu_si512(places.as_mut_ptr().cast(), found);
    }
    let offset = _mm512_set1_epi64(offset.cast_signed() as i64);
    let (places, to) = (places.as_chunks::<8>().0, to.as_chunks_mut::<8>().0);
    for (idx, (places, to)) in places.iter().zip(to).enumerate() {
        if idx >= 2 && mask.count_ones() as usize <= 8 * idx {
            break;
        }
        // SAFETY: 8 readable bytes, and room for as many places.
        unsafe {
            let places = _mm512_cvtepu8_epi64(_mm_loadl_epi64(places.as_ptr().cast()));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_add_epi64(places, offset));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_wrap, reason = "bytes as the instructions take them")]
const fn signed(byte: u8) -> i8 {
    byte as i8
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
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

/// The classes of the ASCII bytes, for machines without such vectors.
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

    /// Checks what is asked with `vectors` against plain loops.
    fn check(vectors: impl Vectors, block: &[u8; 64], mask: u64) -> Result<(), TestCaseError> {
        prop_assert_eq!(vectors.classify_ascii(block), classify_ascii_portably(block));
        for range in [HAN_LEADS, CONTINUATIONS, CAPITALS, SLASHES] {
            prop_assert_eq!(vectors.within(block, &range), within_portably(block, &range));
        }
        let mut places = [0; 64];
        vectors.places(mask, 1000, &mut places);
        let expected: Vec<usize> = (0..64).filter(|place| mask >> place & 1 == 1).map(|place| 1000 + place).collect();
        prop_assert_eq!(&places[..expected.len()], expected);
        Ok(())
    }

    proptest! {
        #[test]
        fn all_vectors_agree_with_plain_loops(bytes in prop::collection::vec(any::<u8>(), 64), mask in any::<u64>(), fewer in any::<u64>()) {
            let block: [u8; 64] = bytes.try_into().unwrap();
            for mask in [mask, mask & fewer, mask & fewer & fewer.rotate_left(7), mask | fewer, u64::MAX, 0] {
                check(Common, &block, mask)?;
                #[cfg(target_arch = "x86_64")]
                if let Some(avx512) = Avx512::detect() {
                    check(avx512, &block, mask)?;
                }
            }
        }
    }
}
