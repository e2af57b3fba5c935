//! A batch of pretokens answered together, where text is made of characters of three bytes, as Chinese and Japanese are.
//!
//! In such text a third of the pretokens come for the first time, which no processor can foresee, and each that is merged by itself
//! waits for memory three times: for its characters, for their pairs, and for those of each merge; and whatever the processor had begun
//! for the next one is thrown away at each branch that it mistook. So what is done for each is done for all, one step after
//! another: what the cache knows is copied; the others come one behind another in a [`Row`] and are merged there, whatever their
//! lengths; what they became is kept; and at last all ids are written. The few that cannot be answered like this are left to be
//! encoded one by one.

mod bits;
mod keeping;
mod lanes;
mod row;

use super::cache::{Cache, Either, Key, Lines, MAX_IDS, Spot};
use super::merge::MAX_RANKS;
use super::queue::ROOM;
use super::{Encoder, TokenId};
use crate::processor::Processor;
#[cfg(target_arch = "x86_64")]
use crate::processor::{Avx2, Avx512};
use keeping::Keeping;
use lanes::{CHARACTER_BYTES, Common, Lanes, WIDTH};
use row::{MAX_CHARACTERS, Row};

const _: () = assert!(MAX_IDS <= WIDTH);

/// One in how many pretokens must be new and of such characters, so that the next are answered together.
const NEW_ONE_IN: usize = 32;

/// Pretokens after which that is decided anew: the last batch of a text may be small.
const DECIDED_AFTER: usize = 128;

/// Room for a number of each, and so much that a mask is enough to know that one is within.
const SLOTS: usize = ROOM.next_power_of_two();

/// In place of the number of ids, where there is no answer yet.
const OPEN: usize = usize::MAX;

/// In place of the number of ids, where they are [with the longer answers](Together::longer).
const ELSEWHERE: usize = usize::MAX - 1;

/// The answers to a batch.
#[derive(Debug)]
pub(super) struct Together {
    /// The ids of each pretoken, and behind them anything.
    ids: [[TokenId; WIDTH]; ROOM],
    /// How many these are, or [`OPEN`], or [`ELSEWHERE`].
    lens: [usize; ROOM],
    /// Answers that are too long for `ids`, where the first two numbers say where one begins and ends.
    longer: Vec<TokenId>,
    /// Numbers in the batch of pretokens that no cache has.
    unknown: [usize; SLOTS],
    /// Of those whose entries are not in front.
    behind: [usize; SLOTS],
    /// Of those that are in the row.
    lined_up: [usize; ROOM],
    /// Where these begin in the row, and where the last one ends.
    starts: [usize; ROOM + 1],
    row: Row,
    /// Of those that are to be kept.
    kept: [usize; SLOTS],
    keeping: Keeping,
    /// How many were merged in the last batch that was answered.
    num_merged: usize,
    /// Whether the next batch is answered together.
    is_worth: bool,
    /// How many pretokens there were since that was decided, and how many of them were new and of such characters.
    num_seen: usize,
    num_new: usize,
}

impl Default for Together {
    fn default() -> Self {
        Self {
            ids: [[0; WIDTH]; ROOM],
            lens: [0; ROOM],
            longer: Vec::new(),
            unknown: [0; SLOTS],
            behind: [0; SLOTS],
            lined_up: [0; ROOM],
            starts: [0; ROOM + 1],
            row: Row::default(),
            kept: [0; SLOTS],
            keeping: Keeping::default(),
            num_merged: 0,
            is_worth: false,
            num_seen: 0,
            num_new: 0,
        }
    }
}

/// What was found out about a batch.
struct Found {
    /// How many pretokens were merged.
    merged: usize,
    /// How many of these are to be kept.
    kept: usize,
    /// How many have their entries behind another.
    behind: usize,
}

/// The pretokens of a batch, and what they are looked for with.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub text: &'a [u8],
    pub ends: &'a [usize],
    pub keys: &'a [Key],
    pub spots: &'a [Spot],
}

impl Batch<'_> {
    /// The numbers of those that have several characters, the first of them one of three bytes.
    fn words(&self) -> impl Iterator<Item = usize> {
        (0..self.keys.len()).filter(|&number| {
            let pretoken = &self.text[self.ends[number]..self.ends[number + 1]];
            pretoken.len() > CHARACTER_BYTES && has_wide_lead(pretoken)
        })
    }
}

impl Together {
    /// Counts a pretoken that no cache has. While batches are answered together, only what they answer counts.
    #[inline]
    pub(super) fn add_new(&mut self, pretoken: &[u8]) {
        self.num_new += usize::from(!self.is_worth && has_wide_lead(pretoken));
    }

