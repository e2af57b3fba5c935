//! Characters of three bytes in a row, those of one pretoken behind those of another, and what merges make of them.
//!
//! Most neighbours in text stand side by side in no token, so nothing ever joins them ([`super::super::joins`]). There, and where a
//! pretoken ends, the row is cut. Nearly all of what is between two cuts is one character, which is done, or two, which merge or do not;
//! the few longer runs are merged one by one. So nothing here depends on where pretokens begin and how long they are.
//!
//! This rests on what [`super::super::chars`] says of characters: that each becomes what it becomes alone before anything joins it with its
//! neighbours. A pretoken in which that is not sure is left to others as a whole: a token made across the border of two characters may be
//! joined with those beside them, of which the table knows nothing.

use super::super::TokenId;
use super::super::chars::Table;
use super::super::merge::merge_short;
use super::super::pairs::{NO_RANK, PairPlace, PairTable, Rank, or_none};
use super::bits::{Bits, SEEN};
use super::lanes::{BLOCK, CHARACTER_BYTES, LOADED_BYTES, Lanes, Met, SPELLED, WIDTH, produce};
use std::ops::Range;

/// Characters that a row has room for.
pub(super) const CAPACITY: usize = 1024;

/// Characters of a pretoken at most: all [`Bits`] of one are read at once.
pub(super) const MAX_CHARACTERS: usize = SEEN;

/// Bytes that are copied at once.
const COPIED: usize = 32;

/// A run of three whose first merge is made.
#[derive(Clone, Copy, Debug, Default)]
struct Three {
    /// Where it begins, and where the last of the two is that are left of it.
    at: usize,
    last: usize,
    /// Where the merge of these two is.
    place: PairPlace,
}

#[derive(Debug)]
pub(super) struct Row {
    /// How many characters there are.
    len: usize,
    bytes: [u8; CAPACITY * CHARACTER_BYTES + LOADED_BYTES],
    /// What is known of each character.
    known: [u64; CAPACITY + 1],
    /// The ids of characters, and then of what they merge into, at the first place of each run.
    ids: [TokenId; CAPACITY + WIDTH],
    /// The ranks of the merges of each and the next, where `joined` has a bit.
    ranks: [Rank; CAPACITY],
    threes: [Three; CAPACITY / 3],
    /// Those that do not begin as characters of three bytes do.
    misspelled: Bits,
    /// Those, and others of which nothing is said here.
    unfit: Bits,
    /// Those of `unfit` and `rare`.
    special: Bits,
    /// Characters that are several tokens.
    rare: Bits,
    /// Characters with which a pretoken ends.
    last: Bits,
    /// Characters that merges may come to join to the next: first as [`super::super::joins`] has it, then without those that it is wrong about.
    joined: Bits,
    /// Places that still have an id.
    left: Bits,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            len: 0,
            bytes: [0; CAPACITY * CHARACTER_BYTES + LOADED_BYTES],
            known: [0; CAPACITY + 1],
            ids: [0; CAPACITY + WIDTH],
            ranks: [NO_RANK; CAPACITY],
            threes: [Three::default(); CAPACITY / 3],
            misspelled: Bits::default(),
            unfit: Bits::default(),
            special: Bits::default(),
            rare: Bits::default(),
            last: Bits::default(),
            joined: Bits::default(),
            left: Bits::default(),
        }
    }
}

