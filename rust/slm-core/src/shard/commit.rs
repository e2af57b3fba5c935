//! Documents to shards, in document order: one thread decides the split of each, closes full shards and opens new ones.
//!
//! What becomes of a document is decided by the hash of all of it. A long one comes in parts, and its ids go to the open shard of the
//! likelier split while it is being read. Once the hash is known, they are nearly always where they belong; otherwise they are
//! the end of that shard and are moved, or cut off where an equal document was there before. So no document is ever held, and
//! the shards are those that would have been written had the hash been known from the beginning.

use super::document_hash::{DocumentHash, DocumentHasher, SpanHash};
use super::header::Element;
use super::identities::{Identities, IdentitiesRecord};
use super::manifest::{ShardRecord, Split};
use super::writer::{OpenRecord, ShardWriter};
use crate::error::Result;
use crate::progress::Stop;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The ids of a document, or of a part of one, as a worker hands them over.
#[derive(Debug)]
pub(super) struct EncodedSpan<'a> {
    /// Ids, little-endian; the last part of a document includes the end-of-text token.
    pub tokens: &'a [u8],
    /// Its text.
    pub text: &'a [u8],
    pub ends_document: bool,
    /// What [`Choice::hashes`] asks for.
    pub hash: Option<&'a SpanHash>,
    /// The number of its source.
    pub source: u32,
}

/// What becomes of documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub validation_fraction: f64,
    pub deduplicate: bool,
}

impl Choice {
    /// Whether it goes by a hash at all.
    pub fn hashes(self) -> bool {
        self.deduplicate || (self.validation_fraction > 0.0 && self.validation_fraction < 1.0)
    }

    /// Equal documents get the same split, wherever they are in the corpus. Without a hash every document has the same.
    #[allow(clippy::cast_precision_loss)] // a split is not decided by the last bits of the hash
    fn split_of(self, hash: Option<DocumentHash>) -> Split {
        let position = hash.map_or(0.0, |hash| hash.split as f64 / u64::MAX as f64);
        if position < self.validation_fraction { Split::Validation } else { Split::Train }
    }

    /// The split of most documents.
    fn likelier(self) -> Split {
        if self.validation_fraction > 0.5 { Split::Validation } else { Split::Train }
    }
}

/// The open shard of each split.
pub(super) type OpenShards = [Option<OpenRecord>; 2];

/// What is in the shards from one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceTotals {
    pub documents: u64,
    pub tokens: u64,
    pub bytes: u64,
    /// Documents that are not in them, as they were there before.
    pub duplicates: u64,
}

/// What was written so far and is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Committed {
    /// Shards that are finished.
    pub finished: Vec<ShardRecord>,
    /// Shards that are not.
    pub open: OpenShards,
    /// The number of the next new shard.
    pub next_number: u32,
    /// By the number of the source.
    pub sources: Vec<SourceTotals>,
    /// Where duplicates are left out.
    pub identities: Option<IdentitiesRecord>,
}

/// A document that has begun and not ended.
struct OpenDocument {
    /// Where its ids are for now.
    split: Split,
    /// Whether the shard was opened for it.
    opened_shard: bool,
    hasher: Option<DocumentHasher>,
    text_bytes: u64,
    token_bytes: u64,
}

/// Where documents go.
pub(super) struct Committer<'a> {
    directory: PathBuf,
    element: Element,
    shard_tokens: u64,
    choice: Choice,
    stop: &'a Stop,
    document: Option<OpenDocument>,
    open: [Option<ShardWriter>; 2],
    next_number: u32,
    finished: Vec<ShardRecord>,
    sources: Vec<SourceTotals>,
    identities: Option<Identities<'a>>,
}

impl<'a> Committer<'a> {
    /// Begins, or goes on where an earlier build was. `identity_bytes` is the memory to find duplicates with.
    pub(super) fn new(
        directory: PathBuf,
        (element, shard_tokens): (Element, u64),
        (choice, identity_bytes): (Choice, u64),
        committed: &Committed,
        stop: &'a Stop,
    ) -> Result<Self> {
        let Committed { finished, open: open_records, next_number, sources, identities } = committed.clone();
        let identities = choice
            .deduplicate
            .then(|| Identities::open(&directory, identities.as_ref(), identity_bytes, stop))
            .transpose()?;
        let mut open = [None, None];
        for (split, record) in [Split::Train, Split::Validation].into_iter().zip(&open_records) {
            if let Some(record) = record {
                open[split as usize] = Some(ShardWriter::resume(&directory, record, split, element)?);
            }
        }
        let document = None;
        Ok(Self {
            directory,
            element,
            shard_tokens,
            choice,
            stop,
            document,
            open,
            next_number,
            finished,
            sources,
            identities,
        })
    }

