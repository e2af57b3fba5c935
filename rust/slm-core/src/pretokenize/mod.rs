//! Pretokenizing: splitting a document into the pieces that merges never cross.
//!
//! A [`Pretokenizer`] is a rule to split by and what is done to a text before. The rules that have a name ([`Pattern`]) are
//! known by the tokenizer they come from; each is a regular expression, which is what files carry, and a hand-written scanner
//! that must find the same pieces: a test compares the two for every code point and for random text. Any other regex is run by
//! a table, or refused.
//!
//! Read in this order: this file, [`settings`] (how a pretokenizer is asked for and written down), [`pattern`] (the named
//! rules) with [`gpt2`], [`cl100k`] and [`o200k`], [`joining`] (what the last two share), [`classes`], [`blocks`], [`vectors`] and [`runs`]
//! (what they ask about characters), [`nfc`], [`regex`] (any other rule), [`open`] (cuts in text that is hard to cut).

mod blocks;
mod cl100k;
mod classes;
mod gpt2;
mod joining;
mod nfc;
mod o200k;
mod open;
mod pattern;
mod regex;
mod runs;
mod settings;
#[cfg(test)]
mod twins;
mod vectors;

use crate::error::Result;
pub(crate) use open::{FoundEnd, Known, OpenPretoken, OpenSplitter};
pub use pattern::Pattern;
use pattern::{Named, Ranges};
use regex::RegexRule;
pub use settings::{Normalization, PretokenizerSettings};
use std::sync::Arc;
pub(crate) use vectors::Places;

/// How documents are split into pretokens. Cheap to clone; two are equal if they do the same to every text.
///
/// ```
/// use slm_core::pretokenize::{Pattern, Pretokenizer};
/// let pretokenizer = Pretokenizer::from(Pattern::Gpt2);
/// assert_eq!(pretokenizer.split("it's  2 o'clock"), ["it", "'s", " ", " 2", " o", "'", "clock"]);
/// ```
#[derive(Clone, Debug)]
pub struct Pretokenizer {
    rule: Rule,
    regex: Arc<str>,
    prefix_space: bool,
    normalization: Option<Normalization>,
}

/// Takes where pretokens end.
pub(crate) trait Ends {
    /// The next one ends here.
    fn end(&mut self, end: usize);

    /// The next ones end where `mask` has a bit, counted from `offset` and from the lowest bit on.
    fn ends(&mut self, offset: usize, mask: u64, places: impl Places);
}

#[derive(Clone, Debug)]
enum Rule {
    Named(Named),
    Regex(Arc<RegexRule>),
}

impl Rule {
    /// The scanner that was written for this regex, or else one that is made for it.
    fn of_regex(regex: &str) -> Result<Self> {
        match Named::all().find(|named| named.regex() == regex) {
            Some(named) => Ok(Self::Named(named)),
            None => Ok(Self::Regex(Arc::new(RegexRule::new(regex)?))),
        }
    }
}

impl From<Pattern> for Pretokenizer {
    fn from(pattern: Pattern) -> Self {
        Self::of_rule(Rule::Named(Named::new(pattern, None)))
    }
}

impl Default for Pretokenizer {
    fn default() -> Self {
        Pattern::default().into()
    }
}

impl PartialEq for Pretokenizer {
    /// The regular expression is the rule: what a name and `digits` say of it beside is how it was asked for.
    fn eq(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.prefix_space, one.normalization);
        self.regex == other.regex && of(self) == of(other)
    }
}

impl Eq for Pretokenizer {}

impl Pretokenizer {
    /// Makes what the settings ask for.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] where they name no pattern, or are out of range or at odds.
    pub fn new(settings: &PretokenizerSettings) -> Result<Self> {
        Ok(Self::of_rule(settings.rule()?).with_options(settings.prefix_space, settings.normalization))
    }

    /// The one with this regular expression, and no options.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] if it needs what cannot be run, or not as Hugging Face would; with place and remedy.
    pub fn of_regex(regex: &str) -> Result<Self> {
        Ok(Self::of_rule(Rule::of_regex(regex)?))
    }

    /// The same rule with these options.
    #[must_use]
    pub fn with_options(mut self, prefix_space: bool, normalization: Option<Normalization>) -> Self {
        (self.prefix_space, self.normalization) = (prefix_space, normalization);
        self
    }

