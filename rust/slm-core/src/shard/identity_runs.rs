//! Identities that do not fit into memory: sorted runs on disk, and a filter that spares most looks at them.
//!
//! A run is a file of identities in ascending order, 16 bytes each. As they are hashes, they lie evenly: where one would be follows
//! from its size, and two or three reads of a page find it whatever the length of the run. A new run is merged with those before it that
//! are not much longer, so that there are about as many as the number of identities doubles. The filter is Bloom's, in blocks of a
//! cache line (Putze et al. 2007, "Cache-, Hash- and Space-Efficient Bloom Filters"); where it is too full to help, every run is
//! looked at, which takes time and no memory.

use crate::error::{Error, Result};
use crate::io::nameless;
use crate::progress::Stop;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BYTES: usize = size_of::<u128>();

/// Identities that are read at once.
const PAGE: usize = 4096 / BYTES;

/// Guesses by size before a search halves what is left instead, lest identities that lie unevenly be looked for one by one.
const MAX_GUESSES: u32 = 6;

/// Bytes of a run that are read or written at once while runs are merged.
const BUFFER_BYTES: usize = 32 << 10;

/// Identities after which a merge looks whether it was stopped.
const CHECK_EVERY: u64 = 1 << 16;

/// The runs, the oldest and longest first, and what is in any of them.
pub(super) struct IdentityRuns {
    directory: PathBuf,
    runs: Vec<Run>,
    filter: Filter,
}

impl IdentityRuns {
    /// None yet. Files are made in `directory`, without a name; nothing is allocated before the first.
    pub fn new(directory: &Path, filter_bytes: u64) -> Self {
        Self { directory: directory.to_owned(), runs: Vec::new(), filter: Filter::new(filter_bytes) }
    }

    /// Whether an identity is in one of the runs.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn contains(&self, identity: u128) -> Result<bool> {
        if self.runs.is_empty() || !self.filter.may_contain(identity) {
            return Ok(false);
        }
        for run in &self.runs {
            if run.contains(identity).map_err(Error::io(&self.directory))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins a run.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(&self) -> Result<RunWriter> {
        let file = nameless::create(&self.directory)?;
        Ok(RunWriter { file: BufWriter::with_capacity(BUFFER_BYTES, file), count: 0 })
    }

    /// Appends an identity, larger than all before it and in no other run, to a run that was begun here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, run: &mut RunWriter, identity: u128) -> Result<()> {
        self.filter.insert(identity);
        run.push(identity).map_err(Error::io(&self.directory))
    }

    /// Takes a run that is complete, and merges it with others where it is time to.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Interrupted`].
    pub fn finish(&mut self, run: RunWriter, stop: &Stop) -> Result<()> {
        self.runs.push(run.finish().map_err(Error::io(&self.directory))?);
        let mut total = 0;
        let num_last = self.runs.iter().rev().take_while(|run| {
            let is_short = run.count < 2 * total || total == 0;
            total += run.count;
            is_short
        });
        let first = self.runs.len() - num_last.count();
        if first + 1 < self.runs.len() {
            let merged = self.merge(&self.runs[first..], stop)?;
            self.runs.truncate(first);
            self.runs.push(merged);
        }
        Ok(())
    }

    fn merge(&self, runs: &[Run], stop: &Stop) -> Result<Run> {
        let mut merged = self.create()?;
        let attempt = || -> std::io::Result<Option<Run>> {
            let mut readers = runs.iter().map(Run::read).collect::<std::io::Result<Vec<_>>>()?;
            while let Some(reader) =
                readers.iter_mut().filter(|reader| reader.next.is_some()).min_by_key(|reader| reader.next)
            {
                if merged.count % CHECK_EVERY == 0 && stop.is_requested() {
                    return Ok(None);
                }
                if let Some(identity) = reader.next {
                    merged.push(identity)?;
                }
                reader.advance()?;
            }
            merged.finish().map(Some)
        };
        attempt().map_err(Error::io(&self.directory))?.ok_or(Error::Interrupted)
    }
}

/// A run on its way to the disk.
pub(super) struct RunWriter {
    file: BufWriter<File>,
    count: u64,
}

