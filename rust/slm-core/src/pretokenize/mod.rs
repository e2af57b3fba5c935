//! Pretokenizing: cutting a document into the pieces that merges never cross.
//!
//! A pattern is named after the tokenizer that made it known. Each is a regular expression, which is what files carry, and a
//! hand-written scanner that must find the same pieces: a test compares the two for every code point and for random text.

mod blocks;
mod cl100k;
mod classes;
mod gpt2;
mod o200k;

use crate::error::{Error, Result};
use classes::{Class, Classes, length_of_lead};
use o200k::Kinds;
use std::str::FromStr;

/// A way to cut documents into pretokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// GPT-2's, which is also that of Hugging Face's `ByteLevel`.
    #[default]
    Gpt2,
    /// GPT-4's, which is also that of Llama 3.
    Cl100k,
    /// GPT-4o's, which cuts where a capital follows a small letter and keeps marks and contractions with their word.
    O200k,
    /// That of Qwen2 to Qwen3: as GPT-4's, with each number alone. Their NFC normalizer is no part of it.
    Qwen2,
}

/// The runs of numbers that two patterns differ by.
const CL100K_NUMBERS: usize = 3;
const QWEN2_NUMBERS: usize = 1;

/// Other names of patterns. The regular expressions are the same text, so a file cannot tell them apart.
const SYNONYMS: [(&str, Pattern); 1] = [("llama3", Pattern::Cl100k)];

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 4] = [Self::Gpt2, Self::Cl100k, Self::O200k, Self::Qwen2];

    /// The name in configs and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Cl100k => "cl100k",
            Self::O200k => "o200k",
            Self::Qwen2 => "qwen2",
        }
    }

    /// The regular expression, as Hugging Face writes it; pretokens are its leftmost matches, one after another.
    pub const fn regex(self) -> &'static str {
        match self {
            Self::Gpt2 => r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            Self::Cl100k => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            Self::O200k => concat!(
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            Self::Qwen2 => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
        }
    }

    /// The pretokens of a document, one after another; together they are the document.
    ///
    /// ```
    /// use slm_core::pretokenize::Pattern;
    /// let pretokens: Vec<_> = Pattern::Gpt2.split("it's  2 o'clock").collect();
    /// assert_eq!(pretokens, ["it", "'s", " ", " 2", " o", "'", "clock"]);
    /// ```
    pub fn split(self, text: &str) -> impl Iterator<Item = &str> {
        let mut ends = Ends::new(self, text);
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = ends.next(start)?;
            let pretoken = &text[start..end];
            start = end;
            Some(pretoken)
        })
    }

    /// Calls `f` with each pretoken of a document.
    pub fn for_each<'a>(self, text: &'a str, mut f: impl FnMut(&'a str)) {
        self.for_each_range(text, |start, end| f(&text[start..end]));
    }

    /// Calls `f` with where each pretoken of a document starts and ends; the fastest way through a document.
    #[inline]
    pub fn for_each_range(self, text: &str, mut f: impl FnMut(usize, usize)) {
        let bytes = text.as_bytes();
        match self {
            Self::Gpt2 => {
                let mut start = 0;
                let mut starts = gpt2::Starts::new(bytes);
                while let Some((offset, mut mask)) = starts.next() {
                    while mask != 0 {
                        let end = offset + mask.trailing_zeros() as usize;
                        mask &= mask - 1;
                        f(start, end);
                        start = end;
                    }
                }
                if start < bytes.len() {
                    f(start, bytes.len());
                }
            }
            Self::Cl100k => {
                let classes = Classes::new();
                one_by_one(bytes, |start| cl100k::end_of_pretoken::<CL100K_NUMBERS>(bytes, classes, start), f);
            }
            Self::O200k => {
                let kinds = Kinds::new();
                one_by_one(bytes, |start| o200k::end_of_pretoken(bytes, kinds, start), f);
            }
            Self::Qwen2 => {
                let classes = Classes::new();
                one_by_one(bytes, |start| cl100k::end_of_pretoken::<QWEN2_NUMBERS>(bytes, classes, start), f);
            }
        }
    }

    /// The last place where `text`, the beginning of a longer document, can be cut so that pretokenizing both parts alone
    /// equals pretokenizing the whole; 0 if it has none.
    ///
    /// `text` is valid UTF-8 but for a character that may be cut off at its end.
    ///
    /// A cut is safe where a letter or a number is followed by a character of another class, and where anything else is
    /// followed by whitespace that is no line end. No pretoken goes on there; none looks back, so the second part is cut as it
    /// was; and what looks ahead, `(?!\S)` and contractions, sees what it saw, as the first part does not end in whitespace
    /// and a contraction is letters after a `'`. (A line end can belong to the punctuation before it.)
    ///
    /// But for `o200k` a word goes on in marks and in a contraction, so there a letter before a mark or a `'` is no place to
    /// cut. What its words end in is decided by letters and marks alone, which all are before the cut.
    pub fn safe_cut(self, text: &[u8]) -> usize {
        let classes = Classes::new();
        let start_of_last = |end: usize| (0..end).rev().find(|&at| text[at] & 0xC0 != 0x80).unwrap_or(0);
        let mut next = start_of_last(text.len());
        if text.get(next).is_none_or(|&lead| next + length_of_lead(lead) > text.len()) {
            next = start_of_last(next);
        }
        if next == 0 {
            return 0;
        }
        let kinds = (self == Self::O200k).then(Kinds::new);
        let mut class_of_next = classes.at(text, next).0;
        while next > 0 {
            let at = start_of_last(next);
            let class = classes.at(text, at).0;
            let is_safe = match class {
                Class::Letter if kinds.is_some_and(|kinds| kinds.continues_word(text, next)) => false,
                Class::Letter | Class::Number => class != class_of_next,
                Class::Other => class_of_next == Class::Space && !matches!(text[next], b'\r' | b'\n'),
                Class::Space => false,
            };
            if is_safe {
                return next;
            }
            (next, class_of_next) = (at, class);
        }
        0
    }
}

