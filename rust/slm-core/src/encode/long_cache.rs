//! The cache of pretokens that have no key: those of 16 to 255 bytes.
//!
//! Text without blanks has many of them, code repeats its rulers and long names, and merging one takes a microsecond and more. They
//! differ in length, so they lie one behind another in a ring, in which the newest takes the place of the oldest; where one
//! lies is in a table of buckets. Table and ring are asked for ahead ([`super::queue`]), and both grow to a bound.

use super::TokenId;
use crate::io::allocator::LARGE_BYTES;
use crate::io::pages;
use crate::prefetch::prefetch;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// The longest pretoken that is kept.
pub(super) const MAX_BYTES: usize = 255;

/// Bytes of the ring as it grows, powers of two.
const SIZES: [usize; 3] = [1 << 17, 1 << 20, 1 << 22];

/// Bytes of the ring for each bucket, half a record of common length.
const BYTES_A_BUCKET: usize = 32;

const WAYS: usize = 2;

/// Bytes that a cache has at most: the ring, and the buckets for it.
pub(super) const MAX_CACHE_BYTES: u64 = {
    let ring_bytes = SIZES[SIZES.len() - 1];
    (ring_bytes + num_buckets(ring_bytes) * size_of::<[Slot; WAYS]>()) as u64
};

const fn num_buckets(ring_bytes: usize) -> usize {
    (ring_bytes / BYTES_A_BUCKET).next_power_of_two()
}

/// Of how many pretokens one is always looked for, by its hash.
const SAMPLED_ONE_IN: u32 = 8;

/// Sampled pretokens after which it is decided anew whether all are looked for.
const DECIDED_EVERY: u32 = 512;

/// One in how many sampled pretokens must be found.
const FOUND_ONE_IN: u32 = 4;

/// Bytes before a record: how many bytes the pretoken has, and how many ids.
const HEADER_BYTES: usize = 2;

/// Where the record of a pretoken begins, counted from the first that was ever written.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u32,
    /// One more than that place; 0 for none.
    at: u32,
}

#[derive(Debug, Default)]
pub(super) struct LongCache {
    /// A power of two of them, or none.
    buckets: Box<[[Slot; WAYS]]>,
    ring: Box<[u8]>,
    /// Where the next record is written, counted as places are.
    head: usize,
    /// Whether only sampled pretokens are looked for and kept, because few are found.
    is_sampling: bool,
    /// Sampled pretokens that were looked for and found since the last decision.
    looked_for: u32,
    found: u32,
}

impl LongCache {
    fn with_bytes(bytes: usize) -> Self {
        let mut ring = vec![0; bytes].into_boxed_slice();
        if bytes >= LARGE_BYTES {
            pages::use_small(&raw mut *ring);
        }
        Self { buckets: vec![[Slot::default(); WAYS]; num_buckets(bytes)].into_boxed_slice(), ring, ..Self::default() }
    }

    /// What a pretoken is looked for by.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the half with the better bits is taken on purpose
    pub(super) fn hash(pretoken: &[u8]) -> u32 {
        let mut hasher = FxHasher::default();
        hasher.write(&pretoken[..pretoken.len().min(MAX_BYTES)]);
        (hasher.finish() >> 32) as u32
    }

    /// Asks for the bucket of this hash.
    #[inline]
    pub(super) fn prefetch_bucket(&self, hash: u32) {
        prefetch(self.buckets.as_ptr().wrapping_add(self.bucket_idx(hash)));
    }

    /// Asks for the record of this hash, if there is one.
    #[inline]
    pub(super) fn prefetch_record(&self, hash: u32) {
        if let Some(bucket) = self.buckets.get(self.bucket_idx(hash))
            && let Some(slot) = bucket.iter().find(|slot| slot.tag == hash)
        {
            prefetch(self.ring.as_ptr().wrapping_add(self.place(slot.at as usize)));
        }
    }

    /// Where in the ring it is.
    #[inline]
    fn place(&self, at: usize) -> usize {
        at & self.ring.len().wrapping_sub(1)
    }

    #[inline]
    fn bucket_idx(&self, hash: u32) -> usize {
        hash as usize & self.buckets.len().wrapping_sub(1)
    }

