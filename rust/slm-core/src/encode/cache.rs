//! The cache of short pretokens: it grows to 16 MiB a thread and never beyond, two entries to a cache line.
//!
//! Nine tenths of the pretokens of natural text are one token and nearly all are at most four, so an entry holds the pretoken
//! itself and its ids: one line of memory answers, and nothing is chased. The line is asked for long before it is needed
//! ([`super::queue`]), so it may lie in the third-level cache or beyond.
//!
//! Words that come often must be found by one comparison that nearly always succeeds. So a line keeps in front what it was asked
//! for last: a new entry goes behind, in place of the one there, and comes to the front when it is asked for again.

use super::TokenId;
use crate::io::allocator::LARGE_BYTES;
use crate::io::pages::{self, Supply};
use crate::prefetch::prefetch;
use crate::short;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Lines of a cache as it grows: 128 KiB, because encoding a sentence should not have to clear megabytes, then 4 and at last
/// 16 MiB.
const SIZES: [usize; 3] = [1 << 11, 1 << 16, 1 << 18];

/// Bytes that a cache has at most.
pub(super) const MAX_CACHE_BYTES: u64 = (SIZES[SIZES.len() - 1] * size_of::<Line>()) as u64;

/// Bytes of text after which a large cache is joined to huge pages: English is encoded a sixth faster then, which makes up for what it
/// may take.
const JOINED_AFTER_BYTES: u64 = 256 << 20;

/// Ids that an entry can hold.
pub(super) const MAX_IDS: usize = 4;

/// What [`Key::hash`] is made of.
pub(super) const HASH_ROTATION: i32 = 29;
pub(super) const HASH_MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The logarithm of the bytes of a line.
pub(super) const LINE_BITS: u32 = size_of::<Line>().trailing_zeros();

/// Fills the unused ids of an entry; the only one whose highest bit is set, as no vocabulary has two thousand million tokens.
const UNUSED: TokenId = TokenId::MAX;

/// A short pretoken, as [`short::word`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Key(u128);

impl Key {
    /// Marks the hash of a pretoken that is too long for a key; no entry has that bit.
    const LONG: u128 = 1 << 127;

    /// Stands in place of the key of a pretoken that is too long for one, and whose hash nobody needs; no entry has it.
    pub(super) const UNHASHED: Self = Self(Self::LONG | 1 << 32);

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

    /// Whether it stands in place of the key of a pretoken that is too long for one.
    #[inline]
    pub(super) fn is_long(self) -> bool {
        self.0 & Self::LONG != 0
    }

    /// The hash that [`Key::of_long`] was given.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the low half is taken on purpose
    pub(super) fn long_hash(self) -> Option<u32> {
        (self.is_long() && self != Self::UNHASHED).then_some(self.0 as u32)
    }

    /// Whether it is the one in so many, a power of two, that is taken for all; its line does not depend on that.
    #[inline]
    pub(super) fn is_sampled(self, one_in: usize) -> bool {
        self.hash() >> (64 - one_in.trailing_zeros()) == 0
    }

    /// A number whose upper half differs for different pretokens, nearly always: in a product it depends on all below.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the halves are taken on purpose
    fn hash(self) -> u64 {
        let (low, high) = (self.0 as u64, (self.0 >> 64) as u64);
        (low ^ high.rotate_left(HASH_ROTATION.cast_unsigned())).wrapping_mul(HASH_MULTIPLIER)
    }
}

/// A pretoken and its ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    key: Key,
    /// The ids, and [`UNUSED`] behind them.
    ids: [TokenId; MAX_IDS],
}

/// What a line has for a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Either<'a> {
    /// The key's entry, if it is known, else any.
    pub entry: &'a Entry,
    pub is_known: bool,
    pub is_behind: bool,
}

impl Entry {
    /// Writes all places of ids to `target` and gives how many of them are ids.
    #[inline]
    pub(super) fn write_ids(&self, target: &mut [MaybeUninit<TokenId>; MAX_IDS]) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_mm_loadu_ps, _mm_movemask_ps, _mm_storeu_ps};
            // SAFETY: SSE belongs to every x86-64; the load is of the four ids, and there is room for as many.
            let unused = unsafe {
                let ids = _mm_loadu_ps(self.ids.as_ptr().cast());
                _mm_storeu_ps(target.as_mut_ptr().cast(), ids);
                _mm_movemask_ps(ids)
            };
            (unused | 1 << MAX_IDS).trailing_zeros() as usize
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            *target = self.ids.map(MaybeUninit::new);
            self.ids.iter().map(|&id| usize::from(id != UNUSED)).sum()
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([Entry; 2]);

