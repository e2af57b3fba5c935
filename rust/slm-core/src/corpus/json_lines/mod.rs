//! JSON lines to documents: one string of each object, as its bytes come in. No line is held, however long it is.
//!
//! Read in this order: this file (a line), [`grammar`] (numbers and nesting), [`strings`].

mod grammar;
mod strings;
#[cfg(test)]
mod tests;
mod unescape;

use crate::corpus::documents::Sink;
use crate::corpus::summary::SkipReason;
use crate::corpus::utf8::{Piece, Utf8Pieces, first_paragraph};
use crate::corpus::{InvalidUtf8, OnError};
use crate::error::{Error, Result};
use grammar::{Nesting, Number};
use memchr::memchr;
use std::cell::Cell;

/// How deep arrays and objects may lie in one another; a bit of [`Nesting`] each.
const MAX_DEPTH: u32 = u128::BITS;

/// Passes on a document a line: the string in `field` of a JSON object. Lines of whitespace are passed over, and a null is a
/// document that is left out.
///
/// Gives the number of lone surrogates that were replaced.
///
/// # Errors
/// [`Error::Data`] with file and line for what is no JSON object or has no such string; with [`OnError::Skip`] such a line is
/// left out.
pub(super) fn read(
    pieces: &mut Utf8Pieces<'_>,
    field: &str,
    policies: (InvalidUtf8, OnError),
    sink: &mut impl Sink,
) -> Result<u64> {
    let place = pieces.path().display().to_string();
    let mut lines = Lines::new(&place, field, policies, sink);
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Text(text) => lines.feed(text)?,
            Piece::Spoiled(reason) => lines.leave_out(reason, || pieces.complaint())?,
        }
    }
    lines.finish()?;
    Ok(lines.num_replaced)
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What is before the object of a line.
    Start,
    /// A key, or the end of an object without any.
    FirstKey,
    Key,
    Colon,
    Value,
    /// A value, or the end of an array without any.
    FirstItem,
    /// A comma, or the end of the array or the object.
    AfterValue,
    Str(Role),
    /// What follows a `\` in a string.
    Escape(Role),
    /// The digits of a `\u`: how many are still to come, and what those before make up.
    Unicode(Role, u8, u16),
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
    /// What is behind the object of a line.
    End,
    /// The rest of a line that is left out.
    LeftOut,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Document,
    /// It is passed over.
    Other,
}

/// The lines of a file, and where in one of them the next byte is.
struct Lines<'a, S> {
    place: &'a str,
    field: &'a str,
    policy: InvalidUtf8,
    on_error: OnError,
    /// Whether the error at hand is about the line, and not about what becomes of its document.
    is_malformed: Cell<bool>,
    sink: &'a mut S,
    line_number: u64,
    /// Bytes of the line before what is fed next.
    column: u64,
    state: State,
    nesting: Nesting,
    /// The key at hand as far as it can be the field's.
    key: String,
    /// Bytes of the line before it.
    key_column: u64,
    /// Whether the value at hand is the document.
    is_field: bool,
    /// Whether the line had its document already.
    has_document: bool,
    /// The first half of a character beyond U+FFFF, which awaits its second.
    high_surrogate: Option<u16>,
    /// Text of the document that is not passed on yet.
    text: String,
    num_replaced: u64,
}

impl<'a, S: Sink> Lines<'a, S> {
    fn new(place: &'a str, field: &'a str, (policy, on_error): (InvalidUtf8, OnError), sink: &'a mut S) -> Self {
        Self {
            place,
            field,
            policy,
            on_error,
            is_malformed: Cell::new(false),
            sink,
            line_number: 1,
            column: 0,
            state: State::Start,
            nesting: Nesting::default(),
            key: String::new(),
            key_column: 0,
            is_field: false,
            has_document: false,
            high_surrogate: None,
            text: String::new(),
            num_replaced: 0,
        }
    }

    fn feed(&mut self, text: &str) -> Result<()> {
        let mut at = 0;
        while let Err(error) = self.feed_from(text, &mut at) {
            self.forgive(error)?;
        }
        Ok(())
    }

    /// Takes what the last line was.
    fn finish(&mut self) -> Result<()> {
        if let Err(error) = self.end_line() {
            self.forgive(error)?;
            self.end_line()?;
        }
        Ok(())
    }

