//! Which neighbouring characters merges may come to join.
//!
//! Most neighbours in text stand side by side in no token, and so nothing ever joins them. A bitmap, hashed and some sixteen times as large as
//! there are pairs in tokens, says so of nearly all of them, and stays in the second-level cache where the table of merges does not.

use super::chars::Neighbours;

/// Bits for each pair, at least: one in sixteen of other pairs then finds the bit of one.
const BITS_A_PAIR: usize = 16;

/// What the two ids of a pair are multiplied with.
pub(super) const LEFT_FACTOR: u32 = 0x9E37_79B1;
pub(super) const RIGHT_FACTOR: u32 = 0x85EB_CA77;

#[derive(Debug)]
pub(super) struct Joins {
    bits: Box<[u64]>,
    /// What a hash is moved by to be the number of a bit.
    shift: u32,
}

impl Joins {
    pub(super) fn new(neighbours: &Neighbours) -> Self {
        let num_bits = (neighbours.len() * BITS_A_PAIR).next_power_of_two().clamp(64, 1 << 31);
        let mut joins =
            Self { bits: vec![0; num_bits / 64].into_boxed_slice(), shift: u32::BITS - num_bits.trailing_zeros() };
        for &(left, right) in neighbours {
            let bit = hash(left.wrapping_add(1), right.wrapping_add(1)) >> joins.shift;
            joins.bits[bit as usize / 64] |= 1 << (bit % 64);
        }
        joins
    }

    /// The words of the bitmap, a power of two of them, and what a [`hash`] is moved by to be the number of a bit.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn bits(&self) -> (&[u64], u32) {
        (&self.bits, self.shift)
    }

    /// Whether something may join two characters, given one more than the id of each.
    #[inline]
    pub(super) fn may_join(&self, left_plus_one: u32, right_plus_one: u32) -> bool {
        let bit = hash(left_plus_one, right_plus_one) >> self.shift;
        self.bits[bit as usize / 64] >> (bit % 64) & 1 == 1
    }
}

/// Of the ids of two characters, each and one more.
#[inline]
fn hash(left_plus_one: u32, right_plus_one: u32) -> u32 {
    left_plus_one.wrapping_mul(LEFT_FACTOR).wrapping_add(right_plus_one.wrapping_mul(RIGHT_FACTOR))
}

#[cfg(test)]
mod tests {
    use super::super::TokenId;
    use super::*;

    #[test]
    fn every_neighbour_may_be_joined_and_few_others() {
        let id = |i: u32| (i + 1).wrapping_mul(0x9E37_79B1) >> 19;
        let neighbours: Neighbours = (0..20_000).map(|i| (id(2 * i), id(2 * i + 1))).collect();
        let joins = Joins::new(&neighbours);
        let may_join = |&(left, right): &(TokenId, TokenId)| joins.may_join(left + 1, right + 1);
        assert!(neighbours.iter().all(may_join));
        let others = (0..100_000).map(|i| (id(3 * i + 7), id(5 * i + 2))).filter(|pair| !neighbours.contains(pair));
        let found = others.filter(may_join).count();
        assert!(found < 100_000 / 12, "{found}");
        assert!(!Joins::new(&Neighbours::default()).may_join(1, 2));
    }
}
