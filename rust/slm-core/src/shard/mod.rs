//! Shards: a corpus as token ids in files that `np.load(..., mmap_mode="r")` opens.
//!
//! A shard directory holds numbered shards, each with an index of where its documents start, the tokenizer that made them,
//! and `manifest.json`, which is written last: a directory without one is not finished. Read in this order: [`header`] (a
//! `.npy` file), [`writer`] (one shard), [`manifest`], [`directory`] (whose directory is it?), [`document_hash`] (what decides
//! over a document), [`identities`] with
//! [`identity_runs`] (which were there already), [`commit`] (documents to shards), [`journal`] (what a kill leaves),
//! [`budget`] and [`credits`] (what may be held), [`parts`] (pretokens longer than a batch), [`pipeline`] (batches to shards, on
//! many threads), [`build`] (a corpus to all of it).

mod budget;
pub mod build;
mod commit;
mod credits;
mod directory;
mod document_hash;
pub mod header;
mod identities;
mod identity_runs;
mod journal;
pub mod manifest;
mod parts;
mod pipeline;
mod writer;

pub use build::{BuildOptions, Built, build};
pub use manifest::Manifest;

use crate::error::{Error, Result};
use crate::io::checksum;
use crate::progress::{Callback, Progress, supervise};
use manifest::CHECKSUM_BLOCK_BYTES;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The file that makes a directory a finished shard directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The directory inside that holds the tokenizer.
pub const TOKENIZER_DIRECTORY: &str = "tokenizer";

/// The checksum of a whole file, and those of its blocks one after another, as manifests carry them.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Interrupted`] if the callback broke off.
pub fn file_checksums(path: &Path, callback: &mut Callback<'_>) -> Result<(String, String)> {
    let total = fs::metadata(path).map_err(Error::io(path))?.len();
    let done = AtomicU64::new(0);
    let snapshot =
        || Progress { phase: "verify", unit: "bytes", done: done.load(Ordering::Relaxed), total, counters: Vec::new() };
    supervise(callback, snapshot, |stop| {
        let (checksum, blocks) = checksum::of_file_and_blocks(path, CHECKSUM_BLOCK_BYTES, |bytes| {
            done.fetch_add(bytes, Ordering::Relaxed);
            stop.check()
        })?;
        Ok((checksum::hex(checksum), blocks.into_iter().map(checksum::hex).collect()))
    })
}
