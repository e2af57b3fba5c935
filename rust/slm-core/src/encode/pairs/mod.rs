//! The table from a pair of ids to its merge, built once and never changed.
//!
//! The time of a lookup is that of one look into memory, so all of an answer is in one cache line: a bucket of eight tags, which
//! are compared at once, and eight ranks. A tag has 32 bits and a pair more; the rest of the pair is in the number of its bucket,
//! as pairs are mixed by a function that can be undone. What a merge produces follows from its rank in nearly every vocabulary.

use super::chars::Neighbours;
use super::merge::MAX_RANKS;
use crate::prefetch::prefetch;
use crate::processor::Processor;
use crate::token::TokenId;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::ops::Range;

/// The place of a merge in the order of merges, from 0 on; the lowest is applied first.
pub(super) type Rank = u32;

/// The answer for a pair that has no merge, larger than every rank.
pub(super) const NO_RANK: Rank = Rank::MAX;

/// In place of the rank of a pair that has no merge but stands side by side in some token, so that merges may come to join the two as parts of
/// longer tokens. Larger than every rank.
#[expect(clippy::cast_possible_truncation, reason = "it has 26 bits")]
const INSIDE: Rank = MAX_RANKS as Rank;

/// Places in a bucket.
const WIDTH: usize = 8;

/// Merges for each bucket, at most: of buckets so filled one in twenty is full, and has lost one in a hundred of its merges to the
/// map of those without a place.
const MERGES_PER_BUCKET: usize = 4;

/// The tag of a place without a merge.
const EMPTY: u32 = 0;

/// The bit of the last rank of a bucket that says that it has lost a merge.
const HAS_LOST: Rank = 1 << 31;

/// One cache line: what tells the pairs of this bucket apart, and the ranks of their merges. Nearly all buckets that are full have
/// lost no merge, so there is a bit for that.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket {
    tags: [u32; WIDTH],
    ranks: [Rank; WIDTH],
}

/// The tag of no place at all.
const NO_TAG: u32 = u32::MAX;

/// Where the merge of a pair is, if there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PairPlace {
    bucket_idx: u32,
    tag: u32,
}

#[derive(Debug)]
pub(crate) struct PairTable {
    mixer: Mixer,
    buckets: Box<[Bucket]>,
    /// Ranks of the pairs whose buckets were full.
    without_place: HashMap<(TokenId, TokenId), Rank, FxBuildHasher>,
    num_merges: usize,
    produced: Produced,
    processor: Processor,
}

impl PairTable {
    pub(crate) fn new(merges: impl ExactSizeIterator<Item = (TokenId, TokenId, TokenId)>) -> Self {
        Self::with_neighbours(merges, &Neighbours::default())
    }

    /// The table that also knows which pairs, of two that merge on some side, are neighbours in tokens.
    pub(super) fn with_neighbours(
        merges: impl ExactSizeIterator<Item = (TokenId, TokenId, TokenId)>,
        neighbours: &Neighbours,
    ) -> Self {
        let merges: Vec<_> = merges.collect();
        let largest_id = merges.iter().map(|&(left, right, _)| left.max(right)).max().unwrap_or(0);
        let mixer = Mixer::new(largest_id, (merges.len() + neighbours.len()) / MERGES_PER_BUCKET);
        let mut table = Self {
            mixer,
            buckets: vec![Bucket { tags: [EMPTY; WIDTH], ranks: [0; WIDTH] }; mixer.num_buckets()].into_boxed_slice(),
            without_place: HashMap::default(),
            num_merges: merges.len(),
            processor: Processor::detect(),
            produced: Produced::new(merges.iter().map(|merge| merge.2).collect()),
        };
        for (rank, &(left, right, _)) in (0..).zip(&merges) {
            table.insert(left, right, rank);
        }
        // In order, as which of them find a place depends on it.
        let mut inside: Vec<_> = neighbours.iter().filter(|pair| table.rank(pair.0, pair.1) == NO_RANK).collect();
        inside.sort_unstable();
        for &(left, right) in inside {
            table.insert(left, right, INSIDE);
        }
        table
    }

    /// Of two merges of the same pair the later one counts.
    fn insert(&mut self, left: TokenId, right: TokenId, rank: Rank) {
        let (bucket_idx, tag) = self.mixer.place(left, right);
        let bucket = &mut self.buckets[bucket_idx];
        if let Some(place) = bucket.tags.iter().position(|&there| there == tag || there == EMPTY) {
            (bucket.tags[place], bucket.ranks[place]) = (tag, rank | bucket.ranks[place] & HAS_LOST);
        } else {
            bucket.ranks[WIDTH - 1] |= HAS_LOST;
            self.without_place.insert((left, right), rank);
        }
    }

