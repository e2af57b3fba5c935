//! What GPT-4o's pattern asks about a character: its class, and of letters the case.

use crate::pretokenize::blocks::{Block, Table};
use crate::pretokenize::classes::{decode, table};
use std::sync::LazyLock;

/// What this pattern asks about a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::pretokenize) enum Kind {
    /// Punctuation, symbols, controls.
    Other,
    /// `[\p{Lu}\p{Lt}]`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `[\p{Lm}\p{Lo}]`.
    Caseless,
    /// `\p{M}`.
    Mark,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
}

static KINDS: LazyLock<Box<[Kind]>> = LazyLock::new(|| {
    table(
        Kind::Other,
        &[
            (r"[\p{Lu}\p{Lt}]", Kind::Upper),
            (r"\p{Ll}", Kind::Lower),
            (r"[\p{Lm}\p{Lo}]", Kind::Caseless),
            (r"\p{M}", Kind::Mark),
            (r"\p{N}", Kind::Number),
            (r"\s", Kind::Space),
        ],
    )
});

/// The kind of a character and its length in bytes; made once per scan, so that the table is looked up once.
#[derive(Clone, Copy)]
pub(in crate::pretokenize) struct Kinds(&'static [Kind]);

impl Kinds {
    /// The kind and the length of the character at `at`; something else than any word has at the end of the text.
    #[inline]
    pub(super) fn at(self, text: &[u8], at: usize) -> (Kind, usize) {
        match text.get(at) {
            None => (Kind::Space, 0),
            Some(&byte) if byte < 0x80 => (self.0[usize::from(byte)], 1),
            Some(_) => self.beyond_ascii(text, at),
        }
    }

    /// Whether what is at `at` may belong to the word before it though it is no letter: a mark, or the `'` of a contraction.
    pub(in crate::pretokenize) fn continues_word(self, text: &[u8], at: usize) -> bool {
        text[at] == b'\'' || self.at(text, at).0 == Kind::Mark
    }

    #[inline]
    pub(super) fn end_of_run(self, text: &[u8], mut at: usize, is_in: impl Fn(Kind) -> bool) -> usize {
        loop {
            let (kind, length) = self.at(text, at);
            if length == 0 || !is_in(kind) {
                return at;
            }
            at += length;
        }
    }
}

impl Table for Kinds {
    type Class = Kind;

    const IS_CASED: bool = true;

    const HAN: Kind = Kind::Caseless;

    fn new() -> Self {
        Self(&KINDS)
    }

    #[inline]
    fn beyond_ascii(self, text: &[u8], at: usize) -> (Kind, usize) {
        let (code_point, length) = decode(text, at);
        (self.0[code_point as usize & 0x1F_FFFF], length)
    }

    #[inline]
    fn is_space(kind: Kind) -> bool {
        kind == Kind::Space
    }

    #[inline]
    fn set(block: &mut Block, kind: Kind, bytes: u64) {
        match kind {
            Kind::Other => return,
            Kind::Number => block.number |= bytes,
            Kind::Space => block.space |= bytes,
            Kind::Upper => block.upper |= bytes,
            Kind::Lower => block.lower |= bytes,
            Kind::Mark => block.mark |= bytes,
            Kind::Caseless => {}
        }
        if !matches!(kind, Kind::Number | Kind::Space) {
            block.letter |= bytes;
        }
    }
}
