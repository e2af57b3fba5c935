//! Eight keys at a time.
//!
//! One by one a key takes some thirty instructions: its bytes are loaded and masked, its length is added, and the hash of both says
//! where its line is. In vectors it takes eight, most of which are the load of its bytes and the asking for its line.

use super::super::cache::{HASH_MULTIPLIER, HASH_ROTATION, LINE_BITS};
use super::{Made, Pretokens, Rows};
use crate::short;

#[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn make(Pretokens { text, ends, lines }: Pretokens<'_>, to: &mut Rows<'_>) -> Made {
    use std::arch::x86_64::{
        __m512i, _mm_loadu_si128, _mm_setr_epi8, _mm256_maskz_and_epi32, _mm256_set1_epi32, _mm256_storeu_si256,
        _mm512_broadcast_i32x4, _mm512_castsi128_si512, _mm512_castsi512_si256, _mm512_cmpgt_epu64_mask,
        _mm512_cmplt_epu8_mask, _mm512_inserti32x4, _mm512_loadu_si512, _mm512_mask_mov_epi8, _mm512_maskz_mov_epi8,
        _mm512_mullo_epi64, _mm512_permutexvar_epi8, _mm512_permutexvar_epi32, _mm512_rol_epi64, _mm512_set_epi64,
        _mm512_set1_epi64, _mm512_setr_epi32, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi64,
        _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
    };
    /// The highest byte of each key.
    const LENGTHS: u64 = 0x8000_8000_8000_8000;

    let places = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    let all = |byte: i64| byte * 0x0101_0101_0101_0101;
    // Which byte of eight lengths each byte of four keys is compared with.
    let first = _mm512_set_epi64(all(24), all(24), all(16), all(16), all(8), all(8), 0, 0);
    let second = _mm512_set_epi64(all(56), all(56), all(48), all(48), all(40), all(40), all(32), all(32));
    let most = _mm512_set1_epi64(short::MAX_BYTES.cast_signed() as i64);
    let multiplier = _mm512_set1_epi64(HASH_MULTIPLIER.cast_signed());
    let last = _mm256_set1_epi32(lines.last().cast_signed());
    let in_order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);

    let Some(last_start) = text.len().checked_sub(16) else { return Made::default() };
    let last_start = _mm512_set1_epi64(last_start.cast_signed() as i64);

    let mut made = Made::default();
    let (keys, spots) = (to.keys.as_chunks_mut::<8>().0, to.spots.as_chunks_mut::<8>().0);
    for (keys, spots) in keys.iter_mut().zip(spots) {
        let Some(nine) = ends[made.len.min(ends.len())..].first_chunk::<9>() else { break };
        // SAFETY: there are nine ends; the loads are of the first and of the last eight of them.
        let (starts, ends) =
            unsafe { (_mm512_loadu_si512(nine.as_ptr().cast()), _mm512_loadu_si512(nine.as_ptr().add(1).cast())) };
        if _mm512_cmpgt_epu64_mask(starts, last_start) != 0 {
            break;
        }
        let lengths = _mm512_sub_epi64(ends, starts);
        // SAFETY: behind each start are 16 bytes of the text, as has just been seen.
        let bytes = |idx: usize| unsafe { _mm_loadu_si128(text.as_ptr().add(nine[idx]).cast()) };
        let four = |idx| {
            let of_first = _mm512_castsi128_si512(bytes(idx));
            let of_two = _mm512_inserti32x4::<1>(of_first, bytes(idx + 1));
            _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(of_two, bytes(idx + 2)), bytes(idx + 3))
        };
        let key = |bytes: __m512i, which| {
            let length = _mm512_permutexvar_epi8(which, lengths);
            let kept = _mm512_maskz_mov_epi8(_mm512_cmplt_epu8_mask(places, length), bytes);
            _mm512_mask_mov_epi8(kept, LENGTHS, length)
        };
        let (low_keys, high_keys) = (key(four(0), first), key(four(4), second));
        let halves = _mm512_rol_epi64::<HASH_ROTATION>(_mm512_unpackhi_epi64(low_keys, high_keys));
        let mixed = _mm512_xor_si512(_mm512_unpacklo_epi64(low_keys, high_keys), halves);
        let hashes = _mm512_srli_epi64::<{ 32 - LINE_BITS }>(_mm512_mullo_epi64(mixed, multiplier));
        let mut are_long = _mm512_cmpgt_epu64_mask(lengths, most);
        // Of a long one the first line, which is near.
        let found = _mm512_castsi512_si256(_mm512_permutexvar_epi32(in_order, hashes));
        let found = _mm256_maskz_and_epi32(!are_long, found, last);
        // SAFETY: there is room for eight keys of 16 bytes and eight spots of 4.
        unsafe {
            _mm512_storeu_si512(keys.as_mut_ptr().cast(), low_keys);
            _mm512_storeu_si512(keys.as_mut_ptr().add(4).cast(), high_keys);
            _mm256_storeu_si256(spots.as_mut_ptr().cast(), found);
        }
        for spot in spots {
            lines.prefetch(*spot);
        }
        while are_long != 0 {
            to.long[made.num_long] = made.len + are_long.trailing_zeros() as usize;
            made.num_long += 1;
            are_long &= are_long - 1;
        }
        made.len += 8;
    }
    made
}
