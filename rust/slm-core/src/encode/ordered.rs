//! The ids of chunks that threads encode, put together in the order of the chunks.

use super::batch::EncodedBatch;
use std::collections::HashMap;

/// The ids of chunks, put together in order as they arrive.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    whole: EncodedBatch,
    /// Chunks in `whole`.
    len: usize,
    /// Chunks that came before their turn, by number.
    early: HashMap<usize, EncodedBatch>,
    /// Buffers that were emptied.
    spare: Vec<EncodedBatch>,
}

impl Ordered {
    /// All of it; where texts start, and where the last one ends.
    pub(super) fn into_whole(self) -> EncodedBatch {
        let mut whole = self.whole;
        whole.offsets.insert(0, 0);
        whole
    }

    /// Takes the ids of all chunks at once.
    pub(super) fn set_whole(&mut self, whole: EncodedBatch) {
        self.whole = whole;
    }

    /// Takes the ids of a chunk, and gives a buffer for those of another.
    pub(super) fn add(&mut self, chunk_idx: usize, part: EncodedBatch) -> EncodedBatch {
        if chunk_idx != self.len {
            self.early.insert(chunk_idx, part);
            return self.spare.pop().unwrap_or_default();
        }
        self.append(&part);
        while let Some(early) = self.early.remove(&self.len) {
            self.append(&early);
            self.spare.push(early);
        }
        part
    }

    fn append(&mut self, part: &EncodedBatch) {
        let start = self.whole.ids.len() as u64;
        self.whole.offsets.extend(part.offsets.iter().map(|end| start + end));
        self.whole.ids.extend_from_slice(&part.ids);
        self.len += 1;
    }
}
