//! The merge loop itself, twice: an array for short pretokens, a heap for long ones. Both apply the merge of lowest rank
//! first and, among equals, the leftmost.

use super::TokenId;
use super::pairs::{NO_RANK, PairTable, Rank};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ids up to which the quadratic array merge beats the heap (benches: even at about 90 bytes of English letters).
const MAX_SHORT_IDS: usize = 64;

/// Merges the ids from `first` on, however many they are.
#[inline]
pub(crate) fn merge(pairs: &PairTable, long: &mut LongMerge, ids: &mut Vec<TokenId>, first: usize) {
    let merged = &mut ids[first..];
    let kept = if merged.len() <= MAX_SHORT_IDS && pairs.len() < MAX_RANKS {
        merge_short(pairs, |ids, at| pairs.rank(ids[at], ids[at + 1]), merged)
    } else {
        long.merge(pairs, merged)
    };
    ids.truncate(first + kept);
}

/// Merges the last ids, which are those of the bytes of `pretoken`. `byte_ranks` are those of the merges of any two bytes.
#[inline]
pub(super) fn merge_bytes(
    pairs: &PairTable,
    byte_ranks: &[Rank],
    long: &mut LongMerge,
    pretoken: &[u8],
    ids: &mut Vec<TokenId>,
) {
    let first = ids.len() - pretoken.len();
    let kept = if pretoken.len() <= MAX_SHORT_IDS && pairs.len() < MAX_RANKS {
        let of_bytes = |_: &[TokenId], at| byte_ranks[usize::from(pretoken[at]) << 8 | usize::from(pretoken[at + 1])];
        merge_short(pairs, of_bytes, &mut ids[first..])
    } else {
        long.merge(pairs, &mut ids[first..])
    };
    ids.truncate(first + kept);
}

/// Merges at most [`MAX_SHORT_IDS`] ids in place and gives how many are left, at the front. `rank` gives that of the merge of the id
/// at a place and the next, before any merge.
#[inline]
fn merge_short(pairs: &PairTable, rank: impl Fn(&[TokenId], usize) -> Rank, ids: &mut [TokenId]) -> usize {
    match ids.len() {
        len @ (0 | 1) => len,
        2..=8 => Short::<8>::new(ids, rank).merge(pairs, ids),
        9..=16 => Short::<16>::new(ids, rank).merge(pairs, ids),
        17..=32 => Short::<32>::new(ids, rank).merge(pairs, ids),
        _ => Short::<MAX_SHORT_IDS>::new(ids, rank).merge(pairs, ids),
    }
}

/// A short pretoken while it is merged: ids stay where they are, and those merged away are crossed out.
///
/// Quadratic, but over arrays of a few cache lines, where the minimum costs a handful of vector instructions and nothing moves.
struct Short<const LANES: usize> {
    ids: [TokenId; LANES],
    ranked: [u32; LANES],
    /// A bit for each place that still has an id.
    left: u64,
}

/// Bits of a place.
const PLACE_BITS: u32 = MAX_SHORT_IDS.trailing_zeros();

/// From here on there is no merge.
const NOT_RANKED: u32 = u32::MAX << PLACE_BITS;

/// Ranks that there is room for below: 67 million.
const MAX_RANKS: usize = (NOT_RANKED >> PLACE_BITS) as usize;

/// The merge of the id at a place and the next, as one number: its rank above, the place in the lowest bits. So the smallest is of
/// the lowest rank, and of equal ones the leftmost.
#[inline]
#[allow(clippy::cast_possible_truncation)] // a place has few bits
fn ranked(rank: Rank, at: usize) -> u32 {
    rank << PLACE_BITS | at as u32
}

/// The rank and the place that [`ranked`] was given.
#[inline]
fn rank_and_place(ranked: u32) -> (Rank, usize) {
    (ranked >> PLACE_BITS, (ranked & !NOT_RANKED) as usize)
}

impl<const LANES: usize> Short<LANES> {
    /// `rank` gives that of the merge of the id at a place and the next.
    #[inline]
    fn new(ids: &[TokenId], rank: impl Fn(&[TokenId], usize) -> Rank) -> Self {
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
    fn merge(mut self, pairs: &PairTable, ids: &mut [TokenId]) -> usize {
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
