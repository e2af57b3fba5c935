//! Some of a corpus' text, from all over it: to predict what the whole will take, and to measure tokenizers on.
//!
//! Plain files are read in blocks at places that are evenly spread over the bytes of all files. Files that can only be read from
//! the front, compressed ones and Parquet, give the beginning of themselves instead.

use crate::corpus::{Batch, Corpus, CorpusFile, Documents, Format, InvalidUtf8, Source, read_batches};
use crate::error::{Error, Result};
use crate::pretokenize::Pretokenizer;
use crate::progress::Stop;
use crate::special_tokens::SpecialTokenFinder;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

/// About how much is read at a place: so little that there are many places, and enough for many lines.
const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 16 << 10..=128 << 10;

/// How many places there are, where their blocks can be of such a size.
const NUM_PLACES: u64 = 128;

/// How far into a block its first line break is searched, and how far from its end the last.
const SEARCH_BYTES: usize = 4 << 10;

/// A corpus of no more than this is read whole, where there is no time for all of a larger one.
const MAX_WHOLE_BYTES: u64 = 16 << 20;

/// How a sample is taken.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Bytes of files to read at most, about.
    pub max_bytes: u64,
    /// When to end with what there is by then; something is read in any case.
    pub until: Option<Instant>,
}

/// What a sample is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleSummary {
    /// Bytes of files that were read.
    pub file_bytes: u64,
    /// Bytes of the text in them.
    pub text_bytes: u64,
    /// Whether that is the whole corpus.
    pub is_whole: bool,
}

