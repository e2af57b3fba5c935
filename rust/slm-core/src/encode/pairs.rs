//! The flat table from a pair of ids to its merge: open addressing, two words a slot, built once and never changed.

use crate::token::TokenId;

/// The key of an empty slot. No pair has it: it would need `TokenId::MAX` twice, which no vocabulary reaches.
const EMPTY: u64 = u64::MAX;

/// A merge as one number that orders by rank: the rank above, the id that it produces below.
///
/// Rank 3 producing id 259 is `3 << 32 | 259`; [`NO_MERGE`] is larger than every merge.
pub(super) type RankedId = u64;

/// The answer for a pair that has no merge.
pub(super) const NO_MERGE: RankedId = u64::MAX;

#[derive(Debug)]
pub(crate) struct PairTable {
    slots: Box<[(u64, RankedId)]>,
    shift: u32,
}

impl PairTable {
    pub(crate) fn new(merges: impl ExactSizeIterator<Item = (TokenId, TokenId, TokenId)>) -> Self {
        // At most half full, so that a probe for a pair without a merge (the usual one) ends after about one slot.
        let num_slots = (merges.len() * 2 + 1).next_power_of_two();
        let mut table = Self {
            slots: vec![(EMPTY, NO_MERGE); num_slots].into_boxed_slice(),
            // One slot would need a shift by 64, which is no shift at all.
            shift: (64 - num_slots.trailing_zeros()).min(63),
        };
        for (rank, (left, right, produced)) in (0_u64..).zip(merges) {
            let slot = table.find(key(left, right));
            table.slots[slot] = (key(left, right), rank << 32 | u64::from(produced));
        }
        table
    }

    #[inline]
    pub(super) fn get(&self, left: TokenId, right: TokenId) -> RankedId {
        self.slots[self.find(key(left, right))].1
    }

    /// The slot that holds `key`, or the empty one where it belongs.
    #[inline]
    fn find(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing: the high bits of the product depend on every bit of the key. The shift leaves fewer bits than
        // a usize has, on every platform, because the table itself fits in memory.
        #[allow(clippy::cast_possible_truncation)]
        let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize & mask;
        while self.slots[slot].0 != key && self.slots[slot].0 != EMPTY {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

fn key(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_merge_is_found_and_nothing_else() {
        let merges = || (0..1000_u32).map(|i| (i, i / 3, 5000 + i));
        let table = PairTable::new(merges().collect::<Vec<_>>().into_iter());
        for (rank, (left, right, produced)) in (0_u64..).zip(merges()) {
            assert_eq!(table.get(left, right), rank << 32 | u64::from(produced));
        }
        assert_eq!(table.get(1000, 0), NO_MERGE);
        assert_eq!(table.get(0, 1), NO_MERGE);
    }

    #[test]
    fn an_empty_table_answers_too() {
        assert_eq!(PairTable::new([].into_iter()).get(1, 2), NO_MERGE);
    }

    #[test]
    fn of_two_merges_of_a_pair_the_later_counts() {
        assert_eq!(PairTable::new([(1, 2, 8), (1, 2, 9)].into_iter()).get(1, 2), 1 << 32 | 9);
    }
}
