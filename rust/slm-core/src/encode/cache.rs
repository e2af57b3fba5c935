//! The cache of short pretokens: it grows to 16 MiB a thread and never beyond, two entries to a cache line.
//!
//! Nine tenths of the pretokens of natural text are one token and nearly all are at most four, so an entry holds the pretoken
//! itself and its ids: one line of memory answers, and nothing is chased. The line is asked for long before it is needed
//! ([`super::queue`]), so it may lie in the third-level cache or beyond.
//!
//! Words that come often must be found by one comparison that nearly always succeeds. So a line keeps in front what it was asked
//! for last: a new entry goes behind, in place of the one there, and comes to the front when it is asked for again.

use super::TokenId;
use crate::prefetch::prefetch;
use crate::short;

/// Lines of a cache as it grows: 128 KiB, because encoding a sentence should not have to clear megabytes, then 4 and at last
/// 16 MiB, which are huge pages.
const SIZES: [usize; 3] = [1 << 11, 1 << 16, 1 << 18];

/// Ids that an entry can hold.
pub(super) const MAX_IDS: usize = 4;

/// Fills the unused ids of an entry; the only one whose highest bit is set, as no vocabulary has two thousand million tokens.
const UNUSED: TokenId = TokenId::MAX;

/// A short pretoken, as [`short::word`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key(u128);

impl Key {
    /// Marks the hash of a pretoken that is too long for a key; no entry has that bit.
    const LONG: u128 = 1 << 127;

    /// Marks an empty entry; no pretoken has it. Zero, so that a new cache need not be written to.
    const EMPTY: Self = Self(0);

    /// The key of `text[start..end]`, which is not longer than [`short::MAX_BYTES`].
    #[inline]
    pub(super) fn new(text: &[u8], start: usize, end: usize) -> Self {
        Self(short::word(text, start, end))
    }

    /// What stands in place of the key of a pretoken that is too long for one, and has this hash; no entry has it.
    #[inline]
    pub(super) fn of_long(hash: u32) -> Self {
        Self(Self::LONG | u128::from(hash))
    }

    /// The hash that [`Key::of_long`] was given.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the low half is taken on purpose
    pub(super) fn long_hash(self) -> Option<u32> {
        (self.0 & Self::LONG != 0).then_some(self.0 as u32)
    }

    /// Bits that differ for different pretokens, nearly always: those of the upper half of a product depend on all below.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the halves are taken on purpose
    pub(super) fn hash(self) -> u32 {
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        ((low ^ high.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
    }
}

/// A pretoken and its ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    key: Key,
    /// The ids, and [`UNUSED`] behind them.
    pub ids: [TokenId; MAX_IDS],
}

impl Entry {
    const EMPTY: Self = Self { key: Key::EMPTY, ids: [0; MAX_IDS] };

    /// How many ids it has.
    #[inline]
    pub(super) fn count(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_mm_loadu_ps, _mm_movemask_ps};
            // SAFETY: SSE belongs to every x86-64, and the load is of the four ids.
            let unused = unsafe { _mm_movemask_ps(_mm_loadu_ps(self.ids.as_ptr().cast())) };
            (unused | 1 << MAX_IDS).trailing_zeros() as usize
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.ids.iter().map(|&id| usize::from(id != UNUSED)).sum()
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([Entry; 2]);

/// The lines of a cache, by value: a loop has them at hand and need not look where they are each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    /// A power of two of them.
    lines: &'a [Line],
}

impl<'a> Lines<'a> {
    #[inline]
    fn of(self, hash: u32) -> &'a Line {
        &self.lines[hash as usize & (self.lines.len() - 1)]
    }

    /// Asks for the line that a pretoken of this hash is in, to be here when it is needed.
    #[inline]
    pub(super) fn prefetch(self, hash: u32) {
        prefetch(self.of(hash));
    }

