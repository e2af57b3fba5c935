//! The patterns that have a name, and the scanner of each.

use super::blocks::Table;
use super::classes::{Class, Classes, length_of_lead};
use super::o200k::Kinds;
use super::vectors::{Common, Places, Vectors};
use super::{Ends, cl100k, gpt2, o200k};
use crate::processor::Processor;
#[cfg(target_arch = "x86_64")]
use crate::processor::{Avx2, Avx512};

/// A way to split text that is known by the tokenizer it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// GPT-2's, which is also that of Hugging Face's `ByteLevel`.
    #[default]
    Gpt2,
    /// GPT-4's, which is also that of Llama 3.
    Cl100k,
    /// GPT-4o's, which splits where a capital follows a small letter and keeps marks and contractions with their word.
    O200k,
    /// That of Qwen2 to Qwen3: as GPT-4's, with each number alone. Their NFC normalization is no part of it.
    Qwen2,
}

/// Other names of patterns. The regular expressions are the same text, so a file cannot tell them apart.
pub(super) const SYNONYMS: [(&str, Pattern); 1] = [("llama3", Pattern::Cl100k)];

/// Numbers that stand together in one pretoken, where there is no limit to them.
const UNLIMITED: u8 = 0;

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

    /// How many numbers its own regex lets stand together.
    const fn own_digits(self) -> u8 {
        match self {
            Self::Gpt2 => UNLIMITED,
            Self::Cl100k | Self::O200k => 3,
            Self::Qwen2 => 1,
        }
    }
}

/// A pattern with the numbers that it lets stand together; equal ones split alike, whatever name they were asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pattern: Pattern,
    digits: u8,
}

impl Named {
    /// `digits`, from 1 to 3, takes the place of the pattern's own limit.
    pub(super) fn new(pattern: Pattern, digits: Option<u8>) -> Self {
        let digits = digits.unwrap_or(pattern.own_digits());
        let pattern = match (pattern, digits) {
            (Pattern::Cl100k | Pattern::Qwen2, 1) => Pattern::Qwen2,
            (Pattern::Cl100k | Pattern::Qwen2, _) => Pattern::Cl100k,
            (pattern, _) => pattern,
        };
        Self { pattern, digits }
    }

