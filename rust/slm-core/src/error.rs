//! The one error type of the core. Each variant becomes one Python exception (`slm-python/src/error.rs`).

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong in the core, sorted by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused to read or write a path.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory concerned.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// An argument is out of range, or two of them are at odds.
    #[error("{0}")]
    Config(String),
    /// A corpus or a shard directory is not what it claims to be.
    #[error("{0}")]
    Data(String),
    /// A tokenizer file is malformed, or of another tokenizer than the artifact at hand.
    #[error("{0}")]
    Tokenizer(String),
    /// The progress callback asked to stop; nothing half-made is left behind.
    #[error("interrupted")]
    Interrupted,
}

/// The result of everything in the core that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names the path that an input or output error happened at; made for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}
