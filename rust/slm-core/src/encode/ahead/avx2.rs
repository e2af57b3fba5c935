//! The steps, each a loop over all of a batch.

use super::super::chars::NUM_CODES;
use super::super::keys::Pretokens;
use super::super::merge::avx2::{LANES, all, load, merge_ranked};
use super::super::merge::{PLACE_BITS, ranked};
use super::super::pairs::PairTable;
use super::{Ahead, Batch, MAX_CHARACTERS, has_wide_lead};
use crate::bits::PLACES;
use std::arch::x86_64::{
    __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_and_si256, _mm256_andnot_si256, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_cmpgt_epi32, _mm256_cvtepu8_epi32, _mm256_or_si256,
    _mm256_permute4x64_epi64, _mm256_permutevar8x32_epi32, _mm256_set_epi64x, _mm256_set_m128i, _mm256_setr_epi8,
    _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_ps, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi32, _mm256_testz_si256,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a character.
const WIDTH: usize = 3;

/// Bytes that are loaded for each pretoken.
const LOADED_BYTES: usize = 28;

const _: () = assert!(LANES == MAX_CHARACTERS && MAX_CHARACTERS * WIDTH <= LOADED_BYTES);

/// A bit for each length in bytes of two characters up to [`MAX_CHARACTERS`].
const LENGTHS: u32 = {
    let (mut lengths, mut len) = (0, 2);
    while len <= MAX_CHARACTERS {
        lengths |= 1 << (WIDTH * len);
        len += 1;
    }
    lengths
};

impl Ahead {
    /// Merges the pretokens of a batch that no cache has, if characters of three bytes are all that they are made of and nothing merges across
    /// the borders of these before they are whole.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn merge_new(&mut self, batch: Batch<'_>, table: &[AtomicU64; NUM_CODES], pairs: &PairTable) {
        let num_candidates = self.find_candidates(&batch);
        self.look_up_characters(&batch, num_candidates, table, pairs);
        self.look_up_pairs(pairs);
        for (merged, ranks) in self.merged[..self.len].iter_mut().zip(&self.ranks) {
            let mut ids = [merged.ids];
            let left = merge_ranked(pairs, &mut ids, &[*ranks], merged.len);
            let [ids] = ids;
            // SAFETY: 8 readable bytes.
            let order = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(PLACES[left as usize % 256].as_ptr().cast())) };
            store(_mm256_permutevar8x32_epi32(load(&ids), order), &mut merged.ids);
            merged.len = left.count_ones() as usize;
        }
    }

    /// Lists what may be merged ahead, without a branch for each, and gives how many those are.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_candidates(&mut self, batch: &Batch<'_>) -> usize {
        let Batch { pretokens: Pretokens { text, ends, lines }, keys, spots, .. } = *batch;
        let mut found = 0;
        for (idx, ((bounds, key), spot)) in ends.windows(2).zip(keys).zip(spots).enumerate() {
            let (start, len) = (bounds[0], bounds[1] - bounds[0]);
            #[expect(clippy::needless_bitwise_bool, reason = "half of them are fit, which is no branch to guess")]
            let is_fit = (len < 32)
                & (LENGTHS >> (len % 32) & 1 == 1)
                & (start + LOADED_BYTES <= text.len())
                & has_wide_lead(&text[start..]);
            self.numbers[found] = idx;
            found += usize::from(is_fit & !lines.has(*key, *spot));
        }
        found
    }

    /// Keeps those of the candidates all of whose characters are one token, with these.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn look_up_characters(
        &mut self,
        batch: &Batch<'_>,
        num_candidates: usize,
        table: &[AtomicU64; NUM_CODES],
        pairs: &PairTable,
    ) {
        let Batch { pretokens: Pretokens { text, ends, .. }, keys, long_cache, .. } = *batch;
        let mut kept = 0;
        for candidate in 0..num_candidates {
            let idx = self.numbers[candidate];
            if keys[idx].long_hash().is_some_and(|hash| long_cache.takes(hash) && long_cache.may_have(hash)) {
                continue;
            }
            let len = (ends[idx + 1] - ends[idx]) / WIDTH;
            let bytes = text[ends[idx]..].first_chunk().expect("candidates have as many bytes");
            let (ids, is_fit) = characters(bytes, len, table);
            let merged = &mut self.merged[kept];
            store(ids, &mut merged.ids);
            merged.len = len;
            self.numbers[kept] = idx;
            kept += usize::from(is_fit & !pairs.any_beyond(ids));
        }
        self.len = kept;
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn look_up_pairs(&mut self, pairs: &PairTable) {
        let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        for (merged, ranks) in self.merged[..self.len].iter().zip(&mut self.ranks) {
            let has_next = below(merged.len - 1);
            let (rank, mut unsure) = pairs.ranks_of_neighbours(load(&merged.ids), has_next);
            let with_places = _mm256_or_si256(_mm256_slli_epi32::<{ PLACE_BITS.cast_signed() }>(rank), places);
            store(_mm256_or_si256(with_places, _mm256_andnot_si256(has_next, all(u32::MAX))), ranks);
            while unsure != 0 {
                let at = unsure.trailing_zeros() as usize % (LANES - 1);
                ranks[at] = ranked(pairs.rank(merged.ids[at], merged.ids[at + 1]), at);
                unsure &= unsure - 1;
            }
        }
    }
}

