//! The merge loop itself. All of its forms apply the merge of lowest rank first and, among equals, the leftmost: a heap for long
//! pretokens, and for short ones an array, or registers where the processor has AVX2.

mod array;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod heap;

use super::TokenId;
use super::pairs::{PairTable, Rank};
use array::Short;
pub(crate) use heap::LongMerge;

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
pub(super) fn merge_short(pairs: &PairTable, rank: impl Fn(&[TokenId], usize) -> Rank, ids: &mut [TokenId]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let (2..=16, Some(_)) = (ids.len(), pairs.processor().avx2()) {
        // SAFETY: the processor has these instructions, or there was no `Avx2`.
        return unsafe {
            if ids.len() <= 8 { avx2::merge::<1>(pairs, rank, ids) } else { avx2::merge::<2>(pairs, rank, ids) }
        };
    }
    match ids.len() {
        len @ (0 | 1) => len,
        2..=8 => Short::<8>::new(ids, rank).merge(pairs, ids),
        9..=16 => Short::<16>::new(ids, rank).merge(pairs, ids),
        17..=32 => Short::<32>::new(ids, rank).merge(pairs, ids),
        _ => Short::<MAX_SHORT_IDS>::new(ids, rank).merge(pairs, ids),
    }
}

/// Bits of a place.
pub(super) const PLACE_BITS: u32 = MAX_SHORT_IDS.trailing_zeros();

/// From here on there is no merge.
pub(super) const NOT_RANKED: u32 = u32::MAX << PLACE_BITS;

/// Ranks that there is room for below: 67 million.
pub(super) const MAX_RANKS: usize = (NOT_RANKED >> PLACE_BITS) as usize;

/// The merge of the id at a place and the next, as one number: its rank above, the place in the lowest bits. So the smallest is of
/// the lowest rank, and of equal ones the leftmost.
#[inline]
#[allow(clippy::cast_possible_truncation)] // a place has few bits
pub(super) fn ranked(rank: Rank, at: usize) -> u32 {
    rank << PLACE_BITS | at as u32
}

/// The rank and the place that [`ranked`] was given.
#[inline]
fn rank_and_place(ranked: u32) -> (Rank, usize) {
    (ranked >> PLACE_BITS, (ranked & !NOT_RANKED) as usize)
}
