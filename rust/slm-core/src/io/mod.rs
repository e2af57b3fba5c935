//! Bytes to and from the disk: files that are never torn, the checksum that shows whether they changed, space that is given
//! back whatever happens; and how much memory there is.

pub mod allocator;
pub mod blocks;
pub mod checksum;
pub mod durable;
pub mod lock;
pub mod memory;
pub mod nameless;
pub(crate) mod pages;
pub mod spill;
