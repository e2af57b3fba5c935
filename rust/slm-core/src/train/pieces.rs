//! What is left of the pretokens in one pass: pieces between permanent borders, each once, with its count.
//!
//! A pair of tokens that occurs less often than every merge of the pass is a border: it is not merged in this pass, and neither
//! is any pair across it later on, because all occurrences of that one lie where this one occurs now. So pretokens are cut there,
//! pieces of one token are dropped, and equal pieces become one. The fewer pairs are above the threshold, the fewer and shorter
//! are the pieces: the threshold is what keeps them in the memory there is.

use crate::count::PretokenCounts;
use crate::error::Result;
use crate::progress::Stop;
use crate::token::TokenId;
use crate::train::memory::Memory;
use crate::train::pool::{read, write};
use crate::train::sketch::Sketch;
use crate::train::words::{PretokenList, Words};
use std::hint::black_box;

/// Calls `emit` with every piece of two tokens and more. `counts` is work space.
#[inline]
pub(super) fn cut(
    ids: &[TokenId],
    sketch: &Sketch,
    threshold: u64,
    counts: &mut Vec<u32>,
    mut emit: impl FnMut(&[TokenId]),
) {
    // All loads before the first decision, so that none waits for another.
    counts.clear();
    counts.extend(ids.windows(2).map(|pair| sketch.at_most(pair[0], pair[1])));
    let mut start = 0;
    for (at, &count) in (1..).zip(counts.iter()) {
        if u64::from(count) < threshold {
            if at - start > 1 {
                emit(&ids[start..at]);
            }
            start = at;
        }
    }
    if ids.len() - start > 1 {
        emit(&ids[start..]);
    }
}

/// Pairs that are enough to tell how often the others occur.
const MAX_SAMPLE: usize = 1 << 16;

/// Pieces are handed on once they have this many bytes.
const LIST_BYTES: usize = 64 << 10;

/// Pieces whose places in the table are loaded together.
const PIECES_AHEAD: usize = 32;

/// Pieces one after another, each written as [`write`] does.
#[derive(Default)]
pub(super) struct PieceList {
    bytes: Vec<u8>,
    lengths_and_counts: Vec<(usize, u64)>,
}

impl PieceList {
    pub fn push(&mut self, piece: &[TokenId], width: usize, count: u64) {
        let start = self.bytes.len();
        write(piece, width, &mut self.bytes);
        self.lengths_and_counts.push((self.bytes.len() - start, count));
    }

    /// Whether it is time to hand them on.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= LIST_BYTES
    }
}

/// The pieces of a pass, within the memory for it as far as the threshold can be raised.
pub(super) struct Pieces<'a> {
    table: PretokenCounts,
    num_tokens: usize,
    width: usize,
    sketch: &'a Sketch,
    memory: Memory,
    threshold: u64,
    /// What the threshold is not raised beyond, so that each pass makes a merge.
    max_threshold: u64,
    stop: &'a Stop,
}

impl<'a> Pieces<'a> {
    pub fn new(
        sketch: &'a Sketch,
        width: usize,
        memory: Memory,
        (threshold, max_threshold): (u64, u64),
        stop: &'a Stop,
    ) -> Self {
        let table = PretokenCounts::within(memory.piece_table_bytes());
        Self { table, num_tokens: 0, width, sketch, memory, threshold, max_threshold, stop }
    }

    /// Where pieces are cut, if not further up: pairs that occur at least as often are whole.
    pub fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Adds pieces, written as [`write`] does.
    ///
    /// # Errors
    /// [`crate::error::Error::Interrupted`].
    pub fn add(&mut self, pieces: &PieceList) -> Result<()> {
        let mut start = 0;
        for group in pieces.lengths_and_counts.chunks(PIECES_AHEAD) {
            let mut end = start;
            black_box(group.iter().fold(0, |all, &(length, _)| {
                let at = end;
                end += length;
                all ^ self.table.touch(&pieces.bytes, at, end)
            }));
            for &(length, count) in group {
                self.add_one(&pieces.bytes, start, start + length, count)?;
                start += length;
            }
        }
        Ok(())
    }

