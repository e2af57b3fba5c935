//! Sixteen characters at a time, eight where something of 64 bits is known of each.

use super::super::super::TokenId;
use super::super::super::chars::{AS_LEFT_BITS, AS_RIGHT_BITS, SEVERAL};
use super::super::super::joins::{Joins, LEFT_FACTOR, RIGHT_FACTOR};
use super::super::super::pairs::Rank;
use super::{BLOCK, LOADED_BYTES, Lanes, Met, SPELLED, WIDTH};
use crate::processor::Avx512;
use std::ops::Range;

impl Lanes for Avx512 {
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

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn spell(bytes: &[u8; LOADED_BYTES], codes: &mut [u32; SPELLED]) -> u16 {
    use std::arch::x86_64::{
        _mm512_and_si512, _mm512_cmpneq_epi32_mask, _mm512_loadu_si512, _mm512_madd_epi16, _mm512_maddubs_epi16,
        _mm512_maskz_permutexvar_epi8, _mm512_set1_epi32, _mm512_storeu_si512,
    };
    /// The lower three bytes of each lane.
    const THREE: u64 = 0x7777_7777_7777_7777;
    /// From where each byte of a lane comes.
    const ORDER: [u8; LOADED_BYTES] = {
        let mut order = [0; LOADED_BYTES];
        let mut at = 0;
        while (at as usize) < LOADED_BYTES {
            order[at as usize] = at / 4 * 3 + at % 4;
            at += 1;
        }
        order
    };
    // SAFETY: 64 readable bytes each, and the loads need no alignment.
    let [bytes, order] = [bytes, &ORDER].map(|bytes| unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) });
    // A character in each lane, its first byte the lowest.
    let spelled = _mm512_maskz_permutexvar_epi8(THREE, order, bytes);
    let of_code = _mm512_and_si512(spelled, _mm512_set1_epi32(0x003F_3F0F));
    // The first times 64 and the second, and the third; then what the two were times 64, and that.
    let two = _mm512_maddubs_epi16(of_code, _mm512_set1_epi32(0x0001_0140));
    let code = _mm512_madd_epi16(two, _mm512_set1_epi32(0x0001_0040));
    // SAFETY: room for 16 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(codes.as_mut_ptr().cast(), code) };
    _mm512_cmpneq_epi32_mask(_mm512_and_si512(spelled, _mm512_set1_epi32(0xF0)), _mm512_set1_epi32(0xE0))
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn meet(known: &[u64; BLOCK + 1], joins: &Joins, ids: &mut [TokenId; BLOCK]) -> Met {
    use std::arch::x86_64::{
        _mm_cvtsi32_si128, _mm256_cmpeq_epi32_mask, _mm256_set1_epi32, _mm256_storeu_si256, _mm256_sub_epi32,
        _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepi64_epi32, _mm512_i64gather_epi64, _mm512_loadu_si512,
        _mm512_mul_epu32, _mm512_set1_epi64, _mm512_srl_epi64, _mm512_srli_epi64, _mm512_srlv_epi64,
        _mm512_test_epi64_mask, _mm512_testn_epi64_mask,
    };
    let (words, shift) = joins.bits();
    let all = |number: u32| _mm512_set1_epi64(i64::from(number));
    let (left_factor, right_factor) = (all(LEFT_FACTOR), all(RIGHT_FACTOR));
    let shift = _mm_cvtsi32_si128(shift.cast_signed());
    let mut met = Met::default();
    for (group, ids) in ids.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
        let at = WIDTH * group;
        // SAFETY: 64 readable bytes each, as there is one more than the ids, and the loads need no alignment.
        let [left, right] = [0, 1].map(|next| unsafe { _mm512_loadu_si512(known.as_ptr().add(at + next).cast()) });
        let crossings = _mm512_and_si512(
            _mm512_srli_epi64::<AS_LEFT_BITS>(left),
            _mm512_and_si512(_mm512_srli_epi64::<AS_RIGHT_BITS>(right), all(0xFFFF)),
        );
        let (unknown, crosses) = (_mm512_testn_epi64_mask(left, left), _mm512_test_epi64_mask(crossings, crossings));
        let id_plus_one = _mm512_cvtepi64_epi32(left);
        let rare = _mm256_cmpeq_epi32_mask(id_plus_one, _mm256_set1_epi32(SEVERAL.cast_signed()));
        // Of which the lower 32 bits are the hash.
        let hash = _mm512_add_epi64(_mm512_mul_epu32(left, left_factor), _mm512_mul_epu32(right, right_factor));
        let bit = _mm512_srl_epi64(_mm512_and_si512(hash, all(u32::MAX)), shift);
        // SAFETY: the hash has as many bits as the bitmap needs, and six fewer for its words; the store is of eight ids.
        let word = unsafe {
            _mm256_storeu_si256(ids.as_mut_ptr().cast(), _mm256_sub_epi32(id_plus_one, _mm256_set1_epi32(1)));
            _mm512_i64gather_epi64::<8>(_mm512_srli_epi64::<6>(bit), words.as_ptr().cast())
        };
        let of_word = _mm512_srlv_epi64(word, _mm512_and_si512(bit, all(63)));
        let joins = _mm512_test_epi64_mask(of_word, all(1));
        met.unknown |= u64::from(unknown) << at;
        met.crosses |= u64::from(crosses) << at;
        met.rare |= u64::from(rare) << at;
        met.joins |= u64::from(joins) << at;
    }
    met
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn produce(ids: &mut [TokenId; BLOCK], ranks: &[Rank; BLOCK], bits: u64, produced: Range<TokenId>) -> u64 {
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_cmplt_epu32_mask, _mm512_mask_storeu_epi32, _mm512_set1_epi32,
    };
    const LANES: usize = 16;
    let [first, num_merges] =
        [produced.start, produced.end - produced.start].map(|number| _mm512_set1_epi32(number.cast_signed()));
    let mut merged = 0;
    let groups = ids.as_chunks_mut::<LANES>().0.iter_mut().zip(ranks.as_chunks::<LANES>().0);
    for (group, (ids, ranks)) in groups.enumerate() {
        let at = LANES * group;
        // SAFETY: 64 readable bytes, and no alignment is needed.
        let ranks = unsafe { _mm512_loadu_si512(ranks.as_ptr().cast()) };
        #[expect(clippy::cast_possible_truncation, reason = "the bits of these lanes")]
        let is_merge = _mm512_mask_cmplt_epu32_mask((bits >> at) as u16, ranks, num_merges);
        // SAFETY: room for 16 ids.
        unsafe { _mm512_mask_storeu_epi32(ids.as_mut_ptr().cast(), is_merge, _mm512_add_epi32(first, ranks)) };
        merged |= u64::from(is_merge) << at;
    }
    merged
}

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn keep(ids: &[TokenId; WIDTH], left: u8) -> [TokenId; WIDTH] {
    use std::arch::x86_64::{_mm256_loadu_si256, _mm256_maskz_compress_epi32, _mm256_storeu_si256};
    let mut kept = [0; WIDTH];
    // SAFETY: eight ids each, and neither needs to be aligned.
    unsafe {
        let eight = _mm256_maskz_compress_epi32(left, _mm256_loadu_si256(ids.as_ptr().cast()));
        _mm256_storeu_si256(kept.as_mut_ptr().cast(), eight);
    }
    kept
}