impl Row {
    /// How many characters there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes it empty.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.last.clear();
    }

    /// Appends a pretoken, `text[range]`, of as many bytes as so many characters have, if there is room for it, and says whether there is.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn push(&mut self, text: &[u8], range: Range<usize>, len: usize) -> bool {
        if self.len + len > CAPACITY {
            return false;
        }
        let to = &mut self.bytes[self.len * CHARACTER_BYTES..];
        let (bytes, first) = (text[range.start..].first_chunk::<COPIED>(), to.first_chunk_mut::<COPIED>());
        match (bytes, first) {
            (Some(bytes), Some(first)) if len <= COPIED / CHARACTER_BYTES => *first = *bytes,
            _ => copy(&text[range], to),
        }
        self.len += len;
        self.last.insert(self.len - 1);
        true
    }

    /// Merges all. `encode` appends the tokens that a character becomes by itself.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn merge(
        &mut self,
        lanes: impl Lanes,
        table: &Table,
        pairs: &PairTable,
        encode: impl FnMut(&[u8], &mut Vec<TokenId>),
    ) {
        let num_blocks = self.len.div_ceil(BLOCK);
        for block in 0..num_blocks {
            self.look_up_characters(lanes, table, block);
        }
        let unknown = (0..num_blocks).fold(0, |unknown, block| unknown | self.find_joins(lanes, table, block));
        if unknown != 0 && self.meet(table, encode) {
            for block in 0..num_blocks {
                self.find_joins(lanes, table, block);
            }
        }
        self.joined.set_block(num_blocks, 0);
        for block in 0..num_blocks {
            self.look_up_pairs(pairs, block);
        }
        for block in 0..=num_blocks {
            self.left.set_block(block, u64::MAX);
        }
        let mut num_threes = 0;
        for block in 0..num_blocks {
            num_threes = self.merge_runs(lanes, pairs, block, num_threes);
        }
        self.end_threes(pairs, num_threes);
    }

    /// Looks up the characters of a block, and others behind the last one.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn look_up_characters(&mut self, lanes: impl Lanes, table: &Table, block: usize) {
        let bytes = &self.bytes[block * BLOCK * CHARACTER_BYTES..];
        let (mut codes, mut misspelled) = ([0; BLOCK], 0);
        for (part, codes) in codes.as_chunks_mut::<SPELLED>().0.iter_mut().enumerate() {
            let bytes =
                bytes[part * SPELLED * CHARACTER_BYTES..].first_chunk().expect("more are behind the last block");
            misspelled |= u64::from(lanes.spell(bytes, codes)) << (part * SPELLED);
        }
        self.misspelled.set_block(block, misspelled);
        let known: &mut [_; BLOCK] = self.known[block * BLOCK..].first_chunk_mut().expect("a block has as many");
        for at in 0..BLOCK {
            known[at] = table.known(codes[at] as usize);
        }
    }

    /// Finds out what there is to know of the characters that were not met before, and says whether there was one.
    #[cold]
    #[inline(never)]
    fn meet(&mut self, table: &Table, mut encode: impl FnMut(&[u8], &mut Vec<TokenId>)) -> bool {
        let chars = self.bytes.as_chunks::<CHARACTER_BYTES>().0;
        let mut has_met = false;
        for (known, char) in self.known[..self.len].iter_mut().zip(chars).filter(|(known, _)| **known == 0) {
            *known = table.meet(char, &mut encode);
            has_met |= *known != 0;
        }
        has_met
    }

    /// Takes ids from what is known of the characters of a block, and finds those that may be joined to the next. Gives a bit for each that
    /// is not known.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn find_joins(&mut self, lanes: impl Lanes, table: &Table, block: usize) -> u64 {
        let first = block * BLOCK;
        let known = self.known[first..].first_chunk().expect("one more is behind the last block");
        let ids = self.ids[first..].first_chunk_mut().expect("more are behind the last block");
        let Met { unknown, crosses, rare, joins } = lanes.meet(known, table.joins(), ids);
        // Behind the last one are those of an earlier row.
        let of_row = u64::MAX >> (BLOCK - (self.len - first).min(BLOCK));
        let (unknown, before_another) = (unknown & of_row, of_row & !self.last.block(block));
        let crosses = self.without_wrong_crossings(table, block, crosses & before_another);
        let unfit = self.misspelled.block(block) | unknown | crosses;
        self.unfit.set_block(block, unfit);
        self.rare.set_block(block, rare);
        self.special.set_block(block, unfit | rare);
        self.joined.set_block(block, joins & before_another);
        unknown
    }

    /// Those of the characters in a block of which a part can really merge with the next, or the other way round.
    #[inline]
    fn without_wrong_crossings(&self, table: &Table, block: usize, crosses: u64) -> u64 {
        let (mut rest, mut right) = (crosses, 0);
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            let first = (block * BLOCK + at) * CHARACTER_BYTES;
            let (left, next) = self.bytes[first..first + 2 * CHARACTER_BYTES].split_at(CHARACTER_BYTES);
            right |= u64::from(table.can_merge(left, next)) << at;
            rest &= rest - 1;
        }
        right
    }

    /// Looks up the merges of those in a block that may be joined to the next. No lookup waits for another.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn look_up_pairs(&mut self, pairs: &PairTable, block: usize) {
        let (mut rest, mut joined, mut lost) = (self.joined.block(block), 0, 0);
        let ids: &[_; BLOCK + 1] = self.ids[block * BLOCK..].first_chunk().expect("more are behind the last block");
        let ranks: &mut [_; BLOCK] = self.ranks[block * BLOCK..].first_chunk_mut().expect("a block has as many");
        while rest != 0 {
            let at = rest.trailing_zeros() as usize % BLOCK;
            let (rank, is_lost) = pairs.rank_or_inside(pairs.place(ids[at], ids[at + 1]));
            ranks[at] = rank;
            joined |= u64::from(rank != NO_RANK) << at;
            lost |= u64::from(is_lost) << at;
            rest &= rest - 1;
        }
        while lost != 0 {
            let at = lost.trailing_zeros() as usize % BLOCK;
            ranks[at] = pairs.rank_without_place(ids[at], ids[at + 1]);
            joined |= u64::from(ranks[at] != NO_RANK) << at;
            lost &= lost - 1;
        }
        self.joined.set_block(block, joined);
    }

    /// Merges the runs that begin in a block, those of three once. Takes and gives how many of those there are.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn merge_runs(&mut self, lanes: impl Lanes, pairs: &PairTable, block: usize, mut num_threes: usize) -> usize {
        let before = block.checked_sub(1).map_or(0, |before| self.joined.block(before));
        let joined = self.joined.block(block);
        let starts = joined & !(joined << 1 | before >> 63);
        let longer = starts & (joined >> 1 | self.joined.block(block + 1) << 63);
        let ids = self.ids[block * BLOCK..].first_chunk_mut().expect("more are behind the last block");
        let ranks = self.ranks[block * BLOCK..].first_chunk().expect("a block has as many");
        let gone = match pairs.produced_in_order() {
            Some(produced) => lanes.produce(ids, ranks, starts ^ longer, produced),
            None => produce(ids, ranks, starts ^ longer, |rank| pairs.produced_if_any(rank)),
        };
        self.left.set_block(block, self.left.block(block) & !(gone << 1));
        self.left.set_block(block + 1, self.left.block(block + 1) & !(gone >> 63));
        let mut starts = longer;
        while starts != 0 {
            let at = block * BLOCK + starts.trailing_zeros() as usize;
            match self.joined.from(at).trailing_ones() {
                2 => num_threes = self.begin_three(pairs, at, num_threes),
                more => self.merge_run(pairs, at, 1 + more as usize),
            }
            starts &= starts - 1;
        }
        num_threes
    }

    /// Makes the first merge of a run of three, if there is one, and takes note of it and of where the second is. Takes and gives how many
    /// have been taken note of.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn begin_three(&mut self, pairs: &PairTable, at: usize, num_threes: usize) -> usize {
        let [left, right]: [Rank; 2] = *self.ranks[at..].first_chunk().expect("a run of three has two");
        let Some(new) = pairs.produced_if_any(left.min(right)) else { return num_threes };
        let is_left = left <= right;
        let (first, last) = if is_left { (new, self.ids[at + 2]) } else { (self.ids[at], new) };
        self.ids[if is_left { at } else { at + 1 }] = new;
        self.left.remove(if is_left { at + 1 } else { at + 2 });
        self.threes[num_threes] =
            Three { at, last: if is_left { at + 2 } else { at + 1 }, place: pairs.place(first, last) };
        num_threes + 1
    }

    /// Makes the second merge of each of so many runs of three that there is one for.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn end_threes(&mut self, pairs: &PairTable, num_threes: usize) {
        for &Three { at, last, place } in &self.threes[..num_threes] {
            let (mut rank, is_lost) = pairs.rank_or_inside(place);
            if is_lost {
                rank = pairs.rank_without_place(self.ids[at], self.ids[last]);
            }
            if let Some(produced) = pairs.produced_if_any(rank) {
                self.ids[at] = produced;
                self.left.remove(last);
            }
        }
    }

    /// Merges the run that begins at a place.
    #[inline(never)]
    fn merge_run(&mut self, pairs: &PairTable, at: usize, len: usize) {
        let ranks = &self.ranks[at..];
        let rank = |_: &[TokenId], at: usize| or_none(ranks[at]);
        let kept = merge_short(pairs, rank, &mut self.ids[at..at + len]);
        for gone in at + kept..at + len {
            self.left.remove(gone);
        }
    }
}

