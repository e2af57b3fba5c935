//! Eight characters at a time, four where something of 64 bits is known of each.

use super::super::super::TokenId;
use super::super::super::chars::{AS_LEFT_BITS, AS_RIGHT_BITS, SEVERAL};
use super::super::super::joins::{Joins, LEFT_FACTOR, RIGHT_FACTOR};
use super::super::super::pairs::Rank;
use super::{BLOCK, CHARACTER_BYTES, LOADED_BYTES, Lanes, Met, SPELLED, WIDTH};
use crate::bits::PLACES;
use crate::processor::Avx2;
use std::arch::x86_64::{__m256i, _mm256_set1_epi32, _mm256_set1_epi64x};
use std::ops::Range;

/// Lanes of 64 bits.
const FOUR: usize = 4;

impl Lanes for Avx2 {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn spell(self, bytes: &[u8; LOADED_BYTES], codes: &mut [u32; SPELLED]) -> u16 {
        // SAFETY: the processor has these instructions, or there was no `self`.
        unsafe { spell(bytes, codes) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn meet(self, known: &[u64; BLOCK + 1], joins: &Joins, ids: &mut [TokenId; BLOCK]) -> Met {
        // SAFETY: see above.
        unsafe { meet(known, joins, ids) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn produce(self, ids: &mut [TokenId; BLOCK], ranks: &[Rank; BLOCK], bits: u64, produced: Range<TokenId>) -> u64 {
        // SAFETY: see above.
        unsafe { produce(ids, ranks, bits, produced) }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn keep(self, ids: &[TokenId; WIDTH], left: u8) -> [TokenId; WIDTH] {
        // SAFETY: see above.
        unsafe { keep(ids, left) }
    }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn spell(bytes: &[u8; LOADED_BYTES], codes: &mut [u32; SPELLED]) -> u16 {
    use std::arch::x86_64::{
        _mm_loadu_si128, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_set_m128i, _mm256_setr_epi8, _mm256_shuffle_epi8,
        _mm256_storeu_si256,
    };
    let order = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
    );
    let mut others = 0_u16;
    for (half, codes) in codes.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        let first = half * WIDTH * CHARACTER_BYTES;
        // SAFETY: the last of these loads ends with the 52nd of the bytes; none needs an alignment.
        let halves = unsafe {
            let load = |at: usize| _mm_loadu_si128(bytes.as_ptr().add(at).cast());
            _mm256_set_m128i(load(first + WIDTH / 2 * CHARACTER_BYTES), load(first))
        };
        // A character in each lane, its first byte the lowest.
        let spelled = _mm256_shuffle_epi8(halves, order);
        let of_code = _mm256_and_si256(spelled, all(0x003F_3F0F));
        // The first times 64 and the second, and the third; then what the two were times 64, and that.
        let code = _mm256_madd_epi16(_mm256_maddubs_epi16(of_code, all(0x0001_0140)), all(0x0001_0040));
        let is_one = _mm256_cmpeq_epi32(_mm256_and_si256(spelled, all(0xF0)), all(0xE0));
        // SAFETY: room for 8 numbers, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), code) };
        let ones = _mm256_movemask_ps(_mm256_castsi256_ps(is_one)).cast_unsigned();
        others |= u16::from(!lowest(ones)) << (half * WIDTH);
    }
    others
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn meet(known: &[u64; BLOCK + 1], joins: &Joins, ids: &mut [TokenId; BLOCK]) -> Met {
    use std::arch::x86_64::{
        _mm_cvtsi32_si128, _mm_storeu_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_castsi256_pd,
        _mm256_castsi256_si128, _mm256_cmpeq_epi64, _mm256_i64gather_epi64, _mm256_loadu_si256, _mm256_movemask_pd,
        _mm256_mul_epu32, _mm256_permutevar8x32_epi32, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_sllv_epi64,
        _mm256_srl_epi64, _mm256_srli_epi64, _mm256_sub_epi32,
    };
    let (words, shift) = joins.bits();
    let shift = _mm_cvtsi32_si128(shift.cast_signed());
    let lower_halves = _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0);
    let bits = |lanes: __m256i| u64::from(_mm256_movemask_pd(_mm256_castsi256_pd(lanes)).cast_unsigned());
    let is_zero = |lanes: __m256i| _mm256_cmpeq_epi64(lanes, _mm256_setzero_si256());
    let mut met = Met::default();
    for (group, ids) in ids.as_chunks_mut::<FOUR>().0.iter_mut().enumerate() {
        let at = FOUR * group;
        // SAFETY: 32 readable bytes each, as there is one more than the ids, and the loads need no alignment.
        let [left, right] = [0, 1].map(|next| unsafe { _mm256_loadu_si256(known.as_ptr().add(at + next).cast()) });
        let crossings = _mm256_and_si256(
            _mm256_srli_epi64::<{ AS_LEFT_BITS.cast_signed() }>(left),
            _mm256_and_si256(_mm256_srli_epi64::<{ AS_RIGHT_BITS.cast_signed() }>(right), all_64(0xFFFF)),
        );
        let id_plus_one = _mm256_and_si256(left, all_64(u32::MAX));
        let rare = _mm256_cmpeq_epi64(id_plus_one, all_64(SEVERAL));
        // Of which the lower 32 bits are the hash.
        let hash = _mm256_add_epi64(
            _mm256_mul_epu32(left, all_64(LEFT_FACTOR)),
            _mm256_mul_epu32(right, all_64(RIGHT_FACTOR)),
        );
        let bit = _mm256_srl_epi64(_mm256_and_si256(hash, all_64(u32::MAX)), shift);
        let id = _mm256_permutevar8x32_epi32(_mm256_sub_epi32(id_plus_one, all(1)), lower_halves);
        // SAFETY: the hash has as many bits as the bitmap needs, and six fewer for its words; the store is of four ids.
        let word = unsafe {
            _mm_storeu_si128(ids.as_mut_ptr().cast(), _mm256_castsi256_si128(id));
            _mm256_i64gather_epi64::<8>(words.as_ptr().cast(), _mm256_srli_epi64::<6>(bit))
        };
        // The bit that was asked for is the highest.
        let up = _mm256_sllv_epi64(word, _mm256_and_si256(_mm256_sub_epi32(all_64(63), bit), all_64(63)));
        met.unknown |= bits(is_zero(left)) << at;
        met.crosses |= (bits(is_zero(crossings)) ^ 0xF) << at;
        met.rare |= bits(rare) << at;
        met.joins |= bits(up) << at;
    }
    met
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn produce(ids: &mut [TokenId; BLOCK], ranks: &[Rank; BLOCK], bits: u64, produced: Range<TokenId>) -> u64 {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_and_si256, _mm256_andnot_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32,
        _mm256_loadu_si256, _mm256_maskstore_epi32, _mm256_max_epu32, _mm256_movemask_ps, _mm256_setr_epi32,
    };
    let (first, num_merges) = (all(produced.start), all(produced.end - produced.start));
    let lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let mut merged = 0;
    let groups = ids.as_chunks_mut::<WIDTH>().0.iter_mut().zip(ranks.as_chunks::<WIDTH>().0);
    for (group, (ids, ranks)) in groups.enumerate() {
        let at = WIDTH * group;
        // SAFETY: 32 readable bytes, and no alignment is needed.
        let ranks = unsafe { _mm256_loadu_si256(ranks.as_ptr().cast()) };
        let has_bit = _mm256_cmpeq_epi32(_mm256_and_si256(all(u32::from(lowest(bits >> at))), lanes), lanes);
        let is_none = _mm256_cmpeq_epi32(_mm256_max_epu32(ranks, num_merges), ranks);
        let is_merge = _mm256_andnot_si256(is_none, has_bit);
        // SAFETY: room for 8 ids.
        unsafe { _mm256_maskstore_epi32(ids.as_mut_ptr().cast(), is_merge, _mm256_add_epi32(first, ranks)) };
        merged |= u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(is_merge)).cast_unsigned()) << at;
    }
    merged
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn keep(ids: &[TokenId; WIDTH], left: u8) -> [TokenId; WIDTH] {
    use std::arch::x86_64::{
        _mm_loadl_epi64, _mm256_cvtepu8_epi32, _mm256_loadu_si256, _mm256_permutevar8x32_epi32, _mm256_storeu_si256,
    };
    let mut kept = [0; WIDTH];
    // SAFETY: eight places of a byte, eight ids, and room for as many; none needs to be aligned.
    unsafe {
        let order = _mm256_cvtepu8_epi32(_mm_loadl_epi64(PLACES[usize::from(left)].as_ptr().cast()));
        let eight = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(ids.as_ptr().cast()), order);
        _mm256_storeu_si256(kept.as_mut_ptr().cast(), eight);
    }
    kept
}

/// The lowest byte.
#[inline]
fn lowest(bits: impl Into<u64>) -> u8 {
    bits.into().to_le_bytes()[0]
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all_64(number: u32) -> __m256i {
    _mm256_set1_epi64x(i64::from(number))
}
