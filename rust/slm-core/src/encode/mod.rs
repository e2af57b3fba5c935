//! From a pretoken to its token ids, exactly and without surprises in time or memory.
//!
//! Natural text repeats its pretokens, so most of them are answered by a small cache of fixed size ([`cache`]). The rest are
//! merged: short ones in an array ([`merge`]), long ones with a heap, so that no input costs more than `O(n log n)`. Which
//! two ids merge, how early and into what comes from one flat table ([`pairs`]); rank and id are separate there, because
//! vocabularies exist whose merges are not in id order.

pub mod batch;
mod cache;
mod coverage;
mod merge;
mod pairs;

pub(crate) use merge::{LongMerge, merge};
pub(crate) use pairs::PairTable;

use crate::token::TokenId;
use cache::Cache;
pub use coverage::Coverage;
use hashbrown::HashMap;

/// Bytes that a pretoken may have to be looked up in the cache.
const MAX_CACHED_BYTES: usize = 15;

/// Bytes up to which the quadratic array merge beats the heap (benches: even at about 90 bytes of English letters).
const MAX_SHORT_BYTES: usize = 64;

/// Bytes of the buffer for prepared text that are kept between calls: a stretch of common length.
const MAX_KEPT_TEXT_BYTES: usize = 2 << 20;

/// The id that a byte has when the vocabulary lacks it.
const NO_TOKEN: TokenId = TokenId::MAX;

/// What encoding needs of a vocabulary, ready to look up.
#[derive(Debug)]
pub struct Encoder {
    byte_ids: Box<[TokenId; 256]>,
    pairs: PairTable,
    whole_pieces: Option<WholePieces>,
}

/// Ids by the bytes of their tokens.
pub type WholePieces = HashMap<Box<[u8]>, TokenId, foldhash::fast::FixedState>;

/// What one thread needs to encode: its cache and its work space. Belongs to the [`Encoder`] that filled it.
#[derive(Debug)]
pub struct Scratch {
    cache: Cache,
    long: LongMerge,
    missing_byte: Option<u8>,
    text: String,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { cache: Cache::new(), long: LongMerge::default(), missing_byte: None, text: String::new() }
    }
}

impl Scratch {
    /// Takes the first byte met since the last call that the vocabulary has no token for.
    pub fn take_missing_byte(&mut self) -> Option<u8> {
        self.missing_byte.take()
    }

    /// Lends the buffer for text that has to be changed before it is split.
    pub(crate) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Takes the buffer back, unless it has grown beyond what is worth keeping.
    pub(crate) fn keep_text(&mut self, text: String) {
        if text.capacity() <= MAX_KEPT_TEXT_BYTES {
            self.text = text;
        }
    }
}

impl Encoder {
    /// Builds the tables.
    ///
    /// `bytes` gives the id of each single byte that has one. `merges` come in rank order as (left, right, produced); of two
    /// merges of the same pair the later one counts, as in Hugging Face. With `whole_pieces` a pretoken that is a token is
    /// that token, whatever the merges say (`ignore_merges`).
    pub fn new(
        bytes: impl IntoIterator<Item = (u8, TokenId)>,
        merges: impl ExactSizeIterator<Item = (TokenId, TokenId, TokenId)>,
        whole_pieces: Option<WholePieces>,
    ) -> Self {
        let mut byte_ids = Box::new([NO_TOKEN; 256]);
        for (byte, id) in bytes {
            byte_ids[usize::from(byte)] = id;
        }
        Self { byte_ids, pairs: PairTable::new(merges), whole_pieces }
    }

    /// Appends the ids of one pretoken, which is `text[start..end]`.
    ///
    /// A byte without a token is left out and remembered in `scratch`.
    #[inline]
    pub fn encode_pretoken(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
    ) {
        if end - start > MAX_CACHED_BYTES {
            self.encode_uncached(&text[start..end], scratch, ids);
            return;
        }
        let key = cache::key(text, start, end);
        if scratch.cache.append(key, ids) {
            return;
        }
        let first = ids.len();
        let missing_before = scratch.missing_byte;
        self.encode_uncached(&text[start..end], scratch, ids);
        // Incomplete ids are not kept: another text must meet the missing byte again.
        if scratch.missing_byte == missing_before {
            scratch.cache.insert(key, &ids[first..]);
        }
    }

