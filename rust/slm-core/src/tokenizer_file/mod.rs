//! The tokenizer directory: the files that Hugging Face reads, and `training.json` beside them.
//!
//! `tokenizer.json` says everything that encoding needs and is the one that readers look for, so it is written last. The
//! format is that of the `tokenizers` crate (`tokenizer/serialization.rs`, `models/bpe/serialization.rs`), of which this
//! package reads the byte-level BPE part and refuses the rest by name.

mod json;
mod read;
mod record;
mod steps;
mod write;

pub(crate) use read::index_reachable_special_tokens;
pub use read::{from_json, load};
pub(crate) use record::UNICODE_VERSION;
pub use record::of_training;
pub use write::{config_json, save, to_json};

/// The file that holds the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// The file with what `transformers` wants to know besides.
const CONFIG_FILE: &str = "tokenizer_config.json";

/// The file with how often the pair of each merge occurred when it was merged: a number a line, in the order of `merges.txt`.
const MERGE_COUNTS_FILE: &str = "merge_counts.txt";

/// The file with what the tokenizer was made from.
const TRAINING_FILE: &str = "training.json";

/// Bytes that each file may have; the largest public byte-level `tokenizer.json` files have about 20 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;
