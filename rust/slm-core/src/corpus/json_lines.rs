//! JSON lines to documents: one string of each object, as its bytes come in. No line is held, however long it is.

use crate::corpus::documents::Sink;
use crate::corpus::summary::SkipReason;
use crate::corpus::utf8::{Piece, Utf8Pieces};
use crate::corpus::{InvalidUtf8, PIECE_BYTES};
use crate::error::{Error, Result};
use memchr::{memchr, memchr2};

/// How deep arrays and objects may lie in one another; a bit of [`Nesting`] each.
const MAX_DEPTH: u32 = u128::BITS;

/// Passes on a document a line: the string in `field` of a JSON object. Lines of whitespace are passed over, and a null is a
/// document that is left out.
///
/// Gives the number of lone surrogates that were replaced.
///
/// # Errors
/// [`Error::Data`] with file and line for what is no JSON object or has no such string.
pub(super) fn read(pieces: &mut Utf8Pieces<'_>, field: &str, policy: InvalidUtf8, sink: &mut impl Sink) -> Result<u64> {
    let place = pieces.path().display().to_string();
    let mut lines = Lines::new(&place, field, policy, sink);
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Text(text) => lines.feed(text)?,
            Piece::Invalid => lines.leave_out()?,
        }
    }
    lines.end_line()?;
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

/// The last character of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    /// A zero that begins the number, and that no digit may follow.
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    /// The number with one more byte, if there is one.
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::E),
            (Self::E, b'+' | b'-') => Some(Self::Sign),
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Some(Self::Exponent),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Exponent)
    }
}

/// The arrays and objects that are open: a bit each, the innermost one last, and set for an object.
#[derive(Clone, Copy, Default)]
struct Nesting {
    depth: u32,
    objects: u128,
}

impl Nesting {
    fn is_in_object(self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, is_object: bool) {
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
    }
}

