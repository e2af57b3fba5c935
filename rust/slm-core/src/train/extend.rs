//! Going on from a tokenizer: its ids stay, its merges come first, and what is learned comes after them.
//!
//! Pretokens are cut into the tokens that the tokenizer makes of them, and merging goes on from there. What [`learn`](super::learn)
//! says of counts holds here too: two occurrences of a string between token borders are cut the same way inside whatever merges
//! came before, so a new token has one pair that makes it, and counts only fall.

use crate::byte_chars::{bytes_in_char_order, bytes_of_chars};
use crate::error::{Error, Result};
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::train::TrainOptions;
use crate::train::tokens::Tokens;
use std::collections::HashMap;

/// What can be said of a tokenizer to go on from before anything is counted.
pub(super) fn check(old: &Tokenizer, options: &TrainOptions) -> Result<()> {
    if *old.pretokenizer() != options.pretokenizer {
        return Err(Error::Config(format!(
            "the tokenizer to extend splits by the pattern `{}`, `pattern` is `{}`\n\nhint: leave `pattern` out, or give the same",
            old.pretokenizer().identity(),
            options.pretokenizer.identity()
        )));
    }
    if old.parts().ignore_merges {
        let num_unreachable = old.unreachable_tokens().len();
        if num_unreachable > 0 {
            return Err(Error::Config(format!(
                "the tokenizer to extend has `ignore_merges` and {num_unreachable} tokens that its merges do not make, so there is no \
                 order of merges to go on from\n\nhint: extend another one, or train anew"
            )));
        }
    }
    Ok(())
}

impl Tokens {
    /// The tokens of `old`, then special tokens and bytes that it lacks.
    pub(super) fn extending(old: &Tokenizer, options: &TrainOptions, occurs: &[bool; 256]) -> Result<Self> {
        let mut vocab = old.vocab().clone();
        let mut taken_over: HashMap<Vec<u8>, TokenId> = HashMap::new();
        for id in old.unreachable_tokens() {
            taken_over.extend(vocab.token(id).map(|token| (token.to_vec(), id)));
        }
        for content in &options.all_special_tokens() {
            if vocab.special_tokens().iter().any(|special| special.content == *content) {
                continue;
            }
            if let Some(id) = bytes_of_chars(content).and_then(|bytes| vocab.id(&bytes)) {
                return Err(Error::Config(format!(
                    "`{content}` is token {id} of the tokenizer to extend, so it cannot become a special token\n\nhint: remove it from \
                     `special_tokens`, or give it a name that text is not merged to, such as `<|{content}|>`"
                )));
            }
            vocab.push_special(content);
        }
        for special in vocab.special_tokens() {
            taken_over.extend(bytes_of_chars(&special.content).map(|bytes| (bytes, special.id)));
        }
        let mut id_of_byte = [TokenId::MAX; 256];
        for byte in bytes_in_char_order() {
            let known = taken_over.get(&[byte][..]).copied().or_else(|| vocab.id(&[byte]));
            if known.is_some() || options.initial_alphabet || occurs[usize::from(byte)] {
                id_of_byte[usize::from(byte)] = known.unwrap_or_else(|| vocab.push(&[byte]));
            }
        }
        if vocab.len() > options.vocab_size {
            return Err(Error::Config(format!(
                "`vocab_size` is {}, the tokenizer to extend has {} tokens, and {} special tokens and bytes come to it before any \
                 merge\n\nhint: set `vocab_size` to more than {}",
                options.vocab_size,
                old.vocab().len(),
                vocab.len() - old.vocab().len(),
                vocab.len()
            )));
        }
        let mut token_bytes: Vec<Vec<u8>> = vocab.iter().map(<[u8]>::to_vec).collect();
        for special in vocab.special_tokens() {
            token_bytes[special.id as usize].clear();
        }
        for (byte, &id) in (0..=255).zip(&id_of_byte) {
            if id != TokenId::MAX {
                token_bytes[id as usize] = vec![byte];
            }
        }
        for merge in old.merges() {
            if token_bytes[merge.produced as usize].is_empty() {
                token_bytes[merge.produced as usize] =
                    [&token_bytes[merge.left as usize][..], &token_bytes[merge.right as usize]].concat();
            }
        }
        Ok(Self {
            vocab,
            merges: old.merges().clone(),
            counts: Vec::new(),
            id_of_byte,
            special_ids: taken_over,
            token_bytes,
        })
    }
}
