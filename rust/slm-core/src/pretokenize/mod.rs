//! Pretokenizing: cutting a document into the pieces that merges never cross.
//!
//! A pattern is named after the tokenizer that made it known. Each is a regular expression, which is what files carry, and a
//! hand-written scanner that must find the same pieces.

use crate::error::{Error, Result};
use std::str::FromStr;

/// A way to cut documents into pretokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// GPT-2's, which is also that of Hugging Face's `ByteLevel`.
    #[default]
    Gpt2,
    /// GPT-4's.
    Cl100k,
}

impl Pattern {
    /// Every pattern.
    pub const ALL: [Self; 2] = [Self::Gpt2, Self::Cl100k];

    /// The name in configs and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Cl100k => "cl100k",
        }
    }

    /// The regular expression, as Hugging Face writes it; pretokens are its leftmost matches, one after another.
    pub const fn regex(self) -> &'static str {
        match self {
            Self::Gpt2 => r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            Self::Cl100k => {
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            }
        }
    }

    /// The pretokens of a document, one after another; together they are the document.
    pub fn split(self, text: &str) -> impl Iterator<Item = &str> {
        std::iter::once(text)
    }

    /// Calls `f` with each pretoken; the fastest way through a document.
    pub fn for_each<'a>(self, text: &'a str, mut f: impl FnMut(&'a str)) {
        self.split(text).for_each(&mut f);
    }

    /// The last place where `text`, the beginning of a longer document, can be cut so that pretokenizing both parts alone
    /// equals pretokenizing the whole; 0 if it has none.
    ///
    /// `text` is valid UTF-8 but for a character that may be cut off at its end.
    pub fn safe_cut(self, text: &[u8]) -> usize {
        let _ = text;
        0
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|pattern| pattern.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(|pattern| format!("`{}`", pattern.name())).join(", ");
            Error::Config(format!("no pattern is called `{name}`\n\nhint: the patterns are {names}"))
        })
    }
}
