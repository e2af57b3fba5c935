//! Counts as an artifact: a directory with one sorted file of pretokens and a manifest that says what they are of.
//!
//! `counts.run` is a run as in [`runs`](super::runs); its first block has no entries and holds the name of the format. Its bytes
//! depend on the counts alone: not on threads, memory, parts, or the order in which counts were added up.

use crate::corpus::{ReadSummary, Skipped};
use crate::count::runs::{Entries, Run};
use crate::count::sorted::SortedCounts;
use crate::count::{CountOptions, CountSummary, Counted, Giants, PretokenCounts};
use crate::error::{Error, Result};
use crate::io::blocks::{Blocks, Unpacker};
use crate::io::checksum::{hex, of_file};
use crate::io::durable;
use crate::pretokenize::{Pretokenizer, PretokenizerSettings};
use crate::progress::Stop;
use crate::tokenizer_file::UNICODE_VERSION;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// The file that makes a directory a finished counts directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The file with the counts.
pub const COUNTS_FILE: &str = "counts.run";

/// What a manifest's `format` says, and the version that is written and read.
const FORMAT: &str = "slm.counts";
const VERSION: u64 = 1;

/// What the first block of the file with the counts holds.
pub(super) const NOTE: &[u8] = b"slm.counts 1\n";

/// Bytes that a manifest may have: about 100,000 corpora.
const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// What `manifest.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `slm.counts`.
    pub format: String,
    /// The version of the format.
    pub version: u64,
    /// How documents were split into pretokens.
    pub pretokenizer: Value,
    /// The Unicode version of the character classes in it.
    pub unicode_version: String,
    /// Special tokens that were kept out of the text, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_out: Vec<String>,
    /// The counts in figures.
    pub counts: CountsRecord,
    /// What was counted: one corpus, or all that were added up, in the order of their fingerprints.
    pub corpora: Vec<CorpusRecord>,
    /// The file with the counts.
    pub file: FileRecord,
    /// The program that wrote it.
    pub created_by: String,
}

/// Pretokens in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsRecord {
    /// Pretokens in all.
    pub pretokens: u64,
    /// Different pretokens.
    pub unique_pretokens: u64,
    /// Bytes of the different pretokens.
    pub unique_bytes: u64,
    /// The bytes that occur: a bit each, as 64 hexadecimal digits from byte 255 down to byte 0.
    pub alphabet: String,
    /// Bytes of all occurrences of pretokens that are far longer than words.
    pub giant_bytes: u64,
    /// Bytes of the longest pretoken.
    pub longest_bytes: u64,
    /// Its first bytes, at most 64, as numbers.
    pub longest_begins: Vec<u8>,
    /// Identifies the counts.
    pub fingerprint: String,
}

/// A corpus that was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusRecord {
    /// Identifies the text.
    pub fingerprint: String,
    /// Files read; 0 for documents in memory.
    pub files: u64,
    /// Documents with text.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Documents that were left out, by reason.
    pub skipped: Skipped,
    /// Sequences that became U+FFFD.
    pub replaced_sequences: u64,
    /// Identifies the files by path, size and time, and how they were read; `None` for what can be read only once.
    pub sources: Option<String>,
}

/// The file with the counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// XXH3-64 of all of it.
    pub checksum: String,
    /// The size of its largest block.
    pub max_block_bytes: u64,
}

impl Manifest {
    pub(super) fn splitting(&self) -> SplittingRecord {
        SplittingRecord { pretokenizer: self.pretokenizer.clone(), kept_out: self.kept_out.clone() }
    }

    /// The content of `manifest.json`.
    ///
    /// # Errors
    /// [`Error::Data`] if JSON cannot express it, which no counts cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|json| json + "\n")
            .map_err(|error| Error::Data(format!("the manifest cannot be written as JSON: {error}")))
    }
}

impl CorpusRecord {
    /// Of a corpus that was read.
    pub(super) fn new(read: &ReadSummary, sources: Option<String>) -> Self {
        let &ReadSummary { files, documents, skipped, replaced_sequences, text_bytes, fingerprint, .. } = read;
        let fingerprint = hex(fingerprint);
        Self { fingerprint, files, documents, bytes: text_bytes, skipped, replaced_sequences, sources }
    }
}

/// How text became pretokens, as a manifest has it.
pub(super) struct SplittingRecord {
    /// The pretokenizer's settings, without those that are not set.
    pretokenizer: Value,
    kept_out: Vec<String>,
}

impl SplittingRecord {
    pub fn new(options: &CountOptions) -> Self {
        let kept_out = kept_out_record(&options.kept_out);
        Self { pretokenizer: json!(options.pretokenizer.settings()), kept_out }
    }
}

