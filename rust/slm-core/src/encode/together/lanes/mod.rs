//! What is done to many characters of a row at once where the processor can.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::super::TokenId;
use super::super::chars::{AS_LEFT_BITS, AS_RIGHT_BITS, SEVERAL, id_of};
use super::super::joins::Joins;
use super::super::pairs::Rank;
use std::ops::Range;

/// Characters of a block.
pub(super) const BLOCK: usize = 64;

/// Characters that are spelled at once.
pub(super) const SPELLED: usize = 16;

/// Bytes of a character.
pub(super) const CHARACTER_BYTES: usize = 3;

/// Bytes that may be loaded for sixteen characters.
pub(super) const LOADED_BYTES: usize = 64;

/// Ids of an answer at most, one for each lane of a register.
pub(super) const WIDTH: usize = 8;

/// A bit for each character of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// Of those that are not known yet.
    pub unknown: u64,
    /// Of those of which a part could merge with the next, or the other way round.
    pub crosses: u64,
    /// Of those that are several tokens.
    pub rare: u64,
    /// Of those that merges may come to join to the next.
    pub joins: u64,
}

/// How a row is worked on.
pub(super) trait Lanes: Copy {
    /// Writes the code points of sixteen characters of three bytes, and gives a bit for each that is none. In place of its code point is any
    /// number of 16 bits.
    fn spell(self, bytes: &[u8; LOADED_BYTES], codes: &mut [u32; SPELLED]) -> u16;

    /// Takes what is [known](super::super::chars) of each of `BLOCK` characters and the next. Writes their ids, of those that have none
    /// something larger than any.
    fn meet(self, known: &[u64; BLOCK + 1], joins: &Joins, ids: &mut [TokenId; BLOCK]) -> Met;

    /// Puts in place of each id that has a bit what the merge of its rank produces, if there is such a merge, and gives a bit for each of
    /// those. The merges produce `produced`, in the order of their ranks.
    fn produce(self, ids: &mut [TokenId; BLOCK], ranks: &[Rank; BLOCK], bits: u64, produced: Range<TokenId>) -> u64;

    /// The ids that are left, one for each bit, at the front of others.
    fn keep(self, ids: &[TokenId; WIDTH], left: u8) -> [TokenId; WIDTH];
}

/// As [`Lanes::produce`], for any merges.
pub(super) fn produce(
    ids: &mut [TokenId; BLOCK],
    ranks: &[Rank; BLOCK],
    mut bits: u64,
    produced: impl Fn(Rank) -> Option<TokenId>,
) -> u64 {
    let mut merged = 0;
    while bits != 0 {
        let at = bits.trailing_zeros() as usize % BLOCK;
        if let Some(produced) = produced(ranks[at]) {
            ids[at] = produced;
            merged |= 1 << at;
        }
        bits &= bits - 1;
    }
    merged
}

/// What every processor can.
#[derive(Clone, Copy)]
pub(super) struct Common;

