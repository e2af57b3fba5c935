//! Characters of three bytes, eight at a time, and pretokens that are made of them, cut where no merge joins two.
//!
//! Most neighbours in text are so in no token, and the table of pairs knows which ([`PairTable`]): there a pretoken may be cut, and a long
//! one is merged in pieces of up to sixteen characters, in registers. A character that is several tokens is in no longer token, so it is
//! a piece of its own. This rests on what [`super::chars`] says of characters: that each becomes what it becomes alone before anything
//! joins it with its neighbours. A pretoken in which that is not sure is left to others as a whole: a token made across the border of two
//! characters may be joined with those beside them, of which the table knows nothing.

use super::chars::NUM_CODES;
use super::merge::avx2::{LANES, all, merge_ranked};
use super::merge::{PLACE_BITS, ranked};
use super::pairs::{NO_RANK, NeighbourPlaces, PairTable};
use super::{Encoder, TokenId};
use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_packus_epi32, _mm_storeu_si128, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_cmpgt_epi32,
    _mm256_extract_epi32, _mm256_extracti128_si256, _mm256_movemask_ps, _mm256_or_si256, _mm256_permute4x64_epi64,
    _mm256_permutevar8x32_epi32, _mm256_set_epi64x, _mm256_set_m128i, _mm256_setr_epi8, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32, _mm256_testz_si256,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a character.
pub(super) const CHARACTER_BYTES: usize = 3;

/// Bytes that are loaded for eight characters.
pub(super) const LOADED_BYTES: usize = 28;

/// Characters of a piece at most.
const PIECE: usize = 2 * LANES;

/// What is known of eight characters.
#[derive(Clone, Copy)]
pub(super) struct Eight {
    /// Their tokens, and zeros for those that are not asked for or have none.
    pub ids: __m256i,
    /// A bit for each that is several tokens.
    pub is_rare: u32,
    /// Whether one is not of three bytes, is not known yet, or could merge in part with the next.
    pub is_unfit: bool,
    /// The crossings that each could be left of, and right of in the upper half.
    crossings: __m256i,
}

/// Looks up the first `len` of eight characters.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) fn characters(bytes: &[u8; LOADED_BYTES], len: usize, table: &[AtomicU64; NUM_CODES]) -> Eight {
    let order = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
    );
    // SAFETY: both loads, the second of them 12 bytes further, are of 16 of the 28 bytes.
    let halves = unsafe {
        let first = bytes.as_ptr();
        _mm256_set_m128i(_mm_loadu_si128(first.add(LANES / 2 * CHARACTER_BYTES).cast()), _mm_loadu_si128(first.cast()))
    };
    // A character in each lane, its first byte the lowest.
    let spelled = _mm256_shuffle_epi8(halves, order);
    let (is_character, has_next) = (below(len), below(len.saturating_sub(1)));
    let is_wide = _mm256_cmpeq_epi32(_mm256_and_si256(spelled, all(0x00C0_C0F0)), all(0x0080_80E0));

    let first = _mm256_slli_epi32::<12>(_mm256_and_si256(spelled, all(0xF)));
    let second = _mm256_srli_epi32::<2>(_mm256_and_si256(spelled, all(0x3F00)));
    let third = _mm256_and_si256(_mm256_srli_epi32::<16>(spelled), all(0x3F));
    let code = _mm256_or_si256(_mm256_or_si256(first, second), third);
    // Shorter characters have the codes below, and only they.
    let is_wide = _mm256_and_si256(is_wide, _mm256_cmpgt_epi32(code, all(0x7FF)));
    let codes = halves_of_lanes(_mm256_and_si256(code, is_character));

    let known = |idx: usize| table[usize::from(codes[idx])].load(Ordering::Relaxed).cast_signed();
    let low = _mm256_castsi256_ps(_mm256_set_epi64x(known(3), known(2), known(1), known(0)));
    let high = _mm256_castsi256_ps(_mm256_set_epi64x(known(7), known(6), known(5), known(4)));
    let in_order = |mixed| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(mixed));
    // The lower halves of what is known, and the upper ones.
    let id_plus_one = in_order(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
    let crossings = in_order(_mm256_shuffle_ps::<0b11_01_11_01>(low, high));

    let is_no_id = |stands_for: u32| _mm256_cmpeq_epi32(id_plus_one, all(stands_for));
    let is_rare = _mm256_and_si256(is_no_id(u32::MAX), is_character);
    let of_both = _mm256_and_si256(_mm256_and_si256(crossings, all(0xFFFF)), _mm256_srli_epi32::<16>(next(crossings)));
    let crosses = _mm256_andnot_si256(_mm256_cmpeq_epi32(of_both, _mm256_setzero_si256()), has_next);
    let is_unfit = _mm256_or_si256(is_no_id(0), _mm256_andnot_si256(is_wide, all(u32::MAX)));
    let is_unfit = _mm256_or_si256(_mm256_and_si256(is_unfit, is_character), crosses);
    let has_id = _mm256_andnot_si256(is_rare, is_character);
    Eight {
        ids: _mm256_and_si256(_mm256_sub_epi32(id_plus_one, all(1)), has_id),
        is_rare: bits(is_rare),
        is_unfit: _mm256_testz_si256(is_unfit, is_unfit) == 0,
        crossings,
    }
}

