//! A bit for each character of a row.

use super::lanes::BLOCK;
use super::row::CAPACITY;

/// Bytes that are read at once; so many behind the last block may be read too.
const READ: usize = size_of::<u64>();

/// Bits that are read from any place on.
pub(super) const SEEN: usize = u64::BITS as usize - 7;

/// By bytes and not by words, so that what begins within a word is one load and one shift.
#[derive(Clone, Debug)]
pub(super) struct Bits([u8; CAPACITY / 8 + READ]);

impl Default for Bits {
    fn default() -> Self {
        Self([0; CAPACITY / 8 + READ])
    }
}

impl Bits {
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// The bits of a block, or of what is behind the last one.
    #[inline]
    pub(super) fn block(&self, block: usize) -> u64 {
        u64::from_le_bytes(*self.0[block * READ..].first_chunk().expect("there is a block behind the last one"))
    }

    #[inline]
    pub(super) fn set_block(&mut self, block: usize, bits: u64) {
        const { assert!(BLOCK == u64::BITS as usize) };
        *self.0[block * READ..].first_chunk_mut().expect("there is a block behind the last one") = bits.to_le_bytes();
    }

    /// The first [`SEEN`] bits from a place on are the lowest; of those above nothing is said.
    #[inline]
    pub(super) fn from(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.0[at / 8..].first_chunk().expect("there is a block behind the last one")) >> (at % 8)
    }

    #[inline]
    pub(super) fn insert(&mut self, at: usize) {
        self.0[at / 8] |= 1 << (at % 8);
    }

    #[inline]
    pub(super) fn remove(&mut self, at: usize) {
        self.0[at / 8] &= !(1 << (at % 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_from_any_place() {
        let (mut bits, places) = (Bits::default(), [0, 5, 63, 64, 66, 130, CAPACITY - 1]);
        for at in places {
            bits.insert(at);
        }
        for at in 0..CAPACITY {
            for ahead in 0..SEEN {
                assert_eq!(bits.from(at) >> ahead & 1 == 1, places.contains(&(at + ahead)), "{at} {ahead}");
            }
        }
        assert_eq!([bits.block(0), bits.block(1)], [1 | 1 << 5 | 1 << 63, 1 | 1 << 2]);
        bits.remove(66);
        bits.set_block(0, 7);
        assert_eq!([bits.block(0), bits.block(1)], [7, 1]);
        bits.clear();
        assert_eq!(bits.from(CAPACITY - 1), 0);
    }
}