impl Lanes for Common {
    #[inline]
    fn spell(self, bytes: &[u8; LOADED_BYTES], codes: &mut [u32; SPELLED]) -> u16 {
        let mut others = 0;
        for (at, (char, code)) in bytes.as_chunks().0.iter().zip(codes).enumerate() {
            let [first, second, third]: [u8; CHARACTER_BYTES] = *char;
            *code = u32::from(first & 0xF) << 12 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
            others |= u16::from(first & 0xF0 != 0xE0) << at;
        }
        others
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the lower half is taken on purpose
    fn meet(self, known: &[u64; BLOCK + 1], joins: &Joins, ids: &mut [TokenId; BLOCK]) -> Met {
        let mut met = Met::default();
        for (at, ((&left, &right), id)) in known.iter().zip(&known[1..]).zip(ids).enumerate() {
            *id = id_of(left);
            let crosses = left >> AS_LEFT_BITS & right >> AS_RIGHT_BITS & 0xFFFF != 0;
            met.unknown |= u64::from(left == 0) << at;
            met.crosses |= u64::from(crosses) << at;
            met.rare |= u64::from(left as u32 == SEVERAL) << at;
            met.joins |= u64::from(joins.may_join(left as u32, right as u32)) << at;
        }
        met
    }

    #[inline]
    fn produce(self, ids: &mut [TokenId; BLOCK], ranks: &[Rank; BLOCK], bits: u64, produced: Range<TokenId>) -> u64 {
        let num_merges = produced.end - produced.start;
        self::produce(ids, ranks, bits, |rank| (rank < num_merges).then(|| produced.start + rank))
    }

    #[inline]
    fn keep(self, ids: &[TokenId; WIDTH], left: u8) -> [TokenId; WIDTH] {
        crate::bits::PLACES[usize::from(left)].map(|place| ids[usize::from(place) % WIDTH])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::chars::Neighbours;
    use super::super::super::pairs::NO_RANK;
    use super::*;
    use crate::processor::Processor;
    use proptest::prelude::*;

    /// Checks what is done with `lanes` against plain loops.
    fn check(lanes: impl Lanes, bytes: &[u8; LOADED_BYTES], known: &[u64; BLOCK + 1], joins: &Joins) {
        let (mut codes, mut expected) = ([0; SPELLED], [0; SPELLED]);
        assert_eq!(lanes.spell(bytes, &mut codes), Common.spell(bytes, &mut expected));
        assert_eq!(codes, expected);
        let (mut ids, mut expected) = ([0; BLOCK], [0; BLOCK]);
        assert_eq!(lanes.meet(known, joins, &mut ids), Common.meet(known, joins, &mut expected));
        assert_eq!(ids, expected);
        let rank = |at: usize| match bytes[at] {
            0xE0 => NO_RANK,
            0xE1 => NO_RANK - 1,
            byte => u32::from(byte) / 2,
        };
        let ranks = std::array::from_fn(rank);
        let (bits, produced) = (u64::from_le_bytes(*bytes.first_chunk().unwrap()), 100..105);
        let merged = lanes.produce(&mut ids, &ranks, bits, produced.clone());
        assert_eq!(merged, Common.produce(&mut expected, &ranks, bits, produced));
        assert_eq!(ids, expected);
        for (eight, &left) in ids.as_chunks().0.iter().zip(bytes) {
            let num_left = left.count_ones() as usize;
            assert_eq!(lanes.keep(eight, left)[..num_left], Common.keep(eight, left)[..num_left]);
        }
    }

    #[test]
    fn plain_loops_do_what_they_say() {
        let mut bytes = [0; LOADED_BYTES];
        bytes[..12].copy_from_slice("中aé中国".as_bytes());
        let mut codes = [0; SPELLED];
        let others = Common.spell(&bytes, &mut codes);
        assert_eq!((codes[0], codes[3], others & 0b1111), (0x4E2D, 0x56FD, 0b0010));

        let (joins, mut known) = (Joins::new(&[(4, 6)].into_iter().collect()), [0; BLOCK + 1]);
        // The ids 4 and 6; several tokens; 6 with a crossing to the right, 9 with the same to the left.
        let crossing = [7 + (0b110 << AS_LEFT_BITS), 10 + (0b10 << AS_RIGHT_BITS)];
        known[..5].copy_from_slice(&[5, 7, SEVERAL.into(), crossing[0], crossing[1]]);
        let mut ids = [0; BLOCK];
        let met = Common.meet(&known, &joins, &mut ids);
        assert_eq!((met.unknown, met.crosses, met.rare, met.joins & 1), (u64::MAX << 5, 0b1000, 0b100, 1));
        assert_eq!(ids[..6], [4, 6, SEVERAL - 1, 6, 9, u32::MAX]);

        let mut ids = [1; BLOCK];
        let ranks = std::array::from_fn(|at| if at == 5 { NO_RANK } else { u32::try_from(at).unwrap() });
        assert_eq!(Common.produce(&mut ids, &ranks, 0b10_1011_0001, 50..57), 0b1_0001);
        assert_eq!(ids[..6], [50, 1, 1, 1, 54, 1]);
        assert_eq!(Common.keep(&[1, 2, 3, 4, 5, 6, 7, 8], 0b1010_0001)[..3], [1, 6, 8]);
    }

    proptest! {
        #[test]
        fn all_lanes_agree_with_plain_loops(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xE0..0xF0_u8], LOADED_BYTES),
            known in prop::collection::vec(
                prop_oneof![8 => 1..40_u64, 1 => Just(0), 1 => Just(u64::from(SEVERAL)), 1 => any::<u64>()],
                BLOCK + 1,
            ),
            neighbours in prop::collection::vec((0..40_u32, 0..40_u32), 0..300),
        ) {
            let neighbours: Neighbours = neighbours.into_iter().collect();
            let (joins, bytes, known) = (Joins::new(&neighbours), <[u8; _]>::try_from(bytes).unwrap(), <[u64; _]>::try_from(known).unwrap());
            for processor in Processor::all() {
                match processor {
                    #[cfg(target_arch = "x86_64")]
                    Processor::Avx512(avx512) => check(avx512, &bytes, &known, &joins),
                    #[cfg(target_arch = "x86_64")]
                    Processor::Avx2(avx2) => check(avx2, &bytes, &known, &joins),
                    Processor::Common => check(Common, &bytes, &known, &joins),
                }
            }
        }
    }
}
