//! What a build may hold of each thing that grows with the corpus, so that the whole stays within `memory_limit`.

use crate::corpus::batch::BATCH_BYTES;
use crate::encode::MAX_CACHE_BYTES;
use crate::error::{Error, Result};
use crate::io::memory::MIN_LIMIT_BYTES;

/// What the interpreter, its libraries and a tokenizer of usual size take before anything is read.
const BASE_BYTES: u64 = 48 << 20;

/// What each thread that encodes may take besides the limit.
const THREAD_BYTES: u64 = 32 << 20;

/// What is left of that by the caches, for text on its way. That does not compile where the caches are larger.
const THREAD_TEXT_BYTES: u64 = THREAD_BYTES - MAX_CACHE_BYTES;

/// Bytes that a byte of text may cost on its way: itself, an id for it where nothing merges, and its id in the shard.
const BYTES_A_BYTE: u64 = 9;

/// Bytes that a byte of a stretch without any cut may cost: also the work space of merging it, and buffers that double. Rare, as
/// most of them are read in parts that are as long as any batch.
const BYTES_A_STRETCH_BYTE: u64 = 36;

/// How much of what.
#[allow(clippy::struct_field_names)] // the unit is part of each name
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Text, ids and work space on their way from the reader to the disk.
    pub in_flight_bytes: u64,
    /// The text of a stretch that neither is cut nor comes in parts.
    pub max_stretch_bytes: usize,
    /// What decompressing a file may take.
    pub decoder_bytes: u64,
    /// What is known of documents to find equal ones.
    pub identity_bytes: u64,
}

impl Budget {
    /// Divides the limit. Of what is left by the base, five eighths are for decompression (of 256 MiB, that is the window of
    /// `zstd -22`), and the rest is for text on its way, half of it for the identities of documents where they are asked for.
    ///
    /// How long a stretch may be depends on the limit alone, so that a corpus is built with any number of threads or with none: by
    /// what there is for text on its way with one thread and with identities.
    ///
    /// # Errors
    /// [`Error::Config`] for less than the least limit.
    pub fn new(memory_limit: u64, num_threads: usize, deduplicate: bool) -> Result<Self> {
        if memory_limit < MIN_LIMIT_BYTES {
            return Err(Error::Config(format!(
                "`memory_limit` is {memory_limit} bytes, it must be at least {} MiB",
                MIN_LIMIT_BYTES >> 20
            )));
        }
        let decoder_bytes = (memory_limit - BASE_BYTES) / 8 * 5;
        let rest = memory_limit - BASE_BYTES - decoder_bytes;
        let identity_bytes = if deduplicate { rest / 2 } else { 0 };
        let in_flight_bytes = THREAD_TEXT_BYTES * num_threads as u64 + rest - identity_bytes;
        let least_in_flight_bytes = THREAD_TEXT_BYTES + rest - rest / 2;
        // A batch that has no cut is looked at once it is full.
        let max_stretch_bytes = (least_in_flight_bytes / BYTES_A_STRETCH_BYTE).max(BATCH_BYTES as u64);
        Ok(Self {
            in_flight_bytes,
            max_stretch_bytes: usize::try_from(max_stretch_bytes).unwrap_or(usize::MAX),
            decoder_bytes,
            identity_bytes,
        })
    }
}

/// What a batch of so much text costs at most until it is written.
pub(super) fn cost_of(text_bytes: usize) -> u64 {
    let per_byte = if text_bytes > 2 * BATCH_BYTES { BYTES_A_STRETCH_BYTE } else { BYTES_A_BYTE };
    per_byte * text_bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn all_parts_together_are_within_the_limit() {
        for (limit, threads) in [(64, 1), (64, 8), (256, 2), (4096, 64)] {
            for deduplicate in [false, true] {
                let budget = Budget::new(limit * MIB, threads, deduplicate).unwrap();
                let caches = threads as u64 * MAX_CACHE_BYTES;
                let sum = BASE_BYTES + caches + budget.in_flight_bytes + budget.decoder_bytes + budget.identity_bytes;
                assert!(sum <= limit * MIB + threads as u64 * THREAD_BYTES, "{budget:?}");
                assert!(budget.max_stretch_bytes >= BATCH_BYTES);
                assert_eq!(budget.identity_bytes > 0, deduplicate);
            }
        }
        assert!(Budget::new(256 * MIB, 2, true).unwrap().decoder_bytes > 128 * MIB);
    }

    #[test]
    fn the_longest_stretch_grows_with_the_limit_and_depends_on_nothing_else() {
        let mut last = 0;
        for limit in [128, 256, 1024, 4096, 1 << 20] {
            let stretch = Budget::new(limit * MIB, 1, false).unwrap().max_stretch_bytes;
            assert!(stretch >= last.max(BATCH_BYTES));
            last = stretch;
            for (threads, deduplicate) in [(1, true), (2, false), (64, true)] {
                let budget = Budget::new(limit * MIB, threads, deduplicate).unwrap();
                assert_eq!(budget.max_stretch_bytes, stretch);
                assert!(cost_of(stretch) <= budget.in_flight_bytes);
            }
        }
    }

    #[test]
    fn less_than_the_least_is_refused() {
        let refused = Budget::new(64 * MIB - 1, 1, false).unwrap_err().to_string();
        assert!(refused.contains("`memory_limit` is 67108863 bytes, it must be at least 64 MiB"), "{refused}");
    }
}
