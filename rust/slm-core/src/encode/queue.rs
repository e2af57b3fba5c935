//! Pretokens on their way to their ids: looked up a few hundred at a time, so that memory is asked long before it must answer.
//!
//! Looked up one by one, each pretoken would wait for its line of the cache, which is too large for the caches nearest to the
//! core. So first the ends of many are gathered, then their keys are made and their lines asked for, and then the ids are taken,
//! by now without waiting. Each of the three is a loop of its own with nothing else in it.

use super::cache::{Key, MAX_IDS, Spot};
use super::long_cache::LongCache;
use super::{Encoder, Scratch, TokenId};
use crate::pretokenize::Ends;
use crate::progress::Stop;
use crate::short;

/// Pretokens that wait: their lines of the cache fill a third of a first-level cache.
const CAPACITY: usize = 256;

/// Most ends that come at once.
const MARGIN: usize = 64;

/// Work space, kept by the thread.
#[derive(Debug)]
pub(super) struct Waiting {
    ends: [usize; CAPACITY + MARGIN],
    keys: [Key; CAPACITY + MARGIN],
    spots: [Spot; CAPACITY + MARGIN],
    /// Numbers of those that are too long for a key.
    long: [usize; CAPACITY + MARGIN],
}

impl Default for Waiting {
    fn default() -> Self {
        const ALL: usize = CAPACITY + MARGIN;
        Self { ends: [0; ALL], keys: [Key::default(); ALL], spots: [Spot::default(); ALL], long: [0; ALL] }
    }
}

/// Encodes the pretokens of one text.
pub(crate) struct Queue<'a> {
    encoder: &'a Encoder,
    text: &'a [u8],
    scratch: &'a mut Scratch,
    ids: &'a mut Vec<TokenId>,
    stop: &'a Stop,
    /// Where the first pretoken starts that waits.
    start: usize,
    /// How many wait.
    len: usize,
}

impl Ends for Queue<'_> {
    #[inline]
    fn end(&mut self, end: usize) {
        self.scratch.waiting.ends[self.len] = end;
        self.len += 1;
        if self.len >= CAPACITY {
            self.flush();
        }
    }

    #[inline]
    fn ends(&mut self, offset: usize, mut mask: u64) {
        let free = &mut self.scratch.waiting.ends[self.len..][..MARGIN];
        self.len += mask.count_ones() as usize;
        for end in free {
            if mask == 0 {
                break;
            }
            *end = offset + mask.trailing_zeros() as usize;
            mask &= mask - 1;
        }
        if self.len >= CAPACITY {
            self.flush();
        }
    }
}

impl<'a> Queue<'a> {
    pub(crate) fn new(
        encoder: &'a Encoder,
        text: &'a [u8],
        scratch: &'a mut Scratch,
        ids: &'a mut Vec<TokenId>,
        stop: &'a Stop,
    ) -> Self {
        Self { encoder, text, scratch, ids, stop, start: 0, len: 0 }
    }

    /// Appends the ids of all that still wait.
    pub(crate) fn finish(mut self) {
        self.flush();
    }

    #[inline(never)]
    fn flush(&mut self) {
        let num_long = self.make_keys();
        self.prefetch_long(num_long);
        let mut next = self.append_known(0);
        while next < self.len {
            let key = self.scratch.waiting.keys[next];
            let long_hash = key.long_hash();
            if long_hash.is_some() || !self.scratch.cache.promote(key) {
                let start = next.checked_sub(1).map_or(self.start, |before| self.scratch.waiting.ends[before]);
                let pretoken = &self.text[start..self.scratch.waiting.ends[next]];
                match long_hash {
                    Some(hash) => self.encoder.encode_long(pretoken, hash, self.scratch, self.ids, self.stop),
                    None => self.encoder.encode_unknown(pretoken, key, self.scratch, self.ids, self.stop),
                }
                next += 1;
            } else {
                // The cache may have grown since.
                self.scratch.waiting.spots[next] = self.scratch.cache.lines().spot(key);
            }
            next = self.append_known(next);
        }
        if let Some(last) = self.len.checked_sub(1) {
            self.start = self.scratch.waiting.ends[last];
        }
        self.len = 0;
    }

    /// Makes the keys of all that wait, and asks for where they are in the caches. Gives how many are long.
    #[inline]
    fn make_keys(&mut self) -> usize {
        let Scratch { cache, long_cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, spots, long } = &mut **waiting;
        let (text, lines) = (self.text, cache.lines());
        let (mut start, mut num_long) = (self.start, 0);
        for (idx, ((&end, key), spot)) in ends[..self.len].iter().zip(keys).zip(spots).enumerate() {
            if end - start > short::MAX_BYTES {
                let long_hash = LongCache::hash(&text[start..end]);
                // Any line will do, as long as it is near.
                (*key, *spot) = (Key::of_long(long_hash), Spot::default());
                if long_cache.takes(long_hash) {
                    long_cache.prefetch_bucket(long_hash);
                    long[num_long] = idx;
                    num_long += 1;
                }
            } else {
                *key = Key::new(text, start, end);
                *spot = lines.spot(*key);
                lines.prefetch(*spot);
            }
            start = end;
        }
        num_long
    }

    /// Asks for the records of the long ones, whose buckets are here by now.
    #[inline]
    fn prefetch_long(&self, num_long: usize) {
        let Scratch { long_cache, waiting, .. } = &*self.scratch;
        for &idx in &waiting.long[..num_long] {
            if let Some(hash) = waiting.keys[idx].long_hash() {
                long_cache.prefetch_record(hash);
            }
        }
    }

    /// Appends the ids of waiting pretokens from the `next` on until one is not in the front of its line, and gives that one's number.
    #[inline]
    fn append_known(&mut self, mut next: usize) -> usize {
        let Scratch { cache, waiting, .. } = &*self.scratch;
        self.ids.reserve(MAX_IDS * (self.len - next));
        let (mut len, base) = (self.ids.len(), self.ids.as_mut_ptr());
        let (keys, spots, lines) = (&waiting.keys[..self.len], &waiting.spots[..self.len], cache.lines());
        while next < keys.len() {
            let Some(entry) = lines.front(keys[next], spots[next]) else { break };
            // SAFETY: `reserve` made room for MAX_IDS more ids for each pretoken that waits, and each moves `len` on by at most
            // MAX_IDS; all that is below `len` is written.
            len += entry.write_ids(unsafe { &mut *base.add(len).cast() });
            next += 1;
        }
        // SAFETY: see above.
        unsafe { self.ids.set_len(len) };
        next
    }
}