    /// How many merges there are.
    pub(super) fn len(&self) -> usize {
        self.num_merges
    }

    /// What merges are looked up with.
    #[inline]
    pub(super) fn processor(&self) -> Processor {
        self.processor
    }

    #[cfg(test)]
    pub(super) fn set_processor(&mut self, processor: Processor) {
        self.processor = processor;
    }

    /// The rank of the merge of two ids, or [`NO_RANK`].
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the merge loop is little else, and as a call it takes a fifth longer")]
    pub(super) fn rank(&self, left: TokenId, right: TokenId) -> Rank {
        or_none(self.rank_by(places_of, left, right))
    }

    /// Where to look for the merge of two ids.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // there is no memory for as many buckets
    pub(super) fn place(&self, left: TokenId, right: TokenId) -> PairPlace {
        let (bucket_idx, tag) = self.mixer.place(left, right);
        PairPlace { bucket_idx: bucket_idx as u32, tag: if self.mixer.is_beyond(left, right) { NO_TAG } else { tag } }
    }

    /// What is at a place, without a branch: a rank, or a number between the ranks and [`NO_RANK`] if the two have no merge but stand side
    /// by side in some token, or [`NO_RANK`]; and whether the pair has to be [asked for](PairTable::rank_without_place) elsewhere.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn rank_or_inside(&self, place: PairPlace) -> (Rank, bool) {
        // All numbers of buckets are smaller, which nobody else would know here.
        let bucket = &self.buckets[place.bucket_idx as usize & (self.buckets.len() - 1)];
        let places = places_of(&bucket.tags, place.tag);
        let rank = bucket.ranks[places.trailing_zeros() as usize % WIDTH] & !HAS_LOST;
        let is_there = places != 0;
        let lost = bucket.ranks[WIDTH - 1] & if is_there { 0 } else { HAS_LOST };
        (if is_there { rank } else { NO_RANK }, lost != 0)
    }

    /// The rank of the merge of two ids, or [`INSIDE`], or [`NO_RANK`], by a function that has a bit for each tag that is a given one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    pub(super) fn rank_by(&self, places_of: impl Fn(&[u32; WIDTH], u32) -> u32, left: TokenId, right: TokenId) -> Rank {
        if self.mixer.is_beyond(left, right) {
            return NO_RANK;
        }
        let (bucket_idx, tag) = self.mixer.place(left, right);
        let bucket = &self.buckets[bucket_idx];
        let places = places_of(&bucket.tags, tag);
        if places != 0 {
            return bucket.ranks[places.trailing_zeros() as usize % WIDTH] & !HAS_LOST;
        }
        if bucket.ranks[WIDTH - 1] & HAS_LOST == 0 {
            return NO_RANK;
        }
        self.rank_without_place(left, right)
    }

    /// What the merge of this rank produces.
    #[inline]
    pub(super) fn produced(&self, rank: Rank) -> TokenId {
        match &self.produced {
            Produced::From(first) => first + rank,
            Produced::Listed(ids) => ids[rank as usize],
        }
    }

    /// What the merges produce, in the order of their ranks, if each produces the id behind that of the one before.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // so many merges there are ids for
    pub(super) fn produced_in_order(&self) -> Option<Range<TokenId>> {
        match self.produced {
            Produced::From(first) => Some(first..first + self.num_merges as TokenId),
            Produced::Listed(_) => None,
        }
    }

    /// What the merge of this rank produces, if it is one.
    #[inline]
    pub(super) fn produced_if_any(&self, rank: Rank) -> Option<TokenId> {
        ((rank as usize) < self.num_merges).then(|| self.produced(rank))
    }

    /// Asks for what [`PairTable::rank`] will look at.
    #[inline]
    pub(super) fn prefetch(&self, left: TokenId, right: TokenId) {
        prefetch(&raw const self.buckets[self.mixer.place(left, right).0]);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn rank_without_place(&self, left: TokenId, right: TokenId) -> Rank {
        self.without_place.get(&(left, right)).copied().unwrap_or(NO_RANK)
    }
}

/// The rank that [`PairTable::rank`] gives where [`PairTable::rank_or_inside`] gives this one.
#[inline]
pub(super) fn or_none(rank: Rank) -> Rank {
    if rank == INSIDE { NO_RANK } else { rank }
}

/// What a merge produces, by its rank.
#[derive(Debug)]
enum Produced {
    /// The rank and this: each merge makes the next id.
    From(TokenId),
    Listed(Box<[TokenId]>),
}

