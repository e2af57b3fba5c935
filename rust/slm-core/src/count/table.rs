//! Pretokens and their counts.
//!
//! Nearly all occurrences are of short pretokens, so those live in the table itself: 15 bytes and a length make two words, which
//! one comparison tells apart and one multiplication hashes, and no pointer is followed. Longer ones are in an arena.

use crate::count::distinct::Distinct;
use crate::count::key::Key;
use crate::count::sort::sort_by_key;
use crate::error::Result;
use crate::progress::Stop;
use crate::short;
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Slots between two looks at the stop flag.
const STOP_INTERVAL: usize = 1 << 16;

#[derive(Clone, Copy, Default)]
struct Slot {
    key: Key,
    count: u64,
}

struct Long {
    start: usize,
    length: usize,
    count: u64,
}

/// How often each pretoken occurs. Counts are 64 bits wide and are taken not to overflow.
///
/// A table with a limit does not grow beyond it: it says that it is full, and whoever adds to it then makes room at once.
pub struct PretokenCounts {
    /// Open addressing with linear probing; the length is a power of two, or 0 before the first pretoken.
    slots: Vec<Slot>,
    /// Slots in use.
    used: usize,
    /// Slots in use at which the table grows, or is full.
    full_at: usize,
    /// How far a hash is shifted to become a place in `slots`.
    shift: u32,
    long: HashTable<Long>,
    arena: Vec<u8>,
    longest: usize,
    /// All that was ever in the table, for reports on the way.
    distinct: Distinct,
    max_bytes: usize,
    is_full: bool,
}

impl Default for PretokenCounts {
    fn default() -> Self {
        Self::within(usize::MAX)
    }
}

