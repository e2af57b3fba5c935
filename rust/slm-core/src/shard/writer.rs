//! One shard on its way to the disk: an array of ids and an array of offsets, both under a partial name until complete.

use super::header::{Element, HEADER_BYTES, npy_header};
use super::manifest::{CHECKSUM_BLOCK_BYTES, ShardRecord, Split};
use crate::error::{Error, Result};
use crate::io::{checksum, durable};
use crate::progress::Stop;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before each write to a file.
const BUFFER_BYTES: usize = 1 << 20;

/// A `.npy` file that grows; its header is written when its length is known.
#[derive(Debug)]
struct ArrayWriter {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    element: Element,
    num_bytes: u64,
}

impl ArrayWriter {
    fn create(path: PathBuf, element: Element) -> Result<Self> {
        let partial = partial_path(&path);
        let opened = File::options().read(true).write(true).create(true).truncate(true).open(&partial);
        let file = opened.map_err(Error::io(&path))?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        file.write_all(&[0; HEADER_BYTES]).map_err(Error::io(&path))?;
        Ok(Self { path, partial, file, element, num_bytes: 0 })
    }

    /// Goes on behind the first `length` elements of a file that was begun before; it may have been completed since.
    fn resume(path: PathBuf, element: Element, length: u64) -> Result<Self> {
        let partial = partial_path(&path);
        if !partial.exists() {
            fs::rename(&path, &partial).map_err(Error::io(&path))?;
        }
        let num_bytes = length * element.bytes() as u64;
        let kept_bytes = HEADER_BYTES as u64 + num_bytes;
        let opened = (|| {
            let mut file = File::options().read(true).write(true).open(&partial)?;
            if file.metadata()?.len() < kept_bytes {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is shorter than the build left it"));
            }
            file.set_len(kept_bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
        })();
        Ok(Self { file: opened.map_err(Error::io(&partial))?, path, partial, element, num_bytes })
    }

    /// Brings what there is to the disk.
    fn flush(&mut self) -> Result<()> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(Error::io(&self.path))
    }

    fn append(&mut self, elements: &[u8]) -> Result<()> {
        self.num_bytes += elements.len() as u64;
        self.file.write_all(elements).map_err(Error::io(&self.path))
    }

    fn len(&self) -> u64 {
        self.num_bytes / self.element.bytes() as u64
    }

    /// Shortens the array to `length` elements.
    fn truncate(&mut self, length: u64) -> Result<()> {
        self.num_bytes = length * self.element.bytes() as u64;
        let kept_bytes = HEADER_BYTES as u64 + self.num_bytes;
        let truncated = self.file.flush().and_then(|()| {
            let file = self.file.get_mut();
            file.set_len(kept_bytes)?;
            file.seek(SeekFrom::Start(kept_bytes))
        });
        truncated.map(|_| ()).map_err(Error::io(&self.path))
    }

    /// Moves all elements from the one at `start` on to the end of another array of the same kind.
    fn move_end(&mut self, start: u64, to: &mut Self) -> Result<()> {
        let start_bytes = HEADER_BYTES as u64 + start * self.element.bytes() as u64;
        let sought = self.file.flush().and_then(|()| self.file.get_mut().seek(SeekFrom::Start(start_bytes)));
        sought.map_err(Error::io(&self.path))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.file.get_mut().read(&mut buffer).map_err(Error::io(&self.path))? {
                0 => return self.truncate(start),
                read => to.append(&buffer[..read])?,
            }
        }
    }

    /// Removes the file.
    fn discard(self) -> Result<()> {
        drop(self.file);
        durable::remove_if_exists(&self.partial)
    }

    /// Completes the file, flushes it to the disk, gives it its name and returns its checksum and those of its blocks.
    fn finish(mut self, stop: &Stop) -> Result<(String, String)> {
        let header = npy_header(self.element, self.len());
        let completed = (|| {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header)?;
            self.file.flush()?;
            self.file.get_ref().sync_all()
        })();
        completed.map_err(Error::io(&self.path))?;
        // The header is known last and comes first, so the checksum is taken by reading the file once more: it is in the
        // page cache, and what is read is what was stored.
        let (checksum, blocks) = checksum::of_file_and_blocks(&self.partial, CHECKSUM_BLOCK_BYTES, |_| stop.check())?;
        fs::rename(&self.partial, &self.path).map_err(Error::io(&self.path))?;
        Ok((checksum::hex(checksum), blocks.into_iter().map(checksum::hex).collect()))
    }
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(durable::PARTIAL_SUFFIX);
    path.with_file_name(name)
}

/// How far an open shard is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenRecord {
    number: u32,
    tokens: u64,
    documents: u64,
    text_bytes: u64,
}

impl OpenRecord {
    pub fn name(&self) -> String {
        name_of(self.number)
    }
}

