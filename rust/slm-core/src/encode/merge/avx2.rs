//! The merges of a few ids in registers.
//!
//! In an array each merge writes ranks and then reads all of them at once, which waits until what was written is in the cache.

use super::super::TokenId;
use super::super::pairs::{PairTable, Rank};
use super::{NOT_RANKED, rank_and_place, ranked};
use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm_min_epu32, _mm_shuffle_epi32, _mm256_add_epi32, _mm256_blendv_epi8,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_min_epu32, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_setr_epi32,
};

/// Ids, or ranks, that a register has room for.
const LANES: usize = 8;

/// Merges at least two and at most `LANES * REGISTERS` ids in place and gives how many are left, at the front. `rank` gives that of
/// the merge of the id at a place and the next, before any merge.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn merge<const REGISTERS: usize>(
    pairs: &PairTable,
    rank: impl Fn(&[TokenId], usize) -> Rank,
    merged: &mut [TokenId],
) -> usize {
    let len = merged.len();
    let mut ids = [[0; LANES]; REGISTERS];
    ids.as_flattened_mut()[..len].copy_from_slice(merged);
    let mut first = [[u32::MAX; LANES]; REGISTERS];
    for at in 0..len - 1 {
        first.as_flattened_mut()[at] = ranked(rank(merged, at), at);
    }
    // What the first merges ask for next. The table does not stay in the nearest caches, so this saves a twentieth of the time.
    let (flat, num_lanes) = (ids.as_flattened(), LANES * REGISTERS);
    for (at, &lowest) in first.as_flattened()[..len - 1].iter().enumerate().filter(|(_, lowest)| **lowest < NOT_RANKED)
    {
        let new = pairs.produced(rank_and_place(lowest).0);
        pairs.prefetch(new, flat[(at + 2) % num_lanes]);
        pairs.prefetch(flat[at.saturating_sub(1)], new);
    }
    let mut left = merge_ranked(pairs, &mut ids, &first, len);
    let mut kept = 0;
    while left != 0 {
        merged[kept] = ids.as_flattened()[left.trailing_zeros() as usize % num_lanes];
        kept += 1;
        left &= left - 1;
    }
    kept
}

/// Merges the first `len` ids, of which there is at least one; `first` has the [`ranked`] merge of each with the next, and [`u32::MAX`] behind
/// them. Ids stay where they are; the result has a bit for each that is left.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn merge_ranked<const REGISTERS: usize>(
    pairs: &PairTable,
    ids: &mut [[TokenId; LANES]; REGISTERS],
    first: &[[u32; LANES]; REGISTERS],
    len: usize,
) -> u32 {
    let num_lanes = LANES * REGISTERS;
    let mut places = [_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); REGISTERS];
    for idx in 1..REGISTERS {
        places[idx] = _mm256_add_epi32(places[idx - 1], all(lane(LANES)));
    }
    let ids = ids.as_flattened_mut();
    let has_tag = |tags: &[u32; LANES], tag| places_of(tags, tag);
    let mut ranks = first.map(|eight| load(&eight));
    let mut left = u32::MAX >> (32 - len);
    loop {
        let lowest = lowest(&ranks);
        if lowest >= NOT_RANKED {
            return left;
        }
        let (rank, at) = rank_and_place(lowest);
        let at = at % num_lanes;
        // The places to the right: the first of them is merged into this one.
        let right = left & (u32::MAX << at << 1);
        let after = right & (right - 1);
        let before = left & ((1 << at) - 1);
        left ^= right ^ after;
        let new = pairs.produced(rank);
        ids[at] = new;
        // Blends and no branch for what is neither before nor after was no faster: then no merge can be tried ahead.
        let mut set = |place: u32, to: u32| {
            for (ranks, places) in ranks.iter_mut().zip(places) {
                *ranks = _mm256_blendv_epi8(*ranks, all(to), _mm256_cmpeq_epi32(places, all(place)));
            }
        };
        set(right.trailing_zeros(), u32::MAX);
        let mut with_next = u32::MAX;
        if after != 0 {
            let next = ids[after.trailing_zeros() as usize % num_lanes];
            with_next = ranked(pairs.rank_by(has_tag, new, next), at);
        }
        set(lane(at), with_next);
        if before != 0 {
            let before = before.ilog2();
            let with_new = pairs.rank_by(has_tag, ids[before as usize % num_lanes], new);
            set(before, ranked(with_new, before as usize));
        }
    }
}

/// The number of a lane, as a register has it.
#[inline]
#[allow(clippy::cast_possible_truncation)] // there are few lanes
fn lane(number: usize) -> u32 {
    number as u32
}

/// A bit for each tag that is `tag`.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn places_of(tags: &[u32; LANES], tag: u32) -> u32 {
    _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(load(tags), all(tag)))).cast_unsigned()
}

/// The smallest of all numbers.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn lowest<const REGISTERS: usize>(ranks: &[__m256i; REGISTERS]) -> u32 {
    let least = ranks[1..].iter().fold(ranks[0], |least, more| _mm256_min_epu32(least, *more));
    let least = _mm_min_epu32(_mm256_castsi256_si128(least), _mm256_extracti128_si256::<1>(least));
    let least = _mm_min_epu32(least, _mm_shuffle_epi32::<0b00_00_11_10>(least));
    _mm_cvtsi128_si32(_mm_min_epu32(least, _mm_shuffle_epi32::<0b01>(least))).cast_unsigned()
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn load(eight: &[u32; LANES]) -> __m256i {
    // SAFETY: 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) }
}
