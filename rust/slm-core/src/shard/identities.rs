//! Which documents were there already: an exact set, in memory as far as it may be and else in sorted runs on disk; and a file of
//! the same beside the shards, for whoever goes on.

use super::identity_runs::IdentityRuns;
use crate::error::{Error, Result};
use crate::progress::Stop;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// The file in an unfinished directory: 16 bytes for each document that is kept, in the order of the corpus.
pub(super) const IDENTITIES_FILE: &str = ".identities";

/// Tables that the set is divided among, so that only one of them is there twice while it grows.
const NUM_TABLES: usize = 256;

/// How many there are, and the checksum of the file up to there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdentitiesRecord {
    count: u64,
    xxh3: u64,
}

impl IdentitiesRecord {
    /// Whether a file as long as that is there.
    pub fn is_there(&self, directory: &Path) -> bool {
        std::fs::metadata(directory.join(IDENTITIES_FILE)).is_ok_and(|file| file.len() >= 16 * self.count)
    }
}

/// The documents so far.
pub(super) struct Identities<'a> {
    path: PathBuf,
    file: BufWriter<File>,
    /// Those that came last.
    tables: Vec<HashTable<u128>>,
    table_bytes: usize,
    max_table_bytes: u64,
    /// Those before them.
    runs: IdentityRuns,
    count: u64,
    hasher: Box<Xxh3>,
    stop: &'a Stop,
}

impl<'a> Identities<'a> {
    /// Begins with none, or with those that an earlier build left. Of `max_bytes` half are for tables, and most of the rest for what
    /// spares looks at the disk.
    ///
    /// # Errors
    /// [`Error::Data`] where they are not those of the record; [`Error::Io`]; [`Error::Interrupted`].
    pub fn open(directory: &Path, record: Option<&IdentitiesRecord>, max_bytes: u64, stop: &'a Stop) -> Result<Self> {
        let path = directory.join(IDENTITIES_FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(record.is_none()).open(&path);
        let file = opened.map_err(Error::io(&path))?;
        let mut identities = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            tables: (0..NUM_TABLES).map(|_| HashTable::new()).collect(),
            table_bytes: 0,
            max_table_bytes: max_bytes / 2,
            runs: IdentityRuns::new(directory, max_bytes / 8 * 3),
            count: 0,
            hasher: Box::new(Xxh3::new()),
            stop,
        };
        if let Some(record) = record {
            identities.restore(record)?;
        }
        Ok(identities)
    }

    fn restore(&mut self, record: &IdentitiesRecord) -> Result<()> {
        let opened = File::open(&self.path).map_err(Error::io(&self.path))?;
        let mut reader = BufReader::with_capacity(1 << 20, opened);
        let mut bytes = [0; 16];
        for _ in 0..record.count {
            reader.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
            self.hasher.update(&bytes);
            self.keep(u128::from_le_bytes(bytes))?;
        }
        self.count = record.count;
        if self.hasher.digest() != record.xxh3 {
            return Err(Error::Data(format!(
                "`{}` was changed after a part of the build was done\n\nhint: remove the directory and build it anew",
                self.path.display()
            )));
        }
        let kept_bytes = 16 * record.count;
        let end = std::io::SeekFrom::Start(kept_bytes);
        let file = self.file.get_mut();
        file.set_len(kept_bytes).and_then(|()| std::io::Seek::seek(file, end)).map_err(Error::io(&self.path))?;
        Ok(())
    }

    /// Adds a document; false if an equal one is there.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Interrupted`].
    pub fn insert(&mut self, identity: u128) -> Result<bool> {
        let is_recent = self.tables[table_of(identity)].find(low_half(identity), |&known| known == identity).is_some();
        if is_recent || self.runs.contains(identity)? {
            return Ok(false);
        }
        self.keep(identity)?;
        self.count += 1;
        let bytes = identity.to_le_bytes();
        self.hasher.update(&bytes);
        self.file.write_all(&bytes).map_err(Error::io(&self.path))?;
        Ok(true)
    }

