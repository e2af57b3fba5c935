//! The merges of neighbours among eight ids, looked up together: no lookup waits for another, and none branches.

use super::{Bucket, HAS_LOST, Mixer, PairTable, WIDTH};
use crate::prefetch::prefetch;
use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_load_si256, _mm256_movemask_ps, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setzero_si256,
    _mm256_sll_epi64, _mm256_slli_epi64, _mm256_srl_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_testz_si256,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

/// Where the merges of each of eight ids and the next are, if there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct NeighbourPlaces {
    buckets: [u32; WIDTH],
    tags: [u32; WIDTH],
}

impl PairTable {
    /// Whether any of these ids is larger than any that merges.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    pub(in super::super) fn any_beyond(&self, ids: __m256i) -> bool {
        _mm256_testz_si256(ids, all(u32::MAX.checked_shl(self.mixer.id_bits).unwrap_or(0))) == 0
    }

    /// Where to look for the merges of each of eight ids and the next, as far as they are `asked` for, which is all bits or none for each; asks
    /// for what is there. No id that is asked for [is beyond](Self::any_beyond) those that merge.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    pub(in super::super) fn places_of_neighbours(&self, ids: __m256i, asked: __m256i) -> NeighbourPlaces {
        let places = self.mixer.places_of_neighbours(ids, asked);
        for bucket in &places.buckets[..WIDTH - 1] {
            prefetch(self.buckets.as_ptr().wrapping_add(*bucket as usize));
        }
        places
    }

    /// The ranks of the merges of each of eight ids and the next, which are at these places, as far as they are `asked` for;
    /// [`super::NO_RANK`] for all others and for the last. With the ranks comes a bit for each that has to be asked for again, because its
    /// bucket has lost merges.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    pub(in super::super) fn ranks_of_neighbours(&self, places: &NeighbourPlaces, asked: __m256i) -> (__m256i, u32) {
        let NeighbourPlaces { buckets, tags } = places;
        // All numbers of buckets are smaller, which nobody else would know here.
        let last = self.buckets.len() - 1;
        // In each the rank with all bits turned, in one of its lanes at most, and in the highest bit whether merges were lost.
        let turned = |at: usize| {
            let Bucket { tags: of_bucket, ranks } = &self.buckets[buckets[at] as usize & last];
            let (of_bucket, ranks) = (load(of_bucket), load(ranks));
            let is_it = _mm256_cmpeq_epi32(of_bucket, all(tags[at]));
            let lost = _mm256_and_si256(ranks, all(HAS_LOST));
            _mm256_or_si256(_mm256_andnot_si256(_mm256_or_si256(ranks, all(HAS_LOST)), is_it), lost)
        };
        let none = _mm256_setzero_si256();
        let together = any_of_each([turned(0), turned(1), turned(2), turned(3), turned(4), turned(5), turned(6), none]);
        let is_none = _mm256_cmpeq_epi32(_mm256_andnot_si256(all(HAS_LOST), together), none);
        let unsure = _mm256_and_si256(_mm256_and_si256(is_none, together), asked);
        // The highest bit of each lane.
        let unsure = _mm256_movemask_ps(_mm256_castsi256_ps(unsure)).cast_unsigned();
        let rank = _mm256_andnot_si256(_mm256_or_si256(together, all(HAS_LOST)), all(u32::MAX));
        let without = _mm256_or_si256(is_none, _mm256_andnot_si256(asked, all(u32::MAX)));
        (_mm256_or_si256(rank, without), unsure)
    }
}

impl Mixer {
    /// The buckets and the tags of each of eight ids and the next; for what is not `asked` for the first bucket, which is near then.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    #[inline]
    fn places_of_neighbours(self, ids: __m256i, asked: __m256i) -> NeighbourPlaces {
        let Self { id_bits, bucket_bits } = self;
        debug_assert!(bucket_bits < u32::BITS, "so many buckets have no room");
        let count = |bits: u32| _mm_cvtsi32_si128(bits.cast_signed());
        let (even, odd) = (_mm256_and_si256(ids, all_64(u64::from(u32::MAX))), _mm256_srli_epi64::<32>(ids));
        let next_even = _mm256_permute4x64_epi64::<0b11_11_10_01>(even);
        let tag_bits = 2 * id_bits - bucket_bits;
        let place = |left, right| {
            let mixed = mixed(_mm256_or_si256(_mm256_sll_epi64(left, count(id_bits)), right));
            let bucket = _mm256_and_si256(_mm256_srl_epi64(mixed, count(tag_bits)), all_64((1 << bucket_bits) - 1));
            (bucket, _mm256_and_si256(mixed, all_64((1 << tag_bits) - 1)))
        };
        let ((even_buckets, even_tags), (odd_buckets, odd_tags)) = (place(even, odd), place(odd, next_even));
        let in_order = |even, odd| _mm256_or_si256(even, _mm256_slli_epi64::<32>(odd));
        let (mut buckets, mut tags) = ([0; WIDTH], [0; WIDTH]);
        store(_mm256_and_si256(in_order(even_buckets, odd_buckets), asked), &mut buckets);
        store(_mm256_add_epi32(in_order(even_tags, odd_tags), all(1)), &mut tags);
        NeighbourPlaces { buckets, tags }
    }
}

