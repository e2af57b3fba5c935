//! The hash of a whole document, of which each thread may have a part.
//!
//! A document of up to [`BLOCK_BYTES`] is hashed at once. A longer one is cut into blocks of that size, counted from its beginning,
//! and the hash is that of the blocks' hashes: it does not depend on how the reader cut the document, the threads that encode its
//! parts hash the blocks that they have whole, and what is left is the begun block between two parts.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

/// What of a long document is hashed at once.
const BLOCK_BYTES: usize = 64 << 10;

/// The seed of the hash of blocks: a short document is none that consists of hashes.
const BLOCKS_SEED: u64 = 1;

/// What a document is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DocumentHash {
    /// Decides the split.
    pub split: u64,
    /// Tells it from all other documents: of a billion different ones two have the same with a probability of about 10^-21.
    pub identity: u128,
}

/// What a thread finds out about a document, or about a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpanHash {
    /// The hash of a document that is there as a whole.
    Whole(DocumentHash),
    /// The hashes of the blocks that are whole in a part.
    Blocks(Vec<u128>),
}

impl DocumentHash {
    fn of_short(text: &[u8], with_identity: bool) -> Self {
        Self { split: xxh3_64(text), identity: if with_identity { xxh3_128(text) } else { 0 } }
    }

    /// Of a whole document. Without `with_identity` that may be 0.
    pub fn of(text: &[u8], with_identity: bool) -> Self {
        if text.len() < BLOCK_BYTES {
            return Self::of_short(text, with_identity);
        }
        let mut hasher = DocumentHasher::default();
        hasher.add_plain(text);
        hasher.finish()
    }
}

/// The hashes of the blocks that are whole in a part of a document, which begins at `offset`.
pub(super) fn whole_blocks(part: &[u8], offset: u64) -> Vec<u128> {
    part[bytes_to_block(offset).min(part.len())..].chunks_exact(BLOCK_BYTES).map(xxh3_128).collect()
}

/// Bytes from a place in a document to the next beginning of a block.
fn bytes_to_block(offset: u64) -> usize {
    let behind = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - behind) % BLOCK_BYTES
}

/// Puts the hash of a document together from its parts.
pub(super) struct DocumentHasher {
    blocks: Box<Xxh3>,
    /// The begun block.
    begun: Vec<u8>,
    bytes: u64,
}

impl Default for DocumentHasher {
    fn default() -> Self {
        Self { blocks: Box::new(Xxh3::with_seed(BLOCKS_SEED)), begun: Vec::new(), bytes: 0 }
    }
}

impl DocumentHasher {
    /// Adds the next part, with its [`whole_blocks`].
    pub fn add(&mut self, part: &[u8], blocks: &[u128]) {
        let (rest_of_block, rest) = part.split_at(bytes_to_block(self.bytes).min(part.len()));
        self.begun.extend_from_slice(rest_of_block);
        if self.begun.len() == BLOCK_BYTES {
            self.blocks.update(&xxh3_128(&self.begun).to_le_bytes());
            self.begun.clear();
        }
        for block in blocks {
            self.blocks.update(&block.to_le_bytes());
        }
        self.begun.extend_from_slice(&rest[blocks.len() * BLOCK_BYTES..]);
        self.bytes += part.len() as u64;
    }

    /// Adds the next part, whose blocks nobody has hashed.
    pub fn add_plain(&mut self, part: &[u8]) {
        let blocks = whole_blocks(part, self.bytes);
        self.add(part, &blocks);
    }

    /// The hash of all parts.
    pub fn finish(mut self) -> DocumentHash {
        if self.bytes < BLOCK_BYTES as u64 {
            return DocumentHash::of_short(&self.begun, true);
        }
        self.blocks.update(&xxh3_128(&self.begun).to_le_bytes());
        self.blocks.update(&self.bytes.to_le_bytes());
        DocumentHash { split: self.blocks.digest(), identity: self.blocks.digest128() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_parts(text: &[u8], cuts: &[usize]) -> DocumentHash {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut hasher = DocumentHasher::default();
        let mut start = 0;
        for end in cuts.into_iter().chain([text.len()]) {
            hasher.add(&text[start..end], &whole_blocks(&text[start..end], start as u64));
            start = end;
        }
        hasher.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_hash_does_not_depend_on_the_cuts(
            length in prop_oneof![0..200_usize, 65_000..66_000_usize, 131_000..400_000_usize],
            seed: u8,
            cuts in proptest::collection::vec(0..400_000_usize, 0..6),
        ) {
            let text: Vec<u8> = (0..length).map(|i| (i * i % 251).to_le_bytes()[0] ^ seed).collect();
            prop_assert_eq!(in_parts(&text, &cuts), DocumentHash::of(&text, true));
            // Cuts where blocks begin and end.
            prop_assert_eq!(in_parts(&text, &[65_535, 65_536, 131_072]), DocumentHash::of(&text, true));
        }
    }

    #[test]
    fn every_byte_of_a_long_document_counts() {
        let mut text = vec![b'a'; 3 * BLOCK_BYTES + 5];
        let hash = DocumentHash::of(&text, true);
        for at in [0, BLOCK_BYTES, 2 * BLOCK_BYTES - 1, 3 * BLOCK_BYTES + 4] {
            text[at] = b'b';
            let other = DocumentHash::of(&text, true);
            assert!(other.split != hash.split && other.identity != hash.identity, "{at}");
            text[at] = b'a';
        }
        text.push(b'a');
        assert_ne!(DocumentHash::of(&text, true), hash);
    }

    #[test]
    fn the_split_of_a_short_document_is_the_plain_checksum_of_its_text() {
        assert_eq!(DocumentHash::of(b"to be", false), DocumentHash { split: xxh3_64(b"to be"), identity: 0 });
    }
}
