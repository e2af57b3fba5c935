//! How a pretokenizer is asked for, and written into files and records.

use super::pattern::{Named, SYNONYMS};
use super::{Pattern, Pretokenizer, Rule};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What is done to a text before it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Unicode's composed form: what can be written as one character is.
    Nfc,
}

/// A pretokenizer in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretokenizerSettings {
    /// The name of a pattern, or a regular expression.
    pub pattern: String,
    /// How many numbers stand together at most, from 1 to 3; `None` for as many as the pattern says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u64>,
    /// Whether a text that does not begin with a blank is given one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prefix_space: bool,
    /// What is done to a text first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for PretokenizerSettings {
    fn default() -> Self {
        Self::of_pattern(Pattern::default().name())
    }
}

impl PretokenizerSettings {
    /// A pattern without options.
    pub fn of_pattern(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), digits: None, prefix_space: false, normalization: None }
    }

    /// As [`Pretokenizer::identity`].
    pub(super) fn identity(&self) -> String {
        if *self == Self::of_pattern(&self.pattern) {
            return self.pattern.clone();
        }
        serde_json::to_string(self).expect("strings, numbers and booleans have a form in JSON")
    }

    pub(super) fn rule(&self) -> Result<Rule> {
        let digits = match self.digits {
            None => None,
            Some(1) => Some(1),
            Some(2) => Some(2),
            Some(3) => Some(3),
            Some(other) => return Err(Error::Config(format!("`digits` is {other}, it must be 1, 2 or 3"))),
        };
        if is_name(&self.pattern) {
            return Ok(Rule::Named(Named::new(self.pattern.parse()?, digits)));
        }
        if digits.is_some() {
            return Err(Error::Config(
                "`digits` is given, and `pattern` is a regex, which says itself how numbers are split\n\n\
                 hint: leave `digits` out, and write `\\p{N}{1,3}` into the regex"
                    .into(),
            ));
        }
        Rule::of_regex(&self.pattern)
    }
}

/// Whether this is meant for the name of a pattern. A regex of these signs alone would match its own text and nothing else.
fn is_name(pattern: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    pattern.bytes().all(is_sign) && pattern.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().map(|pattern| (pattern.name(), pattern)).chain(SYNONYMS);
        named.clone().find(|(known, _)| *known == name).map(|(_, pattern)| pattern).ok_or_else(|| {
            let names: Vec<String> = named.map(|(name, _)| format!("`{name}`")).collect();
            Error::Config(format!(
                "no pattern is called `{name}`\n\nhint: the patterns are {}; any other is given as a regex",
                names.join(", ")
            ))
        })
    }
}

impl FromStr for Pretokenizer {
    type Err = Error;

    /// Reads what [`Pretokenizer::identity`] gives, which the name of a pattern is.
    fn from_str(identity: &str) -> Result<Self> {
        if !identity.starts_with('{') {
            return Self::new(&PretokenizerSettings::of_pattern(identity));
        }
        let settings = serde_json::from_str(identity)
            .map_err(|error| Error::Config(format!("`{identity}` does not describe a pretokenizer: {error}")))?;
        Self::new(&settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_pattern_and_another_an_error_that_lists_them() {
        for pattern in Pattern::ALL {
            assert_eq!(pattern.name().parse::<Pattern>().unwrap(), pattern);
        }
        assert_eq!("llama3".parse::<Pattern>().unwrap(), Pattern::Cl100k);
        let error = "gpt4".parse::<Pattern>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no pattern is called `gpt4`\n\nhint: the patterns are `gpt2`, `cl100k`, `o200k`, `qwen2`, `llama3`; \
             any other is given as a regex"
        );
    }

    #[test]
    fn an_identity_is_read_back_and_names_of_the_same_rule_have_the_same() {
        for pattern in ["gpt2", "cl100k", "o200k", "llama3", "qwen2"] {
            for digits in [None, Some(1), Some(2), Some(3)] {
                for prefix_space in [false, true] {
                    for normalization in [None, Some(Normalization::Nfc)] {
                        let settings =
                            PretokenizerSettings { pattern: pattern.into(), digits, prefix_space, normalization };
                        let made = Pretokenizer::new(&settings).unwrap();
                        let again: Pretokenizer = made.identity().parse().unwrap();
                        assert_eq!(made, again);
                        assert_eq!(made.settings(), again.settings());
                    }
                }
            }
        }
        let of = |pattern, digits| {
            let settings = PretokenizerSettings { digits, ..PretokenizerSettings::of_pattern(pattern) };
            Pretokenizer::new(&settings).unwrap()
        };
        assert_eq!(of("cl100k", Some(1)).identity(), "qwen2");
        assert_eq!(of("qwen2", Some(3)).identity(), "cl100k");
        assert_eq!(of("qwen2", Some(2)), of("llama3", Some(2)));
        assert_ne!(of("qwen2", None), of("llama3", None));
        assert_eq!(of("o200k", Some(3)).identity(), "o200k");
    }

    #[test]
    fn digits_out_of_range_are_named() {
        let settings = PretokenizerSettings { digits: Some(4), ..PretokenizerSettings::default() };
        assert_eq!(Pretokenizer::new(&settings).unwrap_err().to_string(), "`digits` is 4, it must be 1, 2 or 3");
    }
}