    #[inline]
    fn add_one(&mut self, bytes: &[u8], start: usize, end: usize, count: u64) -> Result<()> {
        let num_pieces = self.table.len();
        self.table.add_range_times(bytes, start, end, count);
        if self.table.len() > num_pieces {
            self.num_tokens += (end - start) / self.width;
            while self.threshold < self.max_threshold
                && (self.table.is_full() || !self.memory.holds(&self.table, self.num_tokens, self.width))
            {
                self.raise_threshold()?;
            }
        }
        Ok(())
    }

    /// Cuts all pieces again so that about half of the pairs are left, or as many as there are at the highest threshold.
    #[cold]
    fn raise_threshold(&mut self) -> Result<()> {
        // Steps between pairs that are looked at, so that there are about so many of them.
        let step = self.num_tokens / MAX_SAMPLE + 1;
        let (mut sample, mut next, mut ids) = (Vec::new(), 0, Vec::new());
        self.table.for_each_until(self.stop, |piece, _| {
            let num_pairs = piece.len() / self.width - 1;
            if next < num_pairs {
                read(piece, self.width, &mut ids);
                sample.extend((next..num_pairs).step_by(step).map(|at| self.sketch.at_most(ids[at], ids[at + 1])));
                next += (num_pairs - next).next_multiple_of(step);
            }
            next -= num_pairs;
        })?;
        let middle = sample.len() / 2;
        let median = sample.select_nth_unstable(middle).1;
        self.threshold = (u64::from(*median) + 1).max(self.threshold + 1).min(self.max_threshold);
        let max_bytes = if self.threshold == self.max_threshold { usize::MAX } else { self.memory.piece_table_bytes() };
        let old = std::mem::replace(&mut self.table, PretokenCounts::within(max_bytes));
        let (width, mut bytes, mut counts) = (self.width, Vec::new(), Vec::new());
        self.num_tokens = 0;
        old.for_each_until(self.stop, |piece, count| {
            read(piece, width, &mut ids);
            cut(&ids, self.sketch, self.threshold, &mut counts, |piece| {
                bytes.clear();
                write(piece, width, &mut bytes);
                let num_pieces = self.table.len();
                self.table.add(&bytes, count);
                self.num_tokens += if self.table.len() > num_pieces { piece.len() } else { 0 };
            });
        })
    }

    /// The pieces, ready to be learned from.
    ///
    /// # Errors
    /// [`crate::error::Error::Interrupted`].
    pub fn into_words(self, stop: &Stop) -> Result<Words> {
        match self.width {
            2 => words(self.table, stop, |bytes: [u8; 2]| TokenId::from(u16::from_le_bytes(bytes))),
            3 => words(self.table, stop, |[low, middle, high]: [u8; 3]| TokenId::from_le_bytes([low, middle, high, 0])),
            _ => words(self.table, stop, TokenId::from_le_bytes),
        }
    }
}

fn words<const WIDTH: usize>(
    table: PretokenCounts,
    stop: &Stop,
    id_of: impl Fn([u8; WIDTH]) -> TokenId,
) -> Result<Words> {
    let list = PretokenList::<WIDTH>::new(&table, stop)?;
    drop(table);
    Words::new(list, id_of, stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::sketch::Adder;

    #[test]
    fn pieces_lie_between_rare_pairs_and_have_two_tokens() {
        let sketch = Sketch::new(1 << 20, u64::MAX);
        for (left, right, count) in [(1, 2, 5), (2, 3, 1), (3, 4, 1), (4, 5, 7), (5, 6, 5)] {
            Adder::new(&sketch).add(left, right, count);
        }
        let pieces = |threshold| {
            let mut pieces = Vec::new();
            cut(&[1, 2, 3, 4, 5, 6], &sketch, threshold, &mut Vec::new(), |piece| pieces.push(piece.to_vec()));
            pieces
        };
        assert_eq!(pieces(1), [vec![1, 2, 3, 4, 5, 6]]);
        assert_eq!(pieces(2), [vec![1, 2], vec![4, 5, 6]]);
        assert_eq!(pieces(6), [vec![4, 5]]);
        assert!(pieces(8).is_empty());
    }
}