    fn of_rule(rule: Rule) -> Self {
        let regex = match &rule {
            Rule::Named(named) => named.regex().into(),
            Rule::Regex(rule) => rule.regex().into(),
        };
        Self { rule, regex, prefix_space: false, normalization: None }
    }

    /// The settings that make it; the same ones for all that are equal.
    pub fn settings(&self) -> PretokenizerSettings {
        let (pattern, digits) = match &self.rule {
            Rule::Named(named) => (named.pattern().name().to_owned(), named.digits().map(u64::from)),
            Rule::Regex(rule) => (rule.regex().to_owned(), None),
        };
        PretokenizerSettings { pattern, digits, prefix_space: self.prefix_space, normalization: self.normalization }
    }

    /// What identifies it: the name of a pattern alone, or the settings as JSON where there is more to say.
    ///
    /// ```
    /// use slm_core::pretokenize::{Pattern, Pretokenizer, PretokenizerSettings};
    /// assert_eq!(Pretokenizer::from(Pattern::O200k).identity(), "o200k");
    /// let settings = PretokenizerSettings { digits: Some(2), ..PretokenizerSettings::default() };
    /// assert_eq!(Pretokenizer::new(&settings).unwrap().identity(), r#"{"pattern":"gpt2","digits":2}"#);
    /// ```
    pub fn identity(&self) -> String {
        self.settings().identity()
    }

    /// The name of its pattern, which says nothing of the options; the regex where there is no name.
    pub fn name(&self) -> &str {
        match &self.rule {
            Rule::Named(named) => named.pattern().name(),
            Rule::Regex(rule) => rule.regex(),
        }
    }

    /// The pattern, if it is one with a name and all its numbers are grouped as that name says.
    pub fn pattern(&self) -> Option<Pattern> {
        match &self.rule {
            Rule::Named(named) => named.digits().is_none().then(|| named.pattern()),
            Rule::Regex(_) => None,
        }
    }

    /// The regular expression as Hugging Face writes it; pretokens are its leftmost matches, one after another.
    pub fn regex(&self) -> &str {
        &self.regex
    }

    /// Whether a text that does not begin with a blank is given one.
    pub fn prefix_space(&self) -> bool {
        self.prefix_space
    }

    /// What is done to a text first.
    pub fn normalization(&self) -> Option<Normalization> {
        self.normalization
    }