    /// Brings all so far to the disk.
    pub fn record(&mut self) -> Result<IdentitiesRecord> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(Error::io(&self.path))?;
        Ok(IdentitiesRecord { count: self.count, xxh3: self.hasher.digest() })
    }

    /// Puts a document that is not there into its table.
    fn keep(&mut self, identity: u128) -> Result<()> {
        let hash = |known: &u128| low_half(*known);
        let table = &mut self.tables[table_of(identity)];
        if table.len() == table.capacity() {
            let before = table.allocation_size();
            // A slot is the identity and a byte of control; tables double.
            let after = (table.capacity().max(4) * 2).next_power_of_two() * 17;
            if before > 0 && (self.table_bytes + after) as u64 > self.max_table_bytes {
                self.spill()?;
            } else {
                table.reserve(1, hash);
                self.table_bytes = self.table_bytes - before + table.allocation_size();
            }
        }
        self.tables[table_of(identity)].insert_unique(low_half(identity), identity, hash);
        Ok(())
    }

    /// Empties the tables into a run; they keep their memory.
    fn spill(&mut self) -> Result<()> {
        let mut run = self.runs.create()?;
        let mut sorted = Vec::new();
        // One after another they are in order already.
        for table in &mut self.tables {
            self.stop.check()?;
            sorted.extend(table.drain());
            sorted.sort_unstable();
            for identity in sorted.drain(..) {
                self.runs.push(&mut run, identity)?;
            }
        }
        self.runs.finish(run, self.stop)
    }
}

/// The table of an identity: by its first byte, so that tables are in the order of what is in them.
fn table_of(identity: u128) -> usize {
    (identity >> 120) as usize
}

/// What tables go by; the identity is a hash itself.
#[allow(clippy::cast_possible_truncation)]
fn low_half(identity: u128) -> u64 {
    identity as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look as hashes do.
    fn hashes() -> impl Iterator<Item = u128> {
        (0_u128..).map(|i| xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()))
    }

    fn open<'a>(directory: &Path, record: Option<&IdentitiesRecord>, stop: &'a Stop) -> Result<Identities<'a>> {
        Identities::open(directory, record, 1 << 17, stop)
    }

    #[test]
    fn what_was_put_in_is_known_also_to_those_who_go_on() {
        let (directory, stop) = (tempfile::tempdir().unwrap(), Stop::default());
        // Fewer than tables hold, and several runs of them.
        for count in [500, 30_000] {
            let mut identities = open(directory.path(), None, &stop).unwrap();
            assert!(hashes().take(count).all(|hash| identities.insert(hash).unwrap()));
            assert!(hashes().take(count).all(|hash| !identities.insert(hash).unwrap()));
            let record = identities.record().unwrap();
            assert!(identities.insert(7).unwrap());
            drop(identities);
            let mut identities = open(directory.path(), Some(&record), &stop).unwrap();
            assert!(hashes().take(count).all(|hash| !identities.insert(hash).unwrap()));
            assert!(identities.insert(7).unwrap(), "it came after the record");
            assert_eq!(identities.record().unwrap().count, count as u64 + 1);
            let path = directory.path().join(IDENTITIES_FILE);
            let mut content = std::fs::read(&path).unwrap();
            assert_eq!(content.len(), 16 * (count + 1));
            content[5] ^= 1;
            std::fs::write(&path, content).unwrap();
            assert!(matches!(open(directory.path(), Some(&record), &stop), Err(Error::Data(_))));
        }
    }

    #[test]
    fn the_tables_stay_within_their_bytes_however_many_there_are() {
        let (directory, stop) = (tempfile::tempdir().unwrap(), Stop::default());
        let mut identities = open(directory.path(), None, &stop).unwrap();
        let mut most = 0;
        for hash in hashes().take(100_000) {
            assert!(identities.insert(hash).unwrap());
            let used: usize = identities.tables.iter().map(HashTable::allocation_size).sum();
            assert_eq!(used, identities.table_bytes);
            most = most.max(used);
        }
        assert!((1 << 14..=1 << 16).contains(&most), "{most}");
    }

    #[test]
    fn among_those_that_come_again_and_again_each_first_one_is_kept() {
        let (directory, stop) = (tempfile::tempdir().unwrap(), Stop::default());
        let mut identities = open(directory.path(), None, &stop).unwrap();
        let mut known = std::collections::HashSet::new();
        // Steps through 20,000 documents that meet early ones late, and late ones soon.
        for step in 0..60_000_u64 {
            let identity = xxhash_rust::xxh3::xxh3_128(&(step * step % 40_009 % 20_000).to_le_bytes());
            assert_eq!(identities.insert(identity).unwrap(), known.insert(identity), "{step}");
        }
        assert_eq!(identities.record().unwrap().count, known.len() as u64);
    }
}