    /// Brings everything so far to the disk; between two documents.
    pub(super) fn record(&mut self) -> Result<Committed> {
        let mut open = OpenShards::default();
        for (record, shard) in open.iter_mut().zip(&mut self.open) {
            *record = shard.as_mut().map(ShardWriter::record).transpose()?;
        }
        Ok(Committed {
            finished: self.finished.clone(),
            open,
            next_number: self.next_number,
            sources: self.sources.clone(),
            identities: self.identities.as_mut().map(Identities::record).transpose()?,
        })
    }

    /// Takes the next part of the document at hand; true if with it a shard was finished.
    pub(super) fn commit(&mut self, span: &EncodedSpan<'_>) -> Result<bool> {
        if self.document.is_some() || !span.ends_document {
            return self.commit_part(span);
        }
        let hash = self.choice.hashes().then(|| match span.hash {
            Some(SpanHash::Whole(hash)) => *hash,
            _ => DocumentHash::of(span.text, true),
        });
        if self.is_duplicate(hash, span.source)? {
            return Ok(false);
        }
        let split = self.choice.split_of(hash);
        self.shard(split)?.append(span.tokens)?;
        self.end_document(split, span.text.len() as u64, span.tokens.len() as u64, span.source)
    }

    /// Closes the shards and gives all of them by number, and what is from each source.
    pub(super) fn finish(mut self) -> Result<(Vec<ShardRecord>, Vec<SourceTotals>)> {
        for shard in self.open.into_iter().flatten() {
            self.finished.push(shard.finish(self.stop)?);
        }
        // Numbers of more than five digits are longer, and come after.
        self.finished
            .sort_unstable_by(|left, right| (left.name.len(), &left.name).cmp(&(right.name.len(), &right.name)));
        Ok((self.finished, self.sources))
    }

    fn commit_part(&mut self, span: &EncodedSpan<'_>) -> Result<bool> {
        let mut document = self.document.take().unwrap_or_else(|| {
            let split = self.choice.likelier();
            let opened_shard = self.open[split as usize].is_none();
            let hasher = self.choice.hashes().then(DocumentHasher::default);
            OpenDocument { split, opened_shard, hasher, text_bytes: 0, token_bytes: 0 }
        });
        if let Some(hasher) = &mut document.hasher {
            match span.hash {
                Some(SpanHash::Blocks(blocks)) => hasher.add(span.text, blocks),
                _ => hasher.add_plain(span.text),
            }
        }
        self.shard(document.split)?.append(span.tokens)?;
        document.text_bytes += span.text.len() as u64;
        document.token_bytes += span.tokens.len() as u64;
        if !span.ends_document {
            self.document = Some(document);
            return Ok(false);
        }
        let hash = document.hasher.take().map(DocumentHasher::finish);
        if self.is_duplicate(hash, span.source)? {
            self.take_back(&document)?;
            return Ok(false);
        }
        let split = self.choice.split_of(hash);
        if split != document.split {
            self.move_to(split, &document)?;
        }
        self.end_document(split, document.text_bytes, document.token_bytes, span.source)
    }

    /// Whether an equal document was there before; if so, it is counted.
    fn is_duplicate(&mut self, hash: Option<DocumentHash>, source: u32) -> Result<bool> {
        let (Some(identities), Some(hash)) = (&mut self.identities, hash) else { return Ok(false) };
        if identities.insert(hash.identity)? {
            return Ok(false);
        }
        self.totals_of(source).duplicates += 1;
        Ok(true)
    }

    /// Removes the ids of a document, which are the last ones of their shard.
    fn take_back(&mut self, document: &OpenDocument) -> Result<()> {
        let open = &mut self.open[document.split as usize];
        if !document.opened_shard {
            return open.as_mut().map_or(Ok(()), ShardWriter::take_back);
        }
        self.next_number -= 1;
        open.take().map_or(Ok(()), ShardWriter::discard)
    }

    /// Moves the ids of a document, which are the last ones of their shard, to the open shard of another split.
    fn move_to(&mut self, split: Split, document: &OpenDocument) -> Result<()> {
        let Some(mut from) = self.open[document.split as usize].take() else { return Ok(()) };
        if document.opened_shard && self.open[split as usize].is_none() {
            self.open[split as usize] = Some(from.relabelled(split));
            return Ok(());
        }
        from.move_document(self.shard(split)?)?;
        if document.opened_shard {
            self.next_number -= 1;
            return from.discard();
        }
        self.open[document.split as usize] = Some(from);
        Ok(())
    }

    fn end_document(&mut self, split: Split, text_bytes: u64, token_bytes: u64, source: u32) -> Result<bool> {
        let element_bytes = self.element.bytes() as u64;
        let totals = self.totals_of(source);
        totals.documents += 1;
        totals.tokens += token_bytes / element_bytes;
        totals.bytes += text_bytes;
        let is_full = {
            let shard_tokens = self.shard_tokens;
            let shard = self.shard(split)?;
            shard.end_document(text_bytes)?;
            shard.num_tokens() >= shard_tokens
        };
        if is_full && let Some(shard) = self.open[split as usize].take() {
            self.finished.push(shard.finish(self.stop)?);
        }
        Ok(is_full)
    }

