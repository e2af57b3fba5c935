//! How often pairs occur at most, in memory of a fixed size: pairs share cells by hash, and a pair has at most its cell's count.

use crate::token::TokenId;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pairs that a thread adds up for itself: 2 to this power.
const ADDER_BITS: u32 = 13;

/// Pairs that leave a thread together.
const LEAVING: usize = 64;

/// Counts of pairs, or more. A cell that is full stays full: it stands for all that it cannot hold.
///
/// Cells have 8, 16 or 32 bits. The rarer the pairs that matter, the more of them there are, and the more cells fit.
pub(super) struct Sketch {
    words: Vec<AtomicU32>,
    num_cells: u64,
    cell_bits: u32,
}

impl Sketch {
    /// A sketch for pairs that occur less often than `bound`; it takes at most `max_bytes`, and 4 KiB at least.
    pub fn new(max_bytes: usize, bound: u64) -> Self {
        let cell_bits = match bound {
            ..200 => 8,
            200..60_000 => 16,
            _ => 32,
        };
        let num_words = (max_bytes / size_of::<AtomicU32>()).clamp(1 << 10, 1 << 26);
        let mut words = Vec::new();
        words.resize_with(num_words, AtomicU32::default);
        Self { words, num_cells: num_words as u64 * u64::from(u32::BITS / cell_bits), cell_bits }
    }

    /// The word with a pair's cell, and how far up in the word the cell is.
    #[inline]
    fn cell(&self, pair: u64) -> (&AtomicU32, u32) {
        let cell = (u128::from(hash(pair)) * u128::from(self.num_cells)) >> u64::BITS;
        let bit = cell * u128::from(self.cell_bits);
        #[expect(clippy::cast_possible_truncation, reason = "a place in the cells, and a place in a word")]
        {
            (&self.words[(bit / u128::from(u32::BITS)) as usize], (bit % u128::from(u32::BITS)) as u32)
        }
    }

    /// What a full cell holds.
    #[inline]
    fn full(&self) -> u32 {
        u32::MAX >> (u32::BITS - self.cell_bits)
    }

    /// Counts a pair `weight` times more.
    #[inline]
    fn add(&self, pair: u64, weight: u64) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let (word, shift) = self.cell(pair);
        let full = self.full();
        let mut cells = word.load(Ordering::Relaxed);
        loop {
            let count = cells >> shift & full;
            let added = cells & !(full << shift) | count.saturating_add(weight).min(full) << shift;
            match word.compare_exchange_weak(cells, added, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => cells = now,
            }
        }
    }

    /// The most that a pair may occur; `u32::MAX` if that is not known.
    #[inline]
    pub fn at_most(&self, left: TokenId, right: TokenId) -> u32 {
        let (word, shift) = self.cell(pair_of(left, right));
        self.or_unknown(word.load(Ordering::Relaxed) >> shift & self.full())
    }

    /// The most that any pair may occur.
    pub fn highest(&self) -> u32 {
        let cells_of = |word: &AtomicU32| {
            let cells = word.load(Ordering::Relaxed);
            (0..u32::BITS).step_by(self.cell_bits as usize).map(move |shift| cells >> shift & self.full())
        };
        self.or_unknown(self.words.iter().flat_map(cells_of).max().unwrap_or(0))
    }

    #[inline]
    fn or_unknown(&self, count: u32) -> u32 {
        if count == self.full() { u32::MAX } else { count }
    }
}

fn pair_of(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Fibonacci hashing: the high bits depend on every bit of the pair.
#[inline]
fn hash(pair: u64) -> u64 {
    pair.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What one thread adds to a sketch. Pairs that come often are added up here first: threads that count them in the same cells would
/// wait for one another.
pub(super) struct Adder<'a> {
    sketch: &'a Sketch,
    /// Pairs by hash, and what is to be added for each.
    pairs: Box<[(u64, u64)]>,
    /// What is to be added next, so that the loads of many cells need not wait for one another.
    leaving: Vec<(u64, u64)>,
}

impl<'a> Adder<'a> {
    pub fn new(sketch: &'a Sketch) -> Self {
        Self { sketch, pairs: vec![(0, 0); 1 << ADDER_BITS].into_boxed_slice(), leaving: Vec::with_capacity(LEAVING) }
    }

    /// Counts a pair `weight` times more.
    #[inline]
    pub fn add(&mut self, left: TokenId, right: TokenId, weight: u64) {
        let pair = pair_of(left, right);
        let slot = &mut self.pairs[(hash(pair) >> (u64::BITS - ADDER_BITS)) as usize];
        if slot.0 == pair {
            slot.1 = slot.1.saturating_add(weight);
        } else {
            self.leaving.push(std::mem::replace(slot, (pair, weight)));
            if self.leaving.len() == LEAVING {
                self.leave();
            }
        }
    }

    #[inline(never)]
    fn leave(&mut self) {
        black_box(
            self.leaving.iter().fold(0, |all, &(pair, _)| all ^ self.sketch.cell(pair).0.load(Ordering::Relaxed)),
        );
        for (pair, sum) in self.leaving.drain(..) {
            self.sketch.add(pair, sum);
        }
    }
}

impl Drop for Adder<'_> {
    fn drop(&mut self) {
        self.leave();
        for &(pair, sum) in &self.pairs {
            self.sketch.add(pair, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_occurs_more_often_than_its_cell_says_and_full_cells_stay_full() {
        for bound in [100, 200, 60_000, u64::MAX] {
            let sketch = Sketch::new(1 << 12, bound);
            let mut adder = Adder::new(&sketch);
            for id in 0..4000 {
                adder.add(id, id / 2, u64::from(id) % 150 + 1);
            }
            drop(adder);
            assert!((0..4000).all(|id| sketch.at_most(id, id / 2) > id % 150));
            assert!(bound == 100 || sketch.highest() < u32::MAX);
            Adder::new(&sketch).add(7, 3, u64::MAX);
            Adder::new(&sketch).add(7, 3, 9);
            assert_eq!((sketch.at_most(7, 3), sketch.highest()), (u32::MAX, u32::MAX));
        }
    }

    #[test]
    fn narrower_cells_are_more() {
        let cells = |bound| Sketch::new(1 << 20, bound).num_cells;
        assert_eq!([cells(60_000), cells(200), cells(199)], [1 << 18, 1 << 19, 1 << 20]);
    }
}
