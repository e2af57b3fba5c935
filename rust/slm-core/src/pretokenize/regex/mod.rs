//! Any other split pattern: a regular expression run by a table, in time linear in the text.
//!
//! What is matched is what Hugging Face's `Split` with `behavior: Isolated` gives: the leftmost matches, one after another, where
//! of two alternatives the earlier one counts; what is between them is a pretoken too. Its engine is Oniguruma, which backtracks.
//! Here the regex becomes an automaton over kinds of characters ([`symbols`]), which no text can make slow. It can see one
//! character ahead, which is enough for `\s+(?!\S)` and for possessive quantifiers. What it cannot do, or what Oniguruma reads in
//! another way than other engines, is refused by [`parse`], which says where and why.
//!
//! Read in this order: [`parse`] with [`set`] (from text to a tree), [`symbols`] and [`automaton`] (from a tree to a table),
//! [`scan`] (through a text).

mod automaton;
mod parse;
mod scan;
mod set;
mod symbols;

use crate::error::{Error, Result};
use automaton::Automaton;
pub(super) use scan::Attempt;
use std::fmt;
use symbols::Symbols;

/// A regex that is ready to split text.
pub(super) struct RegexRule {
    regex: String,
    symbols: Symbols,
    automaton: Automaton,
    /// Whether a text can be cut between a character of one kind and a character of another: a row for the first.
    cuts: Vec<bool>,
}

impl RegexRule {
    /// Compiles a regex.
    ///
    /// # Errors
    /// [`Error::Config`] for what cannot be run as Hugging Face would, with its place in the regex.
    pub(super) fn new(regex: &str) -> Result<Self> {
        let tree = parse::parse(regex).map_err(|problem| problem.in_regex(regex))?;
        let too_large = |what: &str| {
            Error::Config(format!(
                "the regex `{regex}` cannot be used as `pattern`: {what}\n\n\
                 hint: write fewer or smaller counted repetitions, such as `{{1,3}}`"
            ))
        };
        let symbols =
            Symbols::new(&tree).ok_or_else(|| too_large("it tells more than 250 kinds of characters apart"))?;
        let automaton = Automaton::new(&tree, &symbols).map_err(too_large)?;
        if automaton.matches_nothing() {
            return Err(Error::Config(format!(
                "the regex `{regex}` cannot be used as `pattern`: it matches empty text, which splits between all \
                 characters\n\nhint: write `+` in place of `*`, so that each alternative takes a character"
            )));
        }
        let cuts = automaton.cuts();
        Ok(Self { regex: regex.to_owned(), symbols, automaton, cuts })
    }

    pub(super) fn regex(&self) -> &str {
        &self.regex
    }

    /// Whether `before` and `after`, two characters side by side, are always in different pretokens, and splitting what is
    /// before and what is after alone equals splitting the whole.
    pub(super) fn cuts(&self, text: &[u8], before: usize, after: usize) -> bool {
        let (before, after) = (self.symbols.at(text, before).0, self.symbols.at(text, after).0);
        self.cuts[usize::from(before) * self.symbols.count() + usize::from(after)]
    }
}

impl fmt::Debug for RegexRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RegexRule").field(&self.regex).finish()
    }
}
