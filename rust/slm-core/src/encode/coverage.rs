//! How much of a text the vocabulary knows whole: pretokens that are one token each.

use crate::error::Result;
use crate::progress::{Callback, Progress, supervise};
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of text between two looks at the stop flag.
const STRETCH_BYTES: usize = 1 << 20;

/// The pretokens of texts, and those of them that are one token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Pretokens.
    pub pretokens: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pretokens that are one token.
    pub whole_pretokens: u64,
    /// Their bytes.
    pub whole_bytes: u64,
}

impl Tokenizer {
    /// Counts the pretokens of `texts`, and those that encoding makes one token of.
    ///
    /// # Errors
    /// [`crate::error::Error::Interrupted`] if the callback broke off.
    pub fn coverage<T: AsRef<str> + Sync>(&self, texts: &[T], callback: &mut Callback<'_>) -> Result<Coverage> {
        let unreachable: HashSet<TokenId> =
            if self.parts().ignore_merges { HashSet::new() } else { self.unreachable_tokens().into_iter().collect() };
        let total = texts.iter().map(|text| text.as_ref().len() as u64).sum();
        let done = AtomicU64::new(0);
        let snapshot = || Progress {
            phase: "coverage",
            unit: "bytes",
            done: done.load(Ordering::Relaxed),
            total,
            counters: Vec::new(),
        };
        supervise(callback, snapshot, |stop| {
            let (mut coverage, mut prepared) = (Coverage::default(), String::new());
            for text in texts {
                let mut left = text.as_ref();
                let (mut stretch, mut begins) = (STRETCH_BYTES, true);
                while !left.is_empty() {
                    stop.check()?;
                    let cut = if left.len() <= stretch {
                        left.len()
                    } else {
                        self.pretokenizer().safe_cut(&left.as_bytes()[..stretch])
                    };
                    // Text without a safe cut is looked through again with twice the length.
                    stretch = if cut == 0 { 2 * stretch } else { STRETCH_BYTES };
                    let text = self.pretokenizer().prepare(&left[..cut], begins, &mut prepared).unwrap_or(&left[..cut]);
                    begins &= cut == 0;
                    self.pretokenizer().for_each_range(text, |start, end| {
                        let pretoken = &text[start..end];
                        let is_whole =
                            self.vocab().id(pretoken.as_bytes()).is_some_and(|id| !unreachable.contains(&id));
                        coverage.pretokens += 1;
                        coverage.bytes += pretoken.len() as u64;
                        coverage.whole_pretokens += u64::from(is_whole);
                        coverage.whole_bytes += if is_whole { pretoken.len() as u64 } else { 0 };
                    });
                    left = &left[cut..];
                    done.fetch_add(cut as u64, Ordering::Relaxed);
                }
            }
            Ok(coverage)
        })
    }
}