    /// Whether a pretoken of this hash is worth looking for.
    #[inline]
    pub(super) fn takes(&self, hash: u32) -> bool {
        !self.is_sampling || is_sampled(hash)
    }

    /// Appends the ids of a pretoken with this hash, if they are here.
    #[inline]
    pub(super) fn append(&mut self, hash: u32, pretoken: &[u8], ids: &mut Vec<TokenId>) -> bool {
        let is_found = self.find(hash, pretoken, ids);
        self.add_looked_for(hash, is_found);
        is_found
    }

    /// Counts what was looked for, if it is sampled, and decides anew from time to time.
    #[inline]
    fn add_looked_for(&mut self, hash: u32, is_found: bool) {
        if !is_sampled(hash) {
            return;
        }
        self.looked_for += 1;
        self.found += u32::from(is_found);
        if self.looked_for == DECIDED_EVERY {
            self.is_sampling = self.found < DECIDED_EVERY / FOUND_ONE_IN;
            (self.looked_for, self.found) = (0, 0);
        }
    }

    #[inline]
    fn find(&self, hash: u32, pretoken: &[u8], ids: &mut Vec<TokenId>) -> bool {
        let Some(of_ids) = self.ids_of(hash, pretoken) else { return false };
        ids.extend(of_ids.as_chunks().0.iter().map(|&id| TokenId::from_le_bytes(id)));
        true
    }

    /// The bytes of the ids of a pretoken.
    #[inline]
    fn ids_of(&self, hash: u32, pretoken: &[u8]) -> Option<&[u8]> {
        let bucket = self.buckets.get(self.bucket_idx(hash))?;
        let records = bucket.iter().filter(|slot| slot.tag == hash).filter_map(|slot| self.record(*slot));
        records.into_iter().find_map(|(bytes, of_ids)| (bytes == pretoken).then_some(of_ids))
    }

    /// The bytes of a pretoken and of its ids, unless they were written over.
    #[inline]
    fn record(&self, slot: Slot) -> Option<(&[u8], &[u8])> {
        let at = (slot.at as usize).checked_sub(1)?;
        if self.head - at > self.ring.len() {
            return None;
        }
        let (header, rest) = self.ring[self.place(at)..].split_first_chunk::<HEADER_BYTES>()?;
        let [num_bytes, num_ids] = header.map(usize::from);
        let (bytes, rest) = rest.split_at_checked(num_bytes)?;
        Some((bytes, rest.get(..num_ids * size_of::<TokenId>())?))
    }

    /// Keeps the ids of a pretoken with this hash, which has none here.
    pub(super) fn insert(&mut self, hash: u32, pretoken: &[u8], ids: &[TokenId]) {
        let (Ok(num_bytes), Ok(num_ids)) = (u8::try_from(pretoken.len()), u8::try_from(ids.len())) else { return };
        let record_bytes = HEADER_BYTES + pretoken.len() + size_of_val(ids);
        self.make_room(record_bytes);
        let (at, place) = (self.head, self.place(self.head));
        let mut record = &mut self.ring[place..][..record_bytes];
        let mut write = |bytes: &[u8]| {
            let (there, rest) = std::mem::take(&mut record).split_at_mut(bytes.len());
            there.copy_from_slice(bytes);
            record = rest;
        };
        write(&[num_bytes, num_ids]);
        write(pretoken);
        for id in ids {
            write(&id.to_le_bytes());
        }
        self.head += record_bytes;
        let bucket_idx = self.bucket_idx(hash);
        let oldest = self.buckets[bucket_idx].iter_mut().min_by_key(|slot| slot.at);
        if let (Some(slot), Ok(at)) = (oldest, u32::try_from(at + 1)) {
            *slot = Slot { tag: hash, at };
        }
    }

