//! A batch of pretokens answered together, where text is made of characters of three bytes, as Chinese and Japanese are.
//!
//! In such text a third of the pretokens come for the first time, which no processor can foresee, and each that is merged by itself
//! waits for memory three times: for its characters, for their pairs, and for those of each merge; and whatever the processor had begun
//! for the next one is thrown away at each branch that it mistook. So what is done for each is done for all, one step after
//! another: what the caches know is copied; of the others the characters are looked up, then their pairs, and then they are merged
//! and kept; and at last all ids are written. That leaves branches for the merges, and for the few that have to be encoded one by
//! one after all.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::TokenId;
use super::cache::{Cache, Key, MAX_IDS, Spot};
use super::chars::Characters;
use super::keys::Pretokens;
use super::long_cache::LongCache;
use super::merge::MAX_RANKS;
#[cfg(target_arch = "x86_64")]
use super::pairs::NeighbourPlaces;
use super::pairs::PairTable;
use super::queue::ROOM;

/// Ids of an answer at most, one for each lane of a register; so many characters a pretoken may have.
const WIDTH: usize = 8;

const _: () = assert!(MAX_IDS <= WIDTH);

/// New pretokens of such characters in a batch from which on the next one is answered together.
const MIN_NEW: usize = 8;

/// In place of the number of ids, where there is no answer yet.
const OPEN: usize = usize::MAX;

/// The answers to a batch.
#[derive(Debug)]
pub(super) struct Together {
    /// The ids of each pretoken, and behind them anything.
    ids: [[TokenId; WIDTH]; ROOM],
    /// How many these are, or [`OPEN`].
    lens: [usize; ROOM],
    /// Numbers in the batch: first of pretokens that no cache has, then of those that are merged here.
    numbers: [usize; ROOM],
    /// Where the merges of neighbouring characters are, in the order of `numbers`.
    #[cfg(target_arch = "x86_64")]
    places: [NeighbourPlaces; ROOM],
    /// These merges as [`super::merge::ranked`] has them.
    ranks: [[u32; WIDTH]; ROOM],
    /// A bit for each border between characters that a merge can come to cross.
    joinable: [u32; ROOM],
    /// Numbers of those whose entries are not in front.
    behind: [usize; ROOM],
    /// How many those were in the last batch that was answered.
    num_merged: usize,
    /// How many pretokens of this batch were new and of such characters.
    num_new: usize,
}

impl Default for Together {
    #[expect(clippy::large_stack_arrays, reason = "it is made once a thread, and goes to the heap at once")]
    fn default() -> Self {
        Self {
            ids: [[0; WIDTH]; ROOM],
            lens: [0; ROOM],
            numbers: [0; ROOM],
            #[cfg(target_arch = "x86_64")]
            places: [NeighbourPlaces::default(); ROOM],
            ranks: [[0; WIDTH]; ROOM],
            joinable: [0; ROOM],
            behind: [0; ROOM],
            num_merged: 0,
            num_new: 0,
        }
    }
}

/// The pretokens of a batch, and what they are looked for with.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub text: &'a [u8],
    pub ends: &'a [usize],
    pub keys: &'a [Key],
    pub spots: &'a [Spot],
}

impl<'a> Batch<'a> {
    fn pretoken(&self, number: usize) -> &'a [u8] {
        &self.text[self.ends[number]..self.ends[number + 1]]
    }
}

/// What pretokens become by merging.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub characters: &'a Characters,
    pub pairs: &'a PairTable,
}

impl Together {
    /// Counts a pretoken that no cache has.
    #[inline]
    pub(super) fn add_new(&mut self, pretoken: &[u8]) {
        self.num_new += usize::from(has_wide_lead(pretoken));
    }