    fn totals_of(&mut self, source: u32) -> &mut SourceTotals {
        let source = source as usize;
        if self.sources.len() <= source {
            self.sources.resize(source + 1, SourceTotals::default());
        }
        &mut self.sources[source]
    }

    /// The open shard of a split, opened if need be.
    fn shard(&mut self, split: Split) -> Result<&mut ShardWriter> {
        let open = &mut self.open[split as usize];
        if let Some(shard) = open {
            return Ok(shard);
        }
        let number = self.next_number;
        self.next_number += 1;
        Ok(open.insert(ShardWriter::create(&self.directory, number, split, self.element)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::document_hash::whole_blocks;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashSet};
    use std::fs;
    use std::path::Path;

    /// A text of some length, and its ids: two bytes for each four, and one at the end.
    fn document(number: u8, length: usize) -> (Vec<u8>, Vec<u8>) {
        let text: Vec<u8> = (0..length).map(|i| (i * i % 251).to_le_bytes()[0] ^ number).collect();
        let tokens = text.chunks(4).flat_map(|chunk| [chunk[0], number]).chain([0, 0]).collect();
        (text, tokens)
    }

    /// Commits documents, those with a cut in two parts, and goes on from what was recorded whenever a shard is finished.
    fn build(
        directory: &Path,
        documents: &[(u8, usize, Option<usize>)],
        choice: Choice,
    ) -> (BTreeMap<String, Vec<u8>>, Vec<ShardRecord>, Vec<SourceTotals>) {
        let stop = Stop::default();
        let open = |committed: &Committed| {
            Committer::new(directory.to_owned(), (Element::U16, 60_000), (choice, 1 << 20), committed, &stop).unwrap()
        };
        let mut committer = open(&Committed::default());
        for &(number, length, cut) in documents {
            let (text, tokens) = document(number, length);
            let mut commit = |text: &[u8], tokens: &[u8], ends_document: bool, hash: SpanHash| {
                let hash = Some(&hash);
                let span = EncodedSpan { tokens, text, ends_document, hash, source: u32::from(number % 2) };
                committer.commit(&span).unwrap()
            };
            let has_finished = if let Some(cut) = cut.map(|cut| cut % length / 4 * 4) {
                let token_cut = cut / 2;
                let (first, second) = (whole_blocks(&text[..cut], 0), whole_blocks(&text[cut..], cut as u64));
                commit(&text[..cut], &tokens[..token_cut], false, SpanHash::Blocks(first));
                commit(&text[cut..], &tokens[token_cut..], true, SpanHash::Blocks(second))
            } else {
                commit(&text, &tokens, true, SpanHash::Whole(DocumentHash::of(&text, true)))
            };
            if has_finished {
                let committed = committer.record().unwrap();
                committer = open(&committed);
            }
        }
        let (shards, sources) = committer.finish().unwrap();
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let named =
            files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        (named.collect(), shards, sources)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn documents_in_parts_make_the_shards_of_whole_ones(
            documents in proptest::collection::vec(
                (0..12_u8, prop_oneof![4..50_usize, 60_000..200_000_usize], proptest::option::of(0..200_000_usize)), 1..25,
            ),
            validation_fraction in prop_oneof![Just(0.0), Just(0.3), Just(0.8), Just(1.0)],
            deduplicate: bool,
        ) {
            let choice = Choice { validation_fraction, deduplicate };
            let whole: Vec<_> = documents.iter().map(|&(number, length, _)| (number, length, None)).collect();
            let [one, other] = [&whole, &documents].map(|documents| {
                let directory = tempfile::tempdir().unwrap();
                build(directory.path(), documents, choice)
            });
            prop_assert_eq!(&one, &other);
            let mut known = HashSet::new();
            let kept = documents.iter().filter(|&&(number, length, _)| {
                known.insert(document(number, length).0) || !deduplicate
            });
            let (kept, bytes) = kept.fold((0, 0), |(count, bytes), (_, length, _)| (count + 1, bytes + *length as u64));
            let (_, shards, sources) = one;
            prop_assert_eq!(shards.iter().map(|shard| shard.documents).sum::<u64>(), kept);
            prop_assert_eq!(shards.iter().map(|shard| shard.bytes).sum::<u64>(), bytes);
            prop_assert_eq!(sources.iter().map(|source| source.bytes).sum::<u64>(), bytes);
            let duplicates: u64 = sources.iter().map(|source| source.duplicates).sum();
            prop_assert_eq!(kept + duplicates, documents.len() as u64);
        }
    }
}