impl RunWriter {
    fn push(&mut self, identity: u128) -> std::io::Result<()> {
        self.count += 1;
        self.file.write_all(&identity.to_le_bytes())
    }

    fn finish(self) -> std::io::Result<Run> {
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(Run { file, count: self.count })
    }
}

/// A finished run.
struct Run {
    file: File,
    count: u64,
}

impl Run {
    fn contains(&self, identity: u128) -> std::io::Result<bool> {
        search(identity, self.count, |first, page| self.file.read_exact_at(page, first * BYTES as u64))
    }

    /// Reads from the beginning; one reader at a time.
    fn read(&self) -> std::io::Result<RunReader<'_>> {
        let mut file = &self.file;
        file.rewind()?;
        let mut reader = RunReader { file: BufReader::with_capacity(BUFFER_BYTES, file), left: self.count, next: None };
        reader.advance()?;
        Ok(reader)
    }
}

struct RunReader<'a> {
    file: BufReader<&'a File>,
    /// Identities behind the next one.
    left: u64,
    next: Option<u128>,
}

impl RunReader<'_> {
    fn advance(&mut self) -> std::io::Result<()> {
        self.next = None;
        if self.left > 0 {
            let mut bytes = [0; BYTES];
            self.file.read_exact(&mut bytes)?;
            self.left -= 1;
            self.next = Some(u128::from_le_bytes(bytes));
        }
        Ok(())
    }
}

/// Whether an identity is among `count` of them in ascending order, of which `read` gives those from a number on.
fn search(
    identity: u128,
    count: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    // What is left to look at, and the identities that bound it.
    let (mut start, mut end) = (0, count);
    let (mut least, mut most) = (0, u128::MAX);
    let mut num_guesses = 0;
    while start < end {
        let left = end - start;
        let ahead = if num_guesses < MAX_GUESSES { share(identity - least, most - least, left) } else { left / 2 };
        num_guesses += 1;
        // The page around the guess.
        let page = left.min(PAGE as u64);
        let first = (start + ahead).saturating_sub(page / 2).clamp(start, end - page);
        let mut bytes = [0; PAGE * BYTES];
        let bytes = &mut bytes[..usize::try_from(page).unwrap_or(PAGE) * BYTES];
        read(first, bytes)?;
        let (page_of_bytes, _) = bytes.as_chunks::<BYTES>();
        let at = |idx: usize| u128::from_le_bytes(page_of_bytes[idx]);
        if identity < at(0) {
            (end, most) = (first, at(0));
        } else if identity > at(page_of_bytes.len() - 1) {
            (start, least) = (first + page, at(page_of_bytes.len() - 1));
        } else {
            return Ok(page_of_bytes.binary_search_by_key(&identity, |bytes| u128::from_le_bytes(*bytes)).is_ok());
        }
    }
    Ok(false)
}

/// The part of `count` that `size` is of `whole`, about.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a guess
fn share(size: u128, whole: u128, count: u64) -> u64 {
    (size as f64 / whole.max(1) as f64 * count as f64) as u64
}

/// Bits of a block that an identity sets.
const NUM_BITS: u32 = 4;

/// Says of most identities that were not inserted that they were not, and of none that was.
struct Filter {
    num_blocks: usize,
    /// Empty before the first identity.
    blocks: Vec<[u64; 8]>,
}

impl Filter {
    fn new(bytes: u64) -> Self {
        Self { num_blocks: usize::try_from(bytes / 64).unwrap_or(usize::MAX).max(1), blocks: Vec::new() }
    }

    fn insert(&mut self, identity: u128) {
        if self.blocks.is_empty() {
            self.blocks = vec![[0; 8]; self.num_blocks];
        }
        let (block, mask) = self.place_of(identity);
        for (word, mask) in self.blocks[block].iter_mut().zip(mask) {
            *word |= mask;
        }
    }

    fn may_contain(&self, identity: u128) -> bool {
        let (block, mask) = self.place_of(identity);
        self.blocks.get(block).is_some_and(|words| words.iter().zip(mask).all(|(word, mask)| word & mask == mask))
    }