    /// Answers what it can of a batch and keeps what was new, if the batch before had enough that was. Says whether it did.
    #[inline]
    pub(super) fn answer(
        &mut self,
        batch: Batch<'_>,
        cache: &mut Cache,
        long_cache: &mut LongCache,
        tables: Tables<'_>,
    ) -> bool {
        let is_worth = std::mem::take(&mut self.num_new) >= MIN_NEW && tables.pairs.len() < MAX_RANKS;
        #[cfg(target_arch = "x86_64")]
        if is_worth && let (Some(_), Some(table)) = (tables.pairs.processor().avx2(), tables.characters.table()) {
            let pretokens = Pretokens { text: batch.text, ends: batch.ends, lines: cache.lines() };
            // SAFETY: the processor has these instructions, or there was no `Avx2`.
            let (num_merged, num_behind) =
                unsafe { self.look_up_and_merge(pretokens, batch, long_cache, table, tables.pairs) };
            self.keep(batch, cache, long_cache, num_merged, num_behind);
            (self.num_merged, self.num_new) = (num_merged, num_merged);
            return true;
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (is_worth, batch, cache, long_cache, tables);
        false
    }

    /// Puts what was merged into the caches, and to the front what was asked for.
    #[cfg(target_arch = "x86_64")]
    fn keep(
        &self,
        batch: Batch<'_>,
        cache: &mut Cache,
        long_cache: &mut LongCache,
        num_merged: usize,
        num_behind: usize,
    ) {
        for &number in &self.behind[..num_behind] {
            cache.promote(batch.keys[number]);
        }
        for &number in &self.numbers[..num_merged] {
            let (key, ids) = (batch.keys[number], &self.ids[number][..self.lens[number]]);
            match key.long_hash() {
                None => cache.insert(key, ids),
                Some(hash) if long_cache.takes(hash) => {
                    let pretoken = batch.pretoken(number);
                    if !long_cache.has(hash, pretoken) {
                        long_cache.insert(hash, pretoken, ids);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Appends the answers to pretokens from the `next` on, of `len`, until one has none, and gives that one's number.
    #[inline]
    pub(super) fn append(&self, mut next: usize, len: usize, ids: &mut Vec<TokenId>) -> usize {
        ids.reserve(WIDTH * (len - next));
        let (mut num_ids, base) = (ids.len(), ids.as_mut_ptr());
        for (answer, &answer_len) in self.ids[..len].iter().zip(&self.lens).skip(next) {
            if answer_len == OPEN {
                break;
            }
            // SAFETY: `reserve` made room for `WIDTH` more ids for each pretoken, and each moves `num_ids` on by at most `WIDTH`; all that is
            // below it is written.
            unsafe { base.add(num_ids).cast::<[TokenId; WIDTH]>().write_unaligned(*answer) };
            num_ids += answer_len;
            next += 1;
        }
        // SAFETY: see above.
        unsafe { ids.set_len(num_ids) };
        next
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

    /// The merges of pairs of bytes of all characters and what they make, then of each character but the last two, and then of pairs of
    /// what is known by then, of which some are parts of characters.
    fn merges(of_bytes: &[(usize, usize)], pairs: &[(usize, usize)]) -> Vec<(TokenId, TokenId)> {
        let byte = |char: char, at: usize| TokenId::from(char.to_string().as_bytes()[at]);
        let (mut merges, mut known) = (Vec::new(), Vec::new());
        let merge = |merges: &mut Vec<_>, pair| {
            let rank = merges.iter().position(|merge| *merge == pair).unwrap_or_else(|| {
                merges.push(pair);
                merges.len() - 1
            });
            256 + TokenId::try_from(rank).unwrap()
        };
        let mut parts: Vec<TokenId> = CHARS.iter().flat_map(|&char| (0..3).map(move |at| byte(char, at))).collect();
        for &(left, right) in of_bytes {
            let pair = (parts[left % parts.len()], parts[right % parts.len()]);
            parts.push(merge(&mut merges, pair));
        }
        for char in CHARS.into_iter().take(CHARS.len() - 2) {
            let start = merge(&mut merges, (byte(char, 0), byte(char, 1)));
            known.push(merge(&mut merges, (start, byte(char, 2))));
        }
        known.extend([byte('中', 0), byte('囩', 2), byte('丁', 0)]);
        known.extend(&parts[3 * CHARS.len()..]);
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

    fn check(words: &[Vec<usize>], merges: &[(TokenId, TokenId)]) -> Result<(), TestCaseError> {
        let words: Vec<String> = words.iter().map(|word| word.iter().map(|&idx| CHARS[idx]).collect()).collect();
        let text = words.join(",");
        let naive = |pretoken: &str| encode_naively(merges, pretoken.as_bytes());
        let expected = words.iter().map(|word| naive(word)).collect::<Vec<_>>().join(&naive(",")[..]);
        let mut encoder = encoder(merges);
        for processor in Processor::all() {
            encoder.pairs.set_processor(processor);
            let mut scratch = Scratch::default();
            for _ in 0..2 {
                prop_assert_eq!(&encode(&encoder, &mut scratch, &text), &expected, "{:?}", processor);
            }
        }
        Ok(())
    }

    /// Numbers of characters, of which some have no token; some words are longer than what is answered together.
    fn word() -> impl Strategy<Value = Vec<usize>> {
        let char = || prop_oneof![30 => 0..6_usize, 1 => 6..8_usize];
        prop_oneof![9 => prop::collection::vec(char(), 1..11), 1 => prop::collection::vec(char(), 11..60)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn what_is_answered_together_has_the_naive_ids(
            words in prop::collection::vec(word(), 300..700),
            of_bytes in prop_oneof![
                2 => prop::collection::vec((0_usize..40, 0_usize..40), 0..1),
                1 => prop::collection::vec((0_usize..40, 0_usize..40), 1..12),
            ],
            pairs in prop::collection::vec((0_usize..40, 0_usize..40), 0..40),
        ) {
            check(&words, &merges(&of_bytes, &pairs))?;
        }
    }

    #[test]
    fn what_merged_across_characters_joins_their_neighbours_too() {
        let mut merges = merges(&[], &[]);
        let token = |text: &str| encode_naively(&merges, text.as_bytes())[0];
        // The end of the first character and all of the second, then both, then one more before them, and one behind.
        let (whole, beginning, before) = (token("国"), token("丁"), token("甩"));
        let new = |more: u32| 256 + u32::try_from(merges.len()).unwrap() + more;
        let joined = [("丁".as_bytes()[2].into(), whole), (beginning, new(0)), (before, new(1)), (new(2), whole)];
        merges.extend(joined);
        assert_eq!(encode_naively(&merges, "甩丁国国".as_bytes()).len(), 1);
        let crossing = [4, 6, 3, 3];
        let words = (0..600).map(|number| {
            let others = [number % 6, number / 6 % 6, number / 36 % 6];
            [&others[..number % 4], &crossing, &others, &crossing[..number % 4]].concat()
        });
        check(&words.collect::<Vec<_>>(), &merges).unwrap();
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn new_words_are_merged_together_from_the_second_batch_on() {
        let words: Vec<String> = (0..1_000_u32)
            .map(|number| (0..5).map(|digit| CHARS[number as usize / 6_usize.pow(digit) % 6]).collect())
            .collect();
        let (mut encoder, mut scratch) = (encoder(&merges(&[], &[])), Scratch::default());
        for processor in Processor::all() {
            encoder.pairs.set_processor(processor);
            encode(&encoder, &mut scratch, &words.join(","));
            let num_merged = scratch.waiting.together().num_merged;
            // Half of a batch are commas.
            assert_eq!(num_merged > 50, processor.avx2().is_some(), "{processor:?}: {num_merged}");
            scratch = Scratch::default();
        }
    }
}
