//! Cuts in text that goes on and has no safe place for one ([`Pretokenizer::safe_cut`]).
//!
//! A safe cut is found by looking at two characters. Where no two will do, as in a run of letters or in `=` and line ends by turns,
//! the pretokens must be known up to there: the text is then run through the automaton of its pattern, which tells at each
//! character what may still come of an attempt to match. (A pattern with a name has a scanner of its own, and an automaton of
//! its regex that finds the same.) This gives two kinds of cuts, both wherever the text goes on to:
//!
//! - between pretokens, where the attempts before have all come to their end, and so look at nothing that follows;
//! - within a pretoken, before the end of a match that an attempt has found already. What it may still find is a longer match, as
//!   one place is looked at after the other, so all before the cut belongs to one pretoken.

use super::nfc::{self, Order};
use super::regex::{Attempt, RegexRule};
use super::{Normalization, Pretokenizer, Rule};
use crate::error::Result;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a letter with its marks, beyond which no place is looked for among them.
const MAX_COMPOSED_BYTES: usize = 64;

/// Of how many settled places, the last ones, it is seen whether the text before splits alike.
const MAX_TRIED_CUTS: usize = 4;

/// Finds cuts in text that begins where a pretoken does.
#[derive(Debug)]
pub(crate) struct OpenSplitter {
    pretokenizer: Pretokenizer,
    rule: Arc<RegexRule>,
}

/// A pretoken whose end is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenPretoken(Attempt);

/// What is known of a pretoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It ends here.
    Ends(usize),
    /// What is before belongs to it, and so does the character behind. The text is to be cut here before it is looked at again.
    GoesOn(usize),
    /// That the text has to be longer, or that there is no place at its end, once composed, for a cut.
    Nothing,
}

/// The end of the longest match that there is so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundEnd {
    /// The one that was found before, if any.
    Before,
    /// Here.
    At(usize),
    /// Within what cannot be cut, once composed.
    Uncut,
}

/// What a look at more of a pretoken has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    /// Bytes that were looked at; the rest is to come again, before what follows it.
    pub bytes: usize,
    /// Where the pretoken ends as far as it is known.
    pub end: FoundEnd,
    /// Whether nothing can change that which follows.
    pub is_decided: bool,
}

impl OpenSplitter {
    /// Takes some milliseconds, and a megabyte.
    ///
    /// # Errors
    /// None: a pattern with a name has a regex that can be run.
    pub(crate) fn new(pretokenizer: &Pretokenizer) -> Result<Self> {
        let rule = match &pretokenizer.rule {
            Rule::Regex(rule) => Arc::clone(rule),
            Rule::Named(named) => Arc::new(RegexRule::new(&named.regex())?),
        };
        Ok(Self { pretokenizer: pretokenizer.clone(), rule })
    }

    /// The last place where `text`, the beginning of a longer one, can be cut as a safe place would be; 0 if it is not known of any.
    ///
    /// `begins` says whether the document, or the stretch between special tokens, does.
    pub(crate) fn settled_cut(&self, text: &str, begins: bool) -> usize {
        let text = self.lasting(text, false);
        let mut buffer = String::new();
        let prepared = self.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        let mut places = self.places(text, prepared);
        let mut last = VecDeque::with_capacity(MAX_TRIED_CUTS);
        for end in self.rule.settled(prepared.as_bytes()) {
            let place = places.last_until(end);
            if place.prepared == end {
                last.truncate(MAX_TRIED_CUTS - 1);
                last.push_front(place);
            }
        }
        last.into_iter().find(|cut| self.is_split_alike(prepared, cut.prepared)).map_or(0, |cut| cut.raw)
    }

    /// Whether the pretokens before a settled `cut` are the same once the text ends there. What looks ahead may find the end of the
    /// text where it did not before: `a+(?!b)|a`, cut before the last letter of `aab`, or `\s+(?!\S)|\s`, before that of `\n\ta`.
    fn is_split_alike(&self, prepared: &str, cut: usize) -> bool {
        let mut settled = self.rule.settled(prepared.as_bytes());
        let mut is_same = true;
        self.pretokenizer.for_each_range(&prepared[..cut], |_, end| is_same &= settled.next() == Some(end));
        is_same
    }

