//! From a pretoken to its token ids, exactly and without surprises in time or memory.
//!
//! Natural text repeats its pretokens, so most of them are answered by caches of bounded size ([`cache`], [`long_cache`]), which are
//! asked for a few hundred at a time ([`queue`]). The rest are merged: short ones in registers where the processor has AVX2 and in an
//! array elsewhere, longer ones with a heap ([`merge`]), giants in windows ([`giant`]), so that the time is linear in the text. Where much
//! is new and its characters have three bytes, a few hundred are merged together ([`together`]), cut where no merge joins two characters
//! ([`joins`]). Which two ids merge, how early and into what comes from one table ([`pairs`]); rank and id are separate there, because
//! vocabularies exist whose merges are not in id order.
//!
//! What was tried for each part and left is in docs/performance.md.

pub mod batch;
mod cache;
mod chars;
mod coverage;
mod giant;
pub mod giving;
mod joins;
mod keys;
mod long_cache;
mod merge;
mod ordered;
mod pairs;
mod queue;
mod room;
mod together;

use merge::merge_bytes;
pub(crate) use merge::{LongMerge, merge};
pub(crate) use pairs::PairTable;
use pairs::Rank;
pub(crate) use queue::Queue;

use crate::progress::Stop;
use crate::short;
use crate::token::TokenId;
use cache::{Cache, Key};
use chars::Characters;
pub use coverage::Coverage;
pub(crate) use giant::{Broken, Giant};
use giant::{Lengths, WindowSpace, Windows};
use hashbrown::HashMap;
use long_cache::LongCache;

/// Bytes up to which a pretoken beyond ASCII is hardly ever more tokens than an entry of the cache holds.
const MAX_FEW_BYTES: usize = 8;

/// Bytes of the buffer for prepared text that are kept between calls: a stretch of common length.
const MAX_KEPT_TEXT_BYTES: usize = 2 << 20;

/// The id that a byte has when the vocabulary lacks it.
const NO_TOKEN: TokenId = TokenId::MAX;

/// Bytes that the caches of a [`Scratch`] take at most, which a memory limit has to know of. One that grows is there twice for a
/// moment, with a quarter of its size.
pub(crate) const MAX_CACHE_BYTES: u64 = cache::MAX_CACHE_BYTES + long_cache::MAX_CACHE_BYTES;

/// What encoding needs of a vocabulary, ready to look up.
#[derive(Debug)]
pub struct Encoder {
    byte_ids: Box<[TokenId; 256]>,
    /// The ranks of the merges of any two bytes, the first of them times 256: what a pretoken asks first, without a search.
    byte_ranks: Box<[Rank]>,
    pairs: PairTable,
    characters: Characters,
    whole_pieces: Option<WholePieces>,
    lengths: Lengths,
}

/// Ids by the bytes of their tokens.
pub type WholePieces = HashMap<Box<[u8]>, TokenId, foldhash::fast::FixedState>;

/// What one thread needs to encode: its cache and its work space. Belongs to the [`Encoder`] that filled it.
#[derive(Debug)]
pub struct Scratch {
    cache: Cache,
    long_cache: LongCache,
    waiting: Box<queue::Waiting>,
    long: LongMerge,
    missing_byte: Option<u8>,
    is_interrupted: bool,
    windows: WindowSpace,
    text: String,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            cache: Cache::new(),
            long_cache: LongCache::default(),
            waiting: Box::default(),
            long: LongMerge::default(),
            missing_byte: None,
            is_interrupted: false,
            windows: WindowSpace::default(),
            text: String::new(),
        }
    }
}

impl Scratch {
    /// Takes the first byte met since the last call that the vocabulary has no token for.
    pub fn take_missing_byte(&mut self) -> Option<u8> {
        self.missing_byte.take()
    }

    /// Whether the work was broken off inside a pretoken since the last call.
    pub(crate) fn take_interrupted(&mut self) -> bool {
        std::mem::take(&mut self.is_interrupted)
    }

    #[cfg(test)]
    fn cache_bytes(&self) -> u64 {
        self.cache.num_bytes() + self.long_cache.num_bytes()
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
        let merges: Vec<_> = merges.collect();
        let lengths = Lengths::new(&byte_ids, &merges);
        let (characters, neighbours) = Characters::new(&byte_ids, &merges, &lengths);
        let pairs = PairTable::with_neighbours(merges.iter().copied(), &neighbours);
        let of_bytes = |left: usize| (0..256).map(move |right| (left, right));
        let byte_ranks: Box<[Rank]> =
            (0..256).flat_map(of_bytes).map(|(left, right)| pairs.rank(byte_ids[left], byte_ids[right])).collect();
        Self { byte_ids, byte_ranks, pairs, characters, whole_pieces, lengths }
    }

