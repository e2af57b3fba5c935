//! Which documents were there already: an exact set in memory, and a file of the same beside the shards for whoever goes on.

use crate::error::{Error, Result};
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
pub(super) struct Identities {
    path: PathBuf,
    file: BufWriter<File>,
    tables: Vec<HashTable<u128>>,
    table_bytes: usize,
    max_bytes: u64,
    count: u64,
    hasher: Box<Xxh3>,
}

impl Identities {
    /// Begins with none, or with those that an earlier build left.
    ///
    /// # Errors
    /// [`Error::Data`] where they are not those of the record; [`Error::Io`]; those of [`Identities::insert`].
    pub fn open(directory: &Path, record: Option<&IdentitiesRecord>, max_bytes: u64) -> Result<Self> {
        let path = directory.join(IDENTITIES_FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(record.is_none()).open(&path);
        let file = opened.map_err(Error::io(&path))?;
        let mut identities = Self {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            tables: (0..NUM_TABLES).map(|_| HashTable::new()).collect(),
            table_bytes: 0,
            max_bytes,
            count: 0,
            hasher: Box::new(Xxh3::new()),
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
    /// [`Error::Config`] where there is no memory for one more; [`Error::Io`].
    pub fn insert(&mut self, identity: u128) -> Result<bool> {
        if !self.keep(identity)? {
            return Ok(false);
        }
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

    fn keep(&mut self, identity: u128) -> Result<bool> {
        let table = &mut self.tables[(identity >> 120) as usize];
        let hash = low_half(identity);
        if table.find(hash, |&known| known == identity).is_some() {
            return Ok(false);
        }
        if table.len() == table.capacity() {
            let before = table.allocation_size();
            // A slot is the identity and a byte of control; tables double.
            let after = (table.capacity().max(4) * 2).next_power_of_two() * 17;
            if (self.table_bytes + after) as u64 > self.max_bytes {
                return Err(self.full());
            }
            table.reserve(1, |&known| low_half(known));
            self.table_bytes = self.table_bytes - before + table.allocation_size();
        }
        table.insert_unique(hash, identity, |&known| low_half(known));
        self.count += 1;
        Ok(true)
    }

    fn full(&self) -> Error {
        Error::Config(format!(
            "there are more than {} different documents, which is all that `deduplicate` has room for within `memory_limit`\n\n\
             hint: raise `memory_limit` by about 32 bytes for each document of the corpus; the same command then goes on \
             behind the last finished shard",
            self.count
        ))
    }
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

    #[test]
    fn what_was_put_in_is_known_also_to_those_who_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut identities = Identities::open(directory.path(), None, 1 << 20).unwrap();
        assert!(hashes().take(1000).all(|hash| identities.insert(hash).unwrap()));
        assert!(hashes().take(1000).all(|hash| !identities.insert(hash).unwrap()));
        let record = identities.record().unwrap();
        assert!(identities.insert(7).unwrap());
        drop(identities);
        let mut identities = Identities::open(directory.path(), Some(&record), 1 << 20).unwrap();
        assert!(hashes().take(1000).all(|hash| !identities.insert(hash).unwrap()));
        assert!(identities.insert(7).unwrap(), "it came after the record");
        identities.record().unwrap();
        let path = directory.path().join(IDENTITIES_FILE);
        let mut content = std::fs::read(&path).unwrap();
        assert_eq!(content.len(), 16 * 1001);
        content[5] ^= 1;
        std::fs::write(&path, content).unwrap();
        assert!(matches!(Identities::open(directory.path(), Some(&record), 1 << 20), Err(Error::Data(_))));
    }

    #[test]
    fn the_tables_stay_within_their_bytes_and_say_when_they_are_full() {
        let directory = tempfile::tempdir().unwrap();
        let mut identities = Identities::open(directory.path(), None, 1 << 20).unwrap();
        let outcome = hashes().take(1 << 20).try_for_each(|hash| identities.insert(hash).map(|_| ()));
        assert!(outcome.unwrap_err().to_string().contains("raise `memory_limit`"));
        let used: usize = identities.tables.iter().map(HashTable::allocation_size).sum();
        assert_eq!(used, identities.table_bytes);
        assert!((1 << 19..=1 << 20).contains(&used), "{used}");
        assert!(identities.count > 20_000);
    }
}
