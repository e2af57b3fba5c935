//! What is known of a character, in one number, so that threads may find it out and tell each other without waiting.

use super::super::TokenId;
use super::borders::Crossings;

/// What is known of a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Character {
    /// Its token, if it is one.
    pub(super) id: Option<TokenId>,
    /// The crossings it could be left of.
    pub(super) as_left: Crossings,
    pub(super) as_right: Crossings,
}

/// Stands for one more than the id of a character that is several tokens.
pub(in super::super) const SEVERAL: u32 = u32::MAX;

/// The lowest bits of the crossings in what is known of a character.
pub(in super::super) const AS_LEFT_BITS: u32 = 32;
pub(in super::super) const AS_RIGHT_BITS: u32 = 48;

impl Character {
    /// In one number, which is not zero: the crossings it could be right of, left of, and one more than its id.
    pub(super) fn to_bits(self) -> u64 {
        let id_plus_one = self.id.map_or(SEVERAL, |id| id + 1);
        u64::from(self.as_right) << AS_RIGHT_BITS | u64::from(self.as_left) << AS_LEFT_BITS | u64::from(id_plus_one)
    }

    /// What [`Character::to_bits`] was given.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the parts of the number
    pub(super) fn from_bits(bits: u64) -> Self {
        let id = (bits as u32 != SEVERAL).then(|| id_of(bits));
        Self { id, as_left: (bits >> AS_LEFT_BITS) as Crossings, as_right: (bits >> AS_RIGHT_BITS) as Crossings }
    }
}

/// The id of a character of which this is known, or something larger than any id.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the lower half is taken on purpose
pub(in super::super) fn id_of(known: u64) -> TokenId {
    (known as u32).wrapping_sub(1)
}

/// Up to three ids in one number: each and one more, the first in the lowest bits.
pub(super) struct Several;

impl Several {
    /// Of an id: so large is hardly any vocabulary.
    const BITS: u32 = u64::BITS / 3;

    /// Zero, if there are too many or one is too large.
    pub(super) fn pack(ids: &[TokenId]) -> u64 {
        let is_fit = ids.len() <= 3 && ids.iter().all(|&id| id < (1 << Self::BITS) - 1);
        let packed = ids.iter().rev().fold(0, |packed, &id| packed << Self::BITS | u64::from(id.wrapping_add(1)));
        if is_fit { packed } else { 0 }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // there are 21 bits
    pub(super) fn unpack(mut packed: u64, ids: &mut Vec<TokenId>) {
        while packed != 0 {
            ids.push((packed & ((1 << Self::BITS) - 1)) as TokenId - 1);
            packed >>= Self::BITS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_out_of_a_number_as_they_went_in() {
        for ids in [&[0, 0, 0][..], &[7], &[1, (1 << Several::BITS) - 2], &[5, 0, 9]] {
            let mut unpacked = vec![4];
            Several::unpack(Several::pack(ids), &mut unpacked);
            assert_eq!(unpacked[1..], *ids);
        }
        for ids in [&[1, 2, 3, 4][..], &[(1 << Several::BITS) - 1], &[TokenId::MAX], &[]] {
            assert_eq!(Several::pack(ids), 0, "{ids:?}");
        }
    }
}