/// What a pretoken became.
pub(super) struct Outcome {
    /// Where it begins in the row.
    start: usize,
    /// A bit for each of its places that has an id.
    left: u64,
    /// A bit for each of its characters that is several tokens.
    rare: u64,
}

impl Row {
    /// Its ids and how many those are, if the pretoken that begins at `start` has at most `WIDTH` characters and all is said here.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // there are so few
    pub(super) fn short_answer(
        &self,
        lanes: impl Lanes,
        start: usize,
        len: usize,
    ) -> Option<([TokenId; WIDTH], usize)> {
        let [special, left] = [&self.special, &self.left].map(|bits| bits.from(start));
        let of_it = 2_u64.wrapping_shl(len as u32 - 1).wrapping_sub(1);
        if len > WIDTH || special & of_it != 0 {
            return None;
        }
        let ids = self.ids[start..].first_chunk().expect("more are behind the last character");
        let left = (left & of_it) as u8;
        Some((lanes.keep(ids, left), left.count_ones() as usize))
    }

    /// What became of the pretoken of so many characters that begins at `start`, if that is known here.
    pub(super) fn outcome(&self, start: usize, len: usize) -> Option<Outcome> {
        let [unfit, left, rare] = [&self.unfit, &self.left, &self.rare].map(|bits| bits.from(start) & ((1 << len) - 1));
        (unfit == 0).then_some(Outcome { start, left, rare })
    }

    /// Appends its ids. `encode` appends the tokens that a character becomes by itself.
    pub(super) fn append(
        &self,
        outcome: &Outcome,
        ids: &mut Vec<TokenId>,
        mut encode: impl FnMut(&[u8], &mut Vec<TokenId>),
    ) {
        let mut left = outcome.left;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            let at = outcome.start + place;
            if outcome.rare >> place & 1 == 0 {
                ids.push(self.ids[at]);
            } else {
                encode(&self.bytes[at * CHARACTER_BYTES..][..CHARACTER_BYTES], ids);
            }
            left &= left - 1;
        }
    }
}

/// Copies bytes to the front of others.
#[cold]
#[inline(never)]
fn copy(bytes: &[u8], to: &mut [u8]) {
    to[..bytes.len()].copy_from_slice(bytes);
}