    /// What is known of the pretoken that `text` begins with, or goes on with; it must have all that followed the last cut.
    pub(crate) fn look(&self, pretoken: &mut OpenPretoken, text: &str, begins: bool, is_whole: bool) -> Known {
        let text = self.lasting(text, is_whole);
        let mut buffer = String::new();
        let prepared = self.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        let attempt = &mut pretoken.0;
        let is_decided = attempt.is_decided(&self.rule, prepared.as_bytes(), is_whole);
        let mut places = self.places(text, prepared);
        if is_decided {
            let end = attempt.end.unwrap_or(0);
            let place = places.last_until(end);
            return if place.prepared == end && place.raw > 0 { Known::Ends(place.raw) } else { Known::Nothing };
        }
        // A character is kept back, so that there is text for the last part of the pretoken too.
        let place = places.last_until(attempt.end.unwrap_or(0).saturating_sub(1));
        if place.raw == 0 {
            return Known::Nothing;
        }
        attempt.count_from(place.prepared);
        Known::GoesOn(place.raw)
    }

    /// Looks at `text`, which goes on where the last look ended, as those do that have nothing of what was before any more.
    pub(crate) fn look_on(&self, pretoken: &mut OpenPretoken, text: &str, begins: bool, is_whole: bool) -> Looked {
        let text = self.lasting(text, is_whole);
        let mut buffer = String::new();
        let prepared = self.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        let attempt = &mut pretoken.0;
        let is_decided = attempt.is_decided(&self.rule, prepared.as_bytes(), is_whole);
        let end = match attempt.end.map(|end| (end, self.places(text, prepared).last_until(end))) {
            None => FoundEnd::Before,
            // A blank that is put before a text is no part of it, so there is no cut behind it.
            Some((end, place)) if place.prepared == end && (place.raw > 0 || !begins) => FoundEnd::At(place.raw),
            Some(_) => FoundEnd::Uncut,
        };
        attempt.begin_text();
        Looked { bytes: text.len(), end, is_decided }
    }

    /// Whether a text, for itself, is one pretoken.
    pub(crate) fn is_one(&self, text: &str, begins: bool) -> bool {
        let mut buffer = String::new();
        let prepared = self.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        let mut is_one = true;
        self.pretokenizer.for_each_range(prepared, |_, end| is_one &= end == prepared.len());
        is_one
    }

    /// The text less what may change yet when it is composed.
    pub(crate) fn lasting<'a>(&self, text: &'a str, is_whole: bool) -> &'a str {
        if is_whole || self.pretokenizer.normalization.is_none() {
            return text;
        }
        let order = Order::new();
        let last_border = text.char_indices().rev().find(|&(at, _)| order.is_border(text.as_bytes(), at));
        &text[..last_border.map_or(0, |(at, _)| at)]
    }

    fn places<'a>(&self, text: &'a str, prepared: &str) -> Places<'a> {
        let order = self.pretokenizer.normalization.map(|Normalization::Nfc| Order::new());
        let blank = usize::from(prepared.starts_with(' ') && !text.starts_with(' '));
        Places { text, order, blank, last: Place { raw: 0, prepared: blank }, buffer: String::new() }
    }
}

/// A place in a text, and in what is made of the text before it is split.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    raw: usize,
    prepared: usize,
}

/// The places of a text where it can be cut so that the parts can be prepared alone, in order. Its end is one.
struct Places<'a> {
    text: &'a str,
    /// Where it is composed.
    order: Option<Order>,
    /// The length of what is put before it.
    blank: usize,
    last: Place,
    buffer: String,
}