/// Where the line of a key is: bytes from the first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Spot(u32);

/// The lines of a cache, by value: a loop has all at hand and need not look where they are each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    first: *const Line,
    /// The spot of the last line, all of whose bits a spot may have.
    last: u32,
    borrowed: PhantomData<&'a [Line]>,
}

impl<'a> Lines<'a> {
    /// Of a power of two lines, of less than 4 GiB.
    #[allow(clippy::cast_possible_truncation)] // the sizes are above
    fn new(lines: &'a [Line]) -> Self {
        debug_assert!(lines.len().is_power_of_two());
        Self { first: lines.as_ptr(), last: ((lines.len() - 1) * size_of::<Line>()) as u32, borrowed: PhantomData }
    }

    /// The spot of the last line, all of whose bits a spot may have.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn last(self) -> u32 {
        self.last
    }

    /// Where the line of `key` is.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the lower bits are taken on purpose
    pub(super) fn spot(self, key: Key) -> Spot {
        Spot((key.hash() >> (32 - LINE_BITS)) as u32 & self.last)
    }

    #[inline]
    fn line(self, spot: Spot) -> &'a Line {
        // SAFETY: the bits of `last` are those of a place among the lines, times the size of one; what is left of the spot is the
        // place of one of them, whatever it was before.
        unsafe { &*self.first.byte_add((spot.0 & self.last) as usize) }
    }

    /// Asks for the line at a spot, to be here when it is needed.
    #[inline]
    pub(super) fn prefetch(self, spot: Spot) {
        prefetch(self.first.wrapping_byte_add(spot.0 as usize));
    }

    /// The entry of `key`, which has this spot, wherever it is in the line; without a branch.
    #[inline]
    pub(super) fn either(self, key: Key, spot: Spot) -> Either<'a> {
        let line = &self.line(spot).0;
        let (is_front, is_behind) = (line[0].key == key, line[1].key == key);
        let is_known = is_front | is_behind;
        Either { entry: &line[usize::from(is_behind)], is_known, is_behind }
    }

    /// The entry of `key`, which has this spot, if it is the one in front.
    #[inline]
    pub(super) fn front(self, key: Key, spot: Spot) -> Option<&'a Entry> {
        let [front, _] = &self.line(spot).0;
        (front.key == key).then_some(front)
    }
}

