//! From ranks to merges: the one pair that makes each token.
//!
//! By ranks, any two adjacent parts merge whose concatenation is a token; with merges, only pairs that are listed. Yet one
//! pair a token is enough. Say parts `l` and `r` are merged to the token `t` somewhere in a text. Up to then no merge crossed
//! the borders of that place, and each merge in it was the lowest and leftmost of the whole text, hence of the place: so they
//! were the merges that `t`'s own bytes undergo alone, in the same order. Those end in one last pair, which is `(l, r)`
//! whatever the text. This holds for every table of ranks, however little it looks like one that training makes. A token
//! whose bytes do not come to it is never merged to at all, and only the look at whole pretokens gives it (`ignore_merges`).

use crate::merges::{Merge, Merges};
use crate::token::TokenId;
use crate::vocab::Vocab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The merges by the rank of what they make, and whether there are tokens that no merge makes.
pub(super) fn derive(vocab: &Vocab) -> (Merges, bool) {
    let mut merging = Merging::default();
    let mut merges = Merges::default();
    let mut has_unreachable = false;
    for (produced, token) in (0..).zip(vocab.iter()) {
        // Special tokens and ids without a token are not found by their bytes.
        if token.len() < 2 || vocab.id(token) != Some(produced) {
            continue;
        }
        let sides = merging.last_pair(vocab, token).map(|mid| (vocab.id(&token[..mid]), vocab.id(&token[mid..])));
        match sides {
            Some((Some(left), Some(right))) => merges.push(Merge { left, right, produced }),
            _ => has_unreachable = true,
        }
    }
    (merges, has_unreachable)
}

/// Work space for merging the bytes of one token after another. Parts are known by where they start.
#[derive(Default)]
struct Merging {
    /// Where the part ends that starts here; [`GONE`] where none does.
    end_of: Vec<usize>,
    /// Where the part before starts.
    previous: Vec<usize>,
    /// (rank, start, end) of what two adjacent parts are together, lowest first; stale if they were merged otherwise since.
    heap: BinaryHeap<Reverse<(TokenId, usize, usize)>>,
}

const GONE: usize = 0;

impl Merging {
    /// Where the two parts meet that `token` is merged of at last; `None` if its bytes do not come to two, and so to one.
    fn last_pair(&mut self, vocab: &Vocab, token: &[u8]) -> Option<usize> {
        if token.len() == 2 {
            return Some(1);
        }
        self.end_of.clear();
        self.end_of.extend(1..=token.len());
        self.previous.clear();
        self.previous.extend((0..token.len()).map(|start| start.saturating_sub(1)));
        self.heap.clear();
        for start in 0..token.len() - 1 {
            self.offer(vocab, token, start);
        }
        while let Some(Reverse((_, start, end))) = self.heap.pop() {
            let mid = self.end_of[start];
            if mid == GONE || mid >= end || self.end_of[mid] != end {
                continue;
            }
            if end - start == token.len() {
                return Some(mid);
            }
            self.end_of[start] = end;
            self.end_of[mid] = GONE;
            if end < token.len() {
                self.previous[end] = start;
                self.offer(vocab, token, start);
            }
            if start > 0 {
                self.offer(vocab, token, self.previous[start]);
            }
        }
        None
    }

    /// Notes what the part at `start` and the one behind it would become.
    fn offer(&mut self, vocab: &Vocab, token: &[u8], start: usize) {
        let end = self.end_of[self.end_of[start]];
        if let Some(rank) = vocab.id(&token[start..end]) {
            self.heap.push(Reverse((rank, start, end)));
        }
    }
}
