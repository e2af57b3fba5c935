//! About how many different pretokens were met, by all threads together and whatever was spilled: a `HyperLogLog` sketch.
//!
//! Threads meet the same pretokens, and a table that spills forgets them, so lengths of tables do not add up. A register keeps the
//! longest run of zeros that a hash of its share began with (Flajolet et al. 2007); 4,096 of them are right to about 2%.

use std::sync::atomic::{AtomicU8, Ordering};

const INDEX_BITS: u32 = 12;
const NUM_REGISTERS: usize = 1 << INDEX_BITS;

/// What one thread has met.
pub(super) struct Distinct(Box<[u8; NUM_REGISTERS]>);

impl Default for Distinct {
    fn default() -> Self {
        Self(Box::new([0; NUM_REGISTERS]))
    }
}

impl Distinct {
    /// Takes in the hash of a pretoken, which need not be a good one.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        // The finalizer of MurmurHash3: each bit of the hash reaches all others.
        let mut mixed = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        mixed = (mixed ^ mixed >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        mixed ^= mixed >> 33;
        let register = &mut self.0[(mixed >> (u64::BITS - INDEX_BITS)) as usize];
        #[expect(clippy::cast_possible_truncation, reason = "at most 53")]
        let zeros = ((mixed << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros() + 1) as u8;
        *register = (*register).max(zeros);
    }
}

/// What all threads have met, as far as they have said so.
#[derive(Debug)]
pub struct AllDistinct(Box<[AtomicU8; NUM_REGISTERS]>);

impl Default for AllDistinct {
    fn default() -> Self {
        Self(Box::new([const { AtomicU8::new(0) }; NUM_REGISTERS]))
    }
}

impl AllDistinct {
    /// Takes in what a thread has met.
    pub(super) fn absorb(&self, distinct: &Distinct) {
        for (all, &own) in self.0.iter().zip(distinct.0.iter()) {
            if own > all.load(Ordering::Relaxed) {
                all.fetch_max(own, Ordering::Relaxed);
            }
        }
    }

    /// About how many different pretokens there are.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn estimate(&self) -> u64 {
        let registers: Vec<u8> = self.0.iter().map(|register| register.load(Ordering::Relaxed)).collect();
        let num = NUM_REGISTERS as f64;
        let sum: f64 = registers.iter().map(|&zeros| 0.5_f64.powi(i32::from(zeros))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / num) * num * num / sum;
        let empty: u32 = registers.iter().map(|&zeros| u32::from(zeros == 0)).sum();
        // Where registers are still empty their number says more.
        let estimate = if raw <= 2.5 * num && empty > 0 { num * (num / f64::from(empty)).ln() } else { raw };
        estimate as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_threads_have_met_is_counted_once_and_right_to_some_percent() {
        for num in [0_u64, 100, 5_000, 20_000, 1_000_000] {
            let all = AllDistinct::default();
            for first in [0, num / 2] {
                let mut distinct = Distinct::default();
                (first..num).for_each(|number| distinct.add(number));
                all.absorb(&distinct);
            }
            assert!(all.estimate().abs_diff(num) <= num / 16, "{} for {num}", all.estimate());
        }
    }
}