/// All bits in the first lanes, so many of them.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn below(len: usize) -> __m256i {
    #[expect(clippy::cast_possible_truncation, reason = "there are few lanes")]
    let len = all(len as u32);
    _mm256_cmpgt_epi32(len, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// The tokens of the first `len` characters, and zeros behind them; and whether each is one of three bytes, is a token, and can not
/// merge in part with the one before. What is not known yet of a character does not count as a token.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn characters(bytes: &[u8; LOADED_BYTES], len: usize, table: &[AtomicU64; NUM_CODES]) -> (__m256i, bool) {
    let order = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
    );
    // SAFETY: both loads, the second of them 12 bytes further, are of 16 of the 28 bytes.
    let halves = unsafe {
        let first = bytes.as_ptr();
        _mm256_set_m128i(_mm_loadu_si128(first.add(LANES / 2 * WIDTH).cast()), _mm_loadu_si128(first.cast()))
    };
    // A character in each lane, its first byte the lowest.
    let spelled = _mm256_shuffle_epi8(halves, order);
    let (is_character, has_next) = (below(len), below(len - 1));
    let is_wide = _mm256_cmpeq_epi32(_mm256_and_si256(spelled, all(0x00C0_C0F0)), all(0x0080_80E0));

    let first = _mm256_slli_epi32::<12>(_mm256_and_si256(spelled, all(0xF)));
    let second = _mm256_srli_epi32::<2>(_mm256_and_si256(spelled, all(0x3F00)));
    let third = _mm256_and_si256(_mm256_srli_epi32::<16>(spelled), all(0x3F));
    let mut codes = [0; LANES];
    let code = _mm256_or_si256(_mm256_or_si256(first, second), third);
    store(_mm256_and_si256(code, is_character), &mut codes);

    let known = |idx: usize| table[codes[idx] as usize % NUM_CODES].load(Ordering::Relaxed).cast_signed();
    let low = _mm256_castsi256_ps(_mm256_set_epi64x(known(3), known(2), known(1), known(0)));
    let high = _mm256_castsi256_ps(_mm256_set_epi64x(known(7), known(6), known(5), known(4)));
    let in_order = |mixed| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(mixed));
    // The lower halves of what is known, and the upper ones.
    let id_plus_one = in_order(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
    let crossings = in_order(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));

    // Neither 0, which stands for not known, nor the highest number, which stands for several.
    let ids = _mm256_sub_epi32(id_plus_one, all(1));
    let is_no_id = _mm256_cmpgt_epi32(_mm256_setzero_si256(), ids);
    let of_next = _mm256_permutevar8x32_epi32(crossings, _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 7));
    let of_both = _mm256_and_si256(_mm256_and_si256(crossings, all(0xFFFF)), _mm256_srli_epi32::<16>(of_next));
    let crosses = _mm256_andnot_si256(_mm256_cmpeq_epi32(of_both, _mm256_setzero_si256()), has_next);
    let is_unfit = _mm256_or_si256(is_no_id, _mm256_andnot_si256(is_wide, all(u32::MAX)));
    let is_unfit = _mm256_or_si256(_mm256_and_si256(is_unfit, is_character), crosses);
    (_mm256_and_si256(ids, is_character), _mm256_testz_si256(is_unfit, is_unfit) == 1)
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn store(eight: __m256i, to: &mut [u32; LANES]) {
    // SAFETY: 32 bytes that may be written, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), eight) };
}
