//! What the bytes of a block are, asked of all of them at once where the processor can.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod sse2;

use super::blocks::Block;
use std::ops::RangeInclusive;

/// First bytes that only letters have: those of U+5000 to U+9FFF, the greater part of the Han characters.
pub(super) const HAN_LEADS: RangeInclusive<u8> = 0xE5..=0xE9;

/// Bytes that continue a character.
pub(super) const CONTINUATIONS: RangeInclusive<u8> = 0x80..=0xBF;

/// Capitals of ASCII.
pub(super) const CAPITALS: RangeInclusive<u8> = b'A'..=b'Z';

pub(super) const SLASHES: RangeInclusive<u8> = b'/'..=b'/';

/// What 64 bytes are asked with.
pub(super) trait Vectors: Places {
    /// The classes of the ASCII bytes, and which bytes are not ASCII.
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block;

    /// Which bytes are in a range.
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64;
}

/// Where a mask has bits.
pub(crate) trait Places: Copy {
    /// Writes the places of the bits, counted from `offset` and from the lowest bit on. What is behind them may be anything then.
    fn places(self, mask: u64, offset: usize, to: &mut [usize; 64]);
}

/// What every processor of an architecture has.
#[derive(Clone, Copy)]
pub(super) struct Common;

impl Vectors for Common {
    #[inline]
    fn classify_ascii(self, bytes: &[u8; 64]) -> Block {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to every x86-64.
        return unsafe { sse2::classify_ascii(bytes) };
        #[cfg(not(target_arch = "x86_64"))]
        classify_ascii_portably(bytes)
    }

    #[inline]
    fn within(self, bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 belongs to every x86-64.
        return unsafe { sse2::within(bytes, range) };
        #[cfg(not(target_arch = "x86_64"))]
        within_portably(bytes, range)
    }
}

impl Places for Common {
    #[inline]
    fn places(self, mut mask: u64, offset: usize, to: &mut [usize; 64]) {
        // More than there are, most of the time: a branch for each would be mistaken once a block.
        for part in to.as_chunks_mut::<16>().0 {
            for place in part {
                *place = offset + mask.trailing_zeros() as usize;
                mask &= mask.wrapping_sub(1);
            }
            if mask == 0 {
                break;
            }
        }
    }
}

/// Which bytes are in a range, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn within_portably(bytes: &[u8; 64], range: &RangeInclusive<u8>) -> u64 {
    bytes.iter().enumerate().fold(0, |mask, (idx, byte)| mask | u64::from(range.contains(byte)) << idx)
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::cast_possible_wrap, reason = "bytes as the instructions take them")]
const fn signed(byte: u8) -> i8 {
    byte as i8
}

/// The classes of the ASCII bytes, for machines without such vectors.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn classify_ascii_portably(bytes: &[u8; 64]) -> Block {
    let mut block = Block::default();
    for (idx, &byte) in bytes.iter().enumerate() {
        let bit = |is_set: bool| u64::from(is_set) << idx;
        block.letter |= bit(byte.is_ascii_alphabetic());
        block.number |= bit(byte.is_ascii_digit());
        block.space |= bit(matches!(byte, 9..=13 | 32));
        block.blank |= bit(byte == b' ');
        block.line_end |= bit(matches!(byte, b'\n' | b'\r'));
        block.quote |= bit(byte == b'\'');
        block.wide |= bit(byte >= 0x80);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Processor;
    use proptest::prelude::*;

    /// Checks what is asked with `vectors` against plain loops.
    fn check(vectors: impl Vectors, block: &[u8; 64], mask: u64) -> Result<(), TestCaseError> {
        prop_assert_eq!(vectors.classify_ascii(block), classify_ascii_portably(block));
        for range in [HAN_LEADS, CONTINUATIONS, CAPITALS, SLASHES] {
            prop_assert_eq!(vectors.within(block, &range), within_portably(block, &range));
        }
        let mut places = [0; 64];
        vectors.places(mask, 1000, &mut places);
        let expected: Vec<usize> = (0..64).filter(|place| mask >> place & 1 == 1).map(|place| 1000 + place).collect();
        prop_assert_eq!(&places[..expected.len()], expected);
        Ok(())
    }

    proptest! {
        #[test]
        fn all_vectors_agree_with_plain_loops(bytes in prop::collection::vec(any::<u8>(), 64), mask in any::<u64>(), fewer in any::<u64>()) {
            let block: [u8; 64] = bytes.try_into().unwrap();
            for mask in [mask, mask & fewer, mask & fewer & fewer.rotate_left(7), mask | fewer, u64::MAX, 0] {
                for processor in Processor::all() {
                    match processor {
                        #[cfg(target_arch = "x86_64")]
                        Processor::Avx512(avx512) => check(avx512, &block, mask)?,
                        #[cfg(target_arch = "x86_64")]
                        Processor::Avx2(avx2) => check(avx2, &block, mask)?,
                        Processor::Common => check(Common, &block, mask)?,
                    }
                }
            }
        }
    }
}