impl Places<'_> {
    /// The last place not after `end`, a place in the prepared text that is not before that of the last call.
    fn last_until(&mut self, end: usize) -> Place {
        let Some(order) = self.order else {
            let end = end.saturating_sub(self.blank);
            let raw = (0..=end).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
            return Place { raw, prepared: raw + self.blank };
        };
        while self.last.raw < self.text.len() {
            let rest = &self.text[self.last.raw..];
            let is_place = |&(at, _): &(usize, char)| order.is_border(rest.as_bytes(), at);
            let next = rest.char_indices().skip(1).find(is_place).map_or(rest.len(), |(at, _)| at);
            let length = nfc::compose(&rest[..next], &mut self.buffer).map_or(next, str::len);
            if self.last.prepared + length > end {
                return self.within(&rest[..next], end).unwrap_or(self.last);
            }
            self.last.raw += next;
            self.last.prepared += length;
        }
        self.last
    }

    /// The place at `end` in a stretch behind the last one that is composed as a whole, if both its sides are the same alone: a letter
    /// and a mark that it does not compose with.
    fn within(&self, stretch: &str, end: usize) -> Option<Place> {
        if stretch.len() > MAX_COMPOSED_BYTES {
            return None;
        }
        let composed = |text: &str| nfc::compose(text, &mut String::new()).unwrap_or(text).to_owned();
        let whole = composed(stretch);
        stretch.char_indices().skip(1).find_map(|(at, _)| {
            let (left, right) = stretch.split_at(at);
            let left = composed(left);
            let is_place = self.last.prepared + left.len() == end && left + &composed(right) == whole;
            is_place.then_some(Place { raw: self.last.raw + at, prepared: end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretokenize::{Pattern, PretokenizerSettings};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn settings(pattern: &str, digits: Option<u8>) -> PretokenizerSettings {
        PretokenizerSettings { digits: digits.map(u64::from), ..PretokenizerSettings::of_pattern(pattern) }
    }

    /// Every pattern with a name, some without, and some that are prepared.
    static SPLITTERS: LazyLock<Vec<OpenSplitter>> = LazyLock::new(|| {
        let mut all: Vec<Pretokenizer> = Pattern::ALL.map(Pretokenizer::from).into();
        for (pattern, digits) in [("gpt2", 1), ("gpt2", 3), ("cl100k", 2), ("o200k", 1)] {
            all.push(Pretokenizer::new(&settings(pattern, Some(digits))).unwrap());
        }
        for regex in [r"a+(?!b)|a", r"a+b|a", r"[^\n]+\n?", r"(?:.+\n)+", r"\w+", r"\s+(?=a)|\S+", r".+?\n", "abc|ab"] {
            all.push(Pretokenizer::of_regex(regex).unwrap());
        }
        for at in [0, 1, 2, 8] {
            all.push(all[at].clone().with_options(true, None));
            all.push(all[at].clone().with_options(false, Some(Normalization::Nfc)));
            all.push(all[at].clone().with_options(true, Some(Normalization::Nfc)));
        }
        all.iter().map(|pretokenizer| OpenSplitter::new(pretokenizer).unwrap()).collect()
    });

    fn pretokens_of(splitter: &OpenSplitter, text: &str, begins: bool) -> Vec<String> {
        let mut buffer = String::new();
        let text = splitter.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        splitter.pretokenizer.split(text).into_iter().map(str::to_owned).collect()
    }

    /// Text that a reader comes to know piece by piece, cut wherever there is a cut.
    fn pretokens_of_cuts(
        splitter: &OpenSplitter,
        pieces: &[String],
        num_whole: &mut usize,
        num_parts: &mut usize,
    ) -> Vec<String> {
        let (mut pretokens, mut text, mut begins) = (Vec::new(), String::new(), true);
        let mut open: Option<(OpenPretoken, String)> = None;
        let prepared = |text: &str, begins| {
            let mut buffer = String::new();
            splitter.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text).to_owned()
        };
        for piece in pieces {
            text.push_str(piece);
            if open.is_none() {
                let cut = splitter.settled_cut(&text, begins);
                if cut > 0 {
                    *num_whole += 1;
                    pretokens.extend(pretokens_of(splitter, &text[..cut], begins));
                    text.drain(..cut);
                    begins = false;
                }
            }
            let (mut pretoken, mut known) = open.take().unwrap_or_default();
            let is_open = !known.is_empty();
            match splitter.look(&mut pretoken, &text, begins, false) {
                Known::GoesOn(cut) => {
                    *num_parts += 1;
                    known += &prepared(&text[..cut], begins);
                    text.drain(..cut);
                    assert!(!text.is_empty());
                    begins = false;
                    open = Some((pretoken, known));
                }
                Known::Ends(end) if is_open => {
                    pretokens.push(known + &prepared(&text[..end], false));
                    text.drain(..end);
                }
                Known::Nothing if is_open => open = Some((pretoken, known)),
                _ => {}
            }
        }
        if let Some((mut pretoken, known)) = open {
            let Known::Ends(end) = splitter.look(&mut pretoken, &text, begins, true) else {
                assert!(splitter.pretokenizer.normalization.is_some(), "{text:?}");
                return Vec::new();
            };
            pretokens.push(known + &prepared(&text[..end], begins));
            text.drain(..end);
            begins = false;
        }
        pretokens.extend(pretokens_of(splitter, &text, begins));
        pretokens
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        let characters =
            "aabcsStlLeEAÀǅ'' \u{a0}\u{2000}  \n\r\t./=1٣語ʰſ\u{301}\u{316}\u{327}\u{903}é\u{1100}\u{1161}\u{11a8}😀\0";
        let character = prop::sample::select(characters.chars().collect::<Vec<_>>());
        let run = (character, prop_oneof![4 => Just(1), 1 => 2..30_usize]);
        let piece = prop::collection::vec(run, 0..8).prop_map(|runs| {
            runs.into_iter().flat_map(|(character, length)| std::iter::repeat_n(character, length)).collect()
        });
        prop::collection::vec(piece, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_automaton_of_a_name_splits_as_its_scanner(pieces in texts()) {
            let text = pieces.concat();
            for splitter in &*SPLITTERS {
                let mut ends = Vec::new();
                splitter.pretokenizer.for_each_range(&text, |_, end| ends.push(end));
                let mut found = Vec::new();
                splitter.rule.for_each_range(text.as_bytes(), |_, end| found.push(end));
                prop_assert_eq!(found, ends, "{} on {:?}", splitter.pretokenizer.identity(), text);
            }
        }

        #[test]
        fn cuts_change_no_pretoken_whatever_follows(pieces in texts()) {
            for splitter in &*SPLITTERS {
                let pretokens = pretokens_of_cuts(splitter, &pieces, &mut 0, &mut 0);
                if !pretokens.is_empty() {
                    let expected = pretokens_of(splitter, &pieces.concat(), true);
                    prop_assert_eq!(pretokens, expected, "{} on {:?}", splitter.pretokenizer.identity(), pieces);
                }
            }
        }
    }

    #[test]
    fn runs_of_anything_are_cut() {
        let named = Pattern::ALL.map(|pattern| OpenSplitter::new(&pattern.into()).unwrap());
        for unit in [
            "a", " ", "=", "\n", "=\n", "語", "😀", "1", "\u{301}", "A", " \n", "\t ", "'", "'s", "\u{3000}", "Aa",
            "e\u{301}", "//\n",
        ] {
            for splitter in &named {
                let pieces: Vec<String> = (0..10).map(|_| unit.repeat(20)).collect();
                let (mut num_whole, mut num_parts) = (0, 0);
                let pretokens = pretokens_of_cuts(splitter, &pieces, &mut num_whole, &mut num_parts);
                assert_eq!(pretokens, pretokens_of(splitter, &pieces.concat(), true));
                assert!(num_whole + num_parts >= 9, "{unit:?} {}", splitter.pretokenizer.identity());
            }
        }
    }

    #[test]
    fn what_the_pattern_decides_at_the_next_line_end_is_open_until_then() {
        let cl100k = OpenSplitter::new(&Pattern::Cl100k.into()).unwrap();
        let text = "\n".to_owned() + &" ".repeat(100);
        assert_eq!(cl100k.settled_cut(&text, true), 0);
        assert_eq!(cl100k.look(&mut OpenPretoken::default(), &text, true, false), Known::Nothing);
        assert_eq!(cl100k.look(&mut OpenPretoken::default(), &(text.clone() + "\n="), true, false), Known::Ends(102));
        assert_eq!(cl100k.look(&mut OpenPretoken::default(), &(text + "="), true, false), Known::Ends(1));
    }
}
