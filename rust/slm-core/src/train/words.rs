//! The different pretokens of a corpus as one array of tokens, and how often each occurs.
//!
//! A pretoken of n bytes takes n places, for ever: a token of several bytes stands at its first and at its last place. So the
//! neighbours of a token are found without a search, and merging two moves nothing:
//!
//! ```text
//! places       0  1  2  3  4  5
//! " then"      |  _  t  h  e  n  |     `|` stands for the separator
//! _ t -> 300   | 300 300 h e  n  |     a token of two bytes: its first place is also the one before its last
//! 300 h -> 301 | 301  |  301 e n |     what stood between first and last is overwritten, so that nobody takes it for a token
//! ```
//!
//! Pretokens are sorted by weight, the most frequent first. Those of one weight lie together, so a weight belongs to a run of
//! places and not to each pretoken; and the places that most merges visit share their cache lines.

use crate::count::{PretokenCounts, sort_by_key};
use crate::error::{Error, Result};
use crate::progress::Stop;
use crate::token::TokenId;
use std::cmp::Reverse;

/// Stands between pretokens, and inside tokens of three bytes and more.
pub(super) const SEPARATOR: TokenId = TokenId::MAX;

/// Pretokens, or places, between two looks at the stop flag.
const STOP_INTERVAL: usize = 1 << 16;

/// Places that share an entry in the index of weights: 2 to this power.
const INDEX_BITS: u32 = 5;

/// The pretokens that have pairs, and their weights.
pub(super) struct Words {
    /// The tokens by place.
    pub tokens: Vec<TokenId>,
    pub weights: Weights,
}

/// How often the pretoken at a place occurs.
pub(super) struct Weights {
    /// Where each run of one weight starts, and the weight. The last run starts where no place is.
    runs: Vec<(u32, u64)>,
    /// The run of every 32nd place.
    index: Vec<u32>,
}

impl Weights {
    /// The weight of the pretoken at `place`.
    #[inline]
    pub fn at(&self, place: usize) -> u64 {
        let mut run = self.index[place >> INDEX_BITS] as usize;
        while self.runs[run + 1].0 as usize <= place {
            run += 1;
        }
        self.runs[run].1
    }
}

/// Pretokens of two tokens and more, the most frequent first. A token is written in `WIDTH` bytes.
pub(super) struct PretokenList<const WIDTH: usize> {
    /// Count, start and length in `bytes`.
    pretokens: Vec<(u64, usize, usize)>,
    bytes: Vec<u8>,
}

impl<const WIDTH: usize> PretokenList<WIDTH> {
    /// Copies them from a table, which is then not needed any more.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn new(counts: &PretokenCounts, stop: &Stop) -> Result<Self> {
        let mut num_bytes = 0;
        counts.for_each_until(stop, |pretoken, _| {
            num_bytes += if pretoken.len() > WIDTH { pretoken.len() } else { 0 };
        })?;
        let mut pretokens: Vec<(u64, usize, usize)> = Vec::with_capacity(counts.len());
        let mut bytes = Vec::with_capacity(num_bytes);
        counts.for_each_until(stop, |pretoken, count| {
            if pretoken.len() > WIDTH {
                pretokens.push((count, bytes.len(), pretoken.len()));
                bytes.extend_from_slice(pretoken);
            }
        })?;
        sort_by_key(&mut pretokens, |&(count, start, _)| (Reverse(count), start), stop)?;
        Ok(Self { pretokens, bytes })
    }
}

impl Words {
    /// Lays out pretokens.
    ///
    /// # Errors
    /// [`Error::Data`] where they have more than 2^32 places; [`Error::Interrupted`].
    pub fn new<const WIDTH: usize>(
        list: PretokenList<WIDTH>,
        id_of: impl Fn([u8; WIDTH]) -> TokenId,
        stop: &Stop,
    ) -> Result<Self> {
        let PretokenList { pretokens, bytes } = list;
        let places = bytes.len() / WIDTH + pretokens.len() + 1;
        if u32::try_from(places).is_err() {
            return Err(Error::Data(format!(
                "the different pretokens of the corpus have {} bytes, 4 GiB are the most that can be trained on at once\n\nhint: set \
                 `memory_limit`, train on a part of the corpus, or break up very long stretches without whitespace",
                bytes.len()
            )));
        }
        let place_of = |length: usize| u32::try_from(length).expect("checked above");

        let mut tokens = Vec::with_capacity(places);
        let mut runs: Vec<(u32, u64)> = Vec::new();
        tokens.push(SEPARATOR);
        for (number, (count, start, length)) in pretokens.into_iter().enumerate() {
            if number % STOP_INTERVAL == 0 {
                stop.check()?;
            }
            if runs.last().is_none_or(|&(_, weight)| weight != count) {
                runs.push((place_of(tokens.len()), count));
            }
            let (written, _) = bytes[start..start + length].as_chunks::<WIDTH>();
            tokens.extend(written.iter().map(|&token| id_of(token)));
            tokens.push(SEPARATOR);
        }
        // The separator in front is nobody's, but has a place.
        match runs.first_mut() {
            Some(first) => first.0 = 0,
            None => runs.push((0, 0)),
        }
        runs.push((u32::MAX, 0));

        let mut run = 0;
        let index = (0..tokens.len())
            .step_by(1 << INDEX_BITS)
            .map(|place| {
                while runs[run + 1].0 as usize <= place {
                    run += 1;
                }
                place_of(run)
            })
            .collect();
        Ok(Self { tokens, weights: Weights { runs, index } })
    }

    /// Calls `f` with every pair of adjacent tokens, its place and its weight, from the first place to the last.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn for_each_pair(
        &self,
        lengths: &[u32],
        stop: &Stop,
        mut f: impl FnMut(TokenId, TokenId, usize, u64),
    ) -> Result<()> {
        let mut run = 0;
        let mut place = 0;
        let mut look_at = 0;
        while place < self.tokens.len() {
            if place >= look_at {
                look_at = place + STOP_INTERVAL;
                stop.check()?;
            }
            let left = self.tokens[place];
            if left == SEPARATOR {
                place += 1;
                continue;
            }
            let next = place + lengths[left as usize] as usize;
            let right = self.tokens[next];
            if right != SEPARATOR {
                while self.weights.runs[run + 1].0 as usize <= place {
                    run += 1;
                }
                f(left, right, place, self.weights.runs[run].1);
            }
            place = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_pretokens_come_first_and_single_bytes_are_left_out() {
        let mut counts = PretokenCounts::default();
        for (pretoken, count) in [("ab", 2), ("x", 9), ("cde", 7), ("fg", 2)] {
            counts.add(pretoken.as_bytes(), count);
        }
        let words = {
            let list = PretokenList::new(&counts, &Stop::default()).unwrap();
            Words::new(list, |[byte]| TokenId::from(byte), &Stop::default()).unwrap()
        };
        assert_eq!(words.tokens[..5], [SEPARATOR, 99, 100, 101, SEPARATOR]);
        assert_eq!(words.tokens.len(), 11);
        assert_eq!([1, 3, 5, 6, 8, 9].map(|place| words.weights.at(place)), [7, 7, 2, 2, 2, 2]);
        let mut pairs = Vec::new();
        let push = |left, right, place, weight| pairs.push((left, right, place, weight));
        words.for_each_pair(&[1; 256], &Stop::default(), push).unwrap();
        pairs.sort_unstable();
        assert_eq!(pairs.len(), 4);
        assert_eq!(pairs[1], (99, 100, 1, 7));
        assert_eq!(pairs[2], (100, 101, 2, 7));
    }
}