    /// The pretokens of a text that was prepared, or needs no preparation; together they are the text.
    pub fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut pretokens = Vec::new();
        self.for_each_range(text, |start, end| pretokens.push(&text[start..end]));
        pretokens
    }

    /// What is to be split in place of `text`, written to `buffer`; `None` if that is `text` itself.
    ///
    /// `begins` says whether the document, or the stretch between special tokens, starts here. A text that is handed over in
    /// parts must have been cut where [`Pretokenizer::safe_cut`] or the splitter of open text says so.
    #[inline]
    pub fn prepare<'a>(&self, text: &str, begins: bool, buffer: &'a mut String) -> Option<&'a str> {
        match self.normalization {
            None if !self.prefix_space => None,
            None => self.needs_blank(text, begins).then(|| {
                buffer.clear();
                buffer.push(' ');
                buffer.push_str(text);
                buffer.as_str()
            }),
            Some(Normalization::Nfc) => self.compose(text, begins, buffer),
        }
    }

    fn compose<'a>(&self, text: &str, begins: bool, buffer: &'a mut String) -> Option<&'a str> {
        let is_composed = nfc::compose(text, buffer).is_none();
        // A blank neither comes of composing nor goes by it, so the text may be asked before.
        if !self.needs_blank(text, begins) {
            return (!is_composed).then_some(buffer);
        }
        if is_composed {
            buffer.clear();
            buffer.push_str(text);
        }
        buffer.insert(0, ' ');
        Some(buffer)
    }

    fn needs_blank(&self, text: &str, begins: bool) -> bool {
        begins && self.prefix_space && !text.is_empty() && !text.starts_with(' ')
    }

    /// Calls `f` with where each pretoken of a prepared text starts and ends; the fastest way through a text.
    #[inline]
    pub fn for_each_range(&self, text: &str, f: impl FnMut(usize, usize)) {
        match &self.rule {
            Rule::Named(named) => named.find_ends(text.as_bytes(), &mut Ranges::new(f)),
            Rule::Regex(rule) => rule.for_each_range(text.as_bytes(), f),
        }
    }

    /// Tells where each pretoken of a prepared text ends, in order; the last one ends with the text.
    #[inline]
    pub(crate) fn find_ends(&self, text: &str, ends: &mut impl Ends) {
        match &self.rule {
            Rule::Named(named) => named.find_ends(text.as_bytes(), ends),
            Rule::Regex(rule) => rule.for_each_range(text.as_bytes(), |_, end| ends.end(end)),
        }
    }

    /// The last place where `text`, the beginning of a longer document, can be cut so that preparing and splitting both parts
    /// alone equals doing so with the whole; 0 if it has none.
    ///
    /// `text` is valid UTF-8 but for a character that may be cut off at its end.
    pub fn safe_cut(&self, text: &[u8]) -> usize {
        match &self.rule {
            Rule::Named(named) => self.last_cut(text, named.cuts()),
            Rule::Regex(rule) => self.last_cut(text, |text, before, after| rule.cuts(text, before, after)),
        }
    }

    /// The last place where `is_cut` says yes, and where both characters are still there once the text is normalized.
    fn last_cut(&self, text: &[u8], is_cut: impl Fn(&[u8], usize, usize) -> bool) -> usize {
        match self.normalization {
            None => pattern::last_cut(text, is_cut),
            Some(Normalization::Nfc) => {
                let order = nfc::Order::new();
                pattern::last_cut(text, |text, before, after| {
                    is_cut(text, before, after) && order.is_stable(text, before) && order.is_stable(text, after)
                })
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
            assert!(Pretokenizer::from(pattern).split("").is_empty());
        }
    }

    #[test]
    fn cuts_are_found_at_word_ends_and_not_inside_whitespace_or_contractions() {
        let cut = |text: &str| Pretokenizer::from(Pattern::Gpt2).safe_cut(text.as_bytes());
        assert_eq!(cut("one two"), 3);
        assert_eq!(cut("one \n"), 3);
        assert_eq!(cut("it's"), 2);
        assert_eq!(cut("one"), 0);
        assert_eq!(cut("!\n"), 0);
        assert_eq!(cut(""), 0);
    }

    #[test]
    fn a_word_of_o200k_goes_on_in_marks_and_contractions() {
        let o200k = Pretokenizer::from(Pattern::O200k);
        assert_eq!(o200k.split("aBc HTTPServer's //\n/x"), ["a", "Bc", " HTTPServer's", " //\n/", "x"]);
        // The marks and letters without case before a capital are a word of their own when no small letter follows it.
        assert_eq!(o200k.split("語AB 語Ab"), ["語", "AB", " 語Ab"]);
        let cut = |text: &str| o200k.safe_cut(text.as_bytes());
        assert_eq!(cut("it's"), 0);
        assert_eq!(cut("e\u{301}e"), 0);
        assert_eq!(cut("it…"), 2);
    }

    #[test]
    fn a_character_cut_off_at_the_end_is_no_place_to_cut() {
        let gpt2 = Pretokenizer::from(Pattern::Gpt2);
        let text = "one…".as_bytes();
        assert_eq!(gpt2.safe_cut(text), 3);
        assert_eq!(gpt2.safe_cut(&text[..5]), 0);
        assert_eq!(gpt2.safe_cut(&text[3..5]), 0);
    }

    #[test]
    fn numbers_stand_in_groups_and_without_their_blank() {
        let split = |pattern: &str, digits| {
            let settings = PretokenizerSettings { digits, ..PretokenizerSettings::of_pattern(pattern) };
            Pretokenizer::new(&settings).unwrap().split("a 12345 ١٢٣٤").join("|")
        };
        assert_eq!(split("gpt2", None), "a| 12345| ١٢٣٤");
        assert_eq!(split("gpt2", Some(3)), "a| |123|45| |١٢٣|٤");
        assert_eq!(split("cl100k", Some(2)), "a| |12|34|5| |١٢|٣٤");
        assert_eq!(split("o200k", Some(1)), "a| |1|2|3|4|5| |١|٢|٣|٤");
    }
}
