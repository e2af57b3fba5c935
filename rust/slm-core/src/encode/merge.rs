//! The merge loop itself, twice: an array for short pretokens, a heap for long ones. Both apply the merge of lowest rank
//! first and, among equals, the leftmost.

use super::pairs::{NO_MERGE, PairTable, RankedId};
use super::{MAX_SHORT_BYTES, TokenId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Merges the ids from `first` on, however many they are.
#[inline]
pub(crate) fn merge(pairs: &PairTable, long: &mut LongMerge, ids: &mut Vec<TokenId>, first: usize) {
    let kept = if ids.len() - first <= MAX_SHORT_BYTES {
        merge_short(pairs, &mut ids[first..])
    } else {
        long.merge(pairs, &mut ids[first..])
    };
    ids.truncate(first + kept);
}

/// Merges at most [`MAX_SHORT_BYTES`] ids in place and gives how many are left, at the front.
///
/// Quadratic, but over arrays that fit in a few cache lines, where a scan for the minimum costs a handful of vector loads.
fn merge_short(pairs: &PairTable, ids: &mut [TokenId]) -> usize {
    let mut len = ids.len();
    if len < 2 {
        return len;
    }
    // ranks[i] is that of the merge of ids[i] and ids[i + 1]; 32 bits, of which a vector register holds several.
    let mut ranks = [NO_RANK; MAX_SHORT_BYTES];
    for i in 0..len - 1 {
        ranks[i] = rank_of(pairs.get(ids[i], ids[i + 1]));
    }
    loop {
        let lowest = ranks[..len - 1].iter().copied().fold(NO_RANK, u32::min);
        if lowest == NO_RANK {
            return len;
        }
        let at = ranks[..len - 1].iter().position(|&rank| rank == lowest).unwrap_or(0);
        // [.., p, l, r, n, ..] with at = position of l becomes [.., p, new, n, ..].
        ids[at] = produced(pairs.get(ids[at], ids[at + 1]));
        ids.copy_within(at + 2..len, at + 1);
        ranks.copy_within(at + 1..len - 1, at);
        len -= 1;
        if at + 1 < len {
            ranks[at] = rank_of(pairs.get(ids[at], ids[at + 1]));
        }
        if at > 0 {
            ranks[at - 1] = rank_of(pairs.get(ids[at - 1], ids[at]));
        }
        if len < 2 {
            return len;
        }
    }
}

/// Stands for no merge; higher than every rank, as there are fewer merges than ids.
const NO_RANK: u32 = u32::MAX;

/// The rank of a merge: its high half.
#[inline]
fn rank_of(merge: RankedId) -> u32 {
    #[allow(clippy::cast_possible_truncation)]
    let rank = (merge >> 32) as u32;
    rank
}

/// The id that a merge produces: its low half.
#[allow(clippy::cast_possible_truncation)]
fn produced(merge: RankedId) -> TokenId {
    merge as TokenId
}

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
    pub(super) fn merge(&mut self, pairs: &PairTable, ids: &mut [TokenId]) -> usize {
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
            let merge = pairs.get(ids[i as usize], ids[i as usize + 1]);
            (merge != NO_MERGE).then_some(Reverse(entry(merge, i)))
        }));
        self.heap = BinaryHeap::from(entries);

        while let Some(Reverse(top)) = self.heap.pop() {
            let (rank, at) = (top >> 32, position(top));
            let right = self.next[at as usize];
            // A position that was merged away points at nothing, as the last one does.
            if right == NONE {
                continue;
            }
            let merge = pairs.get(ids[at as usize], ids[right as usize]);
            if merge == NO_MERGE || merge >> 32 != rank {
                continue;
            }
            ids[at as usize] = produced(merge);
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
        let merge = pairs.get(ids[left as usize], ids[right as usize]);
        if merge != NO_MERGE {
            self.heap.push(Reverse(entry(merge, left)));
        }
    }
}

fn entry(merge: RankedId, at: u32) -> u64 {
    merge & !u64::from(u32::MAX) | u64::from(at)
}

/// The position in a heap entry: its low half.
#[allow(clippy::cast_possible_truncation)]
fn position(entry: u64) -> u32 {
    entry as u32
}