/// Calls `f` with each pretoken that `end_of` finds.
#[inline]
fn one_by_one(text: &[u8], end_of: impl Fn(usize) -> usize, mut f: impl FnMut(usize, usize)) {
    let mut start = 0;
    while start < text.len() {
        let end = end_of(start);
        f(start, end);
        start = end;
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().map(|pattern| (pattern.name(), pattern)).chain(SYNONYMS);
        named.clone().find(|(known, _)| *known == name).map(|(_, pattern)| pattern).ok_or_else(|| {
            let names: Vec<String> = named.map(|(name, _)| format!("`{name}`")).collect();
            Error::Config(format!("no pattern is called `{name}`\n\nhint: the patterns are {}", names.join(", ")))
        })
    }
}

/// Where pretokens end, one at a time.
enum Ends<'a> {
    Gpt2 { text: &'a [u8], starts: gpt2::Starts<'a>, offset: usize, mask: u64 },
    Cl100k { text: &'a [u8], classes: Classes },
    O200k { text: &'a [u8], kinds: Kinds },
    Qwen2 { text: &'a [u8], classes: Classes },
}

impl<'a> Ends<'a> {
    fn new(pattern: Pattern, text: &'a str) -> Self {
        let text = text.as_bytes();
        match pattern {
            Pattern::Gpt2 => Self::Gpt2 { text, starts: gpt2::Starts::new(text), offset: 0, mask: 0 },
            Pattern::Cl100k => Self::Cl100k { text, classes: Classes::new() },
            Pattern::O200k => Self::O200k { text, kinds: Kinds::new() },
            Pattern::Qwen2 => Self::Qwen2 { text, classes: Classes::new() },
        }
    }

    /// The end of the pretoken that starts at `start`, or `None` at the end of the text.
    fn next(&mut self, start: usize) -> Option<usize> {
        match self {
            Self::Gpt2 { text, starts, offset, mask } => {
                while *mask == 0 {
                    match starts.next() {
                        Some(next) => (*offset, *mask) = next,
                        None => return (start < text.len()).then_some(text.len()),
                    }
                }
                let end = *offset + mask.trailing_zeros() as usize;
                *mask &= *mask - 1;
                Some(end)
            }
            Self::Cl100k { text, classes } => {
                (start < text.len()).then(|| cl100k::end_of_pretoken::<CL100K_NUMBERS>(text, *classes, start))
            }
            Self::O200k { text, kinds } => (start < text.len()).then(|| o200k::end_of_pretoken(text, *kinds, start)),
            Self::Qwen2 { text, classes } => {
                (start < text.len()).then(|| cl100k::end_of_pretoken::<QWEN2_NUMBERS>(text, *classes, start))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_has_no_pretokens() {
        for pattern in Pattern::ALL {
            assert_eq!(pattern.split("").next(), None);
        }
    }

    #[test]
    fn a_name_gives_its_pattern_and_another_an_error_that_lists_them() {
        for pattern in Pattern::ALL {
            assert_eq!(pattern.name().parse::<Pattern>().unwrap(), pattern);
        }
        assert_eq!("llama3".parse::<Pattern>().unwrap(), Pattern::Cl100k);
        let error = "gpt4".parse::<Pattern>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no pattern is called `gpt4`\n\nhint: the patterns are `gpt2`, `cl100k`, `o200k`, `qwen2`, `llama3`"
        );
    }

    #[test]
    fn cuts_are_found_at_word_ends_and_not_inside_whitespace_or_contractions() {
        let cut = |text: &str| Pattern::Gpt2.safe_cut(text.as_bytes());
        assert_eq!(cut("one two"), 3);
        assert_eq!(cut("one \n"), 3);
        assert_eq!(cut("it's"), 2);
        assert_eq!(cut("one"), 0);
        assert_eq!(cut("!\n"), 0);
        assert_eq!(cut(""), 0);
    }

    #[test]
    fn a_word_of_o200k_goes_on_in_marks_and_contractions() {
        let pretokens = |text| Pattern::O200k.split(text).collect::<Vec<_>>();
        assert_eq!(pretokens("aBc HTTPServer's //\n/x"), ["a", "Bc", " HTTPServer's", " //\n/", "x"]);
        // The marks and letters without case before a capital are a word of their own when no small letter follows it.
        assert_eq!(pretokens("語AB 語Ab"), ["語", "AB", " 語Ab"]);
        let cut = |text: &str| Pattern::O200k.safe_cut(text.as_bytes());
        assert_eq!(cut("it's"), 0);
        assert_eq!(cut("e\u{301}e"), 0);
        assert_eq!(cut("it…"), 2);
    }

    #[test]
    fn a_character_cut_off_at_the_end_is_no_place_to_cut() {
        let text = "one…".as_bytes();
        assert_eq!(Pattern::Gpt2.safe_cut(text), 3);
        assert_eq!(Pattern::Gpt2.safe_cut(&text[..5]), 0);
        assert_eq!(Pattern::Gpt2.safe_cut(&text[3..5]), 0);
    }
}