    /// Whether the next batch, of so many pretokens, is to be answered together, because enough of those before were new.
    #[inline]
    pub(super) fn takes(&mut self, len: usize, encoder: &Encoder) -> bool {
        if self.num_seen >= DECIDED_AFTER {
            self.is_worth = self.num_new * NEW_ONE_IN >= self.num_seen;
            (self.num_seen, self.num_new) = (0, 0);
        }
        self.num_seen += len;
        self.is_worth && encoder.merges_all() && encoder.pairs.len() < MAX_RANKS && encoder.characters.table().is_some()
    }

    /// Answers what it can of a batch and keeps what was new.
    #[inline]
    pub(super) fn answer(&mut self, batch: Batch<'_>, cache: &mut Cache, encoder: &Encoder) {
        let lines = cache.lines();
        let Found { merged, kept, behind } = match encoder.pairs.processor() {
            // SAFETY: the processor has these instructions, or there was no such variant.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512(lanes) => unsafe { self.find_by_avx512(lanes, batch, lines, encoder) },
            // SAFETY: see above.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2(lanes) => unsafe { self.find_by_avx2(lanes, batch, lines, encoder) },
            Processor::Common => self.find(Common, batch, lines, encoder),
        };
        for &number in &self.behind[..behind] {
            cache.promote(batch.keys[number]);
        }
        for &number in &self.kept[..kept] {
            let (key, ids) = (batch.keys[number], &self.ids[number][..self.lens[number]]);
            if self.keeping.keeps_all() { cache.insert(key, ids) } else { cache.insert_sample(key, ids) }
        }
        self.num_merged = merged;
        self.num_new += merged;
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_by_avx512(&mut self, lanes: Avx512, batch: Batch<'_>, lines: Lines<'_>, encoder: &Encoder) -> Found {
        self.find(lanes, batch, lines, encoder)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_by_avx2(&mut self, lanes: Avx2, batch: Batch<'_>, lines: Lines<'_>, encoder: &Encoder) -> Found {
        self.find(lanes, batch, lines, encoder)
    }

    /// Copies what the cache knows, and merges what it does not know, if characters of three bytes are all that it is made of and nothing
    /// merges across the borders of these before they are whole.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn find(&mut self, lanes: impl Lanes, batch: Batch<'_>, lines: Lines<'_>, encoder: &Encoder) -> Found {
        let (num_unknown, behind) = self.copy_known(batch, lines);
        if self.keeping.looks_at_batch() {
            self.keeping.add(batch.words().map(|number| (batch.keys[number], self.lens[number] != OPEN)));
        }
        let mut found = Found { merged: 0, kept: 0, behind };
        self.longer.clear();
        let mut next = 0;
        while next < num_unknown {
            let num_lined_up;
            (num_lined_up, next) = self.line_up(batch, next, num_unknown);
            if let Some(table) = encoder.characters.table() {
                self.row.merge(lanes, table, &encoder.pairs, |char, ids| encoder.append_character(char, ids));
            }
            self.take_answers(lanes, batch, num_lined_up, encoder, &mut found);
        }
        found
    }

    /// Copies what the cache knows, and lists what it does not, without a branch for either. Gives how many those are, and how many are
    /// behind another entry.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn copy_known(&mut self, batch: Batch<'_>, lines: Lines<'_>) -> (usize, usize) {
        let (mut num_unknown, mut num_behind) = (0, 0);
        let answers = self.ids.iter_mut().zip(&mut self.lens);
        for (number, ((&key, &spot), (ids, len))) in batch.keys.iter().zip(batch.spots).zip(answers).enumerate() {
            let Either { entry, is_known, is_behind } = lines.either(key, spot);
            let first = ids.first_chunk_mut::<MAX_IDS>().expect("an answer has room for an entry");
            // SAFETY: what is initialized may be taken for what might not be, as only ids are written to it.
            let num_ids = entry.write_ids(unsafe { &mut *std::ptr::from_mut(first).cast() });
            *len = if is_known { num_ids } else { OPEN };
            self.unknown[num_unknown % SLOTS] = number;
            num_unknown += usize::from(!is_known);
            self.behind[num_behind % SLOTS] = number;
            num_behind += usize::from(is_behind);
        }
        (num_unknown, num_behind)
    }

