//! The new pretokens of a batch merged together, where text is made of characters of three bytes, as Chinese and Japanese are.
//!
//! In such text a third of the pretokens come for the first time, and each that is merged by itself waits for memory three times:
//! for its characters, for their pairs, and for those of each merge; and whatever the processor had begun for the next one is
//! thrown away at each branch that it mistook. So what is done for each is done for all, one step after another: they are found, their
//! characters looked up, their pairs, and at last they are merged, which leaves branches for the last step only.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::TokenId;
use super::cache::{Key, Spot};
use super::chars::Characters;
use super::keys::Pretokens;
use super::long_cache::LongCache;
use super::merge::MAX_RANKS;
use super::pairs::PairTable;
use super::queue::ROOM;

/// Characters of a pretoken that is merged ahead, at most, and one for each lane of a register.
const MAX_CHARACTERS: usize = 8;

/// New pretokens of such characters in a batch from which on those of the next are merged ahead.
const MIN_NEW: usize = 8;

/// The ids of a pretoken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Merged {
    /// What is behind the ids may be anything.
    ids: [TokenId; MAX_CHARACTERS],
    len: usize,
}

impl Merged {
    #[inline]
    pub(super) fn append_to(&self, ids: &mut Vec<TokenId>) {
        let len = ids.len();
        // All of them, as a copy of so many bytes is one instruction, and one of fewer a call.
        ids.extend_from_slice(&self.ids);
        ids.truncate(len + self.len);
    }
}

/// The pretokens of a batch that were merged ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Their numbers in the batch, which ascend.
    numbers: [usize; ROOM],
    merged: [Merged; ROOM],
    /// The [`super::merge::ranked`] merges of neighbouring characters.
    ranks: [[u32; MAX_CHARACTERS]; ROOM],
    len: usize,
    /// The first that was not taken yet.
    next: usize,
    /// How many pretokens of this batch were new and of such characters.
    num_new: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        let none = Merged { ids: [0; MAX_CHARACTERS], len: 0 };
        Self {
            numbers: [0; ROOM],
            merged: [none; ROOM],
            ranks: [[0; MAX_CHARACTERS]; ROOM],
            len: 0,
            next: 0,
            num_new: 0,
        }
    }
}

/// The pretokens of a batch and the caches.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub pretokens: Pretokens<'a>,
    pub keys: &'a [Key],
    pub spots: &'a [Spot],
    pub long_cache: &'a LongCache,
}

