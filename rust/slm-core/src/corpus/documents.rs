//! Text to documents: whole files, lines, parts between separators, or a field of JSON lines.

use crate::corpus::floor_char_boundary;
use crate::corpus::utf8::{Piece, Utf8Pieces};
use crate::error::{Error, Result};
use memchr::{memchr, memmem};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Takes documents in pieces.
pub(super) trait Sink {
    /// Adds text to the document.
    fn push(&mut self, text: &str) -> Result<()>;
    /// Marks the document as one to be left out, because not all of it is text.
    fn spoil(&mut self) -> Result<()>;
    /// Ends the document; what is pushed next belongs to another one.
    fn end_document(&mut self) -> Result<()>;
}

/// One document.
pub(super) fn read_file(pieces: &mut Utf8Pieces<'_>, sink: &mut impl Sink) -> Result<()> {
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Text(text) => sink.push(text)?,
            Piece::Invalid => sink.spoil()?,
        }
    }
    sink.end_document()
}

/// A document a line, with its line feed.
pub(super) fn read_lines(pieces: &mut Utf8Pieces<'_>, sink: &mut impl Sink) -> Result<()> {
    let mut is_open = false;
    while let Some(piece) = pieces.next()? {
        let Piece::Text(mut text) = piece else {
            sink.spoil()?;
            is_open = true;
            continue;
        };
        while let Some(at) = memchr(b'\n', text.as_bytes()) {
            let (line, rest) = text.split_at(at + 1);
            sink.push(line)?;
            sink.end_document()?;
            text = rest;
            is_open = false;
        }
        if !text.is_empty() {
            sink.push(text)?;
            is_open = true;
        }
    }
    if is_open { sink.end_document() } else { Ok(()) }
}

/// Documents between separators. After a separator at the end of the file there is no further document.
pub(super) fn read_separated(pieces: &mut Utf8Pieces<'_>, separator: &str, sink: &mut impl Sink) -> Result<()> {
    let finder = memmem::Finder::new(separator);
    // What may be the beginning of a separator is held back until more text has come.
    let mut held = String::new();
    let mut is_open = false;
    while let Some(piece) = pieces.next()? {
        let Piece::Text(text) = piece else {
            // No separator goes on behind it.
            sink.push(&held)?;
            held.clear();
            sink.spoil()?;
            is_open = true;
            continue;
        };
        held.push_str(text);
        let mut start = 0;
        while let Some(at) = finder.find(&held.as_bytes()[start..]) {
            sink.push(&held[start..start + at])?;
            sink.end_document()?;
            start += at + separator.len();
            is_open = false;
        }
        let kept = floor_char_boundary(&held, (held.len() + 1).saturating_sub(separator.len())).max(start);
        if kept > start {
            sink.push(&held[start..kept])?;
            is_open = true;
        }
        held.drain(..kept);
    }
    if is_open || !held.is_empty() {
        sink.push(&held)?;
        sink.end_document()?;
    }
    Ok(())
}

/// A document a line, in `field` of a JSON object. Lines of whitespace are passed over.
pub(super) fn read_jsonl(pieces: &mut Utf8Pieces<'_>, field: &str, sink: &mut impl Sink) -> Result<()> {
    let place = pieces.path().display().to_string();
    let mut lines = JsonLines { place, field, line_number: 0, begun: Vec::new(), is_spoiled: false };
    while let Some(piece) = pieces.next()? {
        let Piece::Text(text) = piece else {
            lines.is_spoiled = true;
            continue;
        };
        let mut rest = text.as_bytes();
        while let Some(at) = memchr(b'\n', rest) {
            lines.end(&rest[..at], sink)?;
            rest = &rest[at + 1..];
        }
        lines.begun.extend_from_slice(rest);
    }
    lines.end(b"", sink)
}

/// The line at hand of a JSON lines file.
struct JsonLines<'a> {
    place: String,
    field: &'a str,
    line_number: u64,
    begun: Vec<u8>,
    is_spoiled: bool,
}

impl JsonLines<'_> {
    /// Takes the line that `begun` and then `rest` make up.
    fn end(&mut self, rest: &[u8], sink: &mut impl Sink) -> Result<()> {
        self.line_number += 1;
        if std::mem::take(&mut self.is_spoiled) {
            self.begun.clear();
            sink.spoil()?;
            return sink.end_document();
        }
        if self.begun.is_empty() {
            return self.take(rest, sink);
        }
        self.begun.extend_from_slice(rest);
        self.take(&self.begun, sink)?;
        self.begun.clear();
        Ok(())
    }

    fn take(&self, line: &[u8], sink: &mut impl Sink) -> Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let field = self.field;
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let parsed =
            deserializer.deserialize_map(FieldVisitor(field)).and_then(|text| deserializer.end().map(|()| text));
        match parsed {
            Ok(text) => {
                sink.push(&text)?;
                sink.end_document()
            }
            Err(error) => {
                let error = error.to_string();
                // Every line is line 1 to the parser; what it says of the column stays.
                let error = error.replace(" at line 1 column", ", at column");
                Err(Error::Data(format!(
                    "`{}`:{}: {error}\n\nhint: each line must be a JSON object with the document as a string in the field \
                     `{field}`; another field is chosen with `field`",
                    self.place, self.line_number
                )))
            }
        }
    }
}

/// Takes the string in one field of an object and skips all others.
struct FieldVisitor<'f>(&'f str);

impl<'de> Visitor<'de> for FieldVisitor<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut text = None;
        while let Some(key) = map.next_key::<CowStr<'de>>()? {
            if key.0 == self.0 {
                let value = map.next_value::<CowStr<'de>>();
                text = Some(value.map_err(|error| A::Error::custom(format!("field `{}`: {error}", self.0)))?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        text.ok_or_else(|| A::Error::custom(format!("there is no field `{}`", self.0)))
    }
}

/// A string that is borrowed from the line where it has no escapes.
struct CowStr<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for CowStr<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct StrVisitor;

        impl<'de> Visitor<'de> for StrVisitor {
            type Value = CowStr<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(CowStr(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
                Ok(CowStr(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(StrVisitor)
    }
}
