//! Where a pool is: blocks in memory or on disk, and how a pass writes them.

use crate::count::SortedCounts;
use crate::error::Result;
use crate::io::allocator::LARGE_BYTES;
use crate::io::blocks::{HEADER_BYTES, Sealer};
use crate::io::spill::{Spill, SpillFile};
use crate::progress::Stop;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A block in memory is full once its entries have this many bytes: it is then a mapping of its own, and freeing it gives all of it
/// back.
pub(super) const MEMORY_BLOCK_BYTES: usize = LARGE_BYTES;

/// A block on disk is, which several are read of at a time.
pub(super) const DISK_BLOCK_BYTES: usize = 128 << 10;

pub(super) enum Form<'a> {
    Counts(Box<SortedCounts<'a>>),
    Memory(Vec<Mutex<Block>>),
    Disk(DiskBlocks<'a>),
}

/// Entries: count and number of bytes or tokens as LEB128, then these.
#[derive(Default)]
pub(super) struct Block {
    pub entries: Vec<u8>,
    pub num_entries: u32,
}

/// A file of blocks, removed with this.
pub(super) struct DiskBlocks<'a> {
    pub path: PathBuf,
    pub bytes: u64,
    pub spill: &'a Spill,
}

impl Drop for DiskBlocks<'_> {
    fn drop(&mut self) {
        // Where this fails, the whole directory is removed at the end.
        let _ = self.spill.remove(&self.path, self.bytes);
    }
}

pub(super) fn empty_block() -> Block {
    Block { entries: vec![0; HEADER_BYTES], num_entries: 0 }
}

/// Where a pass writes.
pub(super) enum Sink<'a> {
    Nowhere,
    Memory(Mutex<Vec<Mutex<Block>>>),
    Disk(Mutex<SpillFile<'a>>, &'a Spill),
}

impl<'a> Sink<'a> {
    pub fn block_bytes(&self) -> usize {
        if matches!(self, Self::Memory(_)) { MEMORY_BLOCK_BYTES } else { DISK_BLOCK_BYTES }
    }

    /// Takes the entries of a block, and leaves it empty.
    pub fn put(&self, block: &mut Block, sealer: &mut Sealer) -> Result<()> {
        if block.num_entries == 0 {
            return Ok(());
        }
        match self {
            Self::Nowhere => {}
            Self::Memory(blocks) => {
                let entries = block.entries[HEADER_BYTES..].to_vec();
                let written = Mutex::new(Block { entries, num_entries: block.num_entries });
                blocks.lock().unwrap_or_else(PoisonError::into_inner).push(written);
            }
            Self::Disk(file, _) => {
                let sealed = sealer.seal(&mut block.entries, block.num_entries)?;
                file.lock().unwrap_or_else(PoisonError::into_inner).write(sealed)?;
            }
        }
        block.entries.truncate(HEADER_BYTES);
        block.num_entries = 0;
        Ok(())
    }

    pub fn into_form(self) -> Option<Form<'a>> {
        match self {
            Self::Nowhere => None,
            Self::Memory(blocks) => Some(Form::Memory(blocks.into_inner().unwrap_or_else(PoisonError::into_inner))),
            Self::Disk(file, spill) => {
                let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
                Some(Form::Disk(DiskBlocks { path: file.path().to_owned(), bytes: file.size(), spill }))
            }
        }
    }
}

pub(super) fn scan_memory<S: Send>(
    blocks: &[Mutex<Block>],
    num_threads: usize,
    stop: &Stop,
    start: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, &mut Block) -> Result<()> + Sync,
) -> Result<Vec<S>> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..num_threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = start();
                    while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        stop.check()?;
                        each(&mut own, &mut block.lock().unwrap_or_else(PoisonError::into_inner))?;
                    }
                    Ok(own)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
