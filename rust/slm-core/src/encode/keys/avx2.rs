//! Four keys at a time.
//!
//! Masks and lengths come from tables, as bytes cannot be compared with a length here as quickly as they are loaded. AVX2 multiplies
//! 32 bits by 32, so a hash is put together from three products.

use super::super::cache::{HASH_MULTIPLIER, HASH_ROTATION, LINE_BITS};
use super::{Made, Pretokens, Rows};
use crate::short;

/// What bits of a hash are moved by to be a spot.
const HASH_SHIFT: i32 = 32 - LINE_BITS.cast_signed();

/// Makes keys from the first pretoken on, and ends before the four of which one begins less than 16 bytes before the end of the text.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn make(Pretokens { text, ends, lines }: Pretokens<'_>, to: &mut Rows<'_>) -> Made {
    use std::arch::x86_64::{
        _mm_and_si128, _mm_andnot_si128, _mm_loadu_si128, _mm_or_si128, _mm_set1_epi32, _mm_storeu_si128,
        _mm256_add_epi64, _mm256_castsi256_pd, _mm256_castsi256_si128, _mm256_cmpgt_epi64, _mm256_loadu_si256,
        _mm256_movemask_pd, _mm256_mul_epu32, _mm256_or_si256, _mm256_permutevar8x32_epi32, _mm256_set_m128i,
        _mm256_set1_epi64x, _mm256_setr_epi32, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256,
        _mm256_sub_epi64, _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm256_xor_si256,
    };
    let Some(last_start) = text.len().checked_sub(16) else { return Made::default() };
    let most = _mm256_set1_epi64x(short::MAX_BYTES.cast_signed() as i64);
    let low_multiplier = _mm256_set1_epi64x((HASH_MULTIPLIER & 0xFFFF_FFFF).cast_signed());
    let high_multiplier = _mm256_set1_epi64x((HASH_MULTIPLIER >> 32).cast_signed());
    let last = _mm_set1_epi32(lines.last().cast_signed());
    let in_order = _mm256_setr_epi32(0, 4, 2, 6, 0, 0, 0, 0);
    let lower_halves = _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0);

    let mut made = Made::default();
    let (keys, spots) = (to.keys.as_chunks_mut::<4>().0, to.spots.as_chunks_mut::<4>().0);
    for (keys, spots) in keys.iter_mut().zip(spots) {
        let Some(five) = ends[made.len.min(ends.len())..].first_chunk::<5>() else { break };
        if five[3] > last_start {
            break;
        }
        let key = |idx: usize| {
            // Of a long one anything.
            let len = (five[idx + 1] - five[idx]) % (short::MAX_BYTES + 1);
            // SAFETY: behind the start are 16 bytes of the text, as has just been seen, and a row of either table has as many.
            unsafe {
                let bytes = _mm_loadu_si128(text.as_ptr().add(five[idx]).cast());
                let kept = _mm_and_si128(bytes, _mm_loadu_si128((&raw const short::MASKS[len]).cast()));
                _mm_or_si128(kept, _mm_loadu_si128((&raw const short::LENGTHS[len]).cast()))
            }
        };
        let (low_keys, high_keys) = (_mm256_set_m128i(key(1), key(0)), _mm256_set_m128i(key(3), key(2)));
        // `Key::hash` of the first, the third, the second and the fourth.
        let halves = _mm256_unpackhi_epi64(low_keys, high_keys);
        let rotated = _mm256_or_si256(
            _mm256_slli_epi64::<HASH_ROTATION>(halves),
            _mm256_srli_epi64::<{ 64 - HASH_ROTATION }>(halves),
        );
        let mixed = _mm256_xor_si256(_mm256_unpacklo_epi64(low_keys, high_keys), rotated);
        let of_upper = _mm256_mul_epu32(_mm256_srli_epi64::<32>(mixed), low_multiplier);
        let upper = _mm256_add_epi64(of_upper, _mm256_mul_epu32(mixed, high_multiplier));
        let hashes = _mm256_add_epi64(_mm256_mul_epu32(mixed, low_multiplier), _mm256_slli_epi64::<32>(upper));
        let found = _mm256_permutevar8x32_epi32(_mm256_srli_epi64::<HASH_SHIFT>(hashes), in_order);
        // SAFETY: there are five ends; the loads are of the first and of the last four of them.
        let (starts, ends) =
            unsafe { (_mm256_loadu_si256(five.as_ptr().cast()), _mm256_loadu_si256(five.as_ptr().add(1).cast())) };
        let are_long = _mm256_cmpgt_epi64(_mm256_sub_epi64(ends, starts), most);
        // Of a long one the first line, which is near.
        let not_of = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(are_long, lower_halves));
        let found = _mm_andnot_si128(not_of, _mm_and_si128(_mm256_castsi256_si128(found), last));
        // SAFETY: there is room for four keys of 16 bytes and four spots of 4.
        unsafe {
            _mm256_storeu_si256(keys.as_mut_ptr().cast(), low_keys);
            _mm256_storeu_si256(keys.as_mut_ptr().add(2).cast(), high_keys);
            _mm_storeu_si128(spots.as_mut_ptr().cast(), found);
        }
        for spot in spots {
            lines.prefetch(*spot);
        }
        let mut are_long = _mm256_movemask_pd(_mm256_castsi256_pd(are_long)).cast_unsigned();
        while are_long != 0 {
            to.long[made.num_long] = made.len + are_long.trailing_zeros() as usize;
            made.num_long += 1;
            are_long &= are_long - 1;
        }
        made.len += 4;
    }
    made
}
