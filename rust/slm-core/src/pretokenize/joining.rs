//! What GPT-4's pattern and GPT-4o's have in common: a sign that joins the word after it, line ends that join what is before them,
//! and numbers in groups.
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?WORD|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! Call whitespace that is no line end inline, and what is neither a letter, a number nor whitespace a sign. A pretoken starts
//!
//! - (a) at whitespace after something else, but for line ends after a sign, which belong to it (and slashes among them, for GPT-4o);
//! - (b) behind these line ends;
//! - (c) at inline whitespace behind a line end, if no further line end follows it in the same whitespace;
//! - (d) at inline whitespace before something else, because of `(?!\S)`: it is the last that is left of its kind;
//! - (e) at a sign that follows neither a sign nor a blank;
//! - (f) at a letter that follows another kind, but for inline whitespace, where (d) holds, and a sign where (e) does: these join it;
//! - (g) at a number, where it is the first or the groups before are full.
//!
//! Each is about a character and its neighbours, but for (b) and (c), which go along runs, and (g), which counts.

use super::blocks::{Block, BlockReader, Table};
use super::runs::{Carry, Groups, after};
use super::vectors::Vectors;

/// Finds where pretokens start by these rules, a block at a time. `DIGITS` is the limit on numbers.
pub(super) struct Joining<'a, T: Table, V, const DIGITS: u8> {
    blocks: BlockReader<'a, T, V>,
    /// The block that comes next, where it starts and how long it is.
    next: Option<(Block, usize, usize)>,
    /// The block before, of which the top bits are looked at, and what was found there.
    before: Block,
    signs_before: u64,
    first_signs_before: u64,
    /// Along the bytes of a sign that starts a pretoken.
    first_sign: Carry,
    /// Along the line ends that belong to a sign.
    line_ends: Carry,
    groups: Groups<DIGITS>,
}

/// A block and what was found in it.
pub(super) struct Found {
    pub block: Block,
    /// The block before it, and the one behind; whitespace if the text ends.
    pub before: Block,
    pub ahead: Block,
    /// Where the block starts.
    pub offset: usize,
    /// The bytes of the text in it, less the first of all, of which there is no need to say that a pretoken starts there.
    pub places: u64,
    /// Where pretokens start.
    pub starts: u64,
    /// Those of rule (e).
    pub first_signs: u64,
    /// Bytes after a sign.
    pub after_sign: u64,
}

impl<'a, T: Table, V: Vectors, const DIGITS: u8> Joining<'a, T, V, DIGITS> {
    /// Finds those from `at` on, where a pretoken starts.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn new(text: &'a [u8], at: usize, vectors: V) -> Self {
        let mut blocks = BlockReader::new(text, at, vectors);
        Self {
            next: blocks.next(),
            blocks,
            before: Block::default(),
            signs_before: 0,
            first_signs_before: 0,
            first_sign: Carry::default(),
            line_ends: Carry::default(),
            groups: Groups::default(),
        }
    }

    /// What blocks are asked with.
    pub(super) fn vectors(&self) -> V {
        self.blocks.vectors
    }

    /// `None` at the end of the text.
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<Found> {
        let (block, offset, length) = self.next?;
        self.next = self.blocks.next();
        let ahead = self.next.map_or(Block { space: u64::MAX, ..Block::default() }, |(ahead, ..)| ahead);
        let before = self.before;
        let Block { letter, number, space, line_end, continued, .. } = block;
        let mut sign = !(letter | number | space);
        let inline = space & !line_end;
        let after_space = after(space, before.space);
        let after_line_end = after(line_end, before.line_end);

        // A slash is a sign, but not behind a line end that belongs to one; there are slashes in a block only where this is asked.
        let (behind, joined) = self.line_ends.along(line_end | block.slash, line_end & after(sign, self.signs_before));
        sign &= !joined;
        let after_sign = after(sign, self.signs_before);
        let before_space = space >> 1 | ahead.space << 63;
        let mut starts = space & !after_space & !joined | behind | inline & !before_space & !block.wide;
        if block.wide_space_starts != 0 {
            starts |= self.blocks.characters.last_of_spaces(block.wide_space_starts, offset);
        }
        let indents = inline & after_line_end & !behind;
        if indents != 0 {
            starts |= self.last_indents(indents, inline, line_end, &ahead);
        }

        let first_signs = sign & !after_sign & !after(block.blank, before.blank);
        // A sign beyond ASCII has more bytes, so what is behind it is found along these.
        let (behind_first_sign, _) = self.first_sign.along(continued, after(first_signs, self.first_signs_before));
        let after_inline = after_space & !after_line_end;
        starts |= first_signs | letter & !after(letter, before.letter) & !after_inline & !behind_first_sign;
        starts |= self.groups.starts(number, number & !after(number, before.number), continued);

        (self.before, self.signs_before, self.first_signs_before) = (block, sign, first_signs);
        let places = u64::MAX >> (64 - length) & !u64::from(offset == 0);
        Some(Found { block, before, ahead, offset, places, starts, first_signs, after_sign })
    }

    /// Rule (c): those of `indents`, the first inline whitespace behind line ends, that are not followed by another line end.
    #[inline]
    fn last_indents(&self, indents: u64, inline: u64, line_end: u64, ahead: &Block) -> u64 {
        let (sum, overflows) = inline.overflowing_add(indents);
        let mut last = indents;
        let mut ends = sum & !inline & line_end;
        // Seldom: what stands behind a line end and before another is a line of nothing but blanks.
        while ends != 0 {
            let before_end = last & ((ends & ends.wrapping_neg()) - 1);
            last ^= highest(before_end);
            ends &= ends - 1;
        }
        if overflows && self.goes_on_to_line_end(ahead) {
            last ^= highest(last);
        }
        last
    }

    /// Whether inline whitespace that reaches to the end of a block goes on to a line end.
    #[inline]
    fn goes_on_to_line_end(&self, ahead: &Block) -> bool {
        let inline = ahead.space & !ahead.line_end;
        match self.next {
            // The whole text is looked at once at most: the next indent is behind the next line end.
            Some((_, start, _)) if inline == u64::MAX => self.blocks.characters.has_line_end_in_space(start + 64),
            _ => inline.wrapping_add(1) & !inline & ahead.line_end != 0,
        }
    }
}

/// The highest of these bits, of which there is one.
#[inline]
fn highest(bits: u64) -> u64 {
    1 << bits.ilog2()
}

/// The length, with the quote, of the contraction that `text` begins with behind a quote. U+017F folds to `s`, in both engines.
#[inline]
pub(super) fn contraction(text: &[u8]) -> Option<usize> {
    match text {
        [b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => Some(2),
        [b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'l' | b'L', b'l' | b'L', ..] | [0xC5, 0xBF, ..] => Some(3),
        _ => None,
    }
}
