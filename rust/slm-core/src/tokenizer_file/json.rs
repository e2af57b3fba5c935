//! `tokenizer.json` as types. Known keys that come twice are errors, unknown keys are passed over, as Hugging Face does.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

#[derive(Deserialize)]
pub(super) struct TokenizerJson {
    pub version: Option<String>,
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    pub normalizer: Option<Normalizer>,
    pub pre_tokenizer: Option<PreTokenizer>,
    pub post_processor: Option<serde_json::Value>,
    pub decoder: Option<Typed>,
    pub model: Model,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)] // the file's own flags
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub special: bool,
}

/// Something of which only the type matters.
#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(rename = "type")]
    pub kind: String,
}

/// Any normalizer that can be part of what this package does to a text; checked by the reader as the next is.
#[derive(Deserialize)]
pub(super) struct Normalizer {
    #[serde(rename = "type")]
    pub kind: String,
    pub normalizers: Option<Vec<Normalizer>>,
    pub pattern: Option<SplitPattern>,
    pub content: Option<String>,
    pub prepend: Option<String>,
}

/// Any pre-tokenizer that can be part of a byte-level one; which fields belong together is checked by the reader.
#[derive(Deserialize)]
pub(super) struct PreTokenizer {
    #[serde(rename = "type")]
    pub kind: String,
    pub add_prefix_space: Option<bool>,
    pub use_regex: Option<bool>,
    pub pretokenizers: Option<Vec<PreTokenizer>>,
    pub pattern: Option<SplitPattern>,
    pub behavior: Option<String>,
    pub invert: Option<bool>,
}

#[derive(Deserialize)]
pub(super) enum SplitPattern {
    String(serde::de::IgnoredAny),
    Regex(String),
}

#[derive(Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub dropout: Option<f64>,
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    pub vocab: Option<VocabEntries>,
    pub merges: Option<Vec<MergeEntry>>,
}

/// The vocabulary in file order. A map would forget a key that comes twice.
pub(super) struct VocabEntries(pub Vec<(String, u32)>);

impl<'de> Deserialize<'de> for VocabEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = VocabEntries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabEntries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(VocabEntries(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A merge, written `["a", "b"]`, or `"a b"` before `tokenizers` 0.20.
pub(super) struct MergeEntry(pub String, pub String);

impl<'de> Deserialize<'de> for MergeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = MergeEntry;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a merge as [\"a\", \"b\"] or \"a b\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MergeEntry, E> {
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => Ok(MergeEntry(left.into(), right.into())),
                    _ => Err(E::custom(format!("merge `{text}` is not two tokens with one space between"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeEntry, A::Error> {
                match (seq.next_element()?, seq.next_element()?, seq.next_element::<String>()?) {
                    (Some(left), Some(right), None) => Ok(MergeEntry(left, right)),
                    _ => Err(A::Error::custom("a merge has two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Entry)
    }
}