/// Special tokens that are kept out as they are written: their order and repeats make no difference.
pub(crate) fn kept_out_record(special_tokens: &[String]) -> Vec<String> {
    let mut sorted = special_tokens.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

/// For messages.
pub(crate) fn kept_out_in_words(special_tokens: &[String]) -> String {
    let named: Vec<String> = special_tokens.iter().map(|token| format!("`{token}`")).collect();
    match &named[..] {
        [] => "no special tokens kept out of the text".to_owned(),
        [one] => format!("the special token {one} kept out of the text"),
        _ => format!("the special tokens {} kept out of the text", named.join(", ")),
    }
}

/// A finished counts directory.
#[derive(Clone, Debug)]
pub struct CountsArtifact {
    directory: PathBuf,
    manifest: Manifest,
    pretokenizer: Pretokenizer,
    summary: CountSummary,
    is_in_alphabet: [bool; 256],
}

impl CountsArtifact {
    /// Reads the manifest and looks for the file; its content is checked by [`CountsArtifact::verify`].
    ///
    /// # Errors
    /// [`Error::Io`] for a directory that does not exist; [`Error::Data`] for one without a manifest, and for counts of another
    /// version, of a pattern that is not known, or of another size than the manifest says.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST_FILE);
        if !path.exists() {
            let entries = fs::read_dir(directory).map_err(Error::io(directory))?;
            drop(entries);
            return Err(Error::Data(format!(
                "`{}` holds no finished counts: there is no `{MANIFEST_FILE}`\n\nhint: give a directory that `slm tokenizer count` or \
                 `merge-counts` has finished",
                directory.display()
            )));
        }
        let refuse = |reason: String| Error::Data(format!("`{}` is no manifest of counts: {reason}", path.display()));
        let size = fs::metadata(&path).map_err(Error::io(&path))?.len();
        if size > MAX_MANIFEST_BYTES {
            return Err(refuse(format!("it has {size} bytes, at most {MAX_MANIFEST_BYTES} are allowed")));
        }
        let content = fs::read(&path).map_err(Error::io(&path))?;
        let value: Value = serde_json::from_slice(&content).map_err(|error| refuse(error.to_string()))?;
        if value["format"] != FORMAT {
            return Err(refuse(format!("its format is {}, not \"{FORMAT}\"", value["format"])));
        }
        if value["version"] != VERSION {
            return Err(refuse(format!(
                "its version is {}, this program reads version {VERSION}\n\nhint: use the program that wrote it, or count again",
                value["version"]
            )));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
        let settings: Option<PretokenizerSettings> = serde_json::from_value(manifest.pretokenizer.clone()).ok();
        let pretokenizer = settings.and_then(|settings| Pretokenizer::new(&settings).ok()).ok_or_else(|| {
            refuse(format!("its `pretokenizer` is {}, which this program does not know", manifest.pretokenizer))
        })?;
        let alphabet = alphabet_of(&manifest.counts.alphabet);
        let fingerprint = u64::from_str_radix(&manifest.counts.fingerprint, 16);
        let (Some(is_in_alphabet), Ok(fingerprint)) = (alphabet, fingerprint) else {
            return Err(refuse("`alphabet` or `fingerprint` is not made of hexadecimal digits".into()));
        };
        let &CountsRecord { pretokens, unique_pretokens, unique_bytes, .. } = &manifest.counts;
        let CountsRecord { giant_bytes, longest_bytes, longest_begins, .. } = &manifest.counts;
        let giants = Giants::known(*giant_bytes, *longest_bytes, longest_begins);
        let summary = CountSummary { unique_pretokens, unique_bytes, pretokens, giants, fingerprint };
        let artifact = Self { directory: directory.to_owned(), manifest, pretokenizer, summary, is_in_alphabet };
        let path = artifact.path();
        let size = fs::metadata(&path).map_err(Error::io(&path))?.len();
        match artifact.manifest.file.bytes {
            expected if expected == size => Ok(artifact),
            expected => Err(Error::Data(format!(
                "`{}` ends at byte {size}, its manifest says {expected}\n\nhint: copy the directory again, or count again",
                path.display()
            ))),
        }
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How documents were split.
    pub fn pretokenizer(&self) -> &Pretokenizer {
        &self.pretokenizer
    }

    /// The counts in figures.
    pub fn summary(&self) -> CountSummary {
        self.summary
    }

    /// All that was counted, in figures. The fingerprint is that of the text, or is made of all of them.
    pub fn read_summary(&self) -> ReadSummary {
        let mut all = ReadSummary::default();
        let mut hasher = Xxh3::new();
        for corpus in &self.manifest.corpora {
            all.files += corpus.files;
            all.documents += corpus.documents;
            all.text_bytes += corpus.bytes;
            all.skipped += corpus.skipped;
            all.replaced_sequences += corpus.replaced_sequences;
            hasher.update(corpus.fingerprint.as_bytes());
        }
        all.fingerprint = match &self.manifest.corpora[..] {
            [one] => u64::from_str_radix(&one.fingerprint, 16).unwrap_or_default(),
            _ => hasher.digest(),
        };
        all
    }

    /// Reads the whole file and compares its checksum; `on_bytes` hears how many bytes each read brought and may end it.
    ///
    /// # Errors
    /// [`Error::Data`] with the file and the first byte of the block that is damaged; [`Error::Io`]; what `on_bytes` returns.
    pub fn verify(&self, on_bytes: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let path = self.path();
        if hex(of_file(&path, on_bytes)?) == self.manifest.file.checksum {
            return Ok(());
        }
        let (mut blocks, mut unpacker) = (Blocks::open(&path)?, Unpacker::default());
        let mut entries = Vec::new();
        while blocks.next(&mut unpacker, &mut entries)?.is_some() {}
        Err(Error::Data(format!(
            "`{}` is not the file that its manifest is of: the checksums differ\n\nhint: copy the directory again, or count again",
            path.display()
        )))
    }

    /// The counts: in a table if one of about `max_table_bytes` holds them, else where they are.
    ///
    /// # Errors
    /// As [`CountsArtifact::verify`].
    pub(crate) fn counted<'a>(&self, max_table_bytes: usize, stop: &Stop) -> Result<Counted<'a>> {
        let sorted = || Counted::Sorted(Box::new(SortedCounts::of_file(self.run(), self.summary, self.is_in_alphabet)));
        let mut table = PretokenCounts::within(max_table_bytes);
        let (mut blocks, mut unpacker) = (Blocks::open(&self.path())?, Unpacker::default());
        let mut bytes = Vec::new();
        while let Some(num_entries) = blocks.next(&mut unpacker, &mut bytes)? {
            stop.check()?;
            let mut entries = Entries::new(bytes, num_entries);
            while entries.advance() {
                table.add(entries.pretoken(), entries.count());
                if table.is_full() {
                    return Ok(sorted());
                }
            }
            bytes = entries.into_bytes();
        }
        Ok(Counted::Table(table))
    }

    pub(super) fn run(&self) -> Run {
        let FileRecord { bytes, max_block_bytes, .. } = self.manifest.file;
        Run { path: self.path(), bytes, max_block_bytes: usize::try_from(max_block_bytes).unwrap_or(usize::MAX) }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(COUNTS_FILE)
    }
}

/// Gives finished counts in a directory their name, and writes the manifest last.
pub(super) fn finish(
    directory: &Path,
    sorted: &SortedCounts<'_>,
    splitting: SplittingRecord,
    mut corpora: Vec<CorpusRecord>,
    check: impl FnMut(u64) -> Result<()>,
) -> Result<CountsArtifact> {
    corpora.sort_unstable_by(|a, b| (&a.fingerprint, &a.sources).cmp(&(&b.fingerprint, &b.sources)));
    let run = sorted.run();
    let checksum = hex(of_file(&run.path, check)?);
    durable::flush_file(&run.path)?;
    let path = directory.join(COUNTS_FILE);
    fs::rename(&run.path, &path).map_err(Error::io(&path))?;
    durable::flush_directory(directory)?;
    let CountSummary { unique_pretokens, unique_bytes, pretokens, giants, fingerprint } = sorted.summary();
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        pretokenizer: splitting.pretokenizer,
        unicode_version: UNICODE_VERSION.into(),
        kept_out: splitting.kept_out,
        counts: CountsRecord {
            pretokens,
            unique_pretokens,
            unique_bytes,
            alphabet: digits_of(sorted.is_in_alphabet()),
            giant_bytes: giants.bytes,
            longest_bytes: giants.longest_bytes,
            longest_begins: giants.beginning().to_vec(),
            fingerprint: hex(fingerprint),
        },
        corpora,
        file: FileRecord {
            name: COUNTS_FILE.into(),
            bytes: run.bytes,
            checksum,
            max_block_bytes: run.max_block_bytes as u64,
        },
        created_by: concat!("slm ", env!("CARGO_PKG_VERSION")).into(),
    };
    durable::write_file(&directory.join(MANIFEST_FILE), manifest.to_json()?.as_bytes())?;
    CountsArtifact::open(directory)
}

fn digits_of(is_in_alphabet: &[bool; 256]) -> String {
    let (nibbles, _) = is_in_alphabet.as_chunks::<4>();
    let digit = |nibble: &[bool; 4]| (0..4).fold(0, |digit, bit| digit | u32::from(nibble[bit]) << bit);
    nibbles.iter().rev().filter_map(|nibble| char::from_digit(digit(nibble), 16)).collect()
}

fn alphabet_of(digits: &str) -> Option<[bool; 256]> {
    let mut is_in_alphabet = [false; 256];
    let (nibbles, _) = is_in_alphabet.as_chunks_mut::<4>();
    if digits.len() != nibbles.len() {
        return None;
    }
    for (nibble, digit) in nibbles.iter_mut().rev().zip(digits.chars()) {
        let digit = digit.to_digit(16)?;
        *nibble = [0, 1, 2, 3].map(|bit| digit >> bit & 1 == 1);
    }
    Some(is_in_alphabet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alphabet_is_written_and_read() {
        let mut alphabet = [false; 256];
        for byte in [0, 5, 97, 255] {
            alphabet[byte] = true;
        }
        let digits = digits_of(&alphabet);
        assert_eq!((&digits[..1], &digits[62..]), ("8", "21"));
        assert_eq!(alphabet_of(&digits), Some(alphabet));
        assert_eq!(alphabet_of("12"), None);
        assert_eq!(alphabet_of(&"g".repeat(64)), None);
    }
}
