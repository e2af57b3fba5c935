//! What AVX2 answers about the bytes of a block.

use super::super::blocks::Block;
use super::{Places, Vectors, signed};
use crate::bits::PLACES;
use crate::processor::Avx2;
use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_cmpeq_epi8, _mm256_cvtepu8_epi64, _mm256_loadu_si256,
    _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_storeu_si256,
    _mm256_sub_epi8,
};
use std::ops::RangeInclusive;

impl Vectors for Avx2 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block {
        // SAFETY: the processor has these instructions, or there was no `self`.
        unsafe { classify_ascii(bytes) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
        // SAFETY: see above.
        unsafe { within(bytes, range) }
    }
}

impl Places for Avx2 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn places(self, mask: u64, offset: usize, to: &mut [usize; 64]) {
        // SAFETY: see above.
        unsafe { places(mask, offset, to) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn classify_ascii(bytes: &[u8; 64]) -> Block {
    let parts = load(bytes);
    let all = |byte: u8| _mm256_set1_epi8(signed(byte));
    let or = |a: [__m256i; 2], b: [__m256i; 2]| [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])];
    let is = |byte| parts.map(|part| _mm256_cmpeq_epi8(part, all(byte)));
    let blank = is(b' ');
    Block {
        letter: mask(parts.map(|part| is_between(_mm256_or_si256(part, all(0x20)), b'a', 25))),
        number: mask(parts.map(|part| is_between(part, b'0', 9))),
        space: mask(or(blank, parts.map(|part| is_between(part, 9, 4)))),
        blank: mask(blank),
        line_end: mask(or(is(b'\n'), is(b'\r'))),
        quote: mask(is(b'\'')),
        wide: mask(parts),
        ..Block::default()
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn within(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    mask(load(bytes).map(|part| is_between(part, *range.start(), range.end() - range.start())))
}

/// Eight places at a time, whether there are as many or not: no branch depends on the text.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn places(mask: u64, offset: usize, to: &mut [usize; 64]) {
    let mut found = 0;
    for (idx, byte) in mask.to_le_bytes().into_iter().enumerate() {
        let offset = _mm256_set1_epi64x((offset + 8 * idx).cast_signed() as i64);
        let [low, high] = PLACES[usize::from(byte)].as_chunks::<4>().0 else { unreachable!("8 bytes are two times 4") };
        let [low, high] = [low, high].map(|four| _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(i32::from_le_bytes(*four))));
        // SAFETY: at most 8 places were found for each byte before, so there is room for 8 more among the 64.
        unsafe {
            let to = to.as_mut_ptr().add(found);
            _mm256_storeu_si256(to.cast(), _mm256_add_epi64(low, offset));
            _mm256_storeu_si256(to.add(4).cast(), _mm256_add_epi64(high, offset));
        }
        found += byte.count_ones() as usize;
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn load(bytes: &[u8; 64]) -> [__m256i; 2] {
    let [low, high] = bytes.as_chunks::<32>().0 else { unreachable!("64 bytes are two times 32") };
    // SAFETY: each is 32 readable bytes, and the load needs no alignment.
    [low, high].map(|part| unsafe { _mm256_loadu_si256(part.as_ptr().cast()) })
}

/// `low <= v <= low + width`, unsigned: after subtracting `low`, the minimum with `width` changes nothing.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn is_between(v: __m256i, low: u8, width: u8) -> __m256i {
    let from_low = _mm256_sub_epi8(v, _mm256_set1_epi8(signed(low)));
    _mm256_cmpeq_epi8(_mm256_min_epu8(from_low, _mm256_set1_epi8(signed(width))), from_low)
}

/// The highest bit of each byte.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn mask(parts: [__m256i; 2]) -> u64 {
    let [low, high] = parts.map(|part| u64::from(_mm256_movemask_epi8(part).cast_unsigned()));
    low | high << 32
}