    /// Every one that there is.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let with_digits = |pattern| (1..=3).map(move |digits| Self::new(pattern, Some(digits)));
        let own = Pattern::ALL.map(|pattern| Self::new(pattern, None));
        own.into_iter().chain([Pattern::Gpt2, Pattern::Cl100k, Pattern::O200k].into_iter().flat_map(with_digits))
    }

    pub(super) fn pattern(self) -> Pattern {
        self.pattern
    }

    /// The limit, where it is not the pattern's own.
    pub(super) fn digits(self) -> Option<u8> {
        (self.digits != self.pattern.own_digits()).then_some(self.digits)
    }

    /// The regular expression as Hugging Face writes it; pretokens are its leftmost matches, one after another.
    pub(super) fn regex(self) -> String {
        const BY_SPACE: &str = r"\s*[\r\n]+|\s+(?!\S)|\s+";
        const CONTRACTION: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
        let numbers = match self.digits {
            UNLIMITED => r" ?\p{N}+".to_owned(),
            1 => r"\p{N}".to_owned(),
            most => format!(r"\p{{N}}{{1,{most}}}"),
        };
        match self.pattern {
            Pattern::Gpt2 => {
                format!(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+")
            }
            Pattern::Cl100k | Pattern::Qwen2 => format!(
                r"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{BY_SPACE}"
            ),
            Pattern::O200k => {
                let [upper, lower] = [r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"];
                let before = r"[^\r\n\p{L}\p{N}]?";
                format!(
                    r"{before}{upper}*{lower}+{CONTRACTION}?|{before}{upper}+{lower}*{CONTRACTION}?|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{BY_SPACE}"
                )
            }
        }
    }

    /// Tells where each pretoken ends. What `ends` does is compiled into each scanner's loop, once for each kind of processor.
    #[inline]
    pub(super) fn find_ends(self, text: &[u8], ends: &mut impl Ends) {
        self.find_ends_on(Processor::detect(), text, ends);
    }

    /// As [`Named::find_ends`], with what `processor` has.
    #[inline]
    pub(super) fn find_ends_on(self, processor: Processor, text: &[u8], ends: &mut impl Ends) {
        match processor {
            // SAFETY: the processor has these instructions, or there was no such `vectors`.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512(vectors) => unsafe { self.find_ends_by_avx512(vectors, text, ends) },
            // SAFETY: see above.
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2(vectors) => unsafe { self.find_ends_by_avx2(vectors, text, ends) },
            Processor::Common => self.find_ends_with(Common, text, ends),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_ends_by_avx512(self, vectors: Avx512, text: &[u8], ends: &mut impl Ends) {
        self.find_ends_with(vectors, text, ends);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn find_ends_by_avx2(self, vectors: Avx2, text: &[u8], ends: &mut impl Ends) {
        self.find_ends_with(vectors, text, ends);
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn find_ends_with(self, with: impl Vectors, text: &[u8], ends: &mut impl Ends) {
        match (self.pattern, self.digits) {
            (Pattern::Gpt2, 1) => tell(gpt2::Starts::<_, 1>::new(text, with), with, text, ends),
            (Pattern::Gpt2, 2) => tell(gpt2::Starts::<_, 2>::new(text, with), with, text, ends),
            (Pattern::Gpt2, 3) => tell(gpt2::Starts::<_, 3>::new(text, with), with, text, ends),
            (Pattern::Gpt2, _) => tell(gpt2::Starts::<_, UNLIMITED>::new(text, with), with, text, ends),
            (Pattern::Cl100k | Pattern::Qwen2, 1) => tell(cl100k::Starts::<_, 1>::new(text, with), with, text, ends),
            (Pattern::Cl100k | Pattern::Qwen2, 2) => tell(cl100k::Starts::<_, 2>::new(text, with), with, text, ends),
            (Pattern::Cl100k | Pattern::Qwen2, _) => tell(cl100k::Starts::<_, 3>::new(text, with), with, text, ends),
            (Pattern::O200k, 1) => tell(o200k::Starts::<_, 1>::new(text, with), with, text, ends),
            (Pattern::O200k, 2) => tell(o200k::Starts::<_, 2>::new(text, with), with, text, ends),
            (Pattern::O200k, _) => tell(o200k::Starts::<_, 3>::new(text, with), with, text, ends),
        }
    }

    /// Whether `before` and `after`, two characters side by side, are always in different pretokens, and splitting what is
    /// before and what is after alone equals splitting the whole.
    ///
    /// That is so where a letter or a number is followed by a character of another class, and where anything else is
    /// followed by whitespace that is no line end. No pretoken goes on there; none looks back, so the second part is split
    /// as it was; and what looks ahead, `(?!\S)` and contractions, sees what it saw, as the first part does not end in
    /// whitespace and a contraction is letters after a `'`. (A line end can belong to the punctuation before it.)
    ///
    /// But for `o200k` a word goes on in marks and in a contraction, so there a letter before a mark or a `'` is no place
    /// to cut. What its words end in is decided by letters and marks alone, which all are before the cut.
    pub(super) fn cuts(self) -> impl Fn(&[u8], usize, usize) -> bool {
        let classes = Classes::new();
        let kinds = (self.pattern == Pattern::O200k).then(Kinds::new);
        move |text, before, after| {
            let class = classes.at(text, before).0;
            match class {
                Class::Letter if kinds.is_some_and(|kinds| kinds.continues_word(text, after)) => false,
                Class::Letter | Class::Number => class != classes.at(text, after).0,
                Class::Other => classes.at(text, after).0 == Class::Space && !matches!(text[after], b'\r' | b'\n'),
                Class::Space => false,
            }
        }
    }
}

/// Calls `f` with where each pretoken starts and ends.
pub(super) struct Ranges<F> {
    start: usize,
    f: F,
}

impl<F: FnMut(usize, usize)> Ranges<F> {
    pub(super) fn new(f: F) -> Self {
        Self { start: 0, f }
    }
}

impl<F: FnMut(usize, usize)> Ends for Ranges<F> {
    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn end(&mut self, end: usize) {
        (self.f)(self.start, end);
        self.start = end;
    }

    #[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
    #[inline(always)]
    fn ends(&mut self, offset: usize, mut mask: u64, _: impl Places) {
        while mask != 0 {
            self.end(offset + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }
}

/// Tells where pretokens end, given offsets and masks of where they start: where one does the one before ends.
#[expect(clippy::inline_always, reason = "compiled for the processor that the caller is compiled for")]
#[inline(always)]
pub(super) fn tell(
    starts: impl Iterator<Item = (usize, u64)>,
    vectors: impl Vectors,
    text: &[u8],
    ends: &mut impl Ends,
) {
    for (offset, mask) in starts {
        ends.ends(offset, mask, vectors);
    }
    if !text.is_empty() {
        ends.end(text.len());
    }
}

/// The last place in `text` between two characters where `is_cut`, given where both start, says yes; 0 if there is none.
///
/// `text` is valid UTF-8 but for a character that may be cut off at its end.
pub(super) fn last_cut(text: &[u8], is_cut: impl Fn(&[u8], usize, usize) -> bool) -> usize {
    let start_of_last = |end: usize| (0..end).rev().find(|&at| text[at] & 0xC0 != 0x80).unwrap_or(0);
    let mut after = start_of_last(text.len());
    if text.get(after).is_none_or(|&lead| after + length_of_lead(lead) > text.len()) {
        after = start_of_last(after);
    }
    while after > 0 {
        let before = start_of_last(after);
        if is_cut(text, before, after) {
            return after;
        }
        after = before;
    }
    0
}
