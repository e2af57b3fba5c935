//! Bytes to and from the disk: files that are never torn, and the checksum that shows whether they changed.

pub mod checksum;
pub mod durable;
