//! `manifest.json`: what a shard directory holds, from what, and how to tell that it still does.

use crate::corpus::Skipped;
use serde::{Deserialize, Serialize};

/// The name of the format.
pub const FORMAT: &str = "slm.shards";

/// The version that this package writes.
pub const VERSION: u32 = 1;

/// Bytes of a file that have a checksum of their own, so that damage is found to be in one place.
pub const CHECKSUM_BLOCK_BYTES: u64 = 4 << 20;

/// Which part of the corpus a document belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// Held out.
    Validation,
}

/// The whole manifest, in the order of its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What an id is stored as: `uint16` or `uint32`.
    pub dtype: String,
    /// The tokenizer that made the ids.
    pub tokenizer: TokenizerRecord,
    /// Totals.
    pub splits: Splits,
    /// The shards by number.
    pub shards: Vec<ShardRecord>,
    /// What was read.
    pub corpus: CorpusRecord,
    /// Where it is from, a record for each path that was given.
    #[serde(default)]
    pub sources: Vec<SourceRecord>,
    /// The part of the documents that is held out.
    pub validation_fraction: f64,
    /// Ids after which a shard is closed.
    pub shard_tokens: u64,
    /// Whether documents that are equal to one before them are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deduplicate: bool,
    /// The program and its version.
    pub created_by: String,
}

/// The tokenizer of a shard directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRecord {
    /// Its identity.
    pub fingerprint: String,
    /// Its size.
    pub vocab_size: u64,
    /// The id after each document.
    pub end_of_text_id: u32,
    /// The name of its split pattern.
    pub pattern: String,
}

/// Totals of both splits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// To learn from.
    pub train: Totals,
    /// Held out.
    pub validation: Totals,
}

/// Sums over shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Ids, those that end documents included.
    pub tokens: u64,
    /// Documents.
    pub documents: u64,
    /// Bytes of the documents' text in UTF-8.
    pub bytes: u64,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Its files are `<name>.npy` and `<name>.index.npy`.
    pub name: String,
    /// The split that its documents belong to.
    pub split: Split,
    /// Ids, those that end documents included.
    pub tokens: u64,
    /// Documents.
    pub documents: u64,
    /// Bytes of the documents' text in UTF-8.
    pub bytes: u64,
    /// XXH3-64 of the whole file of ids.
    pub tokens_xxh3: String,
    /// XXH3-64 of the whole index file.
    pub index_xxh3: String,
    /// XXH3-64 of each [`CHECKSUM_BLOCK_BYTES`] of the file of ids, 16 digits each; the last block may be shorter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tokens_blocks_xxh3: String,
    /// The same of the index file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub index_blocks_xxh3: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusRecord {
    /// Files.
    pub files: u64,
    /// Bytes of the text that is in the shards.
    pub bytes: u64,
    /// Documents that are in the shards.
    pub documents: u64,
    /// What was left out, and why.
    pub skipped: Skipped,
    /// Of the first documents that something was wrong with: where they are, and what it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_skipped: Vec<String>,
    /// Sequences of bytes that were not UTF-8 and became U+FFFD.
    #[serde(default)]
    pub replaced_sequences: u64,
    /// Identifies the text, its documents and their order.
    pub fingerprint: String,
}

/// What is from one of the paths that make up a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The path, directory, glob or list as it was given; none for documents in memory.
    pub path: Option<String>,
    /// Files.
    pub files: u64,
    /// Documents that are in the shards.
    pub documents: u64,
    /// Their ids, those that end documents included.
    pub tokens: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// What was left out, and why.
    pub skipped: Skipped,
}

/// Adds the shards up by split.
pub fn totals(shards: &[ShardRecord]) -> Splits {
    let mut splits = Splits::default();
    for shard in shards {
        let totals = match shard.split {
            Split::Train => &mut splits.train,
            Split::Validation => &mut splits.validation,
        };
        totals.tokens += shard.tokens;
        totals.documents += shard.documents;
        totals.bytes += shard.bytes;
    }
    splits
}