    /// Moves the head so that a record fits in one piece, and grows where that would take the place of another.
    fn make_room(&mut self, record_bytes: usize) {
        let ring_bytes = self.ring.len();
        let left = ring_bytes - self.place(self.head).min(ring_bytes);
        if left >= record_bytes {
            return;
        }
        // Nothing is found in what is skipped: no record begins there.
        self.head += left;
        if let Some(&bytes) = SIZES.iter().find(|&&bytes| bytes > ring_bytes) {
            self.grow(bytes);
        } else if u32::try_from(self.head + ring_bytes).is_err() {
            *self = Self::with_bytes(ring_bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn num_bytes(&self) -> u64 {
        (size_of_val(&*self.ring) + size_of_val(&*self.buckets)) as u64
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let smaller = std::mem::replace(self, Self::with_bytes(bytes));
        for slot in smaller.buckets.iter().flatten() {
            if let Some((bytes, of_ids)) = smaller.record(*slot) {
                let ids: Vec<TokenId> = of_ids.as_chunks().0.iter().map(|&id| TokenId::from_le_bytes(id)).collect();
                self.insert(slot.tag, bytes, &ids);
            }
        }
    }
}

/// The highest bits decide: buckets go by the lowest.
#[inline]
fn is_sampled(hash: u32) -> bool {
    hash < u32::MAX / SAMPLED_ONE_IN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(cache: &LongCache, pretoken: &[u8]) -> Option<Vec<TokenId>> {
        let mut ids = vec![7];
        cache.find(LongCache::hash(pretoken), pretoken, &mut ids).then(|| ids.split_off(1))
    }

    fn pretoken(number: u32) -> Vec<u8> {
        format!("{number},").repeat(3 + number as usize % 30).into_bytes()
    }

    #[test]
    fn what_was_put_in_comes_out_until_it_is_the_oldest() {
        let mut cache = LongCache::default();
        assert_eq!(find(&cache, &pretoken(1)), None);
        for number in 0..200_000 {
            let pretoken = pretoken(number);
            cache.insert(LongCache::hash(&pretoken), &pretoken, &[number, number + 1]);
            assert_eq!(find(&cache, &pretoken).is_some(), pretoken.len() <= MAX_BYTES);
        }
        let found: Vec<u32> = (0..200_000).filter(|&number| find(&cache, &pretoken(number)).is_some()).collect();
        assert!(found[0] > 100_000);
        assert!(found.len() > 30_000 * 9 / 10, "{}", found.len());
        assert!(found.iter().all(|&number| find(&cache, &pretoken(number)) == Some(vec![number, number + 1])));
        assert_eq!(cache.ring.len(), SIZES[2]);
    }

    #[test]
    fn places_begin_anew_before_they_are_too_large_for_a_slot() {
        let mut cache = LongCache::with_bytes(SIZES[2]);
        cache.head = u32::MAX as usize - SIZES[2] - 100;
        for number in 0..200_000 {
            let pretoken = pretoken(number);
            cache.insert(LongCache::hash(&pretoken), &pretoken, &[number]);
            assert!(pretoken.len() > MAX_BYTES || find(&cache, &pretoken) == Some(vec![number]));
        }
        assert!(cache.head < u32::MAX as usize / 2);
    }

    #[test]
    fn nothing_is_found_by_the_hash_alone() {
        let mut cache = LongCache::default();
        cache.insert(5, b"one pretoken of some length", &[1]);
        cache.insert(5, b"another pretoken", &[2]);
        cache.insert(5, b"and a third one with this hash", &[3]);
        let mut ids = Vec::new();
        assert!(cache.find(5, b"another pretoken", &mut ids));
        assert!(!cache.find(5, b"another pretokem", &mut ids));
        assert!(!cache.find(5, b"another pretoke", &mut ids));
        assert_eq!(ids, [2]);
    }

    #[test]
    fn text_that_does_not_repeat_is_sampled_until_it_does() {
        let mut cache = LongCache::default();
        let mut pass = |numbers: std::ops::Range<u32>| {
            let mut ids = Vec::new();
            for number in numbers {
                let pretoken = format!("a pretoken of number {number}").into_bytes();
                let hash = LongCache::hash(&pretoken);
                if cache.takes(hash) && !cache.append(hash, &pretoken, &mut ids) {
                    cache.insert(hash, &pretoken, &[number]);
                }
            }
            cache.is_sampling
        };
        assert!(pass(0..20_000));
        assert!(!pass(0..20_000));
        assert!(pass(20_000..40_000));
    }
}
