//! GPT-2's pattern, by bit masks.
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! Where a pretoken starts depends on a character and its neighbours only, but for what follows a contraction:
//!
//! - (a) whitespace after something else;
//! - (b) the last of two or more whitespace characters, if the text goes on after it, because of `(?!\S)`;
//! - (c) something after whitespace that is not a blank, since only a blank joins what follows it;
//! - (d) a letter, a number or anything else after one of another kind;
//! - (e) where a `'` starts a pretoken and a contraction follows, not at the letter after it but after the contraction.
//!
//! With a limit on numbers that stand together the third alternative becomes `\p{N}{1,LIMIT}`: numbers do not join a blank, and
//! a run of them starts a pretoken at every multiple of the limit.

use super::blocks::{Block, BlockReader};
use super::classes::Classes;
use super::runs::{Groups, after};
use super::vectors::Vectors;

/// Finds where pretokens start, a block at a time: gives offsets and masks. `DIGITS` is the limit on numbers, 0 for none.
pub(super) struct Starts<'a, V, const DIGITS: u8> {
    text: &'a [u8],
    blocks: BlockReader<'a, Classes, V>,
    /// The block before, of which the top bits are looked at.
    before: Block,
    /// What a contraction at the end of the block before adds to and takes from this one.
    added: u64,
    removed: u64,
    groups: Groups<DIGITS>,
}

impl<'a, V: Vectors, const DIGITS: u8> Starts<'a, V, DIGITS> {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn new(text: &'a [u8], vectors: V) -> Self {
        Self {
            text,
            blocks: BlockReader::new(text, 0, vectors),
            before: Block::default(),
            added: 0,
            removed: 0,
            groups: Groups::default(),
        }
    }
}

impl<V: Vectors, const DIGITS: u8> Iterator for Starts<'_, V, DIGITS> {
    type Item = (usize, u64);

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn next(&mut self) -> Option<(usize, u64)> {
        let (block, start, length) = self.blocks.next()?;
        let Block { letter, number, space, blank, quote, wide, .. } = block;
        let after_letter = after(letter, self.before.letter);
        let after_number = after(number, self.before.number);
        let after_space = after(space, self.before.space);
        let after_blank = after(blank, self.before.blank);
        // Of the last byte it matters only if it is whitespace itself. To ask in any case is faster, but for text beyond ASCII.
        let is_asked = wide == 0 || space >> 63 != 0;
        let is_followed_by_space = is_asked && self.blocks.characters.is_space_or_end(start + 64);
        let before_space = space >> 1 | u64::from(is_followed_by_space) << 63;

        let mut starts = space & !after_space
            | space & after_space & !before_space & !wide
            | !space & after_space & !after_blank
            | !space & !after_space & (letter ^ after_letter | number ^ after_number);
        if DIGITS > 0 && number != 0 {
            starts = starts & !number | self.groups.starts(number, number & !after_number, block.continued);
        }
        if block.wide_space_starts != 0 {
            starts |= self.blocks.characters.last_of_spaces(block.wide_space_starts & after_space, start);
        }
        starts = (starts | self.added) & !self.removed;
        (self.added, self.removed) = (0, 0);
        if start == 0 {
            starts |= 1;
        }
        if quote & starts != 0 {
            (starts, self.added, self.removed) = contractions(self.text, quote & starts, starts, start);
        }
        if start == 0 {
            starts &= !1;
        }
        self.before = block;
        Some((start, starts & (u64::MAX >> (64 - length))))
    }
}

/// Rule (e) for the quotes that start a pretoken: the starts as they are then, and what is added to those of the next block and
/// taken from them.
#[inline(never)]
fn contractions(text: &[u8], mut quotes: u64, starts: u64, start: usize) -> (u64, u64, u64) {
    // Two blocks as one number: a contraction may begin in this block and end in the next.
    let (mut added, mut removed) = (0_u128, 0_u128);
    while quotes != 0 {
        let bit = quotes.trailing_zeros();
        quotes &= quotes - 1;
        let length = match text[start + bit as usize + 1..] {
            [b's' | b't' | b'm' | b'd', ..] => 2,
            [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => 3,
            _ => continue,
        };
        removed |= 1 << (bit + 1);
        added |= 1 << (bit + length);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the lower and the upper block")]
    let halves = |mask: u128| (mask as u64, (mask >> 64) as u64);
    let ((added, added_next), (removed, removed_next)) = (halves(added), halves(removed));
    ((starts | added) & !removed, added_next, removed_next)
}
