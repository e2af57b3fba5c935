//! Blocks by AVX-512, which can leave out bytes anywhere in a register.

use super::{BLOCK, Room, write_blocks};
use std::arch::x86_64::{
    __m512i, _mm_storeu_si128, _mm512_and_si512, _mm512_cmpge_epu32_mask, _mm512_cmpgt_epu32_mask,
    _mm512_cmplt_epu32_mask, _mm512_cvtepi32_epi8, _mm512_loadu_si512, _mm512_mask_mov_epi32,
    _mm512_maskz_compress_epi8, _mm512_or_si512, _mm512_set1_epi32, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_test_epi8_mask, _mm512_xor_si512,
};
use std::mem::MaybeUninit;

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn write(to: &mut [MaybeUninit<u8>], code_points: &[u32]) -> (usize, Result<(), usize>) {
    write_blocks(to, code_points, |to, block| write_block(to, block))
}

/// As [`super::write_block`]: each character becomes a word of its bytes and zeros, and then the bytes move together.
#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
fn write_block(to: &mut Room, block: &[u32; BLOCK]) -> Option<usize> {
    let all = |number: u32| _mm512_set1_epi32(number.cast_signed());
    // SAFETY: 64 readable bytes, and the load needs no alignment.
    let c: __m512i = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let beyond_ascii = _mm512_cmpge_epu32_mask(c, all(0x80));
    if beyond_ascii == 0 {
        // SAFETY: 16 of 64 writable bytes, and the store needs no alignment.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(c)) };
        return Some(BLOCK);
    }
    let surrogates = _mm512_cmplt_epu32_mask(_mm512_xor_si512(c, all(0xD800)), all(0x800));
    if surrogates | _mm512_cmpgt_epu32_mask(c, all(0x10_FFFF)) != 0 {
        return None;
    }
    let or = |a, b, c| _mm512_or_si512(a, _mm512_or_si512(b, c));
    let low = |v| _mm512_and_si512(v, all(0x3F));
    let (from_6, from_12) = (_mm512_srli_epi32::<6>(c), _mm512_srli_epi32::<12>(c));
    let two = or(all(0x80C0), from_6, _mm512_slli_epi32::<8>(low(c)));
    let three = or(
        all(0x80_80E0),
        from_12,
        _mm512_or_si512(_mm512_slli_epi32::<8>(low(from_6)), _mm512_slli_epi32::<16>(low(c))),
    );
    let four = or(
        _mm512_or_si512(all(0x8080_80F0), _mm512_srli_epi32::<18>(c)),
        _mm512_slli_epi32::<8>(low(from_12)),
        _mm512_or_si512(_mm512_slli_epi32::<16>(low(from_6)), _mm512_slli_epi32::<24>(low(c))),
    );
    let mut words = _mm512_mask_mov_epi32(c, beyond_ascii, two);
    words = _mm512_mask_mov_epi32(words, _mm512_cmpge_epu32_mask(c, all(0x800)), three);
    words = _mm512_mask_mov_epi32(words, _mm512_cmpge_epu32_mask(c, all(0x1_0000)), four);
    // The first byte of each counts even if it is zero; those behind it never are.
    let counts = _mm512_test_epi8_mask(words, words) | 0x1111_1111_1111_1111;
    // SAFETY: 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_maskz_compress_epi8(counts, words)) };
    Some(counts.count_ones() as usize)
}