    /// Puts into the row, from the `next` of the unknown ones on, those that have as many bytes as some characters of three bytes and begin
    /// with one, as far as there is room. Gives how many those are, and the next one.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn line_up(&mut self, batch: Batch<'_>, mut next: usize, num_unknown: usize) -> (usize, usize) {
        let Batch { text, ends, .. } = batch;
        self.row.clear();
        let mut found = 0;
        while next < num_unknown {
            let number = self.unknown[next];
            let (start, end) = (ends[number], ends[number + 1]);
            self.starts[found] = self.row.len();
            let (len, rest) = ((end - start) / CHARACTER_BYTES, (end - start) % CHARACTER_BYTES);
            if rest == 0 && len <= MAX_CHARACTERS && has_wide_lead(&text[start..end]) {
                if !self.row.push(text, start..end, len) {
                    break;
                }
                self.lined_up[found] = number;
                found += 1;
            }
            next += 1;
        }
        self.starts[found] = self.row.len();
        (found, next)
    }

    /// Takes from the row what became of each of so many pretokens, and lists those that are to be kept.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn take_answers(
        &mut self,
        lanes: impl Lanes,
        batch: Batch<'_>,
        num_lined_up: usize,
        encoder: &Encoder,
        found: &mut Found,
    ) {
        for at in 0..num_lined_up {
            let (number, start, end) = (self.lined_up[at], self.starts[at], self.starts[at + 1]);
            if let Some((ids, len)) = self.row.short_answer(lanes, start, end - start) {
                (self.ids[number], self.lens[number]) = (ids, len);
            } else if !self.take_longer(number, start, end - start, encoder) {
                continue;
            }
            found.merged += 1;
            self.kept[found.kept % SLOTS] = number;
            found.kept += usize::from(self.lens[number] <= MAX_IDS && self.keeping.keeps(batch.keys[number]));
        }
    }

    /// As [`Together::take_answers`], for one whose ids do not come from so few places as an answer has. Says whether it is answered.
    #[inline(never)]
    fn take_longer(&mut self, number: usize, start: usize, len: usize, encoder: &Encoder) -> bool {
        let Some(outcome) = self.row.outcome(start, len) else { return false };
        let first = self.longer.len();
        self.row.append(&outcome, &mut self.longer, |char, ids| encoder.append_character(char, ids));
        let (ids, num_ids) = (&mut self.ids[number], self.longer.len() - first);
        if num_ids <= WIDTH {
            ids[..num_ids].copy_from_slice(&self.longer[first..]);
            self.longer.truncate(first);
            self.lens[number] = num_ids;
        } else {
            let range = [first, self.longer.len()];
            let range = range.map(|place| TokenId::try_from(place).expect("a batch has fewer ids"));
            ids[..range.len()].copy_from_slice(&range);
            self.lens[number] = ELSEWHERE;
        }
        true
    }

    /// The answer to a pretoken that was merged.
    #[inline]
    fn answer_to(&self, number: usize) -> &[TokenId] {
        let (ids, len) = (&self.ids[number], self.lens[number]);
        if len == ELSEWHERE { &self.longer[ids[0] as usize..ids[1] as usize] } else { &ids[..len] }
    }

    /// Appends the answers to pretokens from the `next` on, of `len`, until one has none, and gives that one's number.
    #[inline]
    pub(super) fn append(&self, mut next: usize, len: usize, ids: &mut Vec<TokenId>) -> usize {
        while next < len {
            next = self.append_short(next, len, ids);
            if next == len || self.lens[next] == OPEN {
                break;
            }
            ids.extend_from_slice(self.answer_to(next));
            next += 1;
        }
        next
    }

    /// As [`Together::append`], until an answer is long.
    #[inline]
    fn append_short(&self, next: usize, len: usize, ids: &mut Vec<TokenId>) -> usize {
        let (answers, lens) = (&self.ids[next..len], &self.lens[next..len]);
        ids.reserve(WIDTH * answers.len());
        let (mut num_ids, base) = (ids.len(), ids.as_mut_ptr());
        let mut appended = 0;
        while let (Some(answer), Some(&num @ ..=WIDTH)) = (answers.get(appended), lens.get(appended)) {
            // SAFETY: `reserve` made room for `WIDTH` more ids for each pretoken, and each moves `num_ids` on by at most `WIDTH`; all that is
            // below it is written.
            unsafe { base.add(num_ids).cast::<[TokenId; WIDTH]>().write_unaligned(*answer) };
            num_ids += num;
            appended += 1;
        }
        // SAFETY: see above.
        unsafe { ids.set_len(num_ids) };
        next + appended
    }
}

/// Whether a pretoken begins with a character of three bytes.
#[inline]
fn has_wide_lead(pretoken: &[u8]) -> bool {
    pretoken.first().is_some_and(|&byte| byte & 0xF0 == 0xE0)
}

#[cfg(test)]
mod tests;
