//! Where documents end, looked up in the index files of shards.
//!
//! Of a million documents all offsets are held. Of more every so many-th is, and those between are read for each row.

use super::fences::Fences;
use super::files::{ArrayFile, ArrayFiles};
use crate::error::{Error, Result};

/// What is held of all index files together.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Up to so many offsets all are: 8 MiB, and as much to find them.
    all: u64,
    /// Of more, so many; each is read by itself.
    some: u64,
}

const LIMITS: Limits = Limits { all: 1 << 20, some: 1 << 16 };

/// Offsets that are read at once to find those between two that are held.
const BLOCK: usize = 64;

/// Offsets that are read at once where all are.
const STRETCH: usize = 1 << 13;

/// The index files of a split: for each shard where its documents start, and at the end its number of tokens.
pub struct DocumentIndex {
    offsets: ArrayFiles,
    /// Tokens before each shard.
    shard_starts: Vec<u64>,
    /// Of each shard, every `stride`-th offset.
    held: Vec<Fences>,
    stride: u64,
}

impl DocumentIndex {
    /// Opens the index files; `shard_starts` are the tokens before each shard, and in all.
    ///
    /// # Errors
    /// [`Error::Data`] if an index does not begin with 0 and end with the tokens of its shard; [`Error::Io`] if it cannot be read.
    pub fn open(files: Vec<ArrayFile>, shard_starts: &[u64], max_open: usize) -> Result<Self> {
        Self::open_within(files, shard_starts, max_open, LIMITS)
    }

    fn open_within(files: Vec<ArrayFile>, shard_starts: &[u64], max_open: usize, limits: Limits) -> Result<Self> {
        let offsets = ArrayFiles::open(files, 8, max_open)?;
        let total = offsets.num_elements();
        let stride = if total <= limits.all { 1 } else { total.div_ceil(limits.some) };
        let mut index = Self { offsets, shard_starts: shard_starts.to_owned(), held: Vec::new(), stride };
        for shard_idx in 0..index.num_shards() {
            let len = index.len_of(shard_idx);
            let mut held = Vec::new();
            if stride == 1 {
                index.for_each_offset(shard_idx, |offset| {
                    held.push(offset);
                    Ok(())
                })?;
            } else {
                let places = (0..len).step_by(usize::try_from(stride).unwrap_or(usize::MAX));
                held = places.map(|at| index.offset(shard_idx, at)).collect::<Result<_>>()?;
            }
            let tokens = index.shard_starts[shard_idx + 1] - index.shard_starts[shard_idx];
            if held.first() != Some(&0) || !held.is_sorted() || index.offset(shard_idx, len - 1)? != tokens {
                return Err(index.malformed(shard_idx));
            }
            index.held.push(Fences::new(held));
        }
        Ok(index)
    }

