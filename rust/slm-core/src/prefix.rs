//! A smaller vocabulary out of a larger one: merges are learned in an order that does not depend on how many there will be, so
//! the smaller one is a prefix.

use crate::error::{Error, Result};
use crate::merges::Merges;
use crate::token::TokenId;
use crate::tokenizer::{Parts, Tokenizer};
use crate::tokenizer_file::index_reachable_special_tokens;
use crate::vocab::Vocab;
use serde_json::Value;

impl Tokenizer {
    /// The tokenizer that the same training gives with this `vocab_size`, its record included.
    ///
    /// The record's seconds, passes, memory and spilled bytes stay those of the training that there was.
    ///
    /// # Errors
    /// [`Error::Config`] for a size that leaves out a token which no merge makes, a special token or a byte, or that is more
    /// than the training was asked for.
    pub fn prefix(&self, vocab_size: usize) -> Result<Self> {
        let old = self.parts();
        let record: Option<Value> = old.training.as_deref().and_then(|record| serde_json::from_str(record).ok());
        let asked = record.as_ref().and_then(|record| record["config"]["vocab_size"].as_u64());
        let most = asked.and_then(|size| usize::try_from(size).ok()).unwrap_or(0).max(old.vocab.len());
        if vocab_size > most {
            return Err(Error::Config(format!(
                "`vocab_size` is {vocab_size}, the tokenizer was trained for {most}\n\nhint: give a smaller size, or train anew"
            )));
        }
        let num_tokens = vocab_size.min(old.vocab.len());
        // Where a smaller one was reached, nothing more was left to merge.
        let merges = if vocab_size > num_tokens { old.merges.clone() } else { self.first_merges(num_tokens)? };
        let mut vocab = Vocab::default();
        for (id, token) in (0..).zip(old.vocab.iter().take(num_tokens)) {
            match old.vocab.special_tokens().iter().find(|special| special.id == id) {
                Some(special) => vocab.push_special(&special.content),
                None if old.vocab.is_unused(id) => vocab.push_unused(),
                None => vocab.push(token),
            };
        }
        index_reachable_special_tokens(&mut vocab, &merges).map_err(Error::Tokenizer)?;
        let record = record.map(|mut record| {
            record["config"]["vocab_size"] = vocab_size.into();
            record["vocab_size"] = vocab.len().into();
            record["merges"] = merges.len().into();
            format!("{record:#}\n")
        });
        let merge_counts = old.merge_counts.iter().take(merges.len()).copied().collect();
        let parts = Parts { vocab, merges, merge_counts, training: record, ..old.clone() };
        Self::new(self.pretokenizer().clone(), parts)
    }

    /// The merges up to the one that makes the last of `num_tokens` tokens.
    fn first_merges(&self, num_tokens: usize) -> Result<Merges> {
        let Parts { vocab, merges, .. } = self.parts();
        let mut is_made = vec![false; vocab.len()];
        let mut is_special = vec![false; vocab.len()];
        for special in vocab.special_tokens() {
            is_special[special.id as usize] = true;
        }
        let mut num_merges = 0;
        for (i, merge) in merges.as_slice().iter().enumerate() {
            let produced = merge.produced as usize;
            // One that makes a special token adds none, so it belongs to the prefix only if another one follows.
            if !is_special[produced] && !is_made[produced] && produced < num_tokens {
                num_merges = i + 1;
            }
            is_made[produced] |= !is_special[produced];
        }
        if let Some(id) = (num_tokens..vocab.len()).find(|&id| !is_made[id]) {
            let token = TokenId::try_from(id).ok().and_then(|id| vocab.token(id)).unwrap_or_default();
            return Err(Error::Config(format!(
                "`vocab_size` is {num_tokens}, but token {id} (`{}`) is not made by merging and must stay\n\nhint: set `vocab_size` to more \
                 than {id}",
                String::from_utf8_lossy(token)
            )));
        }
        let kept = &merges.as_slice()[..num_merges];
        let is_kept = |id: TokenId| (id as usize) < num_tokens;
        if !kept.iter().all(|merge| is_kept(merge.left) && is_kept(merge.right) && is_kept(merge.produced)) {
            return Err(Error::Config(
                "the ids of the tokenizer are not in the order of its merges, so a smaller vocabulary is no prefix of it"
                    .to_owned(),
            ));
        }
        Ok(kept.to_vec().into())
    }
}
