//! How the memory for learning is shared out.

use crate::count::PretokenCounts;
use crate::error::Result;
use crate::progress::Stop;
use crate::token::TokenId;
use crate::train::TrainOptions;
use crate::train::passes::MAX_PIECES_BYTES;
use crate::train::words::Words;

/// Pretokens with more places than this are learned from in passes, even where memory is plenty.
pub(super) const MAX_PLACES_AT_ONCE: usize = 4 << 20;

/// More cells would hardly tell more pairs apart, and not be in any cache.
const MAX_SKETCH_BYTES: usize = 32 << 20;

/// Memory of a pair that the learner tracks: 33 bytes in a hash table that doubles at 7/8, and 16 in a heap.
const TRACKED_BYTES: usize = 150;

/// Memory of a token of the vocabulary: its bytes twice, its merge, and the tables that are indexed by it.
const VOCAB_BYTES: usize = 200;

/// The memory that learning may take, and what it takes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    bytes: usize,
}

impl Memory {
    /// As much as there is.
    pub const UNLIMITED: Self = Self { bytes: usize::MAX };

    /// What the vocabulary leaves of `bytes`, half of them at least.
    pub fn new(bytes: usize, options: &TrainOptions) -> Self {
        Self { bytes: bytes.saturating_sub(options.vocab_size.saturating_mul(VOCAB_BYTES)).max(bytes / 2) }
    }

    /// What is left when something else takes `taken` bytes, a quarter at least.
    pub fn beside(self, taken: usize) -> Self {
        Self { bytes: self.bytes.saturating_sub(taken).max(self.bytes / 4) }
    }

    /// The same, or `bytes` if that is less.
    pub fn at_most(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.min(bytes) }
    }

    /// Whether a table is to be learned from at once: so much of it is better left to passes, even where there is the memory.
    pub fn holds_at_once(self, counts: &PretokenCounts, size: &TableSize) -> bool {
        size.text_bytes + counts.len() <= MAX_PLACES_AT_ONCE && self.holds(counts, size.text_bytes, 1)
    }

    /// About the most bytes that learning from so many pretokens takes, beginning with a table of them that takes `table_bytes`,
    /// and whether that is done in memory alone.
    pub fn to_learn(self, pretokens: usize, text_bytes: usize, table_bytes: usize) -> (usize, bool) {
        let places = text_bytes + pretokens;
        if places <= MAX_PLACES_AT_ONCE {
            let list = size_of::<(u64, usize, usize)>() * pretokens + text_bytes;
            return ((table_bytes + list).max(list + words_bytes(places)), true);
        }
        let pool = TableSize { pretokens, text_bytes, is_in_alphabet: [false; 256] }.pool_bytes();
        // Then come pieces, of which no pass has more than this.
        ((table_bytes + pool).max(pool + MAX_PIECES_BYTES), pool <= self.pool_bytes())
    }

    /// Whether a table can be made into a pool in memory.
    pub fn holds_pool(self, size: &TableSize) -> bool {
        size.pool_bytes() <= self.pool_bytes()
    }

    /// What a pool may take of the memory.
    pub fn pool_bytes(self) -> usize {
        self.bytes / 3
    }

    /// Whether a table of so many tokens, written in `width` bytes each, can be made into words and learned from.
    pub fn holds(self, counts: &PretokenCounts, num_tokens: usize, width: usize) -> bool {
        let num_pieces = counts.len();
        let list = size_of::<(u64, usize, usize)>() * num_pieces + width * num_tokens;
        let words = words_bytes(num_tokens + num_pieces);
        let learner = words + places_bytes(num_tokens) + self.bytes / 4;
        let most = (counts.allocated_bytes() + list).max(list + words).max(learner);
        most <= self.bytes && num_tokens + num_pieces < u32::MAX as usize / 2
    }

    /// How many pairs may be tracked beside `words`.
    pub fn max_tracked(self, words: &Words) -> usize {
        let num_tokens = words.tokens.len();
        let taken = words_bytes(num_tokens) + places_bytes(num_tokens);
        self.bytes.saturating_sub(taken).max(self.bytes / 4) / TRACKED_BYTES
    }

    /// The table of pieces is there twice while the threshold is raised.
    pub fn piece_table_bytes(self) -> usize {
        self.bytes / 16 * 7
    }

    pub fn sketch_bytes(self) -> usize {
        (self.bytes / 4).min(MAX_SKETCH_BYTES)
    }
}

/// What there is in a table, and which bytes occur.
pub(super) struct TableSize {
    pretokens: usize,
    text_bytes: usize,
    pub is_in_alphabet: [bool; 256],
}

impl TableSize {
    pub fn new(counts: &PretokenCounts, stop: &Stop) -> Result<Self> {
        let mut size = Self { pretokens: counts.len(), text_bytes: 0, is_in_alphabet: [false; 256] };
        counts.for_each_until(stop, |pretoken, _| {
            size.text_bytes += pretoken.len();
            for &byte in pretoken {
                size.is_in_alphabet[usize::from(byte)] = true;
            }
        })?;
        Ok(size)
    }

    /// A pool's entries, each with a count and a length, and what the allocator adds.
    fn pool_bytes(&self) -> usize {
        (self.text_bytes + 4 * self.pretokens) / 16 * 17
    }
}

/// Tokens and the index of weights.
fn words_bytes(num_tokens: usize) -> usize {
    num_tokens * size_of::<TokenId>() / 8 * 9
}

/// Places of pairs at the start of the rounds, two more for each merge, and the learner's own sketch.
fn places_bytes(num_tokens: usize) -> usize {
    num_tokens * (3 * size_of::<u32>() + 2)
}
