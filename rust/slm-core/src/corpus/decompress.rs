//! Files to bytes: plain, gz, zst.