    /// Appends the ids of one pretoken by merging, past the cache.
    pub fn encode_uncached(&self, pretoken: &[u8], scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        if let Some(id) = self.whole_pieces.as_ref().and_then(|pieces| pieces.get(pretoken)) {
            ids.push(*id);
            return;
        }
        let first = ids.len();
        for &byte in pretoken {
            match self.byte_ids[usize::from(byte)] {
                NO_TOKEN => scratch.missing_byte = scratch.missing_byte.or(Some(byte)),
                id => ids.push(id),
            }
        }
        merge(&self.pairs, &mut scratch.long, ids, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids 0-255 are the bytes; the merges make 256, 257, ...
    fn encoder(merges: &[(u32, u32)]) -> Encoder {
        let merges: Vec<_> = (256..).zip(merges).map(|(new, &(left, right))| (left, right, new)).collect();
        Encoder::new((0..=255).map(|byte| (byte, TokenId::from(byte))), merges.into_iter(), None)
    }

    /// The definition: while some adjacent pair has a merge, apply the one of lowest rank, the leftmost of these first.
    fn encode_naively(merges: &[(u32, u32)], pretoken: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = pretoken.iter().map(|&byte| u32::from(byte)).collect();
        loop {
            let best = ids
                .windows(2)
                .enumerate()
                .filter_map(|(i, pair)| Some((merges.iter().rposition(|merge| *merge == (pair[0], pair[1]))?, i)))
                .min();
            let Some((rank, i)) = best else { return ids };
            ids.splice(i..i + 2, [256 + u32::try_from(rank).unwrap()]);
        }
    }

    fn encode(encoder: &Encoder, scratch: &mut Scratch, pretoken: &[u8]) -> Vec<u32> {
        let mut ids = Vec::new();
        encoder.encode_pretoken(pretoken, 0, pretoken.len(), scratch, &mut ids);
        ids
    }

    #[test]
    fn the_lowest_rank_merges_first_and_of_equals_the_leftmost() {
        let encoder = encoder(&[(b'b'.into(), b'c'.into()), (b'a'.into(), b'b'.into()), (b'a'.into(), b'a'.into())]);
        let scratch = &mut Scratch::default();
        assert_eq!(encode(&encoder, scratch, b"abc"), [b'a'.into(), 256]);
        assert_eq!(encode(&encoder, scratch, b"aaa"), [258, b'a'.into()]);
    }

    #[test]
    fn a_byte_without_a_token_is_remembered_each_time() {
        let encoder = Encoder::new([(b'a', 0)], [].into_iter(), None);
        let scratch = &mut Scratch::default();
        for _ in 0..2 {
            assert_eq!(encode(&encoder, scratch, b"ab"), [0]);
            assert_eq!(scratch.take_missing_byte(), Some(b'b'));
        }
    }

    #[test]
    fn whole_pieces_win_over_merges_when_asked() {
        let pieces = [(Box::from(&b"ab"[..]), 7)];
        let encoder = Encoder::new([(b'a', 0), (b'b', 1)], [].into_iter(), Some(pieces.into_iter().collect()));
        assert_eq!(encode(&encoder, &mut Scratch::default(), b"ab"), [7]);
    }

    #[test]
    fn a_long_run_takes_no_quadratic_time() {
        // Doubling merges: aa, aaaa, ... each over the whole run. A quadratic merge would need hours for it.
        let mut merges = vec![(97, 97)];
        merges.extend((256..270).map(|id| (id, id)));
        let encoder = encoder(&merges);
        let ids = encode(&encoder, &mut Scratch::default(), &vec![b'a'; 1 << 20]);
        assert_eq!(ids, vec![270; 1 << 5]);
    }

    proptest::proptest! {
        #[test]
        fn every_path_gives_the_naive_ids(
            rules in proptest::collection::vec((0_usize..40, 0_usize..40), 0..40),
            text in "[abc]{0,150}",
        ) {
            // Rule (i, j) merges the i-th and j-th symbols known by then: a, b, c, and what earlier rules made.
            let mut known: Vec<u32> = vec![97, 98, 99];
            let mut merges = Vec::new();
            for (i, j) in rules {
                let pair = (known[i % known.len()], known[j % known.len()]);
                known.push(256 + u32::try_from(merges.len()).unwrap());
                merges.push(pair);
            }
            let encoder = encoder(&merges);
            let expected = encode_naively(&merges, text.as_bytes());
            let scratch = &mut Scratch::default();
            for _ in 0..2 {
                proptest::prop_assert_eq!(&encode(&encoder, scratch, text.as_bytes()), &expected);
            }
            let mut ids: Vec<u32> = text.bytes().map(u32::from).collect();
            let kept = scratch.long.merge(&encoder.pairs, &mut ids);
            proptest::prop_assert_eq!(&ids[..kept], &expected[..]);
        }
    }
}
