//! Strings of JSON lines: runs of text, escapes, and halves of characters that may come alone.

use super::unescape::{WIDTH, is_special, plain_length_of_chunk, unescape};
use super::{Lines, Role, State};
use crate::corpus::documents::Sink;
use crate::corpus::summary::SkipReason;
use crate::corpus::{InvalidUtf8, PIECE_BYTES};
use crate::error::{Error, Result};

impl<S: Sink> Lines<'_, S> {
    /// Reads a string up to its end, an escape of a code point or the end of `rest`, and gives how many bytes that were.
    pub(super) fn read_run(&mut self, mut role: Role, rest: &str) -> Result<usize> {
        let (bytes, column) = (rest.as_bytes(), self.column);
        let mut read = 0;
        loop {
            self.column = column + read as u64;
            if role == Role::Document && self.is_field && self.high_surrogate.is_none() {
                read += unescape(&rest[read..], &mut self.text, PIECE_BYTES);
                self.column = column + read as u64;
                if self.text.len() >= PIECE_BYTES {
                    self.pass_on()?;
                    continue;
                }
            }
            let run = &rest[read..][..plain_length(&bytes[read..])];
            if !run.is_empty() {
                self.end_high_surrogate(role)?;
                self.push(role, run)?;
            }
            read += run.len();
            // Text is full of short escapes, so they are not worth a way through the states.
            if let Some([b'\\', escape, ..]) = bytes.get(read..)
                && let Some(escaped) = short_escape(*escape)
            {
                self.column = column + read as u64 + 1;
                self.end_high_surrogate(role)?;
                role = self.role_now(role);
                self.state = State::Str(role);
                self.push(role, escaped)?;
                read += 2;
                continue;
            }
            return match bytes.get(read) {
                None => Ok(read),
                Some(b'"') => {
                    self.end_high_surrogate(role)?;
                    self.end_string(role)?;
                    Ok(read + 1)
                }
                Some(b'\\') => {
                    self.state = State::Escape(self.role_now(role));
                    Ok(read + 1)
                }
                Some(control) => {
                    self.column = column + read as u64;
                    Err(if *control == b'\n' {
                        self.ends_early()
                    } else {
                        self.unexpected(&rest[read..], "an escape such as `\\n` or `\\u0000`")
                    })
                }
            };
        }
    }

    fn end_string(&mut self, role: Role) -> Result<()> {
        self.state = State::AfterValue;
        if role == Role::Key {
            self.state = State::Colon;
            self.is_field = self.nesting.depth == 1 && self.key == self.field;
            if self.is_field && self.has_document {
                self.column = self.key_column;
                return Err(self.malformed(&format!("field `{}` comes twice", self.field)));
            }
            self.has_document |= self.is_field;
        } else if self.is_field {
            self.is_field = false;
            self.pass_on()?;
        }
        Ok(())
    }

    pub(super) fn read_escape(&mut self, role: Role, rest: &str) -> Result<()> {
        let escaped = match rest.as_bytes()[0] {
            b'u' => {
                self.state = State::Unicode(role, 4, 0);
                return Ok(());
            }
            byte => match short_escape(byte) {
                Some(escaped) => escaped,
                None => return Err(self.unexpected(rest, "one of `\"\\/bfnrtu` behind a `\\`")),
            },
        };
        self.end_high_surrogate(role)?;
        let role = self.role_now(role);
        self.state = State::Str(role);
        self.push(role, escaped)
    }

    pub(super) fn read_digit(&mut self, role: Role, num_left: u8, value: u16, rest: &str) -> Result<()> {
        let Some(digit) = char::from(rest.as_bytes()[0]).to_digit(16) else {
            return Err(self.unexpected(rest, "one of the four hexadecimal digits of a `\\u`"));
        };
        #[expect(clippy::cast_possible_truncation, reason = "a digit is less than 16")]
        let value = value << 4 | digit as u16;
        if num_left > 1 {
            self.state = State::Unicode(role, num_left - 1, value);
            return Ok(());
        }
        self.state = State::Str(role);
        if let (Some(high), 0xDC00..=0xDFFF) = (self.high_surrogate, value) {
            self.high_surrogate = None;
            let pair = char::decode_utf16([high, value]).next().and_then(std::result::Result::ok);
            return self.push_char(role, pair.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.end_high_surrogate(role)?;
        match value {
            0xD800..=0xDBFF => self.high_surrogate = Some(value),
            0xDC00..=0xDFFF => self.take_lone_surrogate(role, value)?,
            _ => {
                let character = char::from_u32(value.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.push_char(self.role_now(role), character)?;
            }
        }
        self.state = State::Str(self.role_now(role));
        Ok(())
    }

    /// A high surrogate that no low one follows is alone.
    pub(super) fn end_high_surrogate(&mut self, role: Role) -> Result<()> {
        match self.high_surrogate.take() {
            Some(high) => self.take_lone_surrogate(role, high),
            None => Ok(()),
        }
    }

    fn take_lone_surrogate(&mut self, role: Role, value: u16) -> Result<()> {
        match (self.role_now(role), self.policy) {
            (Role::Key, _) => self.key.push(char::REPLACEMENT_CHARACTER),
            (Role::Other, _) => {}
            (Role::Document, InvalidUtf8::Error) => {
                return Err(Error::Data(format!(
                    "`{}`:{}: field `{}` has the lone surrogate `\\u{value:04x}` before column {}, which is no character\n\nhint: \
                     repair the file, or set `invalid_utf8` to `replace` or `skip`",
                    self.place,
                    self.line_number,
                    self.field,
                    self.column + 1
                )));
            }
            (Role::Document, InvalidUtf8::Replace) => {
                self.num_replaced += 1;
                self.push_char(role, char::REPLACEMENT_CHARACTER)?;
            }
            (Role::Document, InvalidUtf8::Skip) => {
                // The rest of the string is checked as that of any other field.
                self.text.clear();
                self.is_field = false;
                let (place, line_number) = (self.place, self.line_number);
                let complain = || format!("`{place}`:{line_number}: lone surrogate `\\u{value:04x}`");
                self.sink.leave_out(SkipReason::LoneSurrogate, complain)?;
            }
        }
        Ok(())
    }

    /// The role of a string, which a lone surrogate may have changed.
    fn role_now(&self, role: Role) -> Role {
        if role == Role::Document && !self.is_field { Role::Other } else { role }
    }

    fn push_char(&mut self, role: Role, character: char) -> Result<()> {
        self.push(role, character.encode_utf8(&mut [0; 4]))
    }

    fn push(&mut self, role: Role, text: &str) -> Result<()> {
        match self.role_now(role) {
            // One byte more than the field's is enough to tell that it is another.
            Role::Key if self.key.len() <= self.field.len() => self.key.push_str(text),
            Role::Document => {
                self.text.push_str(text);
                if self.text.len() >= PIECE_BYTES {
                    self.pass_on()?;
                }
            }
            Role::Key | Role::Other => {}
        }
        Ok(())
    }

    fn pass_on(&mut self) -> Result<()> {
        self.sink.push(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// What a `\` and this byte stand for.
fn short_escape(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'n' => "\n",
        b't' => "\t",
        b'r' => "\r",
        b'b' => "\u{8}",
        b'f' => "\u{C}",
        b'"' => "\"",
        b'\\' => "\\",
        b'/' => "/",
        _ => return None,
    })
}

/// How many bytes there are before a quote, a `\` or a control character.
fn plain_length(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks();
    match chunks.iter().map(plain_length_of_chunk).enumerate().find(|&(_, length)| length < WIDTH) {
        Some((idx, length)) => idx * WIDTH + length,
        None => bytes.len() - rest.len() + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len()),
    }
}
