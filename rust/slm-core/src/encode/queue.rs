//! Pretokens on their way to their ids: looked up a few hundred at a time, so that memory is asked long before it must answer.
//!
//! Looked up one by one, each pretoken would wait for its line of the cache, which is too large for the caches nearest to the
//! core. So first the ends of many are gathered, then their keys are made and their lines asked for, and then the ids are taken,
//! by now without waiting. Each of the three is a loop of its own with nothing else in it.

use super::cache::{Key, MAX_IDS};
use super::{Encoder, Scratch, TokenId};
use crate::pretokenize::Ends;
use crate::progress::Stop;

/// Pretokens that wait: their lines of the cache fill a third of a first-level cache.
const CAPACITY: usize = 256;

/// Most ends that come at once.
const MARGIN: usize = 64;

/// Work space, kept by the thread.
#[derive(Debug)]
pub(super) struct Waiting {
    ends: [usize; CAPACITY + MARGIN],
    keys: [Key; CAPACITY + MARGIN],
    hashes: [u32; CAPACITY + MARGIN],
}

impl Default for Waiting {
    fn default() -> Self {
        const ALL: usize = CAPACITY + MARGIN;
        Self { ends: [0; ALL], keys: [Key::NONE; ALL], hashes: [0; ALL] }
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
        self.make_keys();
        let mut next = self.append_known(0);
        while next < self.len {
            let (key, hash) = (self.scratch.waiting.keys[next], self.scratch.waiting.hashes[next]);
            if !self.scratch.cache.promote(key, hash) {
                let start = next.checked_sub(1).map_or(self.start, |before| self.scratch.waiting.ends[before]);
                let end = self.scratch.waiting.ends[next];
                self.encoder.encode_unknown(&self.text[start..end], key, self.scratch, self.ids, self.stop);
                next += 1;
            }
            next = self.append_known(next);
        }
        if let Some(last) = self.len.checked_sub(1) {
            self.start = self.scratch.waiting.ends[last];
        }
        self.len = 0;
    }

    /// Makes the keys of all that wait, and asks for their lines of the cache.
    #[inline]
    fn make_keys(&mut self) {
        let Scratch { cache, waiting, .. } = &mut *self.scratch;
        let Waiting { ends, keys, hashes } = &mut **waiting;
        let mut start = self.start;
        for ((&end, key), hash) in ends[..self.len].iter().zip(keys).zip(hashes) {
            *key = Key::new(self.text, start, end);
            *hash = key.hash();
            cache.prefetch(*hash);
            start = end;
        }
    }

    /// Appends the ids of waiting pretokens from the `next` on until one is not in the front of its line, and gives that one's number.
    #[inline]
    fn append_known(&mut self, mut next: usize) -> usize {
        let Scratch { cache, waiting, .. } = &*self.scratch;
        self.ids.reserve(MAX_IDS * (self.len - next));
        let mut len = self.ids.len();
        let base = self.ids.as_mut_ptr();
        let (keys, hashes) = (&waiting.keys[..self.len], &waiting.hashes[..self.len]);
        while next < keys.len() {
            let Some(entry) = cache.front(keys[next], hashes[next]) else { break };
            // SAFETY: `reserve` made room for MAX_IDS more ids for each pretoken that waits, and each moves `len` on by at most
            // MAX_IDS; all that is below `len` is written.
            unsafe { base.add(len).cast::<[TokenId; MAX_IDS]>().write_unaligned(entry.ids) };
            len += entry.count();
            next += 1;
        }
        // SAFETY: see above.
        unsafe { self.ids.set_len(len) };
        next
    }
}
