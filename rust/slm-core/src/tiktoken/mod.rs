//! Rank files, as `tiktoken` reads them: a token in base64, a blank and its rank in each line.
//!
//! A rank is two things there. It is the id, and ids may have gaps; and it is the order of merging: of all adjacent parts
//! whose concatenation is a token, those of the lowest rank are merged first. Before that, a pretoken that is a token as a
//! whole becomes it. [`merges`] turns this into merges with a rank of their own, which is all that the rest of the package
//! and `tokenizer.json` know; [`rank_file`] reads, [`pattern`] knows the regexes by their text in `tiktoken`.

mod merges;
mod pattern;
mod rank_file;

use crate::byte_chars::bytes_of_chars;
use crate::error::{Error, Result};
use crate::pretokenize::Pretokenizer;
use crate::special_tokens::check_contents;
use crate::token::TokenId;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;
use rank_file::Ranks;
use std::path::Path;

/// What the name of a rank file ends in.
pub const EXTENSION: &str = "tiktoken";

/// Ids without a token that a vocabulary may have: a model has a row for each, and so has every table here.
pub(crate) const MAX_UNUSED_IDS: usize = 1 << 20;

/// Loads a rank file, which says neither how text is split nor what the special tokens are.
///
/// `pattern` is the name of a pattern or a regex; the regexes of `tiktoken`'s own encodings are known by their text there.
/// The ids are those of `tiktoken` with that file, pattern and special tokens.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Tokenizer`] naming the file and the line that is wrong, or a byte that
/// has no token; [`Error::Config`] for an unknown pattern, and for a special token whose name or id is taken.
pub fn load(path: &Path, pattern: &str, special_tokens: &[(String, TokenId)]) -> Result<Tokenizer> {
    let ranks = rank_file::read(path)?;
    let vocab = vocab_of(&ranks, special_tokens)?;
    let pretokenizer = pattern::pretokenizer_of(pattern, &vocab)?;
    let (merges, ignore_merges) = merges::derive(&vocab);
    if ignore_merges {
        check_special_pretokens(&pretokenizer, special_tokens)?;
    }
    Tokenizer::new(pretokenizer, Parts { vocab, merges, ignore_merges, ..Parts::default() })
}

/// Gives each special token an id behind the last rank, in their order, if all that is known are their names.
///
/// # Errors
/// As [`load`].
pub fn ids_behind_ranks(path: &Path, names: Vec<String>) -> Result<Vec<(String, TokenId)>> {
    let first = rank_file::read(path)?.last().map_or(0, |rank| rank.saturating_add(1));
    Ok((first..).zip(names).map(|(id, name)| (name, id)).collect())
}

fn vocab_of(ranks: &Ranks, special_tokens: &[(String, TokenId)]) -> Result<Vocab> {
    let names: Vec<String> = special_tokens.iter().map(|(name, _)| name.clone()).collect();
    check_contents(&names)?;
    let mut entries: Vec<(TokenId, Entry<'_>)> = ranks.iter().map(|(rank, token)| (rank, Entry::Text(token))).collect();
    entries.extend(special_tokens.iter().map(|(name, id)| (*id, Entry::Special(name))));
    entries.sort_unstable_by_key(|(id, _)| *id);
    let num_ids = entries.last().map_or(0, |(id, _)| *id as usize + 1);
    if num_ids - entries.len().min(num_ids) > MAX_UNUSED_IDS {
        return Err(Error::Config(format!(
            "the largest id is {}, but there are {} tokens; at most {MAX_UNUSED_IDS} ids may be without a token",
            num_ids - 1,
            entries.len()
        )));
    }
    let mut vocab = Vocab::default();
    for (id, entry) in &entries {
        while vocab.len() < *id as usize {
            vocab.push_unused();
        }
        let pushed = match entry {
            Entry::Text(token) => vocab.push(token),
            Entry::Special(name) => vocab.push_special(name),
        };
        if pushed != *id {
            return Err(taken_id(*id, special_tokens));
        }
    }
    for (name, id) in special_tokens {
        // In `tokenizer.json` the two would be one entry.
        if let Some(other) = bytes_of_chars(name).and_then(|bytes| vocab.id(&bytes)) {
            return Err(Error::Config(format!(
                "the special token `{name}` (id {id}) is token {other} of the rank file too\n\nhint: give it another name, such as \
                 `<|{name}|>`"
            )));
        }
        if special_tokens.iter().filter(|(other, _)| other == name).count() > 1 {
            return Err(Error::Config(format!("the special token `{name}` is given twice")));
        }
    }
    Ok(vocab)
}

enum Entry<'a> {
    Text(&'a [u8]),
    Special(&'a str),
}

/// Ranks differ from each other, so that the id is taken is the doing of a special token.
fn taken_id(id: TokenId, special_tokens: &[(String, TokenId)]) -> Error {
    let names: Vec<String> =
        special_tokens.iter().filter(|(_, other)| *other == id).map(|(name, _)| format!("`{name}`")).collect();
    Error::Config(match names.as_slice() {
        [name] => format!(
            "the special token {name} has id {id}, which is a rank of the file\n\nhint: give it an id that no token has"
        ),
        names => format!("the special tokens {} have the same id {id}", names.join(" and ")),
    })
}

/// With whole-piece lookup, `tokenizers` would find a special token that is one pretoken among the others; `tiktoken` does not.
fn check_special_pretokens(pretokenizer: &Pretokenizer, special_tokens: &[(String, TokenId)]) -> Result<()> {
    for (name, id) in special_tokens {
        if name.bytes().all(|byte| byte.is_ascii_graphic()) && pretokenizer.split(name) == [name] {
            return Err(Error::Config(format!(
                "the special token `{name}` (id {id}) is one pretoken of text by this pattern, and the rank file has tokens that only \
                 a look at whole pretokens finds, so text could not be told from the special token\n\nhint: give it another name, \
                 such as `<|{name}|>`"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