    /// The entry of `key`, which has this hash, if it is the one in front.
    #[inline]
    pub(super) fn front(self, key: Key, hash: u32) -> Option<&'a Entry> {
        let [front, _] = &self.of(hash).0;
        (front.key == key).then_some(front)
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    /// A power of two of them.
    lines: Box<[Line]>,
    /// Entries that were put in since the cache has this size.
    inserted: usize,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self::with_lines(SIZES[0])
    }

    fn with_lines(num_lines: usize) -> Self {
        Self { lines: vec![Line([Entry::EMPTY; 2]); num_lines].into_boxed_slice(), inserted: 0 }
    }

    #[inline]
    fn line_idx(&self, hash: u32) -> usize {
        hash as usize & (self.lines.len() - 1)
    }

    /// The lines as they are now, for loops that look up many.
    #[inline]
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { lines: &self.lines }
    }

    /// Brings the entry of `key`, which has this hash, to the front, if there is one behind.
    #[inline]
    pub(super) fn promote(&mut self, key: Key, hash: u32) -> bool {
        let line_idx = self.line_idx(hash);
        let line = &mut self.lines[line_idx].0;
        let is_behind = line[1].key == key;
        if is_behind {
            line.swap(0, 1);
        }
        is_behind
    }

    /// Keeps the ids of `key`, unless they are too many for an entry.
    pub(super) fn insert(&mut self, key: Key, ids: &[TokenId]) {
        if ids.len() > MAX_IDS {
            return;
        }
        // At a quarter of its entries lines begin to lose some that are needed again.
        if self.inserted >= self.lines.len() / 2 {
            self.grow();
        }
        let mut entry = Entry { key, ids: [UNUSED; MAX_IDS] };
        entry.ids[..ids.len()].copy_from_slice(ids);
        self.put(entry);
    }

    fn put(&mut self, entry: Entry) {
        let line_idx = self.line_idx(entry.key.hash());
        let line = &mut self.lines[line_idx].0;
        line[usize::from(line[0].key != Key::EMPTY)] = entry;
        self.inserted += 1;
    }

    #[cold]
    fn grow(&mut self) {
        self.inserted = 0;
        let Some(&num_lines) = SIZES.iter().find(|&&num_lines| num_lines > self.lines.len()) else { return };
        let smaller = std::mem::replace(self, Self::with_lines(num_lines));
        for entry in smaller.lines.iter().flat_map(|line| &line.0).filter(|entry| entry.key != Key::EMPTY) {
            self.put(*entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pretoken: &[u8]) -> Key {
        Key::new(pretoken, 0, pretoken.len())
    }

    fn find(cache: &mut Cache, pretoken: &[u8]) -> Option<Vec<TokenId>> {
        let key = key(pretoken);
        if cache.lines().front(key, key.hash()).is_none() && !cache.promote(key, key.hash()) {
            return None;
        }
        cache.lines().front(key, key.hash()).map(|entry| entry.ids[..entry.count()].to_vec())
    }

    #[test]
    fn what_was_put_in_comes_out_and_long_answers_are_not_kept() {
        let mut cache = Cache::new();
        cache.insert(key(b"ab"), &[1, 2, 3]);
        cache.insert(key(b"cd"), &[1, 2, 3, 4, 5]);
        cache.insert(key(b"sixteen less on"), &[0, 7, 0, 8]);
        assert_eq!(find(&mut cache, b"ab"), Some(vec![1, 2, 3]));
        assert_eq!(find(&mut cache, b"cd"), None);
        assert_eq!(find(&mut cache, b"sixteen less on"), Some(vec![0, 7, 0, 8]));
        assert_eq!(key(b"ab").long_hash(), None);
        assert_eq!(Key::of_long(u32::MAX).long_hash(), Some(u32::MAX));
    }

    #[test]
    fn it_grows_up_to_a_bound_and_forgets_little_while_it_has_room() {
        let mut cache = Cache::new();
        let most = *SIZES.last().unwrap();
        let pretoken = |number: usize| number.to_string().into_bytes();
        for number in 0..3 * most {
            cache.insert(key(&pretoken(number)), &[TokenId::try_from(number).unwrap()]);
            if number == most / 8 {
                let lost = (0..number).filter(|&number| find(&mut cache, &pretoken(number)).is_none()).count();
                assert!(lost < number / 16, "{lost} of {number}");
            }
        }
        assert_eq!(cache.lines.len(), most);
        let found = (0..3 * most).filter(|&number| find(&mut cache, &pretoken(number)).is_some()).count();
        assert!((most..=2 * most).contains(&found), "{found}");
    }

    #[test]
    fn what_is_asked_for_again_stays() {
        let mut cache = Cache::new();
        let line_of = |pretoken: &[u8]| Cache::new().line_idx(key(pretoken).hash());
        let same_line: Vec<Vec<u8>> = (0_u32..1 << 20)
            .map(|number| number.to_string().into_bytes())
            .filter(|pretoken| line_of(pretoken) == 3)
            .take(20)
            .collect();
        for pretoken in &same_line {
            cache.insert(key(pretoken), &[1]);
            assert!(find(&mut cache, &same_line[0]).is_some());
        }
    }
}
