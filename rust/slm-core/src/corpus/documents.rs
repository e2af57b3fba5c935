//! Text to documents: whole files, lines, parts between separators, or a field of JSON lines.

use crate::corpus::decompress::Utf8Blocks;
use crate::corpus::floor_char_boundary;
use crate::error::{Error, Result};
use memchr::{memchr, memmem};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// Takes documents in pieces.
pub(super) trait Sink {
    /// Adds text to the document.
    fn push(&mut self, text: &str) -> Result<()>;
    /// Ends the document; what is pushed next belongs to another one.
    fn end_document(&mut self) -> Result<()>;
}

/// One document.
pub(super) fn read_file(blocks: &mut Utf8Blocks, sink: &mut impl Sink) -> Result<()> {
    while let Some(text) = blocks.next()? {
        sink.push(text)?;
    }
    sink.end_document()
}

/// A document a line, with its line feed.
pub(super) fn read_lines(blocks: &mut Utf8Blocks, sink: &mut impl Sink) -> Result<()> {
    let mut is_open = false;
    while let Some(mut text) = blocks.next()? {
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
pub(super) fn read_separated(blocks: &mut Utf8Blocks, separator: &str, sink: &mut impl Sink) -> Result<()> {
    let finder = memmem::Finder::new(separator);
    // What may be the beginning of a separator is held back until more text has come.
    let mut held = String::new();
    let mut is_open = false;
    while let Some(text) = blocks.next()? {
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
pub(super) fn read_jsonl(blocks: &mut Utf8Blocks, path: &Path, field: &str, sink: &mut impl Sink) -> Result<()> {
    let mut begun: Vec<u8> = Vec::new();
    let mut line_number = 0_u64;
    let mut take = |line: &[u8], sink: &mut _| {
        line_number += 1;
        take_json_line(line, path, line_number, field, sink)
    };
    while let Some(text) = blocks.next()? {
        let mut rest = text.as_bytes();
        while let Some(at) = memchr(b'\n', rest) {
            if begun.is_empty() {
                take(&rest[..at], sink)?;
            } else {
                begun.extend_from_slice(&rest[..at]);
                take(&begun, sink)?;
                begun.clear();
            }
            rest = &rest[at + 1..];
        }
        begun.extend_from_slice(rest);
    }
    if begun.is_empty() { Ok(()) } else { take(&begun, sink) }
}

fn take_json_line(line: &[u8], path: &Path, line_number: u64, field: &str, sink: &mut impl Sink) -> Result<()> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let parsed = deserializer.deserialize_map(FieldVisitor(field)).and_then(|text| deserializer.end().map(|()| text));
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
                "`{}`:{line_number}: {error}\n\nhint: each line must be a JSON object with the document as a string in the field \
                 `{field}`; another field is chosen with `field`",
                path.display()
            )))
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