impl Produced {
    fn new(ids: Box<[TokenId]>) -> Self {
        let first = ids.first().copied().unwrap_or(0);
        if (first..).zip(&ids).all(|(next, &id)| next == id) { Self::From(first) } else { Self::Listed(ids) }
    }
}

/// Mixes pairs of ids, so that different pairs stay different.
#[derive(Clone, Copy, Debug)]
struct Mixer {
    /// Bits of an id that a merge has on one of its sides.
    id_bits: u32,
    bucket_bits: u32,
}

impl Mixer {
    /// An odd number, so that multiplying by it can be undone.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

    fn new(largest_id: TokenId, min_buckets: usize) -> Self {
        let id_bits = largest_id.checked_ilog2().unwrap_or(0) + 1;
        // What is left for the tag must be less than 32 bits, as one tag stands for none.
        let bucket_bits = (2 * id_bits).saturating_sub(31).max(min_buckets.next_power_of_two().trailing_zeros()).max(1);
        Self { id_bits, bucket_bits: bucket_bits.min(2 * id_bits) }
    }

    fn num_buckets(self) -> usize {
        1 << self.bucket_bits
    }

    /// Whether an id is larger than any on a side of a merge.
    #[inline]
    fn is_beyond(self, left: TokenId, right: TokenId) -> bool {
        u64::from(left | right) >> self.id_bits != 0
    }

    /// The bucket of a pair, and its tag there: together they are the pair, times an odd number, without the bits above.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the masks leave fewer bits
    fn place(self, left: TokenId, right: TokenId) -> (usize, u32) {
        let pair = u64::from(left) << self.id_bits | u64::from(right);
        let mixed = pair.wrapping_mul(Self::FACTOR);
        let tag_bits = 2 * self.id_bits - self.bucket_bits;
        let bucket_idx = (mixed >> tag_bits) as usize & ((1 << self.bucket_bits) - 1);
        (bucket_idx, (mixed & ((1 << tag_bits) - 1)) as u32 + 1)
    }
}

/// A bit for each tag that is `tag`.
#[cfg(target_arch = "x86_64")]
#[inline]
fn places_of(tags: &[u32; WIDTH], tag: u32) -> u32 {
    use std::arch::x86_64::{_mm_castsi128_ps, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_ps, _mm_set1_epi32};
    let [low, high] = [0, WIDTH / 2].map(|first| {
        // SAFETY: SSE2 belongs to every x86-64, and each load is of four of the eight tags.
        #[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "bits as the instructions take them")]
        unsafe {
            let four = _mm_loadu_si128(tags.as_ptr().add(first).cast());
            _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, _mm_set1_epi32(tag as i32)))) as u32
        }
    });
    low | high << (WIDTH / 2)
}

/// A bit for each tag that is `tag`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn places_of(tags: &[u32; WIDTH], tag: u32) -> u32 {
    tags.iter().enumerate().fold(0, |places, (place, &there)| places | u32::from(there == tag) << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_merge_is_found_and_nothing_else() {
        // At random: rows of numbers fill buckets so evenly that none loses a merge.
        let id = |i: u32| (i + 1).wrapping_mul(0x9E37_79B1).rotate_left(i % 32).wrapping_mul(0x85EB_CA77) >> 18;
        let ranks: HashMap<(TokenId, TokenId), Rank> = (0..10_000).map(|i| ((id(2 * i), id(2 * i + 1)), i)).collect();
        let merges = (0..10_000).map(|i| (id(2 * i), id(2 * i + 1), 50_000 + i));
        let table = PairTable::new(merges.collect::<Vec<_>>().into_iter());
        assert!(!table.without_place.is_empty());
        for i in 0..10_000 {
            let (left, right) = (id(2 * i), id(2 * i + 1));
            for pair in [(left, right), (right, left), (left, right ^ 1), (left + (1 << 14), right)] {
                let rank = table.rank(pair.0, pair.1);
                assert_eq!(rank, ranks.get(&pair).copied().unwrap_or(NO_RANK), "{pair:?}");
            }
            assert_eq!(table.produced(i), 50_000 + i);
        }
    }

    #[test]
    fn an_empty_table_answers_too() {
        assert_eq!(PairTable::new([].into_iter()).rank(1, 2), NO_RANK);
        assert_eq!(PairTable::new([].into_iter()).rank(TokenId::MAX, TokenId::MAX), NO_RANK);
    }

    #[test]
    fn of_two_merges_of_a_pair_the_later_counts() {
        let table = PairTable::new([(1, 2, 8), (1, 2, 9)].into_iter());
        assert_eq!(table.produced(table.rank(1, 2)), 9);
    }
}
