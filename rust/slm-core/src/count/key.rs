//! A short pretoken as two words, which one multiplication hashes.

use crate::short;

/// [`short::word`] in two halves, so that a slot is no longer than a key and a count. Zero is an empty slot.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// The pretoken at `text[start..end]`, of which there are 1 to 15 bytes.
    #[inline]
    pub fn new(text: &[u8], start: usize, end: usize) -> Self {
        let word = short::word(text, start, end);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        Self { low: word as u64, high: (word >> 64) as u64 }
    }

    /// Multiplies the halves into 128 bits and folds them, as wyhash does. The seeds are digits of pi.
    #[inline]
    pub fn hash(self) -> u64 {
        let product = u128::from(self.low ^ 0x243F_6A88_85A3_08D3) * u128::from(self.high ^ 0x1319_8A2E_0370_7344);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        {
            product as u64 ^ (product >> 64) as u64
        }
    }

    /// Numbers that sort as the pretokens do: byte by byte, and what another one begins with comes before it.
    pub fn in_order(self) -> (u64, u64) {
        (self.low.swap_bytes(), self.high.swap_bytes())
    }

    pub fn bytes(self) -> ([u8; 16], usize) {
        ((u128::from(self.high) << 64 | u128::from(self.low)).to_le_bytes(), (self.high >> 56) as usize)
    }
}
