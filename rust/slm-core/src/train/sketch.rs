//! How often pairs occur at most, in memory of a fixed size: pairs share cells by hash, and a pair has at most its cell's count.

use crate::token::TokenId;
use std::sync::atomic::{AtomicU32, Ordering};

/// Steps between a power of two and the next, in which thresholds are chosen: 2 to this power.
const STEP_BITS: u32 = 2;

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
    fn cell(&self, left: TokenId, right: TokenId) -> &AtomicU32 {
        let pair = u64::from(left) << 32 | u64::from(right);
        #[expect(clippy::cast_possible_truncation, reason = "there are at most 26 bits")]
        let at = (pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        &self.cells[at]
    }

    /// Counts a pair `weight` times more.
    #[inline]
    pub fn add(&self, left: TokenId, right: TokenId, weight: u64) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let cell = self.cell(left, right);
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
        self.cell(left, right).load(Ordering::Relaxed)
    }

    /// The most that any pair may occur.
    pub fn highest(&self) -> u32 {
        self.cells.iter().map(|cell| cell.load(Ordering::Relaxed)).max().unwrap_or(0)
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
        for id in 0..2000 {
            sketch.add(id, id / 2, u64::from(id));
        }
        assert!((0..2000).all(|id| sketch.at_most(id, id / 2) >= id));
        assert!(sketch.highest() >= 1999);
        sketch.add(7, 3, u64::MAX);
        sketch.add(7, 3, 9);
        assert_eq!((sketch.at_most(7, 3), sketch.highest()), (u32::MAX, u32::MAX));
    }
}
