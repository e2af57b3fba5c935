//! What AVX-512 answers about the bytes of a block.

use super::super::blocks::Block;
use super::{Places, Vectors, signed};
use crate::processor::Avx512;
use std::ops::RangeInclusive;

impl Vectors for Avx512 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block {
        // SAFETY: the processor has been asked whether it has these instructions.
        unsafe { classify_ascii(bytes) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
        // SAFETY: see above.
        unsafe { within(bytes, range) }
    }
}

impl Places for Avx512 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn places(self, mask: u64, offset: usize, to: &mut [usize; 64]) {
        // SAFETY: the processor has these instructions, or there was no `self`.
        unsafe { places(mask, offset, to) }
    }
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn within(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    use std::arch::x86_64::{_mm512_cmple_epu8_mask, _mm512_loadu_si512, _mm512_set1_epi8, _mm512_sub_epi8};
    // SAFETY: 64 readable bytes, and the load needs no alignment.
    let v = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
    let from_start = _mm512_sub_epi8(v, _mm512_set1_epi8(signed(*range.start())));
    _mm512_cmple_epu8_mask(from_start, _mm512_set1_epi8(signed(range.end() - range.start())))
}

/// The places of all bytes of a block.
const PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut place = 0;
    while place < 64 {
        places[place as usize] = place;
        place += 1;
    }
    places
};

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn places(mask: u64, offset: usize, to: &mut [usize; 64]) {
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

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn classify_ascii(bytes: &[u8; 64]) -> Block {
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