    /// Appends the ids of a short pretoken that the cache lacks, and keeps them there, or with those of long ones if they are many.
    #[inline(never)]
    fn encode_unknown(&self, pretoken: &[u8], key: Key, scratch: &mut Scratch, ids: &mut Vec<TokenId>, stop: &Stop) {
        if pretoken.len() > MAX_FEW_BYTES && !pretoken.is_ascii() {
            return self.encode_long(pretoken, LongCache::hash(pretoken), scratch, ids, stop);
        }
        let first = ids.len();
        self.encode_uncached(pretoken, scratch, ids, stop);
        // Incomplete ids are not kept: another text must meet the missing byte again.
        if scratch.missing_byte.is_none() {
            scratch.cache.insert(key, &ids[first..]);
        }
    }

    /// Appends the ids of a pretoken with this hash that no key finds, and keeps them if it is not too long for that.
    #[inline(never)]
    fn encode_long(&self, pretoken: &[u8], hash: u32, scratch: &mut Scratch, ids: &mut Vec<TokenId>, stop: &Stop) {
        let takes = scratch.long_cache.takes(hash);
        if takes && scratch.long_cache.append(hash, pretoken, ids) {
            return;
        }
        let first = ids.len();
        self.encode_uncached(pretoken, scratch, ids, stop);
        if scratch.missing_byte.is_some() {
            return;
        }
        if pretoken.len() <= short::MAX_BYTES && ids.len() - first <= cache::MAX_IDS {
            scratch.cache.insert(Key::new(pretoken, 0, pretoken.len()), &ids[first..]);
        } else if takes && pretoken.len() <= long_cache::MAX_BYTES {
            scratch.long_cache.insert(hash, pretoken, &ids[first..]);
        }
    }

    /// Appends the ids of one pretoken by merging, past the cache. A byte without a token is left out and remembered in `scratch`;
    /// so is that `stop` was raised, which is looked at in long pretokens only.
    pub fn encode_uncached(&self, pretoken: &[u8], scratch: &mut Scratch, ids: &mut Vec<TokenId>, stop: &Stop) {
        scratch.waiting.add_new(pretoken);
        if let Some(id) = self.whole_pieces.as_ref().and_then(|pieces| pieces.get(pretoken)) {
            ids.push(*id);
        } else if self.is_giant(pretoken) {
            self.encode_in_windows(pretoken, &Windows::DEFAULT, scratch, ids, stop);
        } else {
            self.encode_at_once(pretoken, scratch, ids);
        }
    }

    /// Whether merging alone says what a pretoken becomes.
    #[inline]
    fn merges_all(&self) -> bool {
        self.whole_pieces.is_none()
    }

    /// Appends what a character becomes by itself.
    fn append_character(&self, char: &[u8], ids: &mut Vec<TokenId>) {
        self.characters.append_one(char, ids, |char, ids| {
            ids.extend(char.iter().map(|&byte| self.byte_ids[usize::from(byte)]));
            // Of so few bytes nothing is put there.
            merge_bytes(&self.pairs, &self.byte_ranks, &mut LongMerge::default(), char, ids);
        });
    }

    /// Appends what the characters of a pretoken become by themselves; if merging may not start from them, appends nothing and
    /// says so.
    #[inline]
    fn append_characters(&self, pretoken: &[u8], ids: &mut Vec<TokenId>) -> bool {
        self.characters.append(pretoken, ids, |char, ids| self.append_character(char, ids))
    }

