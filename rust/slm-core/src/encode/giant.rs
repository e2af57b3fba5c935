//! Pretokens too long to be merged at once: a window at a time, in linear time and with the memory of a window.
//!
//! That the windows' ids are those of the whole rests on this. Where every merge comes after those that make its two sides, a
//! sequence of tokens is what encoding makes of its bytes if, and only if, that is so for each two neighbours of it. (Take the
//! first merge that crosses a border between two of them. Up to its rank both have become what they become alone side by side,
//! as merges go by rank and, of one rank, from the left. So the two alone would have merged there too.) The tokens of a window
//! are such a sequence and so is any beginning of it. So the next window begins between two tokens of this one, somewhat before
//! its end, and all that is to check is that the last token kept and the first one of the new window are such neighbours. Where
//! they are not, the new window begins a token earlier.

use super::{Encoder, Scratch, TokenId};
use crate::progress::Stop;

/// How a giant pretoken is taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// Bytes of a window.
    pub bytes: usize,
    /// How far before its end a window is left.
    pub margin_bytes: usize,
}

impl Windows {
    /// What the merge works on stays in the second-level cache; what follows hardly ever changes tokens a margin back.
    pub const DEFAULT: Self = Self { bytes: 1 << 15, margin_bytes: 1 << 10 };
}

/// Tokens that a window may begin earlier than was first tried; after that it becomes longer.
const MAX_STEPS_BACK: usize = 32;

/// How many bytes each token has, for vocabularies with a token for every byte whose merges come after those that make their sides.
#[derive(Debug)]
pub(super) struct Lengths(Option<Box<[u32]>>);

impl Lengths {
    /// `byte_ids` are the tokens of one byte, `merges` come in rank order as (left, right, produced).
    pub(super) fn new(byte_ids: &[TokenId; 256], merges: &[(TokenId, TokenId, TokenId)]) -> Self {
        // The ids of a window would not cover it.
        if byte_ids.contains(&super::NO_TOKEN) {
            return Self(None);
        }
        let ids = || merges.iter().flat_map(|&(left, right, produced)| [left, right, produced]);
        let largest = ids().chain(byte_ids.iter().copied()).max().unwrap_or(0) as usize;
        let mut lengths = vec![0_u32; largest + 1];
        for &id in byte_ids {
            lengths[id as usize] = 1;
        }
        let mut is_used = vec![false; largest + 1];
        for &(left, right, produced) in merges {
            let [left, right, produced] = [left, right, produced].map(|id| id as usize);
            let length = lengths[left].saturating_add(lengths[right]);
            (is_used[left], is_used[right]) = (true, true);
            let is_made = lengths[left] != 0 && lengths[right] != 0;
            // Made a second time after it was used, or as something else, or from what is made later.
            if !is_made || is_used[produced] || lengths[produced] != 0 && lengths[produced] != length {
                return Self(None);
            }
            lengths[produced] = length;
        }
        Self(Some(lengths.into_boxed_slice()))
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }
}

impl Encoder {
    /// Whether a pretoken is to be encoded in windows.
    #[inline]
    pub(super) fn is_giant(&self, pretoken: &[u8]) -> bool {
        pretoken.len() > 2 * Windows::DEFAULT.bytes && self.lengths.is_known()
    }

    /// Appends the ids of a pretoken, which has the lengths of its tokens known. Where `stop` is raised the work ends, and `scratch`
    /// remembers.
    pub(super) fn encode_in_windows(
        &self,
        pretoken: &[u8],
        windows: &Windows,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) {
        let (mut start, mut window_bytes) = (0, windows.bytes);
        let first = ids.len();
        let mut window = std::mem::take(&mut scratch.window);
        while start < pretoken.len() {
            if stop.check().is_err() {
                scratch.is_interrupted = true;
                break;
            }
            let end = pretoken.len().min(start + window_bytes);
            let from = self.encode_window(pretoken, start..end, first, scratch, ids, &mut window);
            let Some(from) = from else {
                window_bytes *= 2;
                continue;
            };
            window_bytes = windows.bytes;
            start = from;
            for (place, &id) in window.iter().enumerate() {
                // One is taken in any case, so that the work goes on.
                if place > 0 && end < pretoken.len() && start + windows.margin_bytes > end {
                    break;
                }
                ids.push(id);
                start += self.length_of(id);
            }
        }
        scratch.window = window;
    }

    /// Sets `window` to the ids of a range of the pretoken that go on from `ids`, and gives where they start: where the range
    /// does, or some tokens earlier, which then are gone from `ids`. `None`, and nothing changed, if none of these fit.
    fn encode_window(
        &self,
        pretoken: &[u8],
        range: std::ops::Range<usize>,
        first: usize,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        window: &mut Vec<TokenId>,
    ) -> Option<usize> {
        let mut start = range.start;
        let mut kept = ids.len();
        for _ in 0..MAX_STEPS_BACK {
            window.clear();
            self.encode_at_once(&pretoken[start..range.end], scratch, window);
            let (Some(&before), Some(&after)) = (ids[first..kept].last(), window.first()) else {
                ids.truncate(kept);
                return Some(start);
            };
            let (from, to) = (start - self.length_of(before), start + self.length_of(after));
            let mut pair = Vec::new();
            self.encode_at_once(&pretoken[from..to], scratch, &mut pair);
            if pair == [before, after] {
                ids.truncate(kept);
                return Some(start);
            }
            (start, kept) = (from, kept - 1);
        }
        None
    }

    fn length_of(&self, id: TokenId) -> usize {
        self.lengths.0.as_ref().map_or(1, |lengths| lengths[id as usize] as usize)
    }
}