/// Writes the [`ranked`] merges of each of eight ids and the next, as far as they are `asked` for, which is all bits or none for each, and
/// [`u32::MAX`] in place of others; `places` are theirs. Gives a bit for each that a merge can come to join to the next.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) fn rank_neighbours(
    pairs: &PairTable,
    ids: &[TokenId; LANES],
    places: &NeighbourPlaces,
    asked: __m256i,
    to: &mut [u32; LANES],
) -> u32 {
    let (rank, mut unsure) = pairs.ranks_of_neighbours(places, asked);
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let with_lanes = _mm256_or_si256(_mm256_slli_epi32::<{ PLACE_BITS.cast_signed() }>(rank), lanes);
    store(_mm256_or_si256(with_lanes, _mm256_andnot_si256(asked, all(u32::MAX))), to);
    let joinable = (bits(_mm256_cmpeq_epi32(rank, all(NO_RANK))) ^ ((1 << LANES) - 1)) | unsure;
    while unsure != 0 {
        let at = unsure.trailing_zeros() as usize % (LANES - 1);
        to[at] = ranked(pairs.rank(ids[at], ids[at + 1]), at);
        unsure &= unsure - 1;
    }
    joinable
}

impl Encoder {
    /// Appends the ids of a pretoken of characters of three bytes. Where it is not, or cannot be merged like this, it appends nothing and says
    /// so. `encode` appends the tokens that a character becomes by itself.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn append_wide(
        &self,
        pretoken: &[u8],
        table: &[AtomicU64; NUM_CODES],
        ids: &mut Vec<TokenId>,
        mut encode: impl FnMut(&[u8], &mut Vec<TokenId>),
    ) -> bool {
        let (first, mut rest) = (ids.len(), pretoken);
        while !rest.is_empty() {
            let Some(mut piece) = Piece::look_up(rest, table, &self.pairs) else {
                ids.truncate(first);
                return false;
            };
            let mut left = piece.merge(&self.pairs);
            while left != 0 {
                let at = left.trailing_zeros() as usize % PIECE;
                if piece.is_rare >> at & 1 == 0 {
                    ids.push(piece.ids.as_flattened()[at]);
                } else {
                    encode(&rest[at * CHARACTER_BYTES..][..CHARACTER_BYTES], ids);
                }
                left &= left - 1;
            }
            rest = &rest[piece.len * CHARACTER_BYTES..];
        }
        true
    }
}

/// A pretoken, or a piece of one that nothing joins with the next.
struct Piece {
    ids: [[TokenId; LANES]; 2],
    ranks: [[u32; LANES]; 2],
    /// A bit for each character that a merge can come to join to the next.
    joinable: u32,
    is_rare: u32,
    /// How many characters it has.
    len: usize,
}

