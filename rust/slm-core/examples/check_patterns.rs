//! Compares each pattern with its regex, in the engine `fancy-regex`, on large mixed text cut in random places.
//!
//! ```text
//! cargo run --release --example check_patterns -- MEGABYTES SEED PATTERN[,PATTERN...]|all PATH...
//! ```
//!
//! The text is made of pieces of the files given (text, in any script), of random characters and of runs, one after another
//! in random order, a megabyte at a time. Each megabyte is split whole by both; then three times more in parts, as a reader
//! hands them over that has seen up to so much more of it each time, and cuts where it is safe. A pattern is a name, a name
//! and a number of digits (`gpt2:2`), or a regex. The first difference ends it with an error that shows the text around.

use fancy_regex::Regex;
use slm_core::pretokenize::{Pretokenizer, PretokenizerSettings};
use std::error::Error;
use std::io::{self, Write};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Text that is compared at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// The most bytes that a reader sees more of before it looks for a safe cut: within a line, a page and a chapter. Parts of all
/// sizes in one scan of the block each, some 30,000 cuts, take less than 16 cuts that each split the block anew.
const STRIDES: [usize; 3] = [1 << 6, 1 << 11, 1 << 16];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [megabytes, seed, patterns, paths @ ..] = &arguments[..] else {
        return Err("usage: check_patterns MEGABYTES SEED PATTERN[,PATTERN...]|all PATH...".into());
    };
    let (num_bytes, seed) = (megabytes.parse::<usize>()? * 1_000_000, seed.parse::<u64>()?);
    let named = ["gpt2", "cl100k", "o200k", "qwen2", "gpt2:1", "gpt2:2", "gpt2:3", "cl100k:2", "o200k:1", "o200k:2"];
    let patterns = if patterns == "all" { named.map(str::to_owned).to_vec() } else { split_list(patterns) };
    let texts: Vec<String> = paths.iter().map(|path| read(path)).collect::<Outcome<_>>()?;
    for pattern in patterns {
        check(&pattern, &mut Mixer { texts: &texts, random: Random(seed) }, num_bytes)?;
    }
    Ok(())
}

