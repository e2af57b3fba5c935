//! Byte-level BPE training, encoding and token shards in bounded memory, without Python.
//!
//! Modules, in the order to read them.
#![deny(missing_docs)]

pub mod error;
pub mod progress;

pub mod corpus;
pub mod pretokenize;

pub mod byte_chars;
pub mod chat;
pub mod code_points;
pub mod merges;
pub mod special_tokens;
pub mod token;
pub mod vocab;

pub mod count;
pub mod train;

pub mod io;

mod bits;
pub mod decode;
pub mod encode;
mod prefetch;
mod prefix;
mod processor;
mod short;
pub mod tiktoken;
pub mod tokenizer;
pub mod tokenizer_file;

pub mod shard;

pub mod rows;
