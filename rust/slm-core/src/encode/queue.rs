//! Pretokens on their way to their ids: looked up a few hundred at a time, so that memory is asked long before it must answer.
//!
//! Looked up one by one, each pretoken would wait for its line of the cache, which is too large for the caches nearest to the
//! core. So first the ends of many are gathered, then their keys are made and their lines asked for, and then the ids are taken,
//! by now without waiting. Each of the three is a loop of its own with nothing else in it.

use super::ahead::{Ahead, Batch};
use super::cache::{Key, MAX_IDS, Spot};
use super::keys::{self, Pretokens, Rows};
use super::long_cache::LongCache;
use super::{Encoder, Scratch, TokenId};
use crate::pretokenize::{Ends, Places};
use crate::progress::Stop;

/// Pretokens that wait: their lines of the cache fill a third of a first-level cache.
const CAPACITY: usize = 256;

/// Most ends that come at once.
const MARGIN: usize = 64;

/// Room for all that may wait.
pub(super) const ROOM: usize = CAPACITY + MARGIN;

/// Work space, kept by the thread.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Where the first one starts, and where each ends.
    ends: [usize; 1 + ROOM],
    keys: [Key; ROOM],
    spots: [Spot; ROOM],
    /// Numbers of those that are too long for a key.
    long: [usize; ROOM],
    ahead: Ahead,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            ends: [0; 1 + ROOM],
            keys: [Key::default(); ROOM],
            spots: [Spot::default(); ROOM],
            long: [0; ROOM],
            ahead: Ahead::default(),
        }
    }
}

#[cfg(test)]
impl Waiting {
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }
}

/// Encodes the pretokens of one text.
pub(crate) struct Queue<'a> {
    encoder: &'a Encoder,
    text: &'a [u8],
    scratch: &'a mut Scratch,
    ids: &'a mut Vec<TokenId>,
    stop: &'a Stop,
    /// How many wait.
    len: usize,
}

impl Ends for Queue<'_> {
    #[inline]
    fn end(&mut self, end: usize) {
        self.scratch.waiting.ends[1 + self.len] = end;
        self.len += 1;
        if self.len >= CAPACITY {
            self.flush();
        }
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn ends(&mut self, offset: usize, mask: u64, places: impl Places) {
        let free =
            self.scratch.waiting.ends[1 + self.len..].first_chunk_mut().expect("there is room for all of a mask");
        places.places(mask, offset, free);
        self.len += mask.count_ones() as usize;
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
        scratch.waiting.ends[0] = 0;
        Self { encoder, text, scratch, ids, stop, len: 0 }
    }

    /// Appends the ids of all that still wait.
    pub(crate) fn finish(mut self) {
        self.flush();
        self.scratch.cache.add_encoded(self.text.len() as u64);
    }

    #[inline(never)]
    fn flush(&mut self) {
        let num_long = self.make_keys();
        self.prefetch_long(num_long);
        self.merge_ahead();
        let mut next = self.append_known(0);
        while next < self.len {
            let key = self.scratch.waiting.keys[next];
            let long_hash = key.long_hash();
            if long_hash.is_some() || !self.scratch.cache.promote(key) {
                let ends = &self.scratch.waiting.ends;
                let pretoken = &self.text[ends[next]..ends[next + 1]];
                let merged = self.scratch.waiting.ahead.take(next, pretoken);
                match long_hash {
                    Some(hash) => self.encoder.encode_long(pretoken, hash, merged, self.scratch, self.ids, self.stop),
                    None => self.encoder.encode_unknown(pretoken, key, merged, self.scratch, self.ids, self.stop),
                }
                next += 1;
            } else {
                // The cache may have grown since.
                self.scratch.waiting.spots[next] = self.scratch.cache.lines().spot(key);
            }
            next = self.append_known(next);
        }
        self.scratch.waiting.ends[0] = self.scratch.waiting.ends[self.len];
        self.len = 0;
    }

    /// Makes the keys of all that wait, and asks for where they are in the caches. Gives how many are long.
    #[inline]
    fn make_keys(&mut self) -> usize {
        let Scratch { cache, long_cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, spots, long, .. } = &mut **waiting;
        let pretokens = Pretokens { text: self.text, ends: &ends[..=self.len], lines: cache.lines() };
        let num_long = keys::make(self.encoder.pairs.processor(), pretokens, &mut Rows { keys, spots, long });
        for &idx in &long[..num_long] {
            let hash = LongCache::hash(&self.text[ends[idx]..ends[idx + 1]]);
            // Any line will do, as long as it is near.
            (keys[idx], spots[idx]) = (Key::of_long(hash), Spot::default());
            if long_cache.takes(hash) {
                long_cache.prefetch_bucket(hash);
            }
        }
        num_long
    }

    /// Merges what is new, as far as it is better merged together.
    #[inline]
    fn merge_ahead(&mut self) {
        let Scratch { cache, long_cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, spots, ahead, .. } = &mut **waiting;
        let pretokens = Pretokens { text: self.text, ends: &ends[..=self.len], lines: cache.lines() };
        let batch = Batch { pretokens, keys: &keys[..self.len], spots: &spots[..self.len], long_cache };
        ahead.begin(batch, &self.encoder.characters, &self.encoder.pairs);
    }

    /// Asks for the records of the long ones, whose buckets are here by now.
    #[inline]
    fn prefetch_long(&self, num_long: usize) {
        let Scratch { long_cache, waiting, .. } = &*self.scratch;
        for &idx in &waiting.long[..num_long] {
            let hash = waiting.keys[idx].long_hash().filter(|&hash| long_cache.takes(hash));
            if let Some(hash) = hash {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tests::encoder;
    use crate::pretokenize::{Pattern, Pretokenizer};
    use crate::processor::Processor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_are_the_same_on_any_processor(words in prop::collection::vec("[ab]{0,6} ?|[a-z]{1,20}|\\PC{1,3}", 0..600)) {
            let (mut encoder, text, stop) = (encoder(&[(97, 98), (256, 98), (32, 97)]), words.concat(), Stop::default());
            let mut encode = |processor| {
                encoder.pairs.set_processor(processor);
                let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
                for _ in 0..2 {
                    let mut queue = Queue::new(&encoder, text.as_bytes(), &mut scratch, &mut ids, &stop);
                    Pretokenizer::from(Pattern::Gpt2).find_ends(&text, &mut queue);
                    queue.finish();
                }
                ids
            };
            let expected = encode(Processor::Common);
            for processor in Processor::all() {
                prop_assert_eq!(encode(processor), &expected[..], "{:?}", processor);
            }
        }
    }
}
