//! What SSE2 answers about the bytes of a block, which every x86-64 has.

use super::super::blocks::Block;
use super::signed;
use std::ops::RangeInclusive;

#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn within(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
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

#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn classify_ascii(bytes: &[u8; 64]) -> Block {
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