/// A shard that takes documents, one after another.
#[derive(Debug)]
pub(super) struct ShardWriter {
    number: u32,
    split: Split,
    tokens: ArrayWriter,
    index: ArrayWriter,
    documents: u64,
    text_bytes: u64,
    /// Ids of documents that have ended.
    ended_tokens: u64,
}

impl ShardWriter {
    pub(super) fn create(directory: &Path, number: u32, split: Split, element: Element) -> Result<Self> {
        let [tokens, index] = file_names(&name_of(number)).map(|name| directory.join(name));
        let mut index = ArrayWriter::create(index, Element::U64)?;
        index.append(&0_u64.to_le_bytes())?;
        let tokens = ArrayWriter::create(tokens, element)?;
        Ok(Self { number, split, tokens, index, documents: 0, text_bytes: 0, ended_tokens: 0 })
    }

    /// Goes on with a shard that an earlier build left open.
    pub(super) fn resume(directory: &Path, record: &OpenRecord, split: Split, element: Element) -> Result<Self> {
        let [tokens, index] = file_names(&record.name()).map(|name| directory.join(name));
        Ok(Self {
            number: record.number,
            split,
            tokens: ArrayWriter::resume(tokens, element, record.tokens)?,
            index: ArrayWriter::resume(index, Element::U64, record.documents + 1)?,
            documents: record.documents,
            text_bytes: record.text_bytes,
            ended_tokens: record.tokens,
        })
    }

    /// Brings all documents so far to the disk and says how many there are; between two documents.
    pub(super) fn record(&mut self) -> Result<OpenRecord> {
        self.tokens.flush()?;
        self.index.flush()?;
        Ok(OpenRecord {
            number: self.number,
            tokens: self.tokens.len(),
            documents: self.documents,
            text_bytes: self.text_bytes,
        })
    }

    /// Appends ids, little-endian, of the document at hand.
    pub(super) fn append(&mut self, tokens: &[u8]) -> Result<()> {
        self.tokens.append(tokens)
    }

    /// Ends the document at hand, which has so much text.
    pub(super) fn end_document(&mut self, text_bytes: u64) -> Result<()> {
        self.documents += 1;
        self.text_bytes += text_bytes;
        self.ended_tokens = self.tokens.len();
        self.index.append(&self.ended_tokens.to_le_bytes())
    }

    /// Removes the ids of the document at hand.
    pub(super) fn take_back(&mut self) -> Result<()> {
        self.tokens.truncate(self.ended_tokens)
    }

    /// Moves the ids of the document at hand to another shard.
    pub(super) fn move_document(&mut self, to: &mut Self) -> Result<()> {
        self.tokens.move_end(self.ended_tokens, &mut to.tokens)
    }

    /// The same shard of another split; before any document has ended.
    pub(super) fn relabelled(self, split: Split) -> Self {
        Self { split, ..self }
    }

    /// Removes both files.
    pub(super) fn discard(self) -> Result<()> {
        self.tokens.discard()?;
        self.index.discard()
    }

    /// The ids so far.
    pub(super) fn num_tokens(&self) -> u64 {
        self.tokens.len()
    }

    /// Completes both files and says what is in them.
    pub(super) fn finish(self, stop: &Stop) -> Result<ShardRecord> {
        let tokens = self.tokens.len();
        // The index is renamed first: where the ids have their name, the shard is complete.
        let (index_xxh3, index_blocks_xxh3) = self.index.finish(stop)?;
        let (tokens_xxh3, tokens_blocks_xxh3) = self.tokens.finish(stop)?;
        Ok(ShardRecord {
            name: name_of(self.number),
            split: self.split,
            tokens,
            documents: self.documents,
            bytes: self.text_bytes,
            tokens_xxh3,
            index_xxh3,
            tokens_blocks_xxh3,
            index_blocks_xxh3,
        })
    }
}

/// Whether what the record says is on the disk, of files that may have been completed since.
pub(super) fn is_there(directory: &Path, record: &OpenRecord, element: Element) -> bool {
    let has = |name: &String, length: u64, element: Element| {
        let bytes = HEADER_BYTES as u64 + length * element.bytes() as u64;
        let path = directory.join(name);
        fs::metadata(partial_path(&path)).or_else(|_| fs::metadata(&path)).is_ok_and(|file| file.len() >= bytes)
    };
    let [tokens, index] = file_names(&record.name());
    has(&tokens, record.tokens, element) && has(&index, record.documents + 1, Element::U64)
}

/// The files of a shard: ids and index.
pub(super) fn file_names(name: &str) -> [String; 2] {
    [format!("{name}.npy"), format!("{name}.index.npy")]
}

fn name_of(number: u32) -> String {
    format!("shard-{number:05}")
}
