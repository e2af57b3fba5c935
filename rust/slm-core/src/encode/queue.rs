//! Pretokens on their way to their ids: looked up a few hundred at a time, so that memory is asked long before it must answer.
//!
//! Looked up one by one, each pretoken would wait for its line of the cache, which is too large for the caches nearest to the
//! core. So first the ends of many are gathered, then their keys are made and their lines asked for, and then the ids are taken,
//! by now without waiting. Each of the three is a loop of its own with nothing else in it.

use super::cache::{Key, MAX_IDS, Spot};
use super::keys::{self, Pretokens, Rows};
use super::long_cache::LongCache;
use super::together::{Batch, Together};
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
    together: Together,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            ends: [0; 1 + ROOM],
            keys: [Key::default(); ROOM],
            spots: [Spot::default(); ROOM],
            long: [0; ROOM],
            together: Together::default(),
        }
    }
}

impl Waiting {
    #[cfg(test)]
    pub(super) fn together(&self) -> &Together {
        &self.together
    }

    /// Counts a pretoken that no cache has.
    #[inline]
    pub(super) fn add_new(&mut self, pretoken: &[u8]) {
        self.together.add_new(pretoken);
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
        let is_together = self.scratch.waiting.together.takes(self.len, self.encoder);
        let num_long = self.make_keys();
        if is_together {
            self.answer_together(num_long);
            self.append_all(Self::append_answers);
        } else {
            self.look_for_long(num_long);
            self.append_all(Self::append_known);
        }
        self.scratch.waiting.ends[0] = self.scratch.waiting.ends[self.len];
        self.len = 0;
    }

    /// Appends the ids of all that wait. `append` appends those of as many as it can, from one on, and gives the number of the next.
    #[inline]
    fn append_all(&mut self, append: impl Fn(&mut Self, usize) -> usize) {
        let mut next = append(self, 0);
        while next < self.len {
            self.append_unknown(next);
            next = append(self, next + 1);
        }
    }

    /// Appends the ids of a pretoken that is not in the front of its line.
    #[inline]
    fn append_unknown(&mut self, number: usize) {
        let key = self.scratch.waiting.keys[number];
        if !key.is_long() && self.scratch.cache.promote(key) {
            return self.scratch.cache.append_front(key, self.ids);
        }
        let ends = &self.scratch.waiting.ends;
        let pretoken = &self.text[ends[number]..ends[number + 1]];
        if key.is_long() {
            let hash = key.long_hash().unwrap_or_else(|| LongCache::hash(pretoken));
            self.encoder.encode_long(pretoken, hash, self.scratch, self.ids, self.stop);
        } else {
            self.encoder.encode_unknown(pretoken, key, self.scratch, self.ids, self.stop);
        }
    }

    /// Makes the keys of all that wait, and asks for where they are in the cache. Gives how many are too long for one.
    #[inline]
    fn make_keys(&mut self) -> usize {
        let Scratch { cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, spots, long, .. } = &mut **waiting;
        let pretokens = Pretokens { text: self.text, ends: &ends[..=self.len], lines: cache.lines() };
        keys::make(self.encoder.pairs.processor(), pretokens, &mut Rows { keys, spots, long })
    }

    /// Asks for where the long ones are in their cache.
    #[inline]
    fn look_for_long(&mut self, num_long: usize) {
        let Scratch { long_cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, long, .. } = &mut **waiting;
        for &idx in &long[..num_long] {
            let hash = LongCache::hash(&self.text[ends[idx]..ends[idx + 1]]);
            keys[idx] = Key::of_long(hash);
            if long_cache.takes(hash) {
                long_cache.prefetch_bucket(hash);
            }
        }
        // Their buckets are here by now.
        for &idx in &long[..num_long] {
            if let Some(hash) = keys[idx].long_hash().filter(|&hash| long_cache.takes(hash)) {
                long_cache.prefetch_record(hash);
            }
        }
    }

    /// Answers together what can be. The long ones are not looked for: to merge one in a row takes hardly longer.
    #[inline]
    fn answer_together(&mut self, num_long: usize) {
        let Scratch { cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, spots, long, together, .. } = &mut **waiting;
        for &idx in &long[..num_long] {
            keys[idx] = Key::UNHASHED;
        }
        let (ends, keys, spots) = (&ends[..=self.len], &keys[..self.len], &spots[..self.len]);
        together.answer(Batch { text: self.text, ends, keys, spots }, cache, self.encoder);
    }

    #[inline]
    fn append_answers(&mut self, next: usize) -> usize {
        self.scratch.waiting.together.append(next, self.len, self.ids)
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