/// Calls `each` with texts of a corpus, from all over it and in no particular order; the same ones each time, given the time.
///
/// What is not UTF-8 becomes U+FFFD here, whatever the corpus says, and pipes are left alone: they can be read only once.
///
/// # Errors
/// [`Error::Io`] with the path; [`Error::Data`] for files that are malformed; those of `each`; [`Error::Interrupted`].
pub fn sample(
    corpus: &Corpus,
    sampling: Sampling,
    stop: &Stop,
    each: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<SampleSummary> {
    sample_batches(corpus, sampling, (&Pretokenizer::default(), None), stop, &mut |batch| each(&batch.text))
}

/// As [`sample`], in batches, whose spans are what a pretokenizer gets: documents, or what special tokens leave of them.
///
/// # Errors
/// Those of [`sample`].
pub(crate) fn sample_batches(
    corpus: &Corpus,
    sampling: Sampling,
    splitting: (&Pretokenizer, Option<&SpecialTokenFinder>),
    stop: &Stop,
    each: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<SampleSummary> {
    let total = corpus.total_bytes();
    let max_whole_bytes = if sampling.until.is_some() { MAX_WHOLE_BYTES } else { u64::MAX };
    let is_whole = total <= sampling.max_bytes.min(max_whole_bytes) && corpus.files.iter().all(|file| !file.is_pipe);
    let summary = SampleSummary { is_whole, ..SampleSummary::default() };
    let mut sampler = Sampler { corpus, splitting, until: sampling.until, stop, each, summary };
    if is_whole {
        for file in &corpus.files {
            if sampler.is_late() {
                sampler.summary.is_whole = false;
                break;
            }
            sampler.read_front(file, u64::MAX)?;
        }
        return Ok(sampler.summary);
    }
    let max_bytes = sampling.max_bytes.min(total);
    let block_bytes = (max_bytes / NUM_PLACES).clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
    let places = max_bytes.div_ceil(block_bytes).max(1);
    // By steps of the golden section, so that what is read before time is up comes from all over the corpus too.
    let step =
        (1..=places).min_by_key(|&step| (gcd(step, places) != 1, step.abs_diff(places * 618 / 1000))).unwrap_or(1);
    let mut is_read = vec![false; corpus.files.len()];
    for place in (0..places).map(|i| i * step % places) {
        stop.check()?;
        if sampler.is_late() {
            break;
        }
        let at = u64::try_from(u128::from(total) * u128::from(2 * place + 1) / u128::from(2 * places)).unwrap_or(0);
        let (idx, offset) = corpus.file_at(at);
        let Some(file) = corpus.files.get(idx).filter(|file| !file.is_pipe) else { continue };
        let starts_plain = is_plain(file)?;
        if starts_plain && file.bytes > block_bytes {
            // Where all is read, blocks are side by side.
            let offset = offset.saturating_sub(block_bytes / 2).min(file.bytes - block_bytes);
            sampler.read_block(file, offset, block_bytes)?;
        } else if !std::mem::replace(&mut is_read[idx], true) {
            // All that the places in this file would have read.
            let share = u128::from(max_bytes) * u128::from(file.bytes) / u128::from(total);
            sampler.read_front(file, u64::try_from(share).unwrap_or(u64::MAX).max(block_bytes))?;
        }
    }
    Ok(sampler.summary)
}

impl Corpus {
    /// The file that has the byte `at` of all files one after another, and where in it.
    fn file_at(&self, at: u64) -> (usize, u64) {
        let mut start = 0;
        for (idx, file) in self.files.iter().enumerate() {
            if at < start + file.bytes {
                return (idx, at - start);
            }
            start += file.bytes;
        }
        (self.files.len(), 0)
    }
}

struct Sampler<'a> {
    corpus: &'a Corpus,
    splitting: (&'a Pretokenizer, Option<&'a SpecialTokenFinder>),
    until: Option<Instant>,
    stop: &'a Stop,
    each: &'a mut dyn FnMut(&Batch) -> Result<()>,
    summary: SampleSummary,
}

impl Sampler<'_> {
    fn is_late(&self) -> bool {
        self.summary.text_bytes > 0 && self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Hands on batches until one `is_enough`, or time is up; gives whether all of the source was read.
    fn read(&mut self, source: Source<'_>, mut is_enough: impl FnMut(&Batch) -> bool) -> Result<bool> {
        let (pretokenizer, special_tokens) = self.splitting;
        let source = match special_tokens {
            None => source,
            Some(finder) => Source::SplitAt { special_tokens: finder.clone(), source: Box::new(source) },
        };
        let (mut is_ended, mut num_batches) = (false, 0);
        let read = read_batches(source, pretokenizer, self.stop, &mut |batch| {
            num_batches += 1;
            self.summary.text_bytes += batch.text.len() as u64;
            (self.each)(&batch)?;
            is_ended = is_enough(&batch) || self.is_late();
            if is_ended { Err(Error::Interrupted) } else { Ok(()) }
        });
        match read {
            Err(Error::Interrupted) if is_ended => Ok(false),
            // A file without text, of which there may be some.
            Err(Error::Data(_)) if num_batches == 0 => Ok(true),
            other => other.map(|_| true),
        }
    }

    /// Reads about `max_bytes` from the beginning of a file, as the corpus itself would.
    fn read_front(&mut self, file: &CorpusFile, max_bytes: u64) -> Result<()> {
        let alone = Corpus { files: vec![file.clone()], invalid_utf8: InvalidUtf8::Replace, ..self.corpus.clone() };
        let mut file_bytes = 0;
        let is_all = self.read(Source::Files(&alone), |batch| {
            file_bytes += batch.bytes_read;
            file_bytes >= max_bytes
        })?;
        self.summary.is_whole &= is_all || file_bytes >= file.bytes;
        self.summary.file_bytes += file_bytes;
        Ok(())
    }

    /// Reads a block of a plain file: whole lines where there are such, else whole characters.
    fn read_block(&mut self, file: &CorpusFile, offset: u64, num_bytes: u64) -> Result<()> {
        let path = &file.path;
        let mut source = File::open(path).map_err(Error::io(path))?;
        source.seek(SeekFrom::Start(offset)).map_err(Error::io(path))?;
        let mut block = Vec::new();
        source.take(num_bytes).read_to_end(&mut block).map_err(Error::io(path))?;
        self.summary.file_bytes += block.len() as u64;
        let beginning = &block[..block.len().min(SEARCH_BYTES)];
        let begin = if offset == 0 { 0 } else { memchr::memchr(b'\n', beginning).map_or(0, |at| at + 1) };
        let tail = block.len().saturating_sub(SEARCH_BYTES).max(begin);
        let end = memchr::memrchr(b'\n', &block[tail..]).map_or(block.len(), |at| tail + at + 1);
        let documents = self.documents_of(&block[begin..end], file.format);
        let mut left = Some(documents).filter(|documents| documents.iter().any(|document| !document.is_empty()));
        self.read(Source::Memory(Box::new(move || Ok(left.take()))), |_| false).map(|_| ())
    }

    fn documents_of(&self, block: &[u8], format: Format) -> Vec<String> {
        if format == Format::Jsonl {
            // A line that the block has only a part of is no JSON.
            let text_of = |line: &[u8]| match serde_json::from_slice(line) {
                Ok(Value::Object(mut object)) => match object.remove(&self.corpus.field) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                },
                _ => None,
            };
            return block.split(|&byte| byte == b'\n').filter_map(text_of).collect();
        }
        let text = String::from_utf8_lossy(block);
        match &self.corpus.documents {
            Documents::File => vec![text.into_owned()],
            Documents::Line => text.split_inclusive('\n').map(str::to_owned).collect(),
            Documents::Separator(separator) => text.split(separator.as_str()).map(str::to_owned).collect(),
        }
    }
}

