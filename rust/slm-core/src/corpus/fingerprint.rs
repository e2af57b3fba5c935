//! The hash of a text that comes in pieces, whose state can be written down so that hashing goes on in another process.
//!
//! The text is cut into blocks of [`BLOCK_BYTES`], wherever its pieces end; the hash of a block has that of all blocks before
//! it as its seed. So the state is one number and the bytes of a block that is not full.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// With fewer bytes the seed, with more the state would weigh: it costs a fiftieth of hashing a block of this size.
const BLOCK_BYTES: usize = 4 << 10;

/// The hash of what came so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextHasher {
    /// The hash of all full blocks.
    blocks: u64,
    /// The begun block, of fewer than [`BLOCK_BYTES`].
    begun: Vec<u8>,
}

impl TextHasher {
    pub fn update(&mut self, mut bytes: &[u8]) {
        if self.begun.len() + bytes.len() < BLOCK_BYTES {
            self.begun.extend_from_slice(bytes);
            return;
        }
        if !self.begun.is_empty() {
            let (rest, after) = bytes.split_at(BLOCK_BYTES - self.begun.len());
            self.begun.extend_from_slice(rest);
            self.blocks = xxh3_64_with_seed(&self.begun, self.blocks);
            self.begun.clear();
            bytes = after;
        }
        let (blocks, begun) = bytes.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            self.blocks = xxh3_64_with_seed(block, self.blocks);
        }
        self.begun.extend_from_slice(begun);
    }

    pub fn digest(&self) -> u64 {
        xxh3_64_with_seed(&self.begun, self.blocks)
    }
}

/// Hexadecimal digits: those of the number, then those of the begun block.
impl Serialize for TextHasher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write;
        let mut digits = format!("{:016x}", self.blocks);
        for byte in &self.begun {
            let _ = write!(digits, "{byte:02x}");
        }
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for TextHasher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let parsed = digits.split_at_checked(16).and_then(|(blocks, begun)| {
            let (pairs, []) = begun.as_bytes().as_chunks::<2>() else { return None };
            let begun = pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
            Some(Self { blocks: u64::from_str_radix(blocks, 16).ok()?, begun: begun.collect::<Option<_>>()? })
        });
        parsed
            .filter(|hasher| hasher.begun.len() < BLOCK_BYTES)
            .ok_or_else(|| D::Error::custom("a hash is not made of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_bytes_and_not_on_their_pieces_and_goes_on_from_what_was_written() {
        let text: Vec<u8> = (0..20_000_u32).map(|i| (i * i % 251) as u8).collect();
        let mut whole = TextHasher::default();
        whole.update(&text);
        for size in [1, 7, 4095, 4096, 4097, 9000] {
            let mut hasher = TextHasher::default();
            for piece in text.chunks(size) {
                hasher.update(piece);
                hasher = serde_json::from_str(&serde_json::to_string(&hasher).unwrap()).unwrap();
            }
            assert_eq!(hasher, whole);
            assert_eq!(hasher.digest(), whole.digest());
            hasher.update(b"x");
            assert_ne!(hasher.digest(), whole.digest());
        }
        for broken in ["\"\"", "\"000000000000000g\"", "\"00000000000000000\"", "\"000000000000000é\""] {
            assert!(serde_json::from_str::<TextHasher>(broken).is_err(), "{broken}");
        }
    }
}
