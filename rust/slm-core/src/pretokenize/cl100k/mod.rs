//! GPT-4's pattern, by bit masks. Llama 3 has the same; Qwen2's differs only in that each number stands alone.
//!
//! ```text
//! (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! A quote would join the letters after it anyway, so a contraction adds one rule to those of [`joining`](super::joining): a
//! pretoken starts behind it.

#[cfg(test)]
pub(super) mod by_char;

use super::classes::Classes;
use super::joining::{Joining, contraction};
use super::vectors::Vectors;

/// Finds where pretokens start, a block at a time. `DIGITS` is the limit on numbers.
pub(super) struct Starts<'a, V, const DIGITS: u8> {
    text: &'a [u8],
    joining: Joining<'a, Classes, V, DIGITS>,
    /// What contractions at the end of the block before add to this one.
    added: u64,
}

impl<'a, V: Vectors, const DIGITS: u8> Starts<'a, V, DIGITS> {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn new(text: &'a [u8], vectors: V) -> Self {
        Self { text, joining: Joining::new(text, 0, vectors), added: 0 }
    }

    /// Where contractions end whose quotes these are, in the block at `offset`.
    fn ends_of_contractions(&mut self, mut quotes: u64, offset: usize) -> u64 {
        // Two blocks as one number: a contraction may begin in this block and end in the next.
        let mut ends = 0_u128;
        while quotes != 0 {
            let at = quotes.trailing_zeros() as usize;
            quotes &= quotes - 1;
            if let Some(length) = contraction(&self.text[offset + at + 1..]) {
                ends |= 1 << (at + length);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower and the upper block")]
        let (now, next) = (ends as u64, (ends >> 64) as u64);
        self.added = next;
        now
    }
}

impl<V: Vectors, const DIGITS: u8> Iterator for Starts<'_, V, DIGITS> {
    type Item = (usize, u64);

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, u64)> {
        let found = self.joining.next()?;
        let mut starts = found.starts | std::mem::take(&mut self.added);
        // A contraction is of letters, and most quotes stand at the end of a word.
        let before_letter = found.block.letter >> 1 | found.ahead.letter << 63;
        let quotes = found.block.quote & found.first_signs & before_letter;
        if quotes != 0 {
            starts |= self.ends_of_contractions(quotes, found.offset);
        }
        Some((found.offset, starts & found.places))
    }
}
