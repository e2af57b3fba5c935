//! Byte-level BPE training, encoding and token shards in bounded memory, without Python.
//!
//! Modules, in the order to read them.
#![deny(missing_docs)]

pub mod error;
pub mod progress;
