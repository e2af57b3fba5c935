//! A document that is hard to cut: where there is no safe place in a full batch, and where one pretoken is longer than a batch.

use super::batch::{BATCH_BYTES, Batcher};
use crate::error::{Error, Result};
use crate::pretokenize::{Known, OpenPretoken, OpenSplitter, Pretokenizer};

/// Bytes that the first part of a pretoken has at least. So one that comes in parts is longer than any token that a reader of parts has.
pub(super) const MIN_FIRST_BYTES: usize = BATCH_BYTES / 2;

/// Cuts what the reader has of an open document, where it may.
#[derive(Debug, Default)]
pub(super) struct HardCuts {
    is_allowed: bool,
    splitter: Option<OpenSplitter>,
    /// The pretoken that the open document is within, of which parts were handed on.
    pretoken: Option<OpenPretoken>,
    /// Whether it ends with the text that there is.
    ends_with_text: bool,
}

impl HardCuts {
    pub(super) fn new(is_allowed: bool) -> Self {
        Self { is_allowed, ..Self::default() }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// Whether what comes next of the open document goes on with a pretoken.
    pub(super) fn is_in_pretoken(&self) -> bool {
        self.pretoken.is_some()
    }

    /// The pretoken that what comes next goes on with.
    pub(super) fn pretoken(&self) -> Option<OpenPretoken> {
        self.pretoken
    }

    /// What was handed on ends the pretoken.
    pub(super) fn leave_pretoken(&mut self) {
        (self.pretoken, self.ends_with_text) = (None, false);
    }

    /// What there is of the open document ends it, with or without a pretoken in parts.
    pub(super) fn end_with_text(&mut self) {
        self.ends_with_text = true;
    }

    pub(super) fn splitter(&mut self, pretokenizer: &Pretokenizer) -> Result<&OpenSplitter> {
        let splitter = match self.splitter.take() {
            Some(splitter) => splitter,
            None => OpenSplitter::new(pretokenizer)?,
        };
        Ok(self.splitter.insert(splitter))
    }
}

impl Batcher<'_> {
    /// Hands on of the open document, which the batch begins with, what can be without a safe place to cut; whether there was any.
    pub(super) fn hand_on_hard(&mut self) -> Result<bool> {
        if !self.hard_cuts.is_allowed() {
            return Ok(false);
        }
        let (begins, pretoken) = (self.begins_text(), self.hard_cuts.pretoken);
        let text = &self.batch.text;
        let splitter = self.hard_cuts.splitter(self.pretokenizer)?;
        if let Some(mut pretoken) = pretoken {
            return match splitter.look(&mut pretoken, text, false, false) {
                Known::GoesOn(cut) => self.hand_on_part(cut, pretoken),
                Known::Ends(end) => {
                    self.push_span(end, false, false);
                    self.hand_on(end)?;
                    Ok(true)
                }
                Known::Nothing => {
                    self.hard_cuts.pretoken = Some(pretoken);
                    Ok(false)
                }
            };
        }
        let cut = splitter.settled_cut(text, begins);
        if cut > 0 {
            self.push_span(cut, false, false);
            self.hand_on(cut)?;
            return Ok(true);
        }
        let mut pretoken = OpenPretoken::default();
        match splitter.look(&mut pretoken, text, begins, false) {
            Known::GoesOn(cut) if cut >= MIN_FIRST_BYTES => self.hand_on_part(cut, pretoken),
            _ => Ok(false),
        }
    }

    pub(super) fn hand_on_part(&mut self, cut: usize, pretoken: OpenPretoken) -> Result<bool> {
        self.push_span(cut, false, true);
        self.hard_cuts.pretoken = Some(pretoken);
        self.hand_on(cut)?;
        Ok(true)
    }

    /// Ends the pretoken that the open document is within, if it is: its text ends here. What is not the last part of it follows.
    pub(super) fn end_pretoken(&mut self) -> Result<()> {
        self.hold_more(true)?;
        if self.hard_cuts.ends_with_text {
            return Ok(());
        }
        let Some(mut pretoken) = self.hard_cuts.pretoken else { return Ok(()) };
        let text = &self.batch.text;
        match self.hard_cuts.splitter(self.pretokenizer)?.look(&mut pretoken, text, false, true) {
            Known::Ends(end) if end < text.len() => {
                self.push_span(end, false, false);
                Ok(())
            }
            Known::Ends(_) => Ok(()),
            Known::GoesOn(_) | Known::Nothing => Err(undecided_end(text)),
        }
    }
}

/// A mark composes with the last character of a pretoken whose parts are gone.
fn undecided_end(text: &str) -> Error {
    let begin: String = text.chars().take(40).collect();
    Error::Config(format!(
        "a stretch of text that the pattern does not split is too long to be composed to its end; its last {} bytes begin with \
         {begin:?}\n\nhint: break up such text beforehand, or compose it",
        text.len()
    ))
}
