//! From ids back to bytes, which is a lookup and a copy for each.

use crate::error::{Error, Result};
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// The bytes that `ids` stand for; a special token gives its content.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first id that is not in the vocabulary and its position.
    pub fn decode(&self, ids: &[TokenId]) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for (position, &id) in ids.iter().enumerate() {
            let Some(token) = self.vocab().token(id) else {
                let num_tokens = self.vocab().len();
                if (id as usize) < num_tokens {
                    return Err(Error::Config(format!("token id {id} at position {position} has no token")));
                }
                return Err(Error::Config(format!(
                    "token id {id} at position {position} is not in the vocabulary of {num_tokens} tokens (0 to {})",
                    num_tokens.saturating_sub(1)
                )));
            };
            bytes.extend_from_slice(token);
        }
        Ok(bytes)
    }

    /// How many bytes each token decodes to, by id; 0 for special tokens, which are not text, and for ids without a token.
    pub fn token_lengths(&self) -> Vec<i64> {
        let mut lengths: Vec<i64> =
            self.vocab().iter().map(|token| i64::try_from(token.len()).unwrap_or(i64::MAX)).collect();
        for special in self.vocab().special_tokens() {
            lengths[special.id as usize] = 0;
        }
        lengths
    }
}
