//! Rows: what a trainer reads, cut from shards at the speed of memory and without keeping any of them.
//!
//! Files are read and never mapped: what is resident does not grow with what was read, and a file that was cut off is an
//! error instead of a signal. Nothing is locked and nothing changes after opening, so a reader may be used from any thread
//! and in a forked child. Read in this order: [`permutation`] (which row comes when), [`files`] (arrays in many files),
//! [`fences`] and [`documents`] (where documents end), [`best_fit`] and [`pieces`] (documents into rows without crossing), [`reader`],
//! [`stretches`] (where documents begin in batches of rows).

mod best_fit;
mod documents;
mod fences;
pub mod files;
pub mod permutation;
mod pieces;
pub mod reader;
pub mod stretches;

pub use files::ArrayFile;
pub use permutation::Permutation;
pub use reader::{Layout, Packing, RowReader, Rows};
pub use stretches::Stretches;