    /// Appends what the merges make of a pretoken.
    fn encode_at_once(&self, pretoken: &[u8], scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        let first = ids.len();
        if !pretoken.is_ascii() && self.append_characters(pretoken, ids) {
            return merge(&self.pairs, &mut scratch.long, ids, first);
        }
        for &byte in pretoken {
            match self.byte_ids[usize::from(byte)] {
                NO_TOKEN => scratch.missing_byte = scratch.missing_byte.or(Some(byte)),
                id => ids.push(id),
            }
        }
        if ids.len() - first == pretoken.len() {
            merge_bytes(&self.pairs, &self.byte_ranks, &mut scratch.long, pretoken, ids);
        } else {
            merge(&self.pairs, &mut scratch.long, ids, first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretokenize::Ends;
    use crate::processor::Processor;

    /// Ids 0-255 are the bytes; the merges make 256, 257, ...
    pub(super) fn encoder(merges: &[(u32, u32)]) -> Encoder {
        let merges: Vec<_> = (256..).zip(merges).map(|(new, &(left, right))| (left, right, new)).collect();
        Encoder::new((0..=255).map(|byte| (byte, TokenId::from(byte))), merges.into_iter(), None)
    }

    /// The definition: while some adjacent pair has a merge, apply the one of lowest rank, the leftmost of these first.
    pub(super) fn encode_naively(merges: &[(u32, u32)], pretoken: &[u8]) -> Vec<u32> {
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

    pub(super) fn encode(encoder: &Encoder, scratch: &mut Scratch, pretoken: &[u8]) -> Vec<u32> {
        let (mut ids, stop) = (Vec::new(), Stop::default());
        let mut queue = Queue::new(encoder, pretoken, scratch, &mut ids, &stop);
        queue.end(pretoken.len());
        queue.finish();
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
    fn caches_grow_to_the_bytes_that_a_memory_limit_knows_of() {
        let mut scratch = Scratch::default();
        for number in 0..100_000_u32 {
            let (short, long) = (number.to_string(), number.to_string().repeat(30));
            scratch.cache.insert(Key::new(short.as_bytes(), 0, short.len()), &[number]);
            scratch.long_cache.insert(LongCache::hash(long.as_bytes()), long.as_bytes(), &[number]);
            assert!(scratch.cache_bytes() <= MAX_CACHE_BYTES);
        }
        assert_eq!(scratch.cache_bytes(), MAX_CACHE_BYTES);
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
    fn a_byte_without_a_token_is_remembered_though_another_was_met_before() {
        let encoder = Encoder::new([(b'a', 0)], [].into_iter(), None);
        let scratch = &mut Scratch::default();
        let long = b"ac".repeat(20);
        assert_eq!(encode(&encoder, scratch, b"ab"), [0]);
        assert_eq!(encode(&encoder, scratch, b"ac"), [0]);
        assert_eq!(encode(&encoder, scratch, &long), [0; 20]);
        for pretoken in [b"ac", &long[..]] {
            scratch.take_missing_byte();
            encode(&encoder, scratch, pretoken);
            assert_eq!(scratch.take_missing_byte(), Some(b'c'));
        }
    }

    #[test]
    fn what_waits_is_found_though_the_cache_has_grown() {
        let encoder = encoder(&[]);
        let pretokens: Vec<String> = (0..40_000).map(|number| format!("{:04}", number / 2)).collect();
        let (text, scratch) = (pretokens.concat(), &mut Scratch::default());
        let (mut ids, stop) = (Vec::new(), Stop::default());
        let mut queue = Queue::new(&encoder, text.as_bytes(), scratch, &mut ids, &stop);
        let mut end = 0;
        for pretoken in &pretokens {
            end += pretoken.len();
            queue.end(end);
        }
        queue.finish();
        assert!(ids.into_iter().eq(text.bytes().map(TokenId::from)));
    }

    #[test]
    fn a_giant_of_bytes_without_a_token_ends() {
        let encoder = Encoder::new([(b'a', 0)], [].into_iter(), None);
        let scratch = &mut Scratch::default();
        assert!(encode(&encoder, scratch, &vec![b'b'; 1 << 17]).is_empty());
        assert_eq!(scratch.take_missing_byte(), Some(b'b'));
        assert_eq!(encode(&encoder, scratch, &b"ab".repeat(1 << 16)), vec![0; 1 << 16]);
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
            text in "[abc]{1,150}",
            margin in 0_usize..6,
        ) {
            // Rule (i, j) merges the i-th and j-th symbols known by then: a, b, c, and what earlier rules made.
            let mut known: Vec<u32> = vec![97, 98, 99];
            let mut merges = Vec::new();
            for (i, j) in rules {
                let pair = (known[i % known.len()], known[j % known.len()]);
                known.push(256 + u32::try_from(merges.len()).unwrap());
                merges.push(pair);
            }
            let mut encoder = encoder(&merges);
            let expected = encode_naively(&merges, text.as_bytes());
            for processor in Processor::all() {
                encoder.pairs.set_processor(processor);
                let scratch = &mut Scratch::default();
                for _ in 0..2 {
                    proptest::prop_assert_eq!(&encode(&encoder, scratch, text.as_bytes()), &expected, "{:?}", processor);
                }
            }
            let scratch = &mut Scratch::default();
            if encoder.lengths.is_known() {
                let (mut ids, windows) = (vec![7], Windows { bytes: 8, margin_bytes: margin, kept_bytes: 0 });
                encoder.encode_in_windows(text.as_bytes(), &windows, scratch, &mut ids, &Stop::default());
                proptest::prop_assert_eq!(&ids[1..], &expected[..]);
            }
            let mut ids: Vec<u32> = text.bytes().map(u32::from).collect();
            let kept = scratch.long.merge(&encoder.pairs, &mut ids);
            proptest::prop_assert_eq!(&ids[..kept], &expected[..]);
        }
    }
}
