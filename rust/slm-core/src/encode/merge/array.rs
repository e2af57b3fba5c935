//! The merges of a few ids in an array.

use super::super::TokenId;
use super::super::pairs::{PairTable, Rank};
use super::{NOT_RANKED, rank_and_place, ranked};

/// A short pretoken while it is merged: ids stay where they are, and those merged away are crossed out.
///
/// Quadratic, but over arrays of a few cache lines, where the minimum costs a handful of vector instructions and nothing moves.
pub(super) struct Short<const LANES: usize> {
    ids: [TokenId; LANES],
    ranked: [u32; LANES],
    /// A bit for each place that still has an id.
    left: u64,
}

impl<const LANES: usize> Short<LANES> {
    /// `rank` gives that of the merge of the id at a place and the next.
    #[inline]
    pub(super) fn new(ids: &[TokenId], rank: impl Fn(&[TokenId], usize) -> Rank) -> Self {
        let len = ids.len();
        let mut short = Self { ids: [0; LANES], ranked: [u32::MAX; LANES], left: u64::MAX >> (64 - len) };
        short.ids[..len].copy_from_slice(ids);
        for at in 0..len - 1 {
            short.ranked[at] = ranked(rank(ids, at), at);
        }
        short
    }

    /// Merges until no merge is left; the ids go to the front of `ids`, and how many those are is the result.
    #[inline]
    pub(super) fn merge(mut self, pairs: &PairTable, ids: &mut [TokenId]) -> usize {
        // What the first merges ask for next. The table does not stay in the nearest caches, so this saves a twentieth of the time.
        for at in (0..ids.len() - 1).filter(|&at| self.ranked[at] < NOT_RANKED) {
            let new = pairs.produced(rank_and_place(self.ranked[at]).0);
            pairs.prefetch(new, self.ids[(at + 2) % LANES]);
            pairs.prefetch(self.ids[at.saturating_sub(1)], new);
        }
        loop {
            let lowest = self.ranked.iter().copied().fold(u32::MAX, u32::min);
            if lowest >= NOT_RANKED {
                break;
            }
            let (rank, at) = rank_and_place(lowest);
            // The places to the right: the first of them is merged into this one.
            let right = self.left & (u64::MAX << at << 1);
            let after = right & (right - 1);
            let before = self.left & ((1 << at) - 1);
            self.left ^= right ^ after;
            self.ranked[right.trailing_zeros() as usize % LANES] = u32::MAX;
            let new = pairs.produced(rank);
            self.ids[at] = new;
            self.ranked[at] = u32::MAX;
            if after != 0 {
                self.ranked[at] = ranked(pairs.rank(new, self.ids[after.trailing_zeros() as usize % LANES]), at);
            }
            if before != 0 {
                let before = before.ilog2() as usize;
                self.ranked[before] = ranked(pairs.rank(self.ids[before], new), before);
            }
        }
        let mut kept = 0;
        while self.left != 0 {
            ids[kept] = self.ids[self.left.trailing_zeros() as usize % LANES];
            kept += 1;
            self.left &= self.left - 1;
        }
        kept
    }
}