    /// Calls `visit` with each position in `start + 1..stop` where a document starts, in order.
    ///
    /// # Errors
    /// [`Error::Data`] if offsets fall; [`Error::Io`] if they cannot be read.
    pub fn for_each_start(&self, start: u64, stop: u64, mut visit: impl FnMut(u64)) -> Result<()> {
        let first_shard = self.shard_starts.partition_point(|&shard_start| shard_start <= start) - 1;
        let mut block = [0; BLOCK];
        for shard_idx in first_shard..self.num_shards() {
            let [shard_start, shard_stop] = [self.shard_starts[shard_idx], self.shard_starts[shard_idx + 1]];
            if shard_start >= stop {
                break;
            }
            let mut at = self.first_offset_near(shard_idx, start.saturating_sub(shard_start))?;
            // Documents without a token start where the next one does, which is told once.
            let mut last = None;
            'shard: while at < self.len_of(shard_idx) {
                let offsets = self.offsets_from(shard_idx, at, &mut block)?;
                for &offset in offsets {
                    let position = shard_start + offset;
                    if last.is_some_and(|last| offset < last) || position > shard_stop {
                        return Err(self.malformed(shard_idx));
                    }
                    if position >= stop.min(shard_stop) {
                        break 'shard;
                    }
                    if position > start && last != Some(offset) {
                        visit(position);
                    }
                    last = Some(offset);
                }
                at += offsets.len() as u64;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the first token and the length of every document that has one, in order.
    ///
    /// # Errors
    /// [`Error::Data`] if offsets fall; what `visit` returns.
    pub fn for_each_document(&self, mut visit: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
        for shard_idx in 0..self.num_shards() {
            let shard_start = self.shard_starts[shard_idx];
            let mut last = 0;
            self.for_each_offset(shard_idx, |offset| {
                if offset < last || shard_start + offset > self.shard_starts[shard_idx + 1] {
                    return Err(self.malformed(shard_idx));
                }
                if offset > last {
                    visit(shard_start + last, offset - last)?;
                }
                last = offset;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn for_each_offset(&self, shard_idx: usize, mut visit: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let mut bytes = vec![0; STRETCH * 8];
        let (mut at, len) = (0, self.len_of(shard_idx));
        while at < len {
            let count = (len - at).min(STRETCH as u64);
            #[allow(clippy::cast_possible_truncation)] // at most `STRETCH`
            let bytes = &mut bytes[..count as usize * 8];
            self.offsets.read_file(shard_idx, at, bytes)?;
            bytes.as_chunks().0.iter().try_for_each(|&bytes| visit(u64::from_le_bytes(bytes)))?;
            at += count;
        }
        Ok(())
    }

    fn num_shards(&self) -> usize {
        self.offsets.files().len()
    }

    fn len_of(&self, shard_idx: usize) -> u64 {
        self.offsets.files()[shard_idx].len
    }

    /// A place in the index at or before the first offset above `after`, less than a block before it.
    fn first_offset_near(&self, shard_idx: usize, after: u64) -> Result<u64> {
        let fence = self.held[shard_idx].last_up_to(after) as u64;
        let (mut low, mut high) = (fence * self.stride, ((fence + 1) * self.stride).min(self.len_of(shard_idx)));
        while high - low > BLOCK as u64 {
            let middle = low.midpoint(high);
            if self.offset(shard_idx, middle)? <= after {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn offset(&self, shard_idx: usize, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.offsets.read_file(shard_idx, at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Offsets from a place on: all of them if they are held, else those of a block.
    fn offsets_from<'a>(&'a self, shard_idx: usize, at: u64, block: &'a mut [u64; BLOCK]) -> Result<&'a [u64]> {
        if self.stride == 1 {
            #[allow(clippy::cast_possible_truncation)] // at most `Limits::all`
            return Ok(&self.held[shard_idx].numbers()[at as usize..]);
        }
        #[allow(clippy::cast_possible_truncation)] // at most `BLOCK`
        let count = (self.len_of(shard_idx) - at).min(BLOCK as u64) as usize;
        let mut bytes = [0; BLOCK * 8];
        self.offsets.read_file(shard_idx, at, &mut bytes[..count * 8])?;
        for (offset, &bytes) in block.iter_mut().zip(bytes.as_chunks().0) {
            *offset = u64::from_le_bytes(bytes);
        }
        Ok(&block[..count])
    }

    fn malformed(&self, shard_idx: usize) -> Error {
        let ArrayFile { path, len, .. } = &self.offsets.files()[shard_idx];
        let tokens = self.shard_starts[shard_idx + 1] - self.shard_starts[shard_idx];
        Error::Data(format!(
            "`{}` does not hold {len} rising offsets from 0 to {tokens}\n\nhint: `slm data verify` says which shards are damaged; \
             rebuild them",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    /// Index files of shards with documents of these lengths; the starts of shards; the starts of documents that have tokens.
    fn written(directory: &std::path::Path, shards: &[Vec<u64>]) -> (Vec<ArrayFile>, Vec<u64>, Vec<u64>) {
        let (mut files, mut shard_starts, mut starts) = (Vec::new(), vec![0], Vec::new());
        for (number, lens) in shards.iter().enumerate() {
            let mut offsets = vec![0];
            for len in lens {
                if *len > 0 {
                    starts.push(shard_starts[number] + offsets[offsets.len() - 1]);
                }
                offsets.push(offsets[offsets.len() - 1] + len);
            }
            let path = directory.join(number.to_string());
            fs::write(&path, offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>()).unwrap();
            files.push(ArrayFile { path, header_bytes: 0, len: offsets.len() as u64 });
            shard_starts.push(shard_starts[number] + offsets[offsets.len() - 1]);
        }
        (files, shard_starts, starts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn starts_are_found_as_in_a_list_of_all(
            shards in prop::collection::vec(prop::collection::vec(0u64..9, 1..300), 1..4),
            spans in prop::collection::vec((0.0f64..1.0, 0u64..900), 8),
            limits in prop_oneof![Just(LIMITS), Just(Limits { all: 1, some: 5 }), Just(Limits { all: 1, some: 100 })],
        ) {
            let shards: Vec<Vec<u64>> = shards.into_iter().filter(|lens| lens.iter().sum::<u64>() > 0).collect();
            prop_assume!(!shards.is_empty());
            let directory = tempfile::tempdir().unwrap();
            let (files, shard_starts, starts) = written(directory.path(), &shards);
            let index = DocumentIndex::open_within(files, &shard_starts, 1, limits).unwrap();
            let total = shard_starts[shards.len()];
            for (share, len) in spans {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                let start = (share * total as f64) as u64;
                let stop = (start + len).min(total);
                let mut found = Vec::new();
                index.for_each_start(start, stop, |position| found.push(position)).unwrap();
                let expected: Vec<u64> = starts.iter().copied().filter(|&at| at > start && at < stop).collect();
                prop_assert_eq!(found, expected);
            }
            let mut documents = Vec::new();
            index.for_each_document(|start, len| { documents.push((start, len)); Ok(()) }).unwrap();
            prop_assert_eq!(documents.iter().map(|document| document.0).collect::<Vec<_>>(), starts);
            prop_assert_eq!(documents.iter().map(|document| document.1).sum::<u64>(), total);
        }
    }

    #[test]
    fn offsets_that_fall_or_end_elsewhere_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (files, shard_starts, _) = written(directory.path(), &[vec![2; 70_000]]);
        assert!(DocumentIndex::open(files.clone(), &[0, 139_999], 1).is_err());
        let mut bytes = fs::read(&files[0].path).unwrap();
        bytes[8 * 1001..8 * 1002].copy_from_slice(&1999u64.to_le_bytes());
        fs::write(&files[0].path, bytes).unwrap();
        assert!(DocumentIndex::open(files.clone(), &shard_starts, 1).is_err());
        let not_all = Limits { all: 1000, some: 1000 };
        let index = DocumentIndex::open_within(files, &shard_starts, 1, not_all).unwrap();
        assert!(matches!(index.for_each_start(1990, 2100, |_| ()), Err(Error::Data(_))));
        assert!(matches!(index.for_each_document(|_, _| Ok(())), Err(Error::Data(_))));
    }
}