    /// The block by the upper half of the identity, and its bits there by the lower half.
    #[allow(clippy::cast_possible_truncation)] // each is less than what it is cut to
    fn place_of(&self, identity: u128) -> (usize, [u64; 8]) {
        let block = (((identity >> 64) * self.num_blocks as u128) >> 64) as usize;
        let mut mask = [0; 8];
        for number in 0..NUM_BITS {
            let bit = (identity >> (9 * number)) as usize & 511;
            mask[bit / 64] |= 1 << (bit % 64);
        }
        (block, mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use xxhash_rust::xxh3::xxh3_128;

    fn add(runs: &mut IdentityRuns, identities: impl IntoIterator<Item = u128>) {
        let mut run = runs.create().unwrap();
        for identity in identities.into_iter().collect::<BTreeSet<_>>() {
            runs.push(&mut run, identity).unwrap();
        }
        runs.finish(run, &Stop::default()).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_was_added_is_known_and_nothing_else(
            lengths in prop::collection::vec(1_u128..3000, 1..12),
            filter_bytes in prop_oneof![Just(0_u64), Just(100_000)],
            spread in 0_u8..3,
        ) {
            // Evenly as hashes, one beside the other, and in two heaps far apart.
            let identity = |number: u128| match spread {
                0 => xxh3_128(&number.to_le_bytes()),
                1 => 2 * number,
                _ if number.is_multiple_of(2) => number,
                _ => u128::MAX - number,
            };
            let directory = tempfile::tempdir().unwrap();
            let mut runs = IdentityRuns::new(directory.path(), filter_bytes);
            let mut num_added = 0;
            for length in lengths {
                add(&mut runs, (num_added..num_added + length).map(identity));
                num_added += length;
            }
            for number in 0..num_added {
                prop_assert!(runs.contains(identity(number)).unwrap());
                let other = identity(number) ^ 1;
                if spread < 2 {
                    prop_assert!(!runs.contains(other).unwrap());
                }
            }
            prop_assert_eq!(runs.runs.iter().map(|run| u128::from(run.count)).sum::<u128>(), num_added);
            for pair in runs.runs.windows(2) {
                prop_assert!(pair[0].count >= 2 * pair[1].count);
            }
            prop_assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_filter_spares_most_looks() {
        let mut filter = Filter::new(1 << 20);
        let hash = |number: u32| xxh3_128(&number.to_le_bytes());
        (0..800_000).for_each(|number| filter.insert(hash(number)));
        assert!((0..800_000).all(|number| filter.may_contain(hash(number))));
        let num_wrong = (800_000..900_000).filter(|&number| filter.may_contain(hash(number))).count();
        assert!(num_wrong < 3000, "{num_wrong} of 100,000 at ten bits each");
    }

    #[test]
    fn a_hash_in_a_long_run_takes_two_or_three_reads() {
        let mut sorted: Vec<u128> = (0..1_000_000_u32).map(|number| xxh3_128(&number.to_le_bytes())).collect();
        sorted.sort_unstable();
        let mut num_reads = 0;
        let mut is_there = |identity| {
            let read = |first: u64, bytes: &mut [u8]| {
                num_reads += 1;
                for (bytes, identity) in bytes.as_chunks_mut().0.iter_mut().zip(&sorted[first.try_into().unwrap()..]) {
                    *bytes = identity.to_le_bytes();
                }
                Ok(())
            };
            search(identity, sorted.len() as u64, read).unwrap()
        };
        assert!((0..10_000_u32).all(|number| is_there(xxh3_128(&(99 * number).to_le_bytes()))));
        assert!((2_000_000..2_010_000_u32).all(|number| !is_there(xxh3_128(&number.to_le_bytes()))));
        assert!(num_reads < 3 * 20_000, "{num_reads}");
    }

    #[test]
    fn a_merge_can_be_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let mut runs = IdentityRuns::new(directory.path(), 0);
        add(&mut runs, 0..10);
        let stop = Stop::default();
        stop.request();
        let run = runs.create().unwrap();
        assert!(matches!(runs.finish(run, &stop), Err(Error::Interrupted)));
    }
}