impl Piece {
    /// The first piece of `text`. `None` if there is something else in it than characters that are known and whole before they merge, or
    /// if it is longer than is looked at.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn look_up(text: &[u8], table: &[AtomicU64; NUM_CODES], pairs: &PairTable) -> Option<Self> {
        /// What the places of the second half have beyond those of the first.
        const SECOND: u32 = 1 << LANES.trailing_zeros();
        let seen = (text.len() / CHARACTER_BYTES).min(PIECE);
        if !text.len().is_multiple_of(CHARACTER_BYTES) {
            return None;
        }
        let mut bytes = [0; LANES * CHARACTER_BYTES + LOADED_BYTES];
        let part = &text[..seen * CHARACTER_BYTES];
        bytes[..part.len()].copy_from_slice(part);
        let of_half = |half: usize| {
            let len = seen.saturating_sub(half * LANES).min(LANES);
            let bytes = bytes[half * LANES * CHARACTER_BYTES..].first_chunk().expect("there is room for both halves");
            characters(bytes, len, table)
        };
        let halves = [of_half(0), of_half(1)];
        let is_rare = halves[0].is_rare | halves[1].is_rare << LANES;
        let crosses = seen > LANES && crossings_between(&halves) != 0;
        if crosses || halves.iter().any(|half| half.is_unfit || pairs.any_beyond(half.ids)) {
            return None;
        }
        let mut piece = Self { ids: [[0; LANES]; 2], ranks: [[u32::MAX; LANES]; 2], joinable: 0, is_rare, len: seen };
        // Of a rare character nothing is asked.
        let can_merge = ((1_u32 << seen) - 1) & !is_rare;
        let asked_bits = can_merge & can_merge >> 1;
        let asked = [lanes_of(asked_bits), lanes_of(asked_bits >> LANES)];
        let places = [0, 1].map(|half| pairs.places_of_neighbours(halves[half].ids, asked[half]));
        for half in 0..2 {
            store(halves[half].ids, &mut piece.ids[half]);
            let ranks = &mut piece.ranks[half];
            let joinable = rank_neighbours(pairs, &piece.ids[half], &places[half], asked[half], ranks);
            piece.joinable |= joinable << (half * LANES);
        }
        // The lowest bits of a ranked merge are its place.
        piece.ranks[1] = piece.ranks[1].map(|rank| rank | SECOND);
        if asked_bits >> (LANES - 1) & 1 == 1 {
            let rank = pairs.rank_or_inside(piece.ids[0][LANES - 1], piece.ids[1][0]);
            piece.ranks[0][LANES - 1] = ranked(rank, LANES - 1);
            piece.joinable |= u32::from(rank != NO_RANK) << (LANES - 1);
        }
        if part.len() < text.len() {
            let cuts = !piece.joinable & ((1 << (PIECE - 1)) - 1);
            piece.len = (u32::BITS - cuts.leading_zeros()) as usize;
            piece.ranks.as_flattened_mut()[piece.len..].fill(u32::MAX);
        }
        (piece.len > 0).then_some(piece)
    }

    /// Merges it; a bit for each place that still has an id.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn merge(&mut self, pairs: &PairTable) -> u32 {
        merge_ranked(pairs, &mut self.ids, &self.ranks, self.joinable, self.len)
    }
}

/// The crossings that the last of the first eight characters and the first of the others could be.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn crossings_between(halves: &[Eight; 2]) -> u32 {
    let before = _mm256_extract_epi32::<7>(halves[0].crossings).cast_unsigned();
    let after = _mm256_extract_epi32::<0>(halves[1].crossings).cast_unsigned();
    before & 0xFFFF & after >> 16
}

/// All bits in the lanes whose bits are set.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn lanes_of(bits: u32) -> __m256i {
    let lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(all(bits), lanes), lanes)
}

/// In each lane what is in the next one, and in the last the same as before.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn next(eight: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(eight, _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 7))
}

/// The lower half of each lane; the upper ones are zeros.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn halves_of_lanes(eight: __m256i) -> [u16; LANES] {
    let packed = _mm_packus_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
    let mut halves = [0; LANES];
    // SAFETY: 16 bytes that may be written, and the store needs no alignment.
    unsafe { _mm_storeu_si128(halves.as_mut_ptr().cast(), packed) };
    halves
}

/// The highest bit of each lane.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn bits(eight: __m256i) -> u32 {
    _mm256_movemask_ps(_mm256_castsi256_ps(eight)).cast_unsigned()
}

/// All bits in the first lanes, so many of them.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) fn below(len: usize) -> __m256i {
    #[expect(clippy::cast_possible_truncation, reason = "there are few lanes")]
    let len = all(len as u32);
    _mm256_cmpgt_epi32(len, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
pub(super) fn store(eight: __m256i, to: &mut [u32; LANES]) {
    // SAFETY: 32 bytes that may be written, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), eight) };
}