/// Whether the bytes of a file are its text or JSON lines, so that reading can begin anywhere.
fn is_plain(file: &CorpusFile) -> Result<bool> {
    let mut magic = Vec::with_capacity(6);
    let opened = File::open(&file.path).and_then(|file| file.take(6).read_to_end(&mut magic));
    opened.map_err(|error: io::Error| Error::io(&file.path)(error))?;
    let is_packed = matches!(
        magic[..],
        [0x1F, 0x8B, ..]
            | [0x28, 0xB5, 0x2F, 0xFD, ..]
            | [0x50..0x60, 0x2A, 0x4D, 0x18, ..]
            | [0xFD, b'7', b'z', b'X', b'Z', 0]
            | [b'P', b'A', b'R', b'1', ..]
    );
    Ok(!is_packed && !file.is_pipe)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::CorpusSpec;
    use std::fs;

    fn sampled(corpus: &Corpus, max_bytes: u64) -> (String, SampleSummary) {
        let mut all = String::new();
        let summary = sample(corpus, Sampling { max_bytes, until: None }, &Stop::default(), &mut |text| {
            all.push_str(text);
            Ok(())
        });
        (all, summary.unwrap())
    }

    #[test]
    fn a_sample_is_of_whole_lines_from_all_over_the_files() {
        let root = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..400_000).map(|line| format!("line {line:06} é\n")).collect();
        fs::write(root.path().join("a.txt"), lines[..300_000].concat()).unwrap();
        let jsonl = lines[300_000..].iter().map(|line| format!("{{\"text\": {}}}\n", serde_json::json!(line)));
        fs::write(root.path().join("b.jsonl"), jsonl.collect::<String>()).unwrap();
        let paths = vec![root.path().to_str().unwrap().to_owned()];
        let corpus = Corpus::open(&CorpusSpec { paths, ..CorpusSpec::default() }).unwrap();
        let (text, summary) = sampled(&corpus, 1 << 20);
        assert!(!summary.is_whole);
        assert_eq!(summary.text_bytes, text.len() as u64);
        assert!(summary.file_bytes.abs_diff(1 << 20) < 1 << 18, "{summary:?}");
        let found: Vec<usize> = text.lines().map(|line| line[5..11].parse().unwrap()).collect();
        assert!(text.lines().all(|line| line.len() == lines[0].len() - 1));
        for tenth in 0..10 {
            let here = found.iter().filter(|&&line| line / 40_000 == tenth).count();
            assert!((found.len() / 30..found.len() / 4).contains(&here), "{here} of {} in {tenth}", found.len());
        }
        let (text, summary) = sampled(&corpus, u64::MAX);
        assert!(summary.is_whole);
        assert_eq!(text, lines.concat());
        assert_eq!(summary.file_bytes, corpus.total_bytes());
    }
}
