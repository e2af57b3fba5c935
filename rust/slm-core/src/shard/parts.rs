//! Pretokens that come in parts, in the order of the corpus: each part needs what came of the one before.

use crate::corpus::Span;
use crate::encode::{Broken, Giant};
use crate::error::{Error, Result};
use crate::progress::Stop;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;

/// Encodes parts of pretokens, one after another.
#[derive(Debug)]
pub(super) struct PartEncoder<'a> {
    tokenizer: &'a Tokenizer,
    stop: &'a Stop,
    giant: Giant,
    buffer: String,
}

impl<'a> PartEncoder<'a> {
    pub fn new(tokenizer: &'a Tokenizer, stop: &'a Stop) -> Self {
        Self { tokenizer, stop, giant: Giant::default(), buffer: String::new() }
    }

    /// The ids that are sure once the text of the next part is known; with the last part the rest of them.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Config`] for tokens that depend on text too far behind them.
    pub fn encode(&mut self, text: &str, span: Span) -> Result<Vec<TokenId>> {
        let begins = span.begins_text();
        let text = self.tokenizer.pretokenizer().prepare(text, begins, &mut self.buffer).unwrap_or(text);
        let mut ids = Vec::new();
        let is_last = !span.pretoken_goes_on;
        let fed = self.giant.feed(self.tokenizer.encoder(), text.as_bytes(), is_last, &mut ids, self.stop);
        fed.map_err(|broken| match broken {
            Broken::Interrupted => Error::Interrupted,
            Broken::TooFarBack => Error::Config(
                "a stretch of text that the pattern does not split is too long for this tokenizer: its first tokens depend on \
                 text far behind them\n\nhint: break up such text beforehand"
                    .into(),
            ),
        })?;
        Ok(ids)
    }
}
