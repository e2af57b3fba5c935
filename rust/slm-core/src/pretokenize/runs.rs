//! Runs in bit masks: what follows a run of bytes, and where groups start within one.
//!
//! An addition finds the end of a run: a bit added at any byte of it is carried along its bits to the first byte behind, however
//! long it is, as 0b0110 + 0b0010 = 0b1000. A run that reaches the end of a block hands the carry to the next one.

/// `now` moved on by a byte; `before` is the same mask of the block before.
#[inline]
pub(super) fn after(now: u64, before: u64) -> u64 {
    now << 1 | before >> 63
}

/// A carry on its way along runs, from block to block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carry(u64);

impl Carry {
    /// The bytes right behind those runs of `run` that are entered at a bit of `entries`, and the parts of them from there on.
    ///
    /// An entry that is in no run is right behind an empty one.
    #[inline]
    pub(super) fn along(&mut self, run: u64, entries: u64) -> (u64, u64) {
        let entries = entries | self.0;
        let (sum, overflows) = run.overflowing_add(entries);
        self.0 = u64::from(overflows);
        // The carry clears what it goes along; an entry in a run that was entered before is set again, which is no end.
        (sum & !run, run & (entries | !sum))
    }
}

/// Groups of at most `LIMIT` numbers, from the left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Groups<const LIMIT: u8> {
    /// How many numbers the group has that the block before ends in.
    open: u32,
}

impl<const LIMIT: u8> Groups<LIMIT> {
    const MOST: u32 = LIMIT as u32;

    /// Where groups start, given the bytes of numbers, where runs of them begin, and which bytes continue a character.
    #[inline]
    pub(super) fn starts(&mut self, numbers: u64, begins: u64, continued: u64) -> u64 {
        if LIMIT == 1 {
            return numbers & !continued;
        }
        if numbers & continued != 0 {
            return self.starts_one_by_one(numbers & !continued, begins);
        }
        let mut starts = begins;
        if numbers & !begins & 1 != 0 {
            // The group that is open takes in what it has room for, and if the run is longer another one starts there.
            let room = Self::MOST - self.open;
            starts |= u64::from(numbers.trailing_ones() > room) << room;
        }
        // The numbers with LIMIT before them: one of these starts a group if the number LIMIT before it does.
        let far = (0..LIMIT).fold(numbers, |run, _| run & run << 1);
        let mut found = starts;
        while found != 0 {
            found = found << LIMIT & far;
            starts |= found;
        }
        self.open = if numbers >> 63 == 0 { 0 } else { starts.leading_zeros() + 1 };
        starts
    }

    /// As [`Groups::starts`], given the first bytes of numbers, for characters of any length.
    #[cold]
    fn starts_one_by_one(&mut self, mut numbers: u64, begins: u64) -> u64 {
        let mut starts = 0;
        while numbers != 0 {
            let bit = numbers & numbers.wrapping_neg();
            numbers ^= bit;
            if begins & bit != 0 || self.open == Self::MOST {
                self.open = 0;
            }
            if self.open == 0 {
                starts |= bit;
            }
            self.open += 1;
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same mask in blocks.
    fn blocks(bits: &[bool]) -> impl Iterator<Item = u64> {
        bits.chunks(64).map(|block| block.iter().enumerate().fold(0, |mask, (idx, &bit)| mask | u64::from(bit) << idx))
    }

    /// Bits that are alike for a while.
    fn runs() -> impl Strategy<Value = Vec<bool>> {
        let run = (any::<bool>(), prop_oneof![3 => 1..6_usize, 1 => 60..140_usize]);
        prop::collection::vec(run, 1..60)
            .prop_map(|runs| runs.into_iter().flat_map(|(bit, length)| vec![bit; length]).collect())
    }

    proptest! {
        #[test]
        fn a_carry_finds_the_ends_of_the_runs_that_it_enters(run in runs(), seed in prop::collection::vec(any::<u8>(), 64)) {
            let is_entry = |at: usize| run[at] && seed[at % 64] < 64;
            let entries: Vec<bool> = (0..run.len()).map(is_entry).collect();
            let mut carry = Carry::default();
            let mut is_entered = false;
            for (block, (run_mask, entries_mask)) in blocks(&run).zip(blocks(&entries)).enumerate() {
                let (behind, entered) = carry.along(run_mask, entries_mask);
                for (at, (&is_run, &is_entry)) in run.iter().zip(&entries).enumerate().skip(64 * block).take(64) {
                    prop_assert_eq!(behind >> (at % 64) & 1 == 1, is_entered && !is_run);
                    is_entered = is_run && (is_entered || is_entry);
                    prop_assert_eq!(entered >> (at % 64) & 1 == 1, is_entered);
                }
            }
        }

        #[test]
        fn groups_are_counted_from_the_left_of_each_run(run in runs()) {
            fn check<const LIMIT: u8>(run: &[bool]) {
                let (mut by_masks, mut one_by_one) = (Groups::<LIMIT>::default(), Groups::<LIMIT>::default());
                let (mut before, mut len) = (0, 0);
                for (block, mask) in blocks(run).enumerate() {
                    let begins = mask & !after(mask, before);
                    let starts = by_masks.starts(mask, begins, 0);
                    assert_eq!(one_by_one.starts_one_by_one(mask, begins), starts);
                    for (at, &is_number) in run.iter().enumerate().skip(64 * block).take(64) {
                        assert_eq!(starts >> (at % 64) & 1 == 1, is_number && len % LIMIT == 0);
                        len = if is_number { (len + 1) % LIMIT } else { 0 };
                    }
                    before = mask;
                }
            }
            check::<1>(&run);
            check::<2>(&run);
            check::<3>(&run);
        }
    }
}
