//! A plan of best-fit rows: which pieces of which documents are in which row.
//!
//! A document of more tokens than a row is cut into pieces of a row each, and what is left. Where the pieces of each length start
//! stands in a file without a name, 8 bytes a piece, which is gone when the plan is; in memory is only how lengths make rows.

use super::best_fit::{Group, pack};
use super::documents::DocumentIndex;
use crate::error::{Error, Result};
use crate::progress::Stop;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Set in an entry whose piece is the last of its document.
const LAST: u64 = 1 << 63;

/// Entries that wait in memory to be written, of all lengths together: 8 MiB.
const WAITING: usize = 1 << 20;

/// Documents between two looks at the stop flag.
const STOP_EVERY: u64 = 1 << 16;

/// A part of a document that is in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Position of its first token in the split.
    pub start: u64,
    /// Its tokens.
    pub len: usize,
    /// Whether its last token is the last one of the document.
    pub is_last: bool,
}

/// Where the pieces of every row are.
pub struct Plan {
    groups: Vec<Group>,
    /// Rows before each group, and in all.
    group_starts: Vec<u64>,
    /// Entries of the file before those of each length.
    len_starts: Vec<u64>,
    file: File,
    directory: PathBuf,
}

impl Plan {
    /// Reads the index twice, and packs; `directory` is for the file, which has no name there.
    ///
    /// # Errors
    /// [`Error::Data`] if the index is malformed; [`Error::Io`] if the disk refuses; [`Error::Interrupted`].
    pub fn new(documents: &DocumentIndex, row_tokens: usize, directory: &Path, stop: &Stop) -> Result<Self> {
        let mut counts = vec![0u64; row_tokens + 1];
        for_each_piece(documents, row_tokens, stop, |_, len, _| {
            counts[len] += 1;
            Ok(())
        })?;
        let mut len_starts = Vec::with_capacity(row_tokens + 1);
        let mut next = 0;
        for count in &counts {
            len_starts.push(next);
            next += count;
        }
        let file = unnamed_file(directory)?;
        let mut writer = Scatter::new(&file, directory, &len_starts, &counts);
        for_each_piece(documents, row_tokens, stop, |start, len, is_last| {
            writer.push(len, start | if is_last { LAST } else { 0 })
        })?;
        writer.finish()?;
        let groups = pack(&counts);
        let mut group_starts = vec![0];
        group_starts.extend(groups.iter().scan(0, |end, group| {
            *end += group.rows;
            Some(*end)
        }));
        Ok(Self { groups, group_starts, len_starts, file, directory: directory.to_owned() })
    }

    /// Rows in all.
    pub fn num_rows(&self) -> u64 {
        self.group_starts[self.groups.len()]
    }

    /// Puts the pieces of a row into `pieces`, the longest first.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub fn pieces(&self, row: u64, pieces: &mut Vec<Piece>) -> Result<()> {
        let group_idx = self.group_starts.partition_point(|&start| start <= row) - 1;
        let in_group = row - self.group_starts[group_idx];
        pieces.clear();
        for item in &self.groups[group_idx].items {
            let mut at = self.len_starts[item.len] + item.first + in_group * item.per_row;
            let mut left = item.per_row;
            while left > 0 {
                let mut bytes = [0; 8 * 32];
                #[allow(clippy::cast_possible_truncation)] // at most 32
                let count = left.min(32) as usize;
                let bytes = &mut bytes[..8 * count];
                self.file.read_exact_at(bytes, at * 8).map_err(Error::io(&self.directory))?;
                pieces.extend(bytes.as_chunks().0.iter().map(|&bytes| {
                    let entry = u64::from_le_bytes(bytes);
                    Piece { start: entry & !LAST, len: item.len, is_last: entry & LAST != 0 }
                }));
                at += count as u64;
                left -= count as u64;
            }
        }
        Ok(())
    }
}

/// Calls `visit` with the start, the length and whether it is a document's last, of every piece.
fn for_each_piece(
    documents: &DocumentIndex,
    row_tokens: usize,
    stop: &Stop,
    mut visit: impl FnMut(u64, usize, bool) -> Result<()>,
) -> Result<()> {
    let mut seen = 0u64;
    documents.for_each_document(|mut start, mut left| {
        seen += 1;
        if seen.is_multiple_of(STOP_EVERY) {
            stop.check()?;
        }
        while left > 0 {
            let len = usize::try_from(left).map_or(row_tokens, |left| left.min(row_tokens));
            left -= len as u64;
            visit(start, len, left == 0)?;
            start += len as u64;
        }
        Ok(())
    })
}

/// Writes entries to where those of their length belong, some at a time.
struct Scatter<'a> {
    file: &'a File,
    directory: &'a Path,
    /// By length: how many entries stand before the next ones, and the bytes of those that wait.
    lens: Vec<(u64, Vec<u8>)>,
    capacity_bytes: usize,
}

impl<'a> Scatter<'a> {
    fn new(file: &'a File, directory: &'a Path, len_starts: &[u64], counts: &[u64]) -> Self {
        let num_lens = counts.iter().filter(|&&count| count > 0).count();
        let capacity_bytes = 8 * (WAITING / num_lens.max(1)).clamp(1, 1 << 13);
        Self { file, directory, lens: len_starts.iter().map(|&start| (start, Vec::new())).collect(), capacity_bytes }
    }

    fn push(&mut self, len: usize, entry: u64) -> Result<()> {
        let waiting = &mut self.lens[len].1;
        waiting.extend(entry.to_le_bytes());
        if waiting.len() >= self.capacity_bytes { self.write(len) } else { Ok(()) }
    }

    fn write(&mut self, len: usize) -> Result<()> {
        let (next, waiting) = &mut self.lens[len];
        self.file.write_all_at(waiting, *next * 8).map_err(Error::io(self.directory))?;
        *next += waiting.len() as u64 / 8;
        waiting.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        (0..self.lens.len()).try_for_each(|len| self.write(len))
    }
}

/// A file that nobody else finds, and that is gone when it is closed, however the process ends.
fn unnamed_file(directory: &Path) -> Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".slm-rows-{}-{number}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => {
                fs::remove_file(&path).map_err(Error::io(&path))?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(&path)(error)),
        }
    }
}
