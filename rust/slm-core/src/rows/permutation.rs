//! The order of rows: a permutation that is computed, never stored.
//!
//! A Feistel network permutes the smallest power of two that holds the size; an image outside is mapped again until it falls
//! inside (cycle walking), which takes fewer than two tries on average. The halves differ by a bit where the width is odd.
//!
//! Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains. The round function is the finalizer of `SplitMix64`: Steele, Lea
//! and Flood 2014, Fast Splittable Pseudorandom Number Generators.

const NUM_ROUNDS: usize = 8;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A pseudo-random bijection of `0..size`, the same on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Permutation {
    size: u64,
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
    keys: [u64; NUM_ROUNDS],
}

impl Permutation {
    /// The order of pass `epoch` over `0..size`.
    ///
    /// # Panics
    /// If `size` is not from 1 to 2^63.
    pub fn new(size: u64, seed: u64, epoch: u64) -> Self {
        assert!((1..=1 << 63).contains(&size), "the size of a permutation is 1 to 2^63, not {size}");
        let bits = 64 - (size - 1).leading_zeros();
        let key = mix(mix(seed) ^ mix(epoch.wrapping_add(1).wrapping_mul(GOLDEN)));
        let mut round = 0;
        let keys = [(); NUM_ROUNDS].map(|()| {
            round += 1;
            mix(key.wrapping_add((round - 1u64).wrapping_mul(GOLDEN)))
        });
        let low_bits = bits - bits / 2;
        Self { size, low_bits, low_mask: (1 << low_bits) - 1, high_mask: (1 << (bits / 2)) - 1, keys }
    }

    /// Where `index` goes.
    ///
    /// # Panics
    /// If `index` is not below the size: its cycle may never come inside.
    pub fn apply(&self, index: u64) -> u64 {
        assert!(index < self.size, "index {index} into a permutation of {}", self.size);
        let mut image = self.encrypt(index);
        while image >= self.size {
            image = self.encrypt(image);
        }
        image
    }

    /// A round changes one half by a keyed function of the other, so it can be undone.
    fn encrypt(&self, value: u64) -> u64 {
        let (mut high, mut low) = (value >> self.low_bits, value & self.low_mask);
        for keys in self.keys.chunks_exact(2) {
            high ^= mix(low ^ keys[0]) & self.high_mask;
            low ^= mix(high ^ keys[1]) & self.low_mask;
        }
        high << self.low_bits | low
    }
}

/// Every bit of the input changes about half of the output's.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_never_changes() {
        let order = Permutation::new(10, 0, 0);
        let images: Vec<u64> = (0..10).map(|index| order.apply(index)).collect();
        assert_eq!(images, [0, 2, 3, 8, 6, 1, 7, 4, 5, 9]);
        assert_eq!(Permutation::new(1 << 63, 0, 0).apply((1 << 63) - 1), 6_827_782_458_959_158_243);
    }

    proptest! {
        #[test]
        fn every_index_has_an_image_of_its_own(size in 1u64..2000, seed: u64, epoch: u64) {
            let order = Permutation::new(size, seed, epoch);
            let mut images: Vec<u64> = (0..size).map(|index| order.apply(index)).collect();
            images.sort_unstable();
            prop_assert_eq!(images, (0..size).collect::<Vec<_>>());
        }
    }
}
