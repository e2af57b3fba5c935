//! The tokens that there are so far, in Hugging Face's order of ids: special tokens, bytes, merges.

use crate::byte_chars::{bytes_in_char_order, bytes_of_chars};
use crate::error::{Error, Result};
use crate::merges::{Merge, Merges};
use crate::token::TokenId;
use crate::train::TrainOptions;
use crate::vocab::Vocab;
use std::collections::HashMap;

/// The vocabulary while it grows.
pub(super) struct Tokens {
    pub vocab: Vocab,
    pub merges: Merges,
    /// How often the pair of each merge occurred when it was merged; never rising.
    pub counts: Vec<u64>,
    /// Ids by byte; `TokenId::MAX` for bytes that do not occur.
    pub id_of_byte: [TokenId; 256],
    /// Ids of special tokens by the bytes that their text stands for in byte-level files. A merge that makes one of them takes
    /// its id, as it does in Hugging Face, where both are the same string.
    special_ids: HashMap<Vec<u8>, TokenId>,
    /// Bytes that tokens stand for in pretokens: for a special token that merging makes, not its text but what it is made of.
    token_bytes: Vec<Vec<u8>>,
}

impl Tokens {
    /// Special tokens in their order without repeats, then bytes in the order of their characters.
    pub fn new(options: &TrainOptions, occurs: &[bool; 256]) -> Result<Self> {
        let mut vocab = Vocab::default();
        let mut special_ids = HashMap::new();
        if options.reserved_tokens >= options.vocab_size {
            return Err(Error::Config(format!(
                "`reserved_tokens` is {}, which leaves nothing of a `vocab_size` of {}\n\nhint: reserve fewer tokens, or raise \
                 `vocab_size`",
                options.reserved_tokens, options.vocab_size
            )));
        }
        for content in options.all_special_tokens() {
            let id = vocab.push_special(&content);
            special_ids.extend(bytes_of_chars(&content).map(|bytes| (bytes, id)));
        }
        let num_special = vocab.len();
        let mut id_of_byte = [TokenId::MAX; 256];
        for byte in bytes_in_char_order().into_iter().filter(|&byte| options.initial_alphabet || occurs[byte as usize])
        {
            id_of_byte[byte as usize] = special_ids.get(&[byte][..]).copied().unwrap_or_else(|| vocab.push(&[byte]));
        }
        for (byte, &id) in (0..=255).zip(&id_of_byte) {
            if vocab.token(id) == Some(&[byte]) {
                vocab.index(id);
            }
        }
        if vocab.len() > options.vocab_size {
            return Err(Error::Config(format!(
                "`vocab_size` is {}, but {num_special} special tokens and {} bytes of the alphabet are {} tokens before any merge\n\nhint: set \
                 `vocab_size` to more than {}",
                options.vocab_size,
                vocab.len() - num_special,
                vocab.len(),
                vocab.len()
            )));
        }
        if u32::try_from(options.vocab_size).is_err() {
            return Err(Error::Config(format!(
                "`vocab_size` is {}\n\nhint: it must be less than {}",
                options.vocab_size,
                u32::MAX
            )));
        }
        let mut token_bytes = vec![Vec::new(); vocab.len()];
        for (byte, &id) in (0..=255).zip(&id_of_byte) {
            if id != TokenId::MAX {
                token_bytes[id as usize] = vec![byte];
            }
        }
        Ok(Self { vocab, merges: Merges::default(), counts: Vec::new(), id_of_byte, special_ids, token_bytes })
    }

    /// Bytes of each token by id; 0 for special tokens that no merge has made.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a token lies in one pretoken, whose places are counted in 32 bits"
    )]
    pub fn lengths(&self) -> Vec<u32> {
        self.token_bytes.iter().map(|bytes| bytes.len() as u32).collect()
    }

    /// How often the last merge would occur that makes the vocabulary this large, if counts went on to fall with the rank as they
    /// do over the second half of the merges so far; 0 where nothing is known.
    pub fn expected_last_count(&self, vocab_size: usize) -> u64 {
        let num_merges = self.counts.len();
        let (Some(&last), true) = (self.counts.last(), num_merges >= 256) else { return 0 };
        let max_merges = num_merges + vocab_size - self.vocab.len();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a guess"
        )]
        {
            let exponent = (self.counts[num_merges / 2] as f64 / last as f64).log2();
            (last as f64 * (num_merges as f64 / max_merges as f64).powf(exponent)) as u64
        }
    }

    /// Adds the merge of two tokens that occur together `count` times, and gives the id of what it produces.
    pub fn push_merge(&mut self, left: TokenId, right: TokenId, count: u64) -> TokenId {
        let bytes = [&self.token_bytes[left as usize][..], &self.token_bytes[right as usize][..]].concat();
        let produced = if let Some(&id) = self.special_ids.get(&bytes) {
            if self.vocab.token(id) == Some(&bytes) {
                self.vocab.index(id);
            }
            self.token_bytes[id as usize] = bytes;
            id
        } else {
            let id = self.vocab.push(&bytes);
            self.token_bytes.push(bytes);
            id
        };
        self.merges.push(Merge { left, right, produced });
        self.counts.push(count);
        produced
    }
}
