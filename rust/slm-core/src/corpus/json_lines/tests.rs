//! Files of JSON lines, whole and in pieces, as `serde_json` reads them.

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

    fn leave_out(&mut self, reason: SkipReason, _: impl FnOnce() -> String) -> Result<()> {
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
    let num_replaced = feed(text, cuts, (policy, OnError::Error), &mut sink)?;
    Ok((sink.found, num_replaced))
}

fn feed(text: &str, cuts: &[usize], policies: (InvalidUtf8, OnError), sink: &mut Documents) -> Result<u64> {
    let mut lines = Lines::new("a.jsonl", "text", policies, sink);
    let mut piece = String::new();
    for (idx, character) in text.chars().enumerate() {
        if cuts.contains(&idx) {
            lines.feed(&std::mem::take(&mut piece))?;
        }
        piece.push(character);
    }
    lines.feed(&piece)?;
    lines.finish()?;
    Ok(lines.num_replaced)
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
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\"text\"", "0", "-", ".", "e", "1", "nul", " ", "\t", "\r", "\n",
        "x", "…",
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
    fn lines_that_are_left_out_change_nothing_for_the_others(
        lines in prop::collection::vec(files(), 0..6), cuts in prop::collection::vec(0..200_usize, 0..20),
    ) {
        let text = lines.join("\n");
        let mut expected = Vec::new();
        for line in text.split('\n') {
            match documents(line, &[], InvalidUtf8::Error) {
                Ok((found, _)) => expected.extend(found),
                Err(_) => expected.push(Err(SkipReason::Malformed)),
            }
        }
        let mut sink = Documents::default();
        let found = feed(&text, &cuts, (InvalidUtf8::Skip, OnError::Skip), &mut sink);
        prop_assert!(found.is_ok());
        // Null or malformed: a line may be both, and either is why it is left out.
        let as_left_out = |found: &[std::result::Result<String, SkipReason>]| {
            found.iter().map(|document| document.as_ref().ok().cloned()).collect::<Vec<_>>()
        };
        prop_assert_eq!(as_left_out(&sink.found), as_left_out(&expected));
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

#[test]
fn a_field_that_comes_twice_is_named_with_the_column_of_its_second_key() {
    for second in ["\"text\"", "\"t\\u0065xt\"", "\"\\u0074ext\""] {
        let before = "{\"text\": \"a\\nb\", ";
        let text = format!("{{\"text\": \"\"}}\n{before}{second}: \"c\"}}");
        for cut in 0..text.len() {
            let error = documents(&text, &[cut], InvalidUtf8::Error).unwrap_err().to_string();
            let expected = format!("`a.jsonl`:2: field `text` comes twice, at column {}\n", before.len() + 1);
            assert!(error.starts_with(&expected), "{second}, cut at {cut}: {error}");
        }
    }
}
