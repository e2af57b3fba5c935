//! Leaving out documents that are not all UTF-8, or malformed, in bounded memory however long they are.
//!
//! A document is held back until it ends or has [`MAX_HELD_BYTES`]. Whether a longer one is spoiled further on is not known
//! by then: for the first such document of a file the whole file is read once more ahead ([`Survey`]), for the numbers of
//! its long documents that are spoiled. Files of short documents are read only once.

use crate::corpus::documents::Sink;
use crate::corpus::memory::push_in_pieces;
use crate::corpus::summary::SkipReason;
use crate::error::{Error, Result};
use crate::progress::Stop;

/// Bytes of a document that are held back.
pub(super) const MAX_HELD_BYTES: usize = 4 << 20;

/// Which long documents of a file are spoiled, by their number; found at most once, and when first asked for.
pub(super) type FindLongSpoiled<'a> = dyn FnMut() -> Result<Vec<u64>> + 'a;

/// Passes on the documents that are text, and of the others that they are not.
pub(super) struct Withholding<'a, S> {
    sink: &'a mut S,
    find_long_spoiled: &'a mut FindLongSpoiled<'a>,
    long_spoiled: Option<Vec<u64>>,
    held: String,
    state: State,
    /// What is wrong with a document that is left out.
    complaint: String,
    document: u64,
}

/// What becomes of the rest of the open document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may still turn out to be spoiled.
    Held,
    /// It is known to be text to its end.
    PassedOn,
    /// It is left out, for this reason where that is known already.
    LeftOut(Option<SkipReason>),
}

impl<'a, S: Sink> Withholding<'a, S> {
    pub(super) fn new(sink: &'a mut S, find_long_spoiled: &'a mut FindLongSpoiled<'a>) -> Self {
        Self {
            sink,
            find_long_spoiled,
            long_spoiled: None,
            held: String::new(),
            state: State::Held,
            complaint: String::new(),
            document: 0,
        }
    }

    fn pass_on_held(&mut self) -> Result<()> {
        push_in_pieces(&self.held, self.sink)?;
        self.held.clear();
        Ok(())
    }

    fn is_long_spoiled(&mut self) -> Result<bool> {
        let spoiled = match self.long_spoiled.take() {
            Some(spoiled) => spoiled,
            None => (self.find_long_spoiled)()?,
        };
        let is_spoiled = spoiled.binary_search(&self.document).is_ok();
        self.long_spoiled = Some(spoiled);
        Ok(is_spoiled)
    }
}

impl<S: Sink> Sink for Withholding<'_, S> {
    fn push(&mut self, text: &str) -> Result<()> {
        match self.state {
            State::LeftOut(_) => return Ok(()),
            State::PassedOn => return self.sink.push(text),
            State::Held => self.held.push_str(text),
        }
        if self.held.len() <= MAX_HELD_BYTES {
            return Ok(());
        }
        if self.is_long_spoiled()? {
            self.state = State::LeftOut(None);
            self.held.clear();
            return Ok(());
        }
        self.state = State::PassedOn;
        self.pass_on_held()
    }

    fn leave_out(&mut self, reason: SkipReason, complain: impl FnOnce() -> String) -> Result<()> {
        match self.state {
            State::PassedOn => return Err(changed()),
            State::LeftOut(Some(_)) => {}
            State::LeftOut(None) | State::Held => {
                self.complaint = complain();
                self.state = State::LeftOut(Some(reason));
            }
        }
        self.held.clear();
        Ok(())
    }

    fn end_document(&mut self) -> Result<()> {
        match self.state {
            State::Held => self.pass_on_held()?,
            State::PassedOn => {}
            State::LeftOut(reason) => {
                let complaint = std::mem::take(&mut self.complaint);
                self.sink.leave_out(reason.ok_or_else(changed)?, || complaint)?;
            }
        }
        self.state = State::Held;
        self.document += 1;
        self.sink.end_document()
    }
}

fn changed() -> Error {
    Error::Data("a file of the corpus was changed while it was read".into())
}

/// Numbers the documents of a file and notes those that are spoiled behind their first [`MAX_HELD_BYTES`].
pub(super) struct Survey<'a> {
    /// The documents noted, in ascending order: at most one for each [`MAX_HELD_BYTES`] of text.
    pub long_spoiled: Vec<u64>,
    stop: &'a Stop,
    document: u64,
    bytes: u64,
    is_spoiled: bool,
}

impl<'a> Survey<'a> {
    pub(super) fn new(stop: &'a Stop) -> Self {
        Self { long_spoiled: Vec::new(), stop, document: 0, bytes: 0, is_spoiled: false }
    }
}

impl Sink for Survey<'_> {
    fn push(&mut self, text: &str) -> Result<()> {
        self.bytes += text.len() as u64;
        self.stop.check()
    }

    fn leave_out(&mut self, _: SkipReason, _: impl FnOnce() -> String) -> Result<()> {
        if !self.is_spoiled && self.bytes > MAX_HELD_BYTES as u64 {
            self.long_spoiled.push(self.document);
        }
        self.is_spoiled = true;
        Ok(())
    }

    fn end_document(&mut self) -> Result<()> {
        (self.bytes, self.is_spoiled) = (0, false);
        self.document += 1;
        Ok(())
    }
}