impl Ahead {
    /// Merges what the caches lack of the next batch, if the last one had enough to merge.
    #[inline]
    pub(super) fn begin(&mut self, batch: Batch<'_>, characters: &Characters, pairs: &PairTable) {
        (self.len, self.next) = (0, 0);
        let is_worth = std::mem::take(&mut self.num_new) >= MIN_NEW && pairs.len() < MAX_RANKS;
        #[cfg(target_arch = "x86_64")]
        if is_worth && let (Some(_), Some(table)) = (pairs.processor().avx2(), characters.table()) {
            // SAFETY: the processor has these instructions, or there was no `Avx2`.
            unsafe { self.merge_new(batch, table, pairs) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (is_worth, batch, characters);
    }

    /// The ids of the new pretoken of this number, if it was merged ahead. Numbers must ascend.
    #[inline]
    pub(super) fn take(&mut self, number: usize, pretoken: &[u8]) -> Option<Merged> {
        self.num_new += usize::from(has_wide_lead(pretoken));
        while self.next < self.len && self.numbers[self.next] < number {
            self.next += 1;
        }
        let is_it = self.next < self.len && self.numbers[self.next] == number;
        is_it.then(|| self.merged[self.next])
    }
}

/// Whether a pretoken begins with a character of three bytes or more.
#[inline]
fn has_wide_lead(pretoken: &[u8]) -> bool {
    pretoken.first().is_some_and(|&byte| byte >= 0xE0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{encode_naively, encoder};
    use super::super::{Encoder, Queue, Scratch};
    use super::*;
    use crate::pretokenize::{Pattern, Pretokenizer};
    use crate::processor::Processor;
    use crate::progress::Stop;
    use proptest::prelude::*;

    /// Several of them share bytes; the last two have no token.
    const CHARS: [char; 8] = ['中', '丽', '囩', '国', '甩', '一', '丁', '七'];

    /// The merges of each character but the last two, and then of these pairs of what is known by then, of which some are parts of
    /// characters.
    fn merges(pairs: &[(usize, usize)]) -> Vec<(TokenId, TokenId)> {
        let byte = |char: char, at: usize| TokenId::from(char.to_string().as_bytes()[at]);
        let (mut merges, mut known) = (Vec::new(), Vec::new());
        let merge = |merges: &mut Vec<_>, pair| {
            let rank = merges.iter().position(|merge| *merge == pair).unwrap_or_else(|| {
                merges.push(pair);
                merges.len() - 1
            });
            256 + TokenId::try_from(rank).unwrap()
        };
        for char in CHARS.into_iter().take(CHARS.len() - 2) {
            let start = merge(&mut merges, (byte(char, 0), byte(char, 1)));
            known.push(merge(&mut merges, (start, byte(char, 2))));
        }
        known.extend([byte('中', 0), byte('囩', 2), byte('丁', 0)]);
        for &(left, right) in pairs {
            let pair = (known[left % known.len()], known[right % known.len()]);
            known.push(merge(&mut merges, pair));
        }
        merges
    }

    fn encode(encoder: &Encoder, scratch: &mut Scratch, text: &str) -> Vec<TokenId> {
        let (mut ids, stop) = (Vec::new(), Stop::default());
        let mut queue = Queue::new(encoder, text.as_bytes(), scratch, &mut ids, &stop);
        Pretokenizer::from(Pattern::Gpt2).find_ends(text, &mut queue);
        queue.finish();
        ids
    }

    fn check(words: &[Vec<usize>], pairs: &[(usize, usize)]) -> Result<(), TestCaseError> {
        let words: Vec<String> = words.iter().map(|word| word.iter().map(|&idx| CHARS[idx]).collect()).collect();
        let (text, merges) = (words.join(","), merges(pairs));
        let naive = |pretoken: &str| encode_naively(&merges, pretoken.as_bytes());
        let expected = words.iter().map(|word| naive(word)).collect::<Vec<_>>().join(&naive(",")[..]);
        let mut encoder = encoder(&merges);
        for processor in Processor::all() {
            encoder.pairs.set_processor(processor);
            let mut scratch = Scratch::default();
            for _ in 0..2 {
                prop_assert_eq!(&encode(&encoder, &mut scratch, &text), &expected, "{:?}", processor);
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn what_is_merged_ahead_has_the_naive_ids(
            words in prop::collection::vec(prop::collection::vec(prop_oneof![30 => 0..6_usize, 1 => 6..8_usize], 1..11), 300..700),
            pairs in prop::collection::vec((0_usize..40, 0_usize..40), 0..40),
        ) {
            check(&words, &pairs)?;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn new_words_are_merged_ahead_from_the_second_batch_on() {
        let words: Vec<String> = (0..1_000_u32)
            .map(|number| (0..5).map(|digit| CHARS[number as usize / 6_usize.pow(digit) % 6]).collect())
            .collect();
        let (mut encoder, mut scratch) = (encoder(&merges(&[])), Scratch::default());
        for processor in Processor::all() {
            encoder.pairs.set_processor(processor);
            encode(&encoder, &mut scratch, &words.join(","));
            let num_merged = scratch.waiting.ahead().len;
            // Half of a batch are commas.
            assert_eq!(num_merged > 50, processor.avx2().is_some(), "{processor:?}: {num_merged}");
            scratch = Scratch::default();
        }
    }
}