/// The text of a file; what is not UTF-8 in it is replaced.
fn read(path: &str) -> Outcome<String> {
    let content = std::fs::read(path).map_err(|error| format!("`{path}`: {error}"))?;
    Ok(String::from_utf8(content).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Names are told apart by commas; a regex, which may have commas in it, stands alone.
fn split_list(patterns: &str) -> Vec<String> {
    if Pretokenizer::of_regex(patterns).is_ok() && patterns.contains(['\\', '[', '+']) {
        return vec![patterns.to_owned()];
    }
    patterns.split(',').map(str::to_owned).collect()
}

fn pretokenizer(pattern: &str) -> Outcome<Pretokenizer> {
    let (name, digits) = match pattern.rsplit_once(':') {
        Some((name, digits)) if digits.parse::<u64>().is_ok() => (name, Some(digits.parse()?)),
        _ => (pattern, None),
    };
    Ok(Pretokenizer::new(&PretokenizerSettings { digits, ..PretokenizerSettings::of_pattern(name) })?)
}

fn check(pattern: &str, mixer: &mut Mixer<'_>, num_bytes: usize) -> Outcome<()> {
    let pretokenizer = pretokenizer(pattern)?;
    let regex = Regex::new(pretokenizer.regex())?;
    let start = Instant::now();
    let (mut bytes, mut pretokens, mut cuts, mut seconds) = (0, 0, 0, 0.0);
    while bytes < num_bytes {
        let text = mixer.block();
        let scan = Instant::now();
        let mut ends = Vec::with_capacity(text.len() / 4);
        pretokenizer.for_each_range(&text, |_, end| ends.push(end));
        seconds += scan.elapsed().as_secs_f64();
        compare(&ends, &ends_by(&regex, &text)?, &text)?;
        for stride in STRIDES {
            let (parts, num_cuts) = ends_in_parts(&pretokenizer, &text, stride, &mut mixer.random);
            compare(&parts, &ends, &text)?;
            cuts += num_cuts;
        }
        bytes += text.len();
        pretokens += ends.len();
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let megabytes = bytes as f64 / 1e6;
    writeln!(
        io::stdout(),
        "{}: equal on {megabytes:.0} MB, {pretokens} pretokens, {cuts} cuts; scanned at {:.0} MB/s, checked in {:.0} s",
        if pattern.len() > 40 { "regex" } else { pattern },
        megabytes / seconds,
        start.elapsed().as_secs_f64()
    )?;
    Ok(())
}

/// Where the pretokens end if the text is cut wherever a reader might, and how often it is.
fn ends_in_parts(pretokenizer: &Pretokenizer, text: &str, stride: usize, random: &mut Random) -> (Vec<usize>, u64) {
    let mut ends = Vec::with_capacity(text.len() / 4);
    let (mut start, mut seen, mut cuts) = (0, 0, 0);
    while seen < text.len() {
        // What was seen may end within a character.
        seen = (seen + 1 + random.below(stride)).min(text.len());
        let is_last = seen == text.len();
        let cut = if is_last { seen - start } else { pretokenizer.safe_cut(&text.as_bytes()[start..seen]) };
        if cut > 0 {
            pretokenizer.for_each_range(&text[start..start + cut], |_, end| ends.push(start + end));
            start += cut;
            cuts += u64::from(!is_last);
        }
    }
    (ends, cuts)
}

/// Where the matches of a regex end, and the stretches between them.
fn ends_by(regex: &Regex, text: &str) -> Outcome<Vec<usize>> {
    let mut ends = Vec::with_capacity(text.len() / 4);
    let mut end = 0;
    for found in regex.find_iter(text) {
        let found = found?;
        if found.start() > end {
            ends.push(found.start());
        }
        ends.push(found.end());
        end = found.end();
    }
    if end < text.len() {
        ends.push(text.len());
    }
    Ok(ends)
}

fn compare(found: &[usize], expected: &[usize], text: &str) -> Outcome<()> {
    if found == expected {
        return Ok(());
    }
    let idx = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let start = if idx == 0 { 0 } else { expected[idx - 1] };
    let around: String = text[start..].chars().take(60).collect();
    Err(format!("pretokens differ from byte {start} on, where the text goes on as {around:?}").into())
}

/// Text of all kinds in random order.
struct Mixer<'a> {
    texts: &'a [String],
    random: Random,
}

impl Mixer<'_> {
    fn block(&mut self) -> String {
        let mut block = String::with_capacity(BLOCK_BYTES + (1 << 16));
        while block.len() < BLOCK_BYTES {
            match self.random.below(8) {
                0 => self.random_characters(&mut block),
                1 => self.run(&mut block),
                _ if self.texts.is_empty() => self.random_characters(&mut block),
                _ => self.piece(&mut block),
            }
        }
        block
    }

    /// Up to 16 KiB of one of the files.
    fn piece(&mut self, block: &mut String) {
        let text = &self.texts[self.random.below(self.texts.len())];
        let bound = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let start = bound(self.random.below(text.len() + 1));
        block.push_str(&text[start..bound(start + self.random.below(16 << 10))]);
    }

    /// Up to 4,000 characters, of which most are those that patterns ask about.
    fn random_characters(&mut self, block: &mut String) {
        let dense: Vec<char> =
            "aeltvrsdmASTVELDMRÀǅ      \n\r\t\u{b}''''.!-#/\0\u{7f}0127é語ʰſ٣Ⅷ\u{a0}\u{85}\u{3000}\u{2028}…，\u{301}\u{903}😀𝟘\u{1c89}"
                .chars()
                .collect();
        let share_of_dense = self.random.below(101);
        for _ in 0..self.random.below(4000) {
            if self.random.below(100) < share_of_dense {
                block.push(dense[self.random.below(dense.len())]);
            } else {
                // As often from the first few thousand as from all.
                let most = if self.random.below(2) == 0 { 0x3000 } else { 0x11_0000 };
                block.extend(u32::try_from(self.random.below(most)).ok().and_then(char::from_u32));
            }
        }
    }

    /// A run of one character, such as a line of blanks or of digits.
    fn run(&mut self, block: &mut String) {
        let characters: Vec<char> = " \n\ta7é語٣-=\u{3000}\u{301}'".chars().collect();
        let character = characters[self.random.below(characters.len())];
        block.extend(std::iter::repeat_n(character, self.random.below(300)));
    }
}

/// The generator `SplitMix64`: the same numbers on every machine.
struct Random(u64);

impl Random {
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a `usize`")]
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}