    /// Leaves out a line for what is wrong with it, where that is allowed.
    fn forgive(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Data(complaint) if self.on_error == OnError::Skip && self.is_malformed.take() => {
                self.leave_out(SkipReason::Malformed, || first_paragraph(&complaint))
            }
            error => Err(error),
        }
    }

    /// Reads on at `at`, which after an error is in the line that it is about.
    fn feed_from(&mut self, text: &str, place: &mut usize) -> Result<()> {
        let bytes = text.as_bytes();
        // Where the line begins in `text`; before it, for a line that began earlier.
        let mut before = self.column;
        let mut line_start = *place;
        while let Some(&byte) = bytes.get(*place) {
            let at = *place;
            self.column = before + (at - line_start) as u64;
            match self.state {
                State::Str(role) => {
                    *place += self.read_run(role, &text[at..])?;
                    continue;
                }
                State::LeftOut if byte != b'\n' => {
                    *place = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
                    continue;
                }
                // A number ends before the byte that does not go on with it.
                State::Number(number) => match number.next(byte) {
                    Some(number) => self.state = State::Number(number),
                    None if number.may_end() => {
                        self.state = State::AfterValue;
                        continue;
                    }
                    None => return Err(self.unexpected(&text[at..], "a digit")),
                },
                _ if byte == b'\n' => {
                    self.end_line()?;
                    (before, line_start) = (0, at + 1);
                }
                State::Escape(role) => self.read_escape(role, &text[at..])?,
                State::Unicode(role, num_left, value) => self.read_digit(role, num_left, value, &text[at..])?,
                State::Literal(rest) => self.read_literal(rest, &text[at..])?,
                _ if matches!(byte, b' ' | b'\t' | b'\r') => {}
                _ => self.read_structure(byte, &text[at..])?,
            }
            *place += 1;
        }
        self.column = before + (bytes.len() - line_start) as u64;
        Ok(())
    }

    /// Reads a byte that is not part of a string, a number or a literal.
    fn read_structure(&mut self, byte: u8, rest: &str) -> Result<()> {
        self.state = match (self.state, byte) {
            (State::Start, b'{') => {
                self.nesting.open(true);
                State::FirstKey
            }
            (State::Start, _) => return Err(self.unexpected(rest, "a JSON object")),
            (State::FirstKey | State::Key, b'"') => {
                self.key.clear();
                self.key_column = self.column;
                State::Str(Role::Key)
            }
            (State::FirstKey, b'}') | (State::FirstItem, b']') => self.close()?,
            (State::FirstKey | State::Key, _) => return Err(self.unexpected(rest, "a key")),
            (State::Colon, b':') => State::Value,
            (State::Colon, _) => return Err(self.unexpected(rest, "`:`")),
            (State::AfterValue, b',') if self.nesting.is_in_object() => State::Key,
            (State::AfterValue, b',') => State::Value,
            (State::AfterValue, b'}') if self.nesting.is_in_object() => self.close()?,
            (State::AfterValue, b']') if !self.nesting.is_in_object() => self.close()?,
            (State::AfterValue, _) if self.nesting.is_in_object() => return Err(self.unexpected(rest, "`,` or `}`")),
            (State::AfterValue, _) => return Err(self.unexpected(rest, "`,` or `]`")),
            (State::End, _) => return Err(self.unexpected(rest, "the end of the line")),
            _ => self.begin_value(byte, rest)?,
        };
        Ok(())
    }

    fn begin_value(&mut self, byte: u8, rest: &str) -> Result<State> {
        let state = match byte {
            b'"' if self.is_field => State::Str(Role::Document),
            b'"' => State::Str(Role::Other),
            b'{' | b'[' if self.nesting.depth == MAX_DEPTH => {
                return Err(self.malformed(&format!("more than {MAX_DEPTH} arrays and objects in one another")));
            }
            b'{' => State::FirstKey,
            b'[' => State::FirstItem,
            b'-' => State::Number(Number::Minus),
            b'0' => State::Number(Number::Zero),
            b'1'..=b'9' => State::Number(Number::Integer),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            _ => return Err(self.unexpected(rest, "a value")),
        };
        if self.is_field && !matches!(byte, b'"' | b'n') {
            let kind = match byte {
                b'{' => "an object",
                b'[' => "an array",
                b't' | b'f' => "true or false",
                _ => "a number",
            };
            return Err(self.malformed(&format!("field `{}` is {kind}, it must be a string or null", self.field)));
        }
        if matches!(byte, b'{' | b'[') {
            self.nesting.open(byte == b'{');
        }
        Ok(state)
    }

    fn close(&mut self) -> Result<State> {
        self.nesting.close();
        if self.nesting.depth > 0 {
            return Ok(State::AfterValue);
        }
        if !self.has_document {
            return Err(self.malformed(&format!("there is no field `{}`", self.field)));
        }
        Ok(State::End)
    }

    fn read_literal(&mut self, expected: &'static [u8], rest: &str) -> Result<()> {
        match expected.split_first() {
            Some((first, left)) if *first == rest.as_bytes()[0] => {
                self.state = if left.is_empty() { State::AfterValue } else { State::Literal(left) };
            }
            _ => return Err(self.unexpected(rest, "`true`, `false` or `null`")),
        }
        if self.is_field && self.state == State::AfterValue {
            self.is_field = false;
            self.sink.leave_out(SkipReason::Null, String::new)?;
        }
        Ok(())
    }

    /// Leaves the rest of the line out, and its document.
    fn leave_out(&mut self, reason: SkipReason, complain: impl FnOnce() -> String) -> Result<()> {
        self.text.clear();
        self.state = State::LeftOut;
        self.sink.leave_out(reason, complain)
    }

    /// Takes what the line was, at a line feed or the end of the file.
    fn end_line(&mut self) -> Result<()> {
        match self.state {
            State::Start => {}
            State::End | State::LeftOut => self.sink.end_document()?,
            _ => return Err(self.ends_early()),
        }
        self.line_number += 1;
        self.column = 0;
        self.state = State::Start;
        self.nesting = Nesting::default();
        (self.is_field, self.has_document, self.high_surrogate) = (false, false, None);
        Ok(())
    }

    fn ends_early(&self) -> Error {
        let place = if matches!(self.state, State::Str(_) | State::Escape(_) | State::Unicode(..)) {
            "a string"
        } else {
            "its object"
        };
        self.malformed(&format!("the line ends inside {place}"))
    }

    fn unexpected(&self, rest: &str, expected: &str) -> Error {
        match rest.chars().next() {
            Some('\n') | None => self.ends_early(),
            Some(found) => self.malformed(&format!("{found:?} where {expected} must be")),
        }
    }

    fn malformed(&self, complaint: &str) -> Error {
        self.is_malformed.set(true);
        Error::Data(format!(
            "`{}`:{}: {complaint}, at column {}\n\nhint: each line must be a JSON object with the document as a string in the field \
             `{}`; another field is chosen with `field`",
            self.place,
            self.line_number,
            self.column + 1,
            self.field
        ))
    }
}
