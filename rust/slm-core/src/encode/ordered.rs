//! The ids of chunks that threads encode, put together in the order of the chunks.

use super::batch::EncodedBatch;
use super::room::{Seen, give_back, make_room};
use crate::io::pages::Supply;
use crate::token::TokenId;
use std::collections::HashMap;

/// The ids of a chunk, or of several.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub ids: Vec<TokenId>,
    /// Where each text ends in `ids`.
    pub ends: Vec<u64>,
    /// Bytes of the texts.
    pub bytes: u64,
    /// Of the pages of `ids`.
    supply: Supply,
}

impl Part {
    /// Makes room for the ids of the next `bytes`, of `given` in all.
    pub(super) fn make_room(&mut self, bytes: u64, given: u64) {
        make_room(&mut self.ids, &mut self.supply, Seen { done: self.bytes, given }, bytes);
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
        self.bytes = 0;
    }
}

/// The ids of chunks, put together in order as they arrive.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    whole: Part,
    /// Chunks in `whole`.
    len: usize,
    /// Chunks that came before their turn, by number.
    early: HashMap<usize, Part>,
    /// Buffers that were emptied.
    spare: Vec<Part>,
}

impl Ordered {
    /// All of it; where texts start, and where the last one ends.
    pub(super) fn into_whole(self) -> EncodedBatch {
        let Part { mut ids, ends: mut offsets, .. } = self.whole;
        give_back(&mut ids);
        offsets.insert(0, 0);
        EncodedBatch { ids, offsets }
    }

    /// Takes the ids of all chunks at once.
    pub(super) fn set_whole(&mut self, whole: Part) {
        self.whole = whole;
    }

    /// Takes the ids of a chunk, of `given` bytes in all, and gives a buffer for those of another.
    pub(super) fn add(&mut self, chunk_idx: usize, part: Part, given: u64) -> Part {
        if chunk_idx != self.len {
            self.early.insert(chunk_idx, part);
            return self.spare.pop().unwrap_or_default();
        }
        self.append(&part, given);
        while let Some(early) = self.early.remove(&self.len) {
            self.append(&early, given);
            self.spare.push(early);
        }
        part
    }

    fn append(&mut self, part: &Part, given: u64) {
        let start = self.whole.ids.len() as u64;
        self.whole.make_room(part.bytes, given);
        self.whole.ids.extend_from_slice(&part.ids);
        self.whole.ends.extend(part.ends.iter().map(|end| start + end));
        self.whole.bytes += part.bytes;
        self.len += 1;
    }
}