/// What [`Mixer::place`] makes of pairs.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn mixed(pairs: __m256i) -> __m256i {
    let (low, high) = (all_64(Mixer::FACTOR), all_64(Mixer::FACTOR >> 32));
    let crosswise =
        _mm256_add_epi64(_mm256_mul_epu32(pairs, high), _mm256_mul_epu32(_mm256_srli_epi64::<32>(pairs), low));
    _mm256_add_epi64(_mm256_mul_epu32(pairs, low), _mm256_slli_epi64::<32>(crosswise))
}

/// In each lane what is in any lane of the register of that number.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn any_of_each([a, b, c, d, e, f, g, h]: [__m256i; WIDTH]) -> __m256i {
    let two = |a, b| _mm256_or_si256(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let four = |a, b| _mm256_or_si256(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (low, high) = (four(two(a, b), two(c, d)), four(two(e, f), two(g, h)));
    _mm256_or_si256(_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all(number: u32) -> __m256i {
    _mm256_set1_epi32(number.cast_signed())
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn all_64(number: u64) -> __m256i {
    _mm256_set1_epi64x(number.cast_signed())
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn load(half: &[u32; WIDTH]) -> __m256i {
    // SAFETY: 32 readable bytes, half of a bucket, which begins at a multiple of 64.
    unsafe { _mm256_load_si256(half.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn store(eight: __m256i, to: &mut [u32; WIDTH]) {
    // SAFETY: 32 writable bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), eight) };
}

#[cfg(test)]
mod tests {
    use super::super::NO_RANK;
    use super::*;
    use crate::processor::Processor;
    use std::arch::x86_64::_mm256_loadu_si256;

    /// The ranks of neighbours among `ids`, of which the first `num_asked` are asked for.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn ranks(table: &PairTable, ids: [u32; WIDTH], num_asked: usize) -> ([u32; WIDTH], u32, bool) {
        let asked: [u32; WIDTH] = std::array::from_fn(|at| if at < num_asked { u32::MAX } else { 0 });
        // SAFETY: 32 readable bytes each, and the loads need no alignment.
        let [eight, asked] = [ids, asked].map(|eight| unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) });
        let (found, unsure) = table.ranks_of_neighbours(&table.places_of_neighbours(eight, asked), asked);
        let mut ranks = [0; WIDTH];
        store(found, &mut ranks);
        (ranks, unsure, table.any_beyond(eight))
    }

    /// Checks neighbours with and without merges, all ids times `factor`. Gives how many had to be asked for again.
    fn check(factor: u32) -> u32 {
        // Of 14 bits each, at random: rows of numbers fill buckets so evenly that none loses a merge.
        let number = |i: u32| (i + 1).wrapping_mul(0x9E37_79B1).rotate_left(i % 32).wrapping_mul(0x85EB_CA77) >> 18;
        let merge = |i: u32| (number(2 * i) * factor, number(2 * i + 1) * factor);
        let table = PairTable::new(
            (0..10_000_u32).map(|i| (merge(i).0, merge(i).1, 50_000 + i)).collect::<Vec<_>>().into_iter(),
        );
        let mut num_unsure = 0;
        for i in 0..10_000_u32 {
            // Every second pair has a merge, nearly.
            let ids: [u32; WIDTH] = std::array::from_fn(|at| if at % 2 == 0 { merge(i).0 } else { merge(i).1 });
            for num_asked in [1, 4, WIDTH - 1] {
                // SAFETY: the caller has seen that the processor has these instructions.
                let (ranks, unsure, any_beyond) = unsafe { ranks(&table, ids, num_asked) };
                assert!(!any_beyond);
                for at in 0..WIDTH {
                    let expected = if at < num_asked { table.rank(ids[at], ids[at + 1]) } else { NO_RANK };
                    assert!(ranks[at] == expected || unsure >> at & 1 == 1, "{ids:?} {num_asked} {at}");
                }
                assert_eq!(unsure >> num_asked, 0);
                num_unsure += unsure.count_ones();
            }
        }
        // SAFETY: see above.
        assert!(unsafe { ranks(&table, [0, 1, 2, 1 << 31, 4, 5, 6, 7], 7) }.2);
        num_unsure
    }

    #[test]
    fn ranks_of_neighbours_are_those_of_each_pair() {
        if Processor::detect().avx2().is_some() {
            let num_unsure: u32 = [1, 100, 2_000].into_iter().map(check).sum();
            // Of 360,000 those that lost their place, and what else would be in their buckets.
            assert!((1..36_000).contains(&num_unsure), "{num_unsure}");
        }
    }
}
