//! How often pairs occur at most, in memory of a fixed size: pairs share cells by hash, and a pair has at most its cell's count.

use crate::token::TokenId;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// Steps between a power of two and the next, in which thresholds are chosen: 2 to this power.
const STEP_BITS: u32 = 2;

/// Pairs that a thread adds up for itself: 2 to this power.
const ADDER_BITS: u32 = 13;

/// Pairs that leave a thread together.
const LEAVING: usize = 64;

/// Counts of pairs, or more. A cell that is full stays full: it stands for `u32::MAX` and more.
pub(super) struct Sketch {
    cells: Vec<AtomicU32>,
    shift: u32,
}

impl Sketch {
    /// A sketch that takes at most `max_bytes`, and 4 KiB at least.
    pub fn new(max_bytes: usize) -> Self {
        let bits = (max_bytes / size_of::<AtomicU32>()).clamp(1 << 10, 1 << 26).ilog2();
        let mut cells = Vec::new();
        cells.resize_with(1 << bits, AtomicU32::default);
        Self { cells, shift: u64::BITS - bits }
    }

    #[inline]
    fn cell(&self, pair: u64) -> &AtomicU32 {
        &self.cells[place_of(pair, self.shift)]
    }

    /// Counts a pair `weight` times more.
    #[inline]
    fn add(&self, pair: u64, weight: u64) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let cell = self.cell(pair);
        let mut count = cell.load(Ordering::Relaxed);
        while let Err(now) =
            cell.compare_exchange_weak(count, count.saturating_add(weight), Ordering::Relaxed, Ordering::Relaxed)
        {
            count = now;
        }
    }

    /// The most that a pair may occur; `u32::MAX` if that is not known.
    #[inline]
    pub fn at_most(&self, left: TokenId, right: TokenId) -> u32 {
        self.cell(pair_of(left, right)).load(Ordering::Relaxed)
    }

    /// The most that any pair may occur.
    pub fn highest(&self) -> u32 {
        self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

fn pair_of(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// By the multiplication of Fibonacci hashing.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are at most 26 bits")]
fn place_of(pair: u64, shift: u32) -> usize {
    (pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
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
        let slot = &mut self.pairs[place_of(pair, u64::BITS - ADDER_BITS)];
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
        black_box(self.leaving.iter().fold(0, |all, &(pair, _)| all ^ self.sketch.cell(pair).load(Ordering::Relaxed)));
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

/// The step that a count is in: 0, 1, 2, 3, 4, 5, 6, 7, 8 to 9, 10 to 11, 12 to 13, 14 to 15, 16 to 19, and so on.
pub(super) fn step_of(count: u32) -> usize {
    if count < 1 << STEP_BITS {
        return count as usize;
    }
    let bits = count.ilog2();
    ((bits - STEP_BITS + 1) << STEP_BITS) as usize + (count >> (bits - STEP_BITS)) as usize - (1 << STEP_BITS)
}

/// The lowest count of a step.
pub(super) fn start_of_step(step: usize) -> u64 {
    if step < 1 << STEP_BITS {
        return step as u64;
    }
    let within = step & ((1 << STEP_BITS) - 1);
    ((1 << STEP_BITS) + within as u64) << ((step >> STEP_BITS) - 1)
}

/// Steps in all.
pub(super) const NUM_STEPS: usize = ((u32::BITS - STEP_BITS + 1) << STEP_BITS) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_all_counts_in_order() {
        for count in (0..5000).chain((0..32).map(|bits| 1 << bits)).chain([u32::MAX - 1, u32::MAX]) {
            let step = step_of(count);
            assert!(step < NUM_STEPS);
            assert!(start_of_step(step) <= u64::from(count) && u64::from(count) < start_of_step(step + 1), "{count}");
        }
        assert!((1..5000).all(|count| step_of(count) - step_of(count - 1) <= 1));
    }

    #[test]
    fn no_pair_occurs_more_often_than_its_cell_says_and_full_cells_stay_full() {
        let sketch = Sketch::new(1 << 12);
        let mut adder = Adder::new(&sketch);
        for id in 0..2000 {
            adder.add(id, id / 2, u64::from(id));
        }
        drop(adder);
        assert!((0..2000).all(|id| sketch.at_most(id, id / 2) >= id));
        assert!(sketch.highest() >= 1999);
        Adder::new(&sketch).add(7, 3, u64::MAX);
        Adder::new(&sketch).add(7, 3, 9);
        assert_eq!((sketch.at_most(7, 3), sketch.highest()), (u32::MAX, u32::MAX));
    }
}
