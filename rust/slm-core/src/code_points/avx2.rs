//! Blocks by AVX2, which moves bytes by a table of where four characters' bytes belong.

use super::{BLOCK, Room, write_blocks, write_each};
use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_packus_epi16, _mm_storeu_si128, _mm256_and_si256, _mm256_blendv_epi8,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_cmpgt_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_movemask_ps, _mm256_or_si256, _mm256_packus_epi32, _mm256_permute4x64_epi64,
    _mm256_set_m128i, _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_testz_si256,
};
use std::mem::MaybeUninit;

/// Characters in a register, and in half of one.
const LANES: usize = 8;
const HALF: usize = LANES / 2;

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn write(to: &mut [MaybeUninit<u8>], code_points: &[u32]) -> (usize, Result<(), usize>) {
    write_blocks(to, code_points, |to, block| write_block(to, block))
}

/// As [`super::write_block`]: each character becomes a word of its bytes and zeros, and then the bytes of four move together.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn write_block(to: &mut Room, block: &[u32; BLOCK]) -> Option<usize> {
    // SAFETY: both loads are of 32 of 64 readable bytes, and need no alignment.
    let [first, second]: [__m256i; 2] =
        [0, LANES].map(|at| unsafe { _mm256_loadu_si256(block.as_ptr().add(at).cast()) });
    let both = _mm256_or_si256(first, second);
    if _mm256_testz_si256(both, all(!0x7F)) == 1 {
        // Packing goes by halves of registers.
        let pairs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(first, second));
        let bytes = _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
        store(bytes, to, 0);
        return Some(BLOCK);
    }
    let surrogate = |c| _mm256_cmpeq_epi32(_mm256_srli_epi32::<11>(c), all(0xD800 >> 11));
    let surrogates = _mm256_or_si256(surrogate(first), surrogate(second));
    if _mm256_testz_si256(_mm256_or_si256(surrogates, _mm256_srli_epi32::<16>(both)), all(u32::MAX)) == 0 {
        return write_each(to, block);
    }
    let mut end = 0;
    for c in [first, second] {
        let (two, three) = (_mm256_cmpgt_epi32(c, all(0x7F)), _mm256_cmpgt_epi32(c, all(0x7FF)));
        let bits = |lanes| _mm256_movemask_ps(_mm256_castsi256_ps(lanes)).cast_unsigned() as usize;
        let (two_bits, three_bits) = (bits(two), bits(three));
        let kinds = [two_bits & 0xF | (three_bits & 0xF) << HALF, two_bits >> HALF | three_bits & 0xF0];
        let [low, high] = kinds.map(|kind| &ORDERS[kind]);
        // SAFETY: 16 readable bytes each, and the loads need no alignment.
        let order =
            unsafe { _mm256_set_m128i(_mm_loadu_si128(high.as_ptr().cast()), _mm_loadu_si128(low.as_ptr().cast())) };
        let bytes = _mm256_shuffle_epi8(words(c, two, three), order);
        // The 16 bytes of four characters; what is too much of them the next ones overwrite.
        store(_mm256_castsi256_si128(bytes), to, end);
        end += HALF + kinds[0].count_ones() as usize;
        store(_mm256_extracti128_si256::<1>(bytes), to, end);
        end += HALF + kinds[1].count_ones() as usize;
    }
    Some(end)
}

/// UTF-8 of characters up to U+FFFF, the first byte lowest; `two` has those of two bytes or more, `three` those of three.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn words(c: __m256i, two: __m256i, three: __m256i) -> __m256i {
    let or = |a, b, c| _mm256_or_si256(a, _mm256_or_si256(b, c));
    let low = |v| _mm256_and_si256(v, all(0x3F));
    let from_6 = _mm256_srli_epi32::<6>(c);
    let of_two = or(all(0x80C0), from_6, _mm256_slli_epi32::<8>(low(c)));
    let last_two = _mm256_or_si256(_mm256_slli_epi32::<8>(low(from_6)), _mm256_slli_epi32::<16>(low(c)));
    let of_three = or(all(0x80_80E0), _mm256_srli_epi32::<12>(c), last_two);
    _mm256_blendv_epi8(_mm256_blendv_epi8(c, of_two, two), of_three, three)
}

/// Where the bytes of four words go, by which of the characters take two bytes or more (the low bits) and which three (the high ones).
static ORDERS: [[u8; 4 * HALF]; 1 << (2 * HALF)] = {
    // The highest bit stands for a zero.
    let mut orders = [[0x80; 4 * HALF]; 1 << (2 * HALF)];
    let mut kind = 0;
    while kind < orders.len() {
        let (mut at, mut end) = (0, 0);
        while at < HALF {
            let len = 1 + (kind >> at & 1) + (kind >> (HALF + at) & 1);
            let mut byte = 0;
            while byte < len {
                #[expect(clippy::cast_possible_truncation, reason = "below 16")]
                let from = (4 * at + byte) as u8;
                orders[kind][end] = from;
                (end, byte) = (end + 1, byte + 1);
            }
            at += 1;
        }
        kind += 1;
    }
    orders
};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn store(bytes: __m128i, to: &mut Room, at: usize) {
    let to: &mut [MaybeUninit<u8>; 16] =
        to[at..].first_chunk_mut().expect("16 bytes behind at most 12 characters of three");
    // SAFETY: 16 writable bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), bytes) };
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}
