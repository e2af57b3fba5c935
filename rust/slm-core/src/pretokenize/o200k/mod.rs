//! GPT-4o's pattern, by bit masks.
//!
//! ```text
//!  [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! Write `U` for `[\p{Lu}\p{Lt}]`, `l` for `\p{Ll}` and `B` for `[\p{Lm}\p{Lo}\p{M}]`, which is in both classes. The first
//! line takes `(U|B)*(l|B)+`: all of `U` and `B` from a place on, and then all of `l` and `B`, where an `l` follows. Where none
//! does, the regex gives back what it took until the second part has a `B`: the word ends after the last `B`, and the capitals
//! behind that are a word of their own. Only capitals alone are left to the second line.
//!
//! So to the rules of [`joining`](super::joining), for which marks are letters, these are added. A pretoken starts
//!
//! - (h) at a `U` after an `l`, or after an `l` and then `B`s;
//! - (i) at a `U` after a `B` otherwise, if it and the `U`s that follow it are not followed by an `l` or a `B`;
//! - (j) behind a contraction after a word, and not within it.
//!
//! A mark after a sign is either one more sign or begins a word, which depends on all that comes before; and what (h) asks is
//! another question where a `B` follows a contraction. Both are seldom: a block with one of them is split character by
//! character, up to the first pretoken that starts behind it, where the masks begin anew.

pub(super) mod by_char;
mod kinds;

use super::blocks::{Block, Table};
use super::joining::{Found, Joining, contraction};
use super::runs::{Carry, after};
use super::vectors::Vectors;
use kinds::Kind;
pub(super) use kinds::Kinds;

/// Finds where pretokens start, a block at a time: gives offsets and masks. `DIGITS` is the limit on numbers.
pub(super) struct Starts<'a, V, const DIGITS: u8> {
    text: &'a [u8],
    kinds: Kinds,
    joining: Joining<'a, Kinds, V, DIGITS>,
    /// Where the last pretoken starts that is known.
    open: usize,
    /// Along letters without case and marks after a small letter.
    after_lower: Carry,
    contractions: Contractions,
}

/// The contractions of a block, and what the one at its end means for the next block.
#[derive(Clone, Copy, Debug, Default)]
struct Contractions {
    /// Where they end, and the bytes that are in them, of two blocks each.
    ends: u128,
    within: u128,
    /// Where the last one ends, in the text.
    end: usize,
}

impl<'a, V: Vectors, const DIGITS: u8> Starts<'a, V, DIGITS> {
    pub(super) fn new(text: &'a [u8], vectors: V) -> Self {
        Self::from(text, 0, vectors)
    }

    fn from(text: &'a [u8], at: usize, vectors: V) -> Self {
        Self {
            text,
            kinds: Kinds::new(),
            joining: Joining::new(text, at, vectors),
            open: at,
            after_lower: Carry::default(),
            contractions: Contractions::default(),
        }
    }

    /// Rules (h) and (i).
    #[inline]
    fn capitals(&mut self, found: &Found) -> u64 {
        let caseless = |block: &Block| block.letter & !block.upper & !block.lower;
        let Found { block, before, .. } = found;
        let after_lower = after(block.lower, before.lower);
        let (behind, _) = self.after_lower.along(caseless(block), caseless(block) & after_lower);
        let mut starts = block.upper & (after_lower | behind);
        let mut others = block.upper & after(caseless(block), caseless(before)) & !behind;
        while others != 0 {
            let at = found.offset + others.trailing_zeros() as usize;
            let end = self.kinds.end_of_run(self.text, at, |kind| kind == Kind::Upper);
            if matches!(self.kinds.at(self.text, end).0, Kind::Other | Kind::Number | Kind::Space) {
                starts |= others & others.wrapping_neg();
            }
            others &= others - 1;
        }
        starts
    }

    /// Looks for contractions at these quotes, which follow a letter; no if a letter without case or a mark follows one.
    fn find_contractions(&mut self, mut quotes: u64, offset: usize) -> bool {
        while quotes != 0 {
            let at = quotes.trailing_zeros() as usize;
            quotes &= quotes - 1;
            let start = offset + at;
            let Some(length) = contraction(&self.text[start + 1..]) else { continue };
            // What follows a contraction is no word yet, which could have another one.
            if start == self.contractions.end {
                continue;
            }
            let end = start + length;
            if matches!(self.kinds.at(self.text, end).0, Kind::Caseless | Kind::Mark) {
                return false;
            }
            self.contractions.ends |= 1 << (at + length);
            self.contractions.within |= ((1 << length) - 1) << at;
            self.contractions.end = end;
        }
        true
    }

    /// Splits the block at `offset` character by character, from the pretoken that is open there until one starts behind it.
    #[cold]
    fn one_by_one(&mut self, offset: usize) -> u64 {
        let (mut at, mut starts) = (self.open, 0);
        let end = self.text.len().min(offset + 64);
        while at < end {
            if at >= offset {
                starts |= 1 << (at - offset);
            }
            at = by_char::end_of_pretoken::<DIGITS>(self.text, self.kinds, at);
        }
        *self = Self::from(self.text, at, self.joining.vectors());
        starts
    }
}

impl<V: Vectors, const DIGITS: u8> Iterator for Starts<'_, V, DIGITS> {
    type Item = (usize, u64);

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, u64)> {
        let found = self.joining.next()?;
        let Found { block, before, ahead, offset, places, .. } = &found;
        self.contractions.ends >>= 64;
        self.contractions.within >>= 64;
        let quotes = block.quote & after(block.letter, before.letter) & (block.letter >> 1 | ahead.letter << 63);
        let is_hard = block.mark & found.after_sign != 0 || quotes != 0 && !self.find_contractions(quotes, *offset);
        if is_hard {
            return Some((*offset, self.one_by_one(*offset) & places));
        }
        let Contractions { ends, within, .. } = self.contractions;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is this block")]
        let (ends, within) = (ends as u64, within as u64);
        let starts = (found.starts | self.capitals(&found)) & !within | ends;
        let starts = starts & places;
        if starts != 0 {
            self.open = offset + starts.ilog2() as usize;
        }
        Some((*offset, starts))
    }
}