impl PretokenCounts {
    /// A table that is full before it takes more than about `max_bytes` of memory, the work space of sorting it included.
    pub fn within(max_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            used: 0,
            full_at: 0,
            shift: 0,
            long: HashTable::new(),
            arena: Vec::new(),
            longest: short::MAX_BYTES,
            distinct: Distinct::default(),
            max_bytes,
            is_full: false,
        }
    }

    /// Whether nothing more should be added before room is made.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Bytes of the longest pretoken that was ever in the table, or 15 if none was longer.
    pub fn longest_bytes(&self) -> usize {
        self.longest
    }

    /// What was ever in the table.
    pub(super) fn distinct(&self) -> &Distinct {
        &self.distinct
    }

    /// Counts `count` more of a pretoken.
    pub fn add(&mut self, pretoken: &[u8], count: u64) {
        if pretoken.is_empty() || count == 0 {
            return;
        }
        if pretoken.len() <= short::MAX_BYTES {
            self.add_short(Key::new(pretoken, 0, pretoken.len()), count);
        } else {
            self.add_long(pretoken, count);
        }
    }

    /// Counts the pretoken at `text[start..end]`, which is not empty. What follows it may be loaded, but does not matter.
    #[inline]
    pub(super) fn add_range(&mut self, text: &[u8], start: usize, end: usize) {
        if end - start <= short::MAX_BYTES {
            self.add_short(Key::new(text, start, end), 1);
        } else {
            self.add_long(&text[start..end], 1);
        }
    }

    /// Counts `count` more of the pretoken at `text[start..end]`, as [`Self::add_range`].
    #[inline]
    pub fn add_range_times(&mut self, text: &[u8], start: usize, end: usize, count: u64) {
        if end - start <= short::MAX_BYTES {
            self.add_short(Key::new(text, start, end), count);
        } else {
            self.add_long(&text[start..end], count);
        }
    }

    /// Loads the place of the pretoken at `text[start..end]`, so that adding it soon does not wait for the memory. What it gives
    /// means nothing, but must be used.
    #[inline]
    pub fn touch(&self, text: &[u8], start: usize, end: usize) -> u64 {
        if end - start > short::MAX_BYTES || self.slots.is_empty() {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the shift leaves fewer bits than a usize has")]
        let at = (Key::new(text, start, end).hash() >> self.shift) as usize;
        self.slots[at & (self.slots.len() - 1)].count
    }

    #[inline]
    fn add_short(&mut self, key: Key, count: u64) {
        if self.used >= self.full_at {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the shift leaves fewer bits than a usize has")]
        let mut at = (key.hash() >> self.shift) as usize;
        loop {
            let slot = &mut self.slots[at & mask];
            if slot.key == key {
                slot.count += count;
                return;
            }
            if slot.key == Key::default() {
                *slot = Slot { key, count };
                self.used += 1;
                self.distinct.add(key.hash());
                return;
            }
            at += 1;
        }
    }

    /// Doubles the slots at half of them in use, or lets them fill to three quarters where memory does not allow that.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let least = (self.max_bytes / 64).clamp(16, 1 << 12).next_power_of_two();
        let length = (self.slots.len() * 2).max(least);
        let in_use = self.slots.len();
        let bytes_while_growing = (length + self.used) * size_of::<Slot>() + self.long_bytes();
        if bytes_while_growing > self.max_bytes && in_use > 0 && self.used < in_use / 16 * 15 {
            self.is_full = self.used >= in_use / 4 * 3;
            self.full_at = if self.is_full { in_use / 16 * 15 } else { in_use / 4 * 3 };
            return;
        }
        self.resize(length, length / 2);
    }

    /// Moves what is in use to `length` new slots, of which `full_at` may be in use before the table grows again.
    fn resize(&mut self, length: usize, full_at: usize) {
        // What is in use moves together first, so that old and new slots need not be there whole at the same time.
        let mut old = std::mem::take(&mut self.slots);
        old.retain(|slot| slot.key != Key::default());
        old.shrink_to_fit();
        self.slots = vec![Slot::default(); length];
        self.shift = 64 - length.trailing_zeros();
        self.full_at = full_at;
        self.used = 0;
        for slot in old {
            self.add_short(slot.key, slot.count);
        }
    }

    #[inline(never)]
    fn add_long(&mut self, pretoken: &[u8], count: u64) {
        let Self { long, arena, .. } = self;
        let same = |entry: &Long| {
            entry.length == pretoken.len() && arena[entry.start..entry.start + entry.length] == *pretoken
        };
        if let Some(entry) = long.find_mut(xxh3_64(pretoken), same) {
            entry.count += count;
            return;
        }
        if arena.len() + pretoken.len() > arena.capacity() {
            self.grow_arena(pretoken.len());
        }
        let Self { long, arena, .. } = self;
        let entry = Long { start: arena.len(), length: pretoken.len(), count };
        arena.extend_from_slice(pretoken);
        long.insert_unique(xxh3_64(pretoken), entry, |entry| xxh3_64(&arena[entry.start..entry.start + entry.length]));
        self.longest = self.longest.max(pretoken.len());
        self.distinct.add(xxh3_64(pretoken));
        if long.len() == long.capacity() {
            // The next one doubles the table, and both sizes are there while it does.
            self.is_full |= self.allocated_bytes() + 2 * self.long.allocation_size() > self.max_bytes;
        }
    }

    #[cold]
    fn grow_arena(&mut self, needed: usize) {
        let doubled = self.arena.capacity().max(needed).max((self.max_bytes / 16).min(1 << 12));
        if self.allocated_bytes() + doubled > self.max_bytes {
            self.is_full = true;
            self.arena.reserve_exact(needed);
        } else {
            self.arena.reserve_exact(doubled);
        }
    }

    /// Hands over the rarer pretokens in ascending order of their bytes, and keeps the most frequent: at most an eighth of
    /// them, and none if `keep_frequent` is false.
    ///
    /// # Errors
    /// Those of `emit`, and [`crate::Error::Interrupted`], after which the table is empty.
    pub fn take_sorted(
        &mut self,
        keep_frequent: bool,
        stop: &Stop,
        mut emit: impl FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<()> {
        let frequent = if keep_frequent { self.take_frequent() } else { Vec::new() };
        let mut short = std::mem::take(&mut self.slots);
        short.retain(|slot| slot.key != Key::default());
        short.shrink_to_fit();
        sort_by_key(&mut short, |slot| slot.key.in_order(), stop)?;
        let mut long: Vec<Long> = std::mem::take(&mut self.long).into_iter().collect();
        let arena = std::mem::take(&mut self.arena);
        let bytes_of = |long: &Long| &arena[long.start..long.start + long.length];
        long.sort_unstable_by(|a, b| bytes_of(a).cmp(bytes_of(b)));
        let distinct = std::mem::take(&mut self.distinct);
        *self = Self { longest: self.longest, distinct, ..Self::within(self.max_bytes) };

        let mut long = long.iter().peekable();
        for slot in &short {
            let (bytes, length) = slot.key.bytes();
            while let Some(next) = long.next_if(|next| bytes_of(next) < &bytes[..length]) {
                emit(bytes_of(next), next.count)?;
            }
            emit(&bytes[..length], slot.count)?;
        }
        for next in long {
            emit(bytes_of(next), next.count)?;
        }
        drop((short, arena));
        for slot in frequent {
            self.add_short(slot.key, slot.count);
        }
        Ok(())
    }

    /// Takes out the short pretokens that occur most often.
    fn take_frequent(&mut self) -> Vec<Slot> {
        // How many occur how often; the last place is for all that occur more often.
        let mut histogram = [0_usize; 256];
        let place = |count: u64| usize::try_from(count).unwrap_or(255).min(255);
        for slot in &self.slots {
            histogram[place(slot.count)] += 1;
        }
        let mut kept = 0;
        let least = (1..256).rev().find(|&count| {
            kept += histogram[count];
            kept > self.len() / 8
        });
        let mut frequent = Vec::new();
        for slot in &mut self.slots {
            if place(slot.count) > least.unwrap_or(0) {
                frequent.push(std::mem::take(slot));
            }
        }
        frequent
    }

    /// Adds the counts of another table.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`], after which some are added.
    pub fn absorb(&mut self, mut other: Self, stop: &Stop) -> Result<()> {
        if other.len() > self.len() {
            std::mem::swap(self, &mut other);
        }
        // The slots of the other one are in the order of their hashes, so they all go to the front of this one first. If there is
        // no room for them now, it is full there long before it is full, and adding to it a search through all of the front.
        let used = self.used + other.used;
        if used > self.slots.len() / 4 * 3 {
            let length = (used / 3 * 4 + 4).next_power_of_two();
            self.resize(length, length / 16 * 15);
        }
        for slots in other.slots.chunks(STOP_INTERVAL) {
            stop.check()?;
            for slot in slots.iter().filter(|slot| slot.key != Key::default()) {
                self.add_short(slot.key, slot.count);
            }
        }
        for (number, entry) in other.long.iter().enumerate() {
            if number % STOP_INTERVAL == 0 {
                stop.check()?;
            }
            self.add_long(&other.arena[entry.start..entry.start + entry.length], entry.count);
        }
        Ok(())
    }

    /// The number of different pretokens.
    pub fn len(&self) -> usize {
        self.used + self.long.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Self::for_each`], but ends when it is stopped.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn for_each_until(&self, stop: &Stop, mut f: impl FnMut(&[u8], u64)) -> Result<()> {
        for slots in self.slots.chunks(STOP_INTERVAL) {
            stop.check()?;
            for slot in slots.iter().filter(|slot| slot.key != Key::default()) {
                let (bytes, length) = slot.key.bytes();
                f(&bytes[..length], slot.count);
            }
        }
        for (number, entry) in self.long.iter().enumerate() {
            if number % STOP_INTERVAL == 0 {
                stop.check()?;
            }
            f(&self.arena[entry.start..entry.start + entry.length], entry.count);
        }
        Ok(())
    }

    /// Calls `f` with every pretoken and its count, in no particular order.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], u64)) {
        for slot in &self.slots {
            if slot.key != Key::default() {
                let (bytes, length) = slot.key.bytes();
                f(&bytes[..length], slot.count);
            }
        }
        for entry in &self.long {
            f(&self.arena[entry.start..entry.start + entry.length], entry.count);
        }
    }

    /// Identifies the pretokens and their counts, whatever order they came in.
    pub fn fingerprint(&self) -> u64 {
        let mut sum = 0_u64;
        self.for_each(|pretoken, count| sum = sum.wrapping_add(xxh3_64_with_seed(pretoken, count)));
        sum
    }

    /// Bytes of memory that the table holds, and would need besides to be sorted.
    pub fn allocated_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.long_bytes()
    }

    fn long_bytes(&self) -> usize {
        self.long.allocation_size() + self.long.len() * size_of::<Long>() + self.arena.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn sorted(counts: &PretokenCounts) -> Vec<(Vec<u8>, u64)> {
        let mut all = Vec::new();
        counts.for_each(|pretoken, count| all.push((pretoken.to_vec(), count)));
        all.sort_unstable();
        all
    }

    #[test]
    fn short_and_long_pretokens_are_told_apart_by_every_byte_and_by_length() {
        let text = [b'x'; 40];
        let mut counts = PretokenCounts::default();
        for length in 1..=20 {
            for start in 0..=20 {
                counts.add_range(&text, start, start + length);
            }
            counts.add(&[0].repeat(length), 2);
        }
        let all = sorted(&counts);
        assert_eq!(all.len(), 40);
        assert!(all.iter().all(|(pretoken, count)| *count == if pretoken[0] == 0 { 2 } else { 21 }));
    }

    #[test]
    fn the_table_equals_a_hash_map_while_it_grows_and_when_tables_are_added_up() {
        let mut expected: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut parts = [PretokenCounts::default(), PretokenCounts::default()];
        for number in 0..30_000_u64 {
            let pretoken =
                format!("{:0width$}", number * number % 20_011, width = 1 + (number % 24) as usize).into_bytes();
            parts[(number % 2) as usize].add(&pretoken, number % 3);
            *expected.entry(pretoken).or_default() += number % 3;
        }
        let [mut whole, rest] = parts;
        whole.absorb(rest, &Stop::default()).unwrap();
        let mut expected: Vec<_> = expected.into_iter().filter(|(_, count)| *count > 0).collect();
        expected.sort_unstable();
        assert_eq!(whole.len(), expected.len());
        assert_eq!(sorted(&whole), expected);
    }

    #[test]
    fn a_full_table_gives_its_pretokens_in_order_and_keeps_the_frequent_ones() {
        let mut counts = PretokenCounts::within(1 << 18);
        let mut expected: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut given: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut times = 0;
        for number in 0..60_000_u64 {
            let number = if number % 3 == 0 { number % 30 } else { number };
            let mut pretoken = vec![b'a'; (number % 7) as usize];
            pretoken.extend_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[..3]);
            pretoken.resize(pretoken.len() + (number % 16) as usize, 0);
            counts.add(&pretoken, 1);
            *expected.entry(pretoken).or_default() += 1;
            if counts.is_full() || number == 59_999 {
                assert!(counts.allocated_bytes() <= 1 << 18);
                times += 1;
                let before = counts.len();
                let mut last = Vec::new();
                let mut take = |pretoken: &[u8], count| {
                    assert!(*last < *pretoken);
                    last = pretoken.to_vec();
                    *given.entry(pretoken.to_vec()).or_default() += count;
                    Ok(())
                };
                counts.take_sorted(number != 59_999, &Stop::default(), &mut take).unwrap();
                assert!(counts.len() <= before / 8 && !counts.is_full());
                assert_eq!(counts.is_empty(), number == 59_999);
            }
        }
        assert!(times > 3);
        assert_eq!(given, expected);
    }

    #[test]
    fn the_fingerprint_depends_on_counts_and_not_on_order() {
        let of = |pretokens: &[(&str, u64)]| {
            let mut counts = PretokenCounts::default();
            for (pretoken, count) in pretokens {
                counts.add(pretoken.as_bytes(), *count);
            }
            counts.fingerprint()
        };
        assert_eq!(of(&[("a", 1), ("b", 2)]), of(&[("b", 1), ("a", 1), ("b", 1)]));
        assert_ne!(of(&[("a", 1), ("b", 2)]), of(&[("a", 2), ("b", 1)]));
    }
}