/// The lines of a file, and where in one of them the next byte is.
struct Lines<'a, S> {
    place: &'a str,
    field: &'a str,
    policy: InvalidUtf8,
    sink: &'a mut S,
    line_number: u64,
    /// Bytes of the line before what is fed next.
    column: u64,
    state: State,
    nesting: Nesting,
    /// The key at hand as far as it can be the field's.
    key: String,
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
    fn new(place: &'a str, field: &'a str, policy: InvalidUtf8, sink: &'a mut S) -> Self {
        Self {
            place,
            field,
            policy,
            sink,
            line_number: 1,
            column: 0,
            state: State::Start,
            nesting: Nesting::default(),
            key: String::new(),
            is_field: false,
            has_document: false,
            high_surrogate: None,
            text: String::new(),
            num_replaced: 0,
        }
    }

    fn feed(&mut self, text: &str) -> Result<()> {
        let bytes = text.as_bytes();
        // Where the line begins in `text`; before it, for a line that began earlier.
        let mut before = self.column;
        let mut line_start = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            self.column = before + (at - line_start) as u64;
            match self.state {
                State::Str(role) => {
                    at += self.read_run(role, &text[at..])?;
                    continue;
                }
                State::LeftOut if byte != b'\n' => {
                    at = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
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
            at += 1;
        }
        self.column = before + (at - line_start) as u64;
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
            self.sink.leave_out(SkipReason::Null)?;
        }
        Ok(())
    }

    /// Reads a string up to its end, an escape or the end of `rest`, and gives how many bytes that were.
    fn read_run(&mut self, role: Role, rest: &str) -> Result<usize> {
        let length = memchr2(b'"', b'\\', rest.as_bytes()).unwrap_or(rest.len());
        let run = &rest[..length];
        // Without a way out of the loop it goes many bytes at a time.
        if run.bytes().fold(u8::MAX, u8::min) < b' ' {
            let clean = run.bytes().take_while(|&byte| byte >= b' ').count();
            self.column += clean as u64;
            return Err(if run.as_bytes()[clean] == b'\n' {
                self.ends_early()
            } else {
                self.unexpected(&run[clean..], "an escape such as `\\n` or `\\u0000`")
            });
        }
        if !run.is_empty() {
            self.end_high_surrogate(role)?;
            self.push(role, run)?;
        }
        match rest.as_bytes().get(length) {
            Some(b'"') => {
                self.end_high_surrogate(role)?;
                self.end_string(role)?;
                Ok(length + 1)
            }
            Some(_) => {
                self.state = State::Escape(self.role_now(role));
                Ok(length + 1)
            }
            None => Ok(length),
        }
    }

    fn end_string(&mut self, role: Role) -> Result<()> {
        self.state = State::AfterValue;
        if role == Role::Key {
            self.state = State::Colon;
            self.is_field = self.nesting.depth == 1 && self.key == self.field;
            if self.is_field && self.has_document {
                return Err(self.malformed(&format!("field `{}` comes twice", self.field)));
            }
            self.has_document |= self.is_field;
        } else if self.is_field {
            self.is_field = false;
            self.pass_on()?;
        }
        Ok(())
    }

    fn read_escape(&mut self, role: Role, rest: &str) -> Result<()> {
        let escaped = match rest.as_bytes()[0] {
            b'u' => {
                self.state = State::Unicode(role, 4, 0);
                return Ok(());
            }
            b'n' => "\n",
            b't' => "\t",
            b'r' => "\r",
            b'b' => "\u{8}",
            b'f' => "\u{C}",
            b'"' => "\"",
            b'\\' => "\\",
            b'/' => "/",
            _ => return Err(self.unexpected(rest, "one of `\"\\/bfnrtu` behind a `\\`")),
        };
        self.end_high_surrogate(role)?;
        let role = self.role_now(role);
        self.state = State::Str(role);
        self.push(role, escaped)
    }

    fn read_digit(&mut self, role: Role, num_left: u8, value: u16, rest: &str) -> Result<()> {
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
    fn end_high_surrogate(&mut self, role: Role) -> Result<()> {
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
                self.sink.leave_out(SkipReason::LoneSurrogate)?;
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

    /// Leaves the line out for bytes that are not UTF-8.
    fn leave_out(&mut self) -> Result<()> {
        self.text.clear();
        self.state = State::LeftOut;
        self.sink.leave_out(SkipReason::InvalidUtf8)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
    use std::fmt;

    /// Takes documents one after another.
    #[derive(Debug, Default, PartialEq)]
    struct Documents {
        open: String,
        left_out: Option<SkipReason>,
        found: Vec<std::result::Result<String, SkipReason>>,
    }

    impl Sink for Documents {
        fn push(&mut self, text: &str) -> Result<()> {
            self.open.push_str(text);
            Ok(())
        }

        fn leave_out(&mut self, reason: SkipReason) -> Result<()> {
            self.left_out = self.left_out.or(Some(reason));
            Ok(())
        }

        fn end_document(&mut self) -> Result<()> {
            let text = std::mem::take(&mut self.open);
            self.found.push(self.left_out.take().map_or(Ok(text), Err));
            Ok(())
        }
    }

    /// The documents of `text`, fed in pieces that end before the characters at `cuts`, and how many surrogates were replaced.
    fn documents(
        text: &str,
        cuts: &[usize],
        policy: InvalidUtf8,
    ) -> Result<(Vec<std::result::Result<String, SkipReason>>, u64)> {
        let mut sink = Documents::default();
        let mut lines = Lines::new("a.jsonl", "text", policy, &mut sink);
        let mut piece = String::new();
        for (idx, character) in text.chars().enumerate() {
            if cuts.contains(&idx) {
                lines.feed(&std::mem::take(&mut piece))?;
            }
            piece.push(character);
        }
        lines.feed(&piece)?;
        lines.end_line()?;
        let num_replaced = lines.num_replaced;
        Ok((sink.found, num_replaced))
    }

    /// The field of an object by another parser, which has the whole line.
    struct Field;

    impl<'de> Visitor<'de> for Field {
        type Value = Option<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<String>()? {
                if key != "text" {
                    map.next_value::<IgnoredAny>()?;
                } else if found.replace(map.next_value::<Option<String>>()?).is_some() {
                    return Err(A::Error::custom("twice"));
                }
            }
            found.ok_or_else(|| A::Error::custom("no field"))
        }
    }

    fn documents_by_serde(
        text: &str,
    ) -> std::result::Result<Vec<std::result::Result<String, SkipReason>>, serde_json::Error> {
        let mut found = Vec::new();
        for line in text.split('\n').filter(|line| !line.trim_ascii().is_empty()) {
            let mut deserializer = serde_json::Deserializer::from_str(line);
            let value = deserializer.deserialize_map(Field)?;
            deserializer.end()?;
            found.push(value.ok_or(SkipReason::Null));
        }
        Ok(found)
    }

    /// Values as the parts that they are written in.
    fn values() -> impl Strategy<Value = Vec<&'static str>> {
        let plain = prop::sample::select(vec![
            "\"\"",
            "\"a\"",
            "\"one two\"",
            "\"…\"",
            "\"a\\n\\\"b\"",
            "\"\\u00e9\\ud83d\\ude00x\"",
            "\"\\/\\b\\f\\t\"",
            "null",
            "true",
            "false",
            "0",
            "-1",
            "12.50",
            "1e9",
            "-0.1E-7",
            "\"text\"",
        ]);
        plain.prop_map(|value| vec![value]).prop_recursive(3, 12, 3, |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..3).prop_map(|items| {
                    let mut parts = vec!["["];
                    parts.extend(items.join(&","));
                    parts.push("]");
                    parts
                }),
                objects(value),
            ]
        })
    }

    fn objects(value: impl Strategy<Value = Vec<&'static str>>) -> impl Strategy<Value = Vec<&'static str>> {
        let key = prop::sample::select(vec!["\"text\"", "\"te\\u0078t\"", "\"id\"", "\"texts\"", "\"\""]);
        prop::collection::vec((key, value), 0..3).prop_map(|entries| {
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| [vec![key, ":"], value].concat()).collect();
            [vec!["{"], entries.join(&","), vec!["}"]].concat()
        })
    }

    /// Lines, most of them objects with the field, some damaged.
    fn files() -> impl Strategy<Value = String> {
        let string = prop::sample::select(vec!["\"one\"", "\"\"", "\"t\\nwo\\u8a9e\"", "null", "\"\\ud83d\\ude00\""]);
        let document = (string, objects(values())).prop_map(|(string, rest)| match rest.len() {
            2 => vec!["{", "\"text\"", ":", string, "}"],
            _ => [vec!["{", "\"text\"", ":", string, ","], rest[1..].to_vec()].concat(),
        });
        let part = prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"text\"", "0", "-", ".", "e", "1", "nul", " ", "\t", "\r",
            "\n", "x", "…",
        ]);
        let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), part, 0..3_u8));
        let line = (prop_oneof![4 => document, 1 => values()], damage, prop::bool::ANY).prop_map(
            |(mut parts, damage, is_wide)| {
                if let Some((at, part, how)) = damage {
                    let at = at.index(parts.len());
                    match how {
                        0 => parts.insert(at, part),
                        1 => parts[at] = part,
                        _ => drop(parts.remove(at)),
                    }
                }
                parts.join(if is_wide { " " } else { "" })
            },
        );
        prop::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_file_in_any_pieces_is_read_as_another_parser_reads_its_lines(
            text in files(), cuts in prop::collection::vec(0..80_usize, 0..20),
        ) {
            match (documents(&text, &cuts, InvalidUtf8::Error), documents_by_serde(&text)) {
                (Ok((found, 0)), Ok(expected)) => prop_assert_eq!(found, expected),
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{text:?} is {ours:?} here and {theirs:?} there"),
            }
        }

        #[test]
        fn a_string_in_any_pieces_follows_the_policy_for_surrogates(
            units in prop::collection::vec(prop_oneof![Just(0x61_u16), 0xD800..0xD804_u16, 0xDC00..0xDC04_u16, any::<u16>()], 0..8),
            cuts in prop::collection::vec(0..60_usize, 0..10),
        ) {
            let escaped = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
            let text = format!("{{\"text\": \"{escaped}\"}}\n{{\"text\": \"b\"}}");
            let num_lone = char::decode_utf16(units.clone()).filter(std::result::Result::is_err).count() as u64;
            let replaced = String::from_utf16_lossy(&units);
            let of = |policy| documents(&text, &cuts, policy);
            prop_assert_eq!(of(InvalidUtf8::Replace).unwrap(), (vec![Ok(replaced.clone()), Ok("b".to_owned())], num_lone));
            let first = if num_lone == 0 { Ok(replaced) } else { Err(SkipReason::LoneSurrogate) };
            prop_assert_eq!(of(InvalidUtf8::Skip).unwrap(), (vec![first, Ok("b".to_owned())], 0));
            prop_assert_eq!(of(InvalidUtf8::Error).is_err(), num_lone > 0);
        }
    }

    #[test]
    fn a_lone_surrogate_is_named_with_file_and_line_and_is_nothing_in_other_fields() {
        let of = |text| documents(text, &[], InvalidUtf8::Error);
        let error = of("{\"text\": \"\"}\n{\"text\": \"a\\ud800b\"}").unwrap_err().to_string();
        assert!(
            error.starts_with("`a.jsonl`:2: field `text` has the lone surrogate `\\ud800` before column 18"),
            "{error}"
        );
        assert_eq!(of("{\"\\ud800\": \"\\udc00\", \"text\": \"a\"}").unwrap().0, [Ok("a".to_owned())]);
    }
}
