//! The steps, each a loop over all of a batch.

use super::super::cache::{Either, Lines, MAX_IDS};
use super::super::chars::NUM_CODES;
use super::super::keys::Pretokens;
use super::super::long_cache::LongCache;
use super::super::merge::avx2::{LANES, load, merge_ranked};
use super::super::pairs::PairTable;
use super::super::wide::{CHARACTER_BYTES, Eight, LOADED_BYTES, below, characters, rank_neighbours, store};
use super::{Batch, OPEN, Together, WIDTH, has_wide_lead};
use crate::bits::PLACES;
use std::arch::x86_64::{_mm_loadl_epi64, _mm256_cvtepu8_epi32, _mm256_permutevar8x32_epi32};
use std::sync::atomic::AtomicU64;

const _: () = assert!(LANES == WIDTH && WIDTH * CHARACTER_BYTES <= LOADED_BYTES);

/// A bit for each length in bytes of two characters up to [`WIDTH`].
const LENGTHS: u32 = {
    let (mut lengths, mut len) = (0, 2);
    while len <= WIDTH {
        lengths |= 1 << (CHARACTER_BYTES * len);
        len += 1;
    }
    lengths
};

impl Together {
    /// Copies what the cache knows, and merges what it does not know, if characters of three bytes are all that it is made of and nothing
    /// merges across the borders of these before they are whole. Gives how many were merged, and how many are behind another entry.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn look_up_and_merge(
        &mut self,
        pretokens: Pretokens<'_>,
        batch: Batch<'_>,
        long_cache: &LongCache,
        table: &[AtomicU64; NUM_CODES],
        pairs: &PairTable,
    ) -> (usize, usize) {
        let (num_unknown, num_behind) = self.copy_known(batch, pretokens.lines);
        let num_fit = self.find_fit(batch, num_unknown);
        let num_merged = self.look_up_characters(batch, num_fit, long_cache, table, pairs);
        self.look_up_pairs(num_merged, pairs);
        let to_merge = self.numbers[..num_merged].iter().zip(&self.ranks).zip(&self.joinable);
        for ((&number, ranks), &joinable) in to_merge {
            let (ids, len) = (&mut self.ids[number], &mut self.lens[number]);
            let left = merge_ranked(pairs, std::array::from_mut(ids), &[*ranks], joinable, *len);
            // SAFETY: 8 readable bytes.
            let order = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(PLACES[left as usize % 256].as_ptr().cast())) };
            store(_mm256_permutevar8x32_epi32(load(ids), order), ids);
            *len = left.count_ones() as usize;
        }
        (num_merged, num_behind)
    }

    /// Copies what the cache knows, and lists what it does not, without a branch for either. Gives how many those are, and how many are
    /// behind another entry.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn copy_known(&mut self, batch: Batch<'_>, lines: Lines<'_>) -> (usize, usize) {
        let (mut num_unknown, mut num_behind) = (0, 0);
        let answers = self.ids.iter_mut().zip(&mut self.lens);
        for (number, ((&key, &spot), (ids, len))) in batch.keys.iter().zip(batch.spots).zip(answers).enumerate() {
            let Either { entry, is_known, is_behind } = lines.either(key, spot);
            let first = ids.first_chunk_mut::<MAX_IDS>().expect("an answer has room for an entry");
            // SAFETY: what is initialized may be taken for what might not be, as only ids are written to it.
            let num_ids = entry.write_ids(unsafe { &mut *std::ptr::from_mut(first).cast() });
            *len = if is_known { num_ids } else { OPEN };
            self.numbers[num_unknown] = number;
            num_unknown += usize::from(!is_known);
            self.behind[num_behind] = number;
            num_behind += usize::from(is_behind);
        }
        (num_unknown, num_behind)
    }

    /// Keeps those of the unknown ones that have as many bytes as some characters of three bytes, and begin with one.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_fit(&mut self, batch: Batch<'_>, num_unknown: usize) -> usize {
        let Batch { text, ends, .. } = batch;
        let mut found = 0;
        for at in 0..num_unknown {
            let number = self.numbers[at];
            let (start, len) = (ends[number], ends[number + 1] - ends[number]);
            #[expect(clippy::needless_bitwise_bool, reason = "half of them are fit, which is no branch to guess")]
            let is_fit = (len < 32)
                & (LENGTHS >> (len % 32) & 1 == 1)
                & (start + LOADED_BYTES <= text.len())
                & has_wide_lead(&text[start..]);
            self.numbers[found] = number;
            found += usize::from(is_fit);
        }
        found
    }

    /// Keeps those all of whose characters are one token, with these.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn look_up_characters(
        &mut self,
        batch: Batch<'_>,
        num_fit: usize,
        long_cache: &LongCache,
        table: &[AtomicU64; NUM_CODES],
        pairs: &PairTable,
    ) -> usize {
        let Batch { text, ends, keys, .. } = batch;
        let mut kept = 0;
        for at in 0..num_fit {
            let number = self.numbers[at];
            if keys[number].long_hash().is_some_and(|hash| long_cache.takes(hash) && long_cache.may_have(hash)) {
                continue;
            }
            let len = (ends[number + 1] - ends[number]) / CHARACTER_BYTES;
            let bytes = text[ends[number]..].first_chunk().expect("what is fit has as many bytes");
            let Eight { ids, is_rare, is_unfit, .. } = characters(bytes, len, table);
            let is_fit = u32::from(is_unfit) | is_rare | u32::from(pairs.any_beyond(ids)) == 0;
            self.places[kept] = pairs.places_of_neighbours(ids, below(len - 1));
            store(ids, &mut self.ids[number]);
            self.lens[number] = if is_fit { len } else { OPEN };
            self.numbers[kept] = number;
            kept += usize::from(is_fit);
        }
        kept
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn look_up_pairs(&mut self, num_merged: usize, pairs: &PairTable) {
        let asked = self.numbers[..num_merged].iter().zip(&self.places);
        for (((&number, places), ranks), joinable) in asked.zip(&mut self.ranks).zip(&mut self.joinable) {
            let has_next = below(self.lens[number] - 1);
            *joinable = rank_neighbours(pairs, &self.ids[number], places, has_next, ranks);
        }
    }
}
