//! Room for the ids of texts that are still to be encoded: arrays that grow to the size they will have at the end.
//!
//! Ids are written once, and most of the time they take is the system's for clearing their pages: so the pages are asked for as they are
//! needed ([`Supply`]), and an array is a whole number of huge pages, as Linux (6.7 and later) begins such a mapping where a huge page
//! would and can move it by tables of pages.

use crate::io::allocator::LARGE_BYTES;
use crate::io::pages::{HUGE_PAGE_BYTES, Supply};
use crate::token::TokenId;
use std::collections::TryReserveError;

/// Ids that are kept free in any case: what pretokens that wait may add at once, and a good many more.
const MIN_SPARE_IDS: usize = 8 * 1024;

/// Ids from which on an array is a mapping of its own.
const LARGE_LEN: usize = LARGE_BYTES / size_of::<TokenId>();

/// Bytes of common text, four to an id, that the first estimate rests on: a first text of some words says little of the rest.
const ASSUMED_BYTES: u64 = 64 * 1024;

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Bytes of text whose ids are there.
    pub done: u64,
    /// Bytes of all texts that are known.
    pub given: u64,
}

/// Makes room in `ids` for those of the next `bytes` of text, and while at it for those of all that is given, if they go on as they
/// began; but at most for twice as many as had room, whatever the beginning was like. `supply` belongs to `ids`.
///
/// Small arrays are left to grow by themselves, and so are those for which the system has no memory to set aside.
pub(super) fn make_room(ids: &mut Vec<TokenId>, supply: &mut Supply, seen: Seen, bytes: u64) {
    let needed = expected_len(ids.len(), seen.done, seen.done.saturating_add(bytes));
    if needed > ids.capacity() {
        let for_all = expected_len(ids.len(), seen.done, seen.given);
        let len = for_all.clamp(ids.capacity() / 4 * 5, ids.capacity().saturating_mul(2)).max(needed);
        // Refused where there is a limit, such as RLIMIT_AS; then only what is really needed is asked for, when it is.
        if len >= LARGE_LEN {
            let _ = grow(ids, supply, round_up(len));
        }
    }
    supply_for(ids, supply, needed);
}

/// Makes room for `len` ids in all. What moves to its first mapping finds its pages there.
fn grow(ids: &mut Vec<TokenId>, supply: &mut Supply, len: usize) -> Result<(), TryReserveError> {
    if ids.capacity() >= LARGE_LEN {
        return ids.try_reserve_exact(len - ids.len());
    }
    let mut larger = Vec::new();
    larger.try_reserve_exact(len)?;
    *supply = Supply::default();
    supply_for(&mut larger, supply, ids.len());
    larger.append(ids);
    *ids = larger;
    Ok(())
}

/// Has the pages of the first `len` ids supplied, if `ids` is large.
fn supply_for(ids: &mut Vec<TokenId>, supply: &mut Supply, len: usize) {
    if ids.capacity() >= LARGE_LEN {
        supply.supply(std::ptr::slice_from_raw_parts_mut(ids.as_mut_ptr(), ids.capacity()), len);
    }
}

/// Gives back the room that was not needed, in whole huge pages.
pub(super) fn give_back(ids: &mut Vec<TokenId>) {
    if ids.capacity() >= LARGE_LEN {
        ids.shrink_to(round_up(ids.len()));
    }
}

/// As many ids as a text of `bytes` has, or a few more: room that can be taken at once.
pub(super) fn room_for(bytes: usize) -> Vec<TokenId> {
    let len = bytes / 4 + 8;
    Vec::with_capacity(if len >= LARGE_LEN { round_up(len) } else { len })
}

/// So many ids that they fill whole huge pages.
fn round_up(len: usize) -> usize {
    const IDS_A_PAGE: usize = HUGE_PAGE_BYTES / size_of::<TokenId>();
    len.checked_next_multiple_of(IDS_A_PAGE).unwrap_or(len)
}

/// How many ids `bytes` of text will have if its first `done` had `len`, and some more.
fn expected_len(len: usize, done: u64, bytes: u64) -> usize {
    let seen = len as u128 + u128::from(ASSUMED_BYTES / 4);
    let expected = seen * u128::from(bytes) / u128::from(done + ASSUMED_BYTES);
    usize::try_from(expected + expected / 32).unwrap_or(usize::MAX).saturating_add(MIN_SPARE_IDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = HUGE_PAGE_BYTES / size_of::<TokenId>();
    const CHUNK: u64 = 256 * 1024;

    /// Encodes chunks of `CHUNK` bytes that have so many ids each; the capacity before each of them.
    fn capacities(ids_of_chunks: &[usize], known: impl Fn(usize) -> usize) -> Vec<usize> {
        let (mut ids, mut supply) = (Vec::new(), Supply::default());
        let mut capacities = Vec::new();
        for (at, &more) in ids_of_chunks.iter().enumerate() {
            let seen = Seen { done: at as u64 * CHUNK, given: known(at) as u64 * CHUNK };
            make_room(&mut ids, &mut supply, seen, CHUNK);
            capacities.push(ids.capacity());
            ids.extend(std::iter::repeat_n(7, more));
        }
        give_back(&mut ids);
        assert_eq!(ids.len(), ids_of_chunks.iter().sum::<usize>());
        assert!(ids.len() < LARGE_LEN || ids.capacity() < ids.len() + PAGE);
        capacities
    }

    #[test]
    fn room_ends_as_what_is_needed_and_a_few_percent() {
        let capacities = capacities(&[60_000; 200], |_| 200);
        let last = capacities[199];
        assert!((12_000_000..12_000_000 * 26 / 25 + PAGE).contains(&last), "{last}");
        for pair in capacities.windows(2) {
            assert!(pair[1] <= (2 * pair[0]).max(LARGE_LEN).next_multiple_of(PAGE));
            assert!(pair[1] < LARGE_LEN || pair[1].is_multiple_of(PAGE));
        }
    }

    #[test]
    fn wrong_estimates_cost_no_more_than_doubling() {
        let sparse_then_dense: Vec<usize> = (0..100).map(|at| if at < 50 { 1_000 } else { 250_000 }).collect();
        let dense_then_sparse: Vec<usize> = sparse_then_dense.iter().copied().rev().collect();
        for ids_of_chunks in [sparse_then_dense, dense_then_sparse] {
            for ahead in [1, 2, 100] {
                let total: usize = ids_of_chunks.iter().sum();
                let last = *capacities(&ids_of_chunks, |at| (at + ahead).min(100)).last().unwrap();
                assert!(last <= 2 * total, "{last} for {total}");
            }
        }
    }

    #[test]
    fn small_batches_reserve_nothing_ahead() {
        assert_eq!(capacities(&[100; 1], |_| 1), [0]);
        assert!(capacities(&[60_000; 10], |_| 10).iter().all(|&capacity| capacity < LARGE_LEN));
    }

    #[test]
    fn room_that_cannot_be_is_left_out() {
        let mut ids = vec![1; LARGE_LEN];
        let capacity = ids.capacity();
        make_room(&mut ids, &mut Supply::default(), Seen { done: 1, given: u64::MAX }, u64::MAX);
        assert_eq!((ids.len(), ids.capacity()), (LARGE_LEN, capacity));
    }
}
