//! The merges of many ids with a heap.

use super::super::TokenId;
use super::super::pairs::{NO_RANK, PairTable, Rank};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Marks the end of the list, and a position that was merged away.
const NONE: u32 = u32::MAX;

/// Work space of the heap merge, kept between calls up to a bound.
#[derive(Debug, Default)]
pub(crate) struct LongMerge {
    previous: Vec<u32>,
    next: Vec<u32>,
    /// (rank, position of the left id), smallest first. An entry is stale unless that position's merge still has that rank.
    heap: BinaryHeap<Reverse<u64>>,
}

/// Ids beyond which the work space is given back after use: about 1 MiB of it.
const MAX_KEPT_IDS: usize = 1 << 16;

impl LongMerge {
    /// Merges `ids` in place and gives how many are left, at the front: `O(n log n)` for `n` ids, 16 bytes of work space each.
    pub(in super::super) fn merge(&mut self, pairs: &PairTable, ids: &mut [TokenId]) -> usize {
        // Positions are 32 bits wide. Whoever cuts documents into pretokens keeps them far shorter; a longer one is merged in
        // two parts rather than wrongly.
        if let Some((head, tail)) = ids.split_at_mut_checked(NONE as usize) {
            let (kept_head, kept_tail) = (self.merge(pairs, head), self.merge(pairs, tail));
            let tail_start = head.len();
            ids.copy_within(tail_start..tail_start + kept_tail, kept_head);
            return kept_head + kept_tail;
        }
        let len = u32::try_from(ids.len()).expect("the split above leaves fewer than 2^32 ids");
        self.previous.clear();
        self.previous.extend((0..len).map(|i| i.checked_sub(1).unwrap_or(NONE)));
        self.next.clear();
        self.next.extend((0..len).map(|i| if i + 1 < len { i + 1 } else { NONE }));
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.clear();
        entries.extend((0..len.saturating_sub(1)).filter_map(|i| {
            let rank = pairs.rank(ids[i as usize], ids[i as usize + 1]);
            (rank != NO_RANK).then_some(Reverse(entry(rank, i)))
        }));
        self.heap = BinaryHeap::from(entries);

        while let Some(Reverse(top)) = self.heap.pop() {
            let (rank, at) = rank_and_position(top);
            let right = self.next[at as usize];
            // A position that was merged away points at nothing, as the last one does.
            if right == NONE {
                continue;
            }
            if pairs.rank(ids[at as usize], ids[right as usize]) != rank {
                continue;
            }
            ids[at as usize] = pairs.produced(rank);
            let after = self.next[right as usize];
            self.next[at as usize] = after;
            self.next[right as usize] = NONE;
            ids[right as usize] = NONE;
            if after != NONE {
                self.previous[after as usize] = at;
                self.push(pairs, ids, at, after);
            }
            let before = self.previous[at as usize];
            if before != NONE {
                self.push(pairs, ids, before, at);
            }
        }
        let mut kept = 0;
        for i in 0..ids.len() {
            if ids[i] != NONE {
                ids[kept] = ids[i];
                kept += 1;
            }
        }
        if self.next.capacity() > MAX_KEPT_IDS {
            *self = Self::default();
        }
        kept
    }

    fn push(&mut self, pairs: &PairTable, ids: &[TokenId], left: u32, right: u32) {
        let rank = pairs.rank(ids[left as usize], ids[right as usize]);
        if rank != NO_RANK {
            self.heap.push(Reverse(entry(rank, left)));
        }
    }
}

fn entry(rank: Rank, at: u32) -> u64 {
    u64::from(rank) << 32 | u64::from(at)
}

/// The two halves of a heap entry.
#[allow(clippy::cast_possible_truncation)] // the halves are taken on purpose
fn rank_and_position(entry: u64) -> (Rank, u32) {
    ((entry >> 32) as Rank, entry as u32)
}