/// So many lines without entries, behind which there are no pages yet if they are many.
#[expect(clippy::cast_ptr_alignment, reason = "the layout has the alignment of a line")]
fn empty_lines(num_lines: usize) -> Box<[Line]> {
    let layout = Layout::array::<Line>(num_lines).expect("the sizes of caches are above");
    // SAFETY: the layout is not empty, and a line of zeros is one of empty entries. The allocator and the layout are those of a box.
    unsafe {
        let first = alloc_zeroed(layout).cast::<Line>();
        if first.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(std::ptr::slice_from_raw_parts_mut(first, num_lines))
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    /// A power of two of them.
    lines: Box<[Line]>,
    /// Entries that were put in since the cache has this size.
    inserted: usize,
    /// Bytes of text that were encoded since then.
    encoded_bytes: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self::with_lines(SIZES[0])
    }

    fn with_lines(num_lines: usize) -> Self {
        let mut lines = empty_lines(num_lines);
        if size_of_val(&*lines) >= LARGE_BYTES {
            // Nearly all of them at once, as what the smaller cache had goes to lines everywhere.
            Supply::default().supply(&raw mut *lines, num_lines);
        }
        Self { lines, inserted: 0, encoded_bytes: 0 }
    }

    /// Tells that so many bytes of text were encoded.
    #[inline]
    pub(super) fn add_encoded(&mut self, bytes: u64) {
        let before = self.encoded_bytes;
        self.encoded_bytes += bytes;
        if before < JOINED_AFTER_BYTES && self.encoded_bytes >= JOINED_AFTER_BYTES {
            self.join_pages();
        }
    }

    #[cold]
    fn join_pages(&mut self) {
        if size_of_val(&*self.lines) >= LARGE_BYTES {
            pages::join(&raw mut *self.lines);
        }
    }

    /// The lines as they are now.
    #[inline]
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines::new(&self.lines)
    }

    #[inline]
    fn line_of(&mut self, key: Key) -> &mut [Entry; 2] {
        let line_idx = self.lines().spot(key).0 as usize / size_of::<Line>();
        &mut self.lines[line_idx].0
    }

    /// Brings the entry of `key` to the front, if there is one behind.
    #[inline]
    pub(super) fn promote(&mut self, key: Key) -> bool {
        let line = self.line_of(key);
        let is_behind = line[1].key == key;
        if is_behind {
            line.swap(0, 1);
        }
        is_behind
    }

    /// Appends the ids of the entry in front of the line of `key`.
    #[inline]
    pub(super) fn append_front(&mut self, key: Key, ids: &mut Vec<TokenId>) {
        let [front, _] = self.line_of(key);
        ids.extend(front.ids.iter().take_while(|&&id| id != UNUSED));
    }

    /// Keeps the ids of `key`, unless they are too many for an entry.
    pub(super) fn insert(&mut self, key: Key, ids: &[TokenId]) {
        self.insert_within(SIZES.len(), key, ids);
    }

    /// As [`Cache::insert`], for one of a sample: so few do not need the largest size.
    pub(super) fn insert_sample(&mut self, key: Key, ids: &[TokenId]) {
        self.insert_within(SIZES.len() - 1, key, ids);
    }

    /// Keeps the ids of `key`, and does not grow beyond the first so many sizes.
    fn insert_within(&mut self, num_sizes: usize, key: Key, ids: &[TokenId]) {
        if ids.len() > MAX_IDS || self.line_of(key).iter().any(|entry| entry.key == key) {
            return;
        }
        // What is put in where it may not grow does not count: it would grow for the next one.
        if let Some(&num_lines) = SIZES[..num_sizes].iter().find(|&&num_lines| num_lines > self.lines.len()) {
            // At a quarter of its entries lines begin to lose some that are needed again.
            if self.inserted >= self.lines.len() / 2 {
                self.grow(num_lines);
            }
            self.inserted += 1;
        }
        let mut entry = Entry { key, ids: [UNUSED; MAX_IDS] };
        entry.ids[..ids.len()].copy_from_slice(ids);
        self.put(entry);
    }

    fn put(&mut self, entry: Entry) {
        let line = self.line_of(entry.key);
        line[usize::from(line[0].key != Key::EMPTY)] = entry;
    }

    #[cfg(test)]
    pub(super) fn num_bytes(&self) -> u64 {
        size_of_val(&*self.lines) as u64
    }

    #[cold]
    fn grow(&mut self, num_lines: usize) {
        let smaller = std::mem::replace(self, Self::with_lines(num_lines));
        for entry in smaller.lines.iter().flat_map(|line| &line.0).filter(|entry| entry.key != Key::EMPTY) {
            self.put(*entry);
            self.inserted += 1;
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
        if cache.lines().front(key, cache.lines().spot(key)).is_none() && !cache.promote(key) {
            return None;
        }
        cache.lines().front(key, cache.lines().spot(key)).map(|entry| {
            let count = entry.write_ids(&mut [MaybeUninit::uninit(); MAX_IDS]);
            entry.ids[..count].to_vec()
        })
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
    fn samples_take_the_largest_size_neither_for_themselves_nor_for_others() {
        let mut cache = Cache::new();
        for number in 0..SIZES[1] {
            cache.insert_sample(key(number.to_string().as_bytes()), &[1]);
        }
        cache.insert(key(b"one more"), &[1]);
        assert_eq!(cache.lines.len(), SIZES[1]);
        for number in 0..SIZES[1] {
            cache.insert(key(format!("other {number}").as_bytes()), &[1]);
        }
        assert_eq!(cache.lines.len(), SIZES[2]);
    }

    #[test]
    fn what_is_asked_for_again_stays() {
        let mut cache = Cache::new();
        let spot_of = |pretoken: &[u8]| Cache::new().lines().spot(key(pretoken));
        let same_line: Vec<Vec<u8>> = (0_u32..1 << 20)
            .map(|number| number.to_string().into_bytes())
            .filter(|pretoken| spot_of(pretoken) == Spot(3 * 64))
            .take(20)
            .collect();
        for pretoken in &same_line {
            cache.insert(key(pretoken), &[1]);
            assert!(find(&mut cache, &same_line[0]).is_some());
        }
    }
}
