//! What a run may take of memory and of disk space.

use crate::error::{Error, Result};
use crate::io::memory::MIN_LIMIT_BYTES;
use std::path::PathBuf;

/// How much memory the work may take, and where it goes on when that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory for counting and learning. Reading and each thread take some MiB besides.
    pub memory_bytes: usize,
    /// The directory in which a directory for spilled counts is made, and removed at the end.
    pub spill_dir: PathBuf,
    /// The most that may be spilled at a time, in bytes; `None` for no limit.
    pub max_spill_bytes: Option<u64>,
}

impl Bounds {
    /// Bounds as users may set them.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit below 64 MiB.
    pub fn new(memory_limit: u64, spill_dir: PathBuf, max_spill_bytes: Option<u64>) -> Result<Self> {
        if memory_limit < MIN_LIMIT_BYTES {
            return Err(Error::Config(format!(
                "`memory_limit` is {memory_limit} bytes, the least is {MIN_LIMIT_BYTES} (64 MiB)\n\nhint: give a number of bytes or \
                 text such as `256MiB` or `1GiB`"
            )));
        }
        Ok(Self { memory_bytes: usize::try_from(memory_limit).unwrap_or(usize::MAX), spill_dir, max_spill_bytes })
    }
}
