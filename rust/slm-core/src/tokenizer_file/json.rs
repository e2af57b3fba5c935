//! `tokenizer.json` as types. Known keys that come twice are errors, unknown keys are passed over, as Hugging Face does.

use crate::merges::Merge;
use hashbrown::HashTable;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

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
    String(IgnoredAny),
    Regex(String),
}

/// The model; its merges are held against its vocabulary while they are read, where that comes first, as it does in all files that
/// `tokenizers` wrote.
#[derive(Default)]
pub(super) struct Model {
    pub kind: Option<String>,
    pub dropout: Option<f64>,
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    pub byte_fallback: bool,
    pub ignore_merges: bool,
    pub vocab: Option<VocabEntries>,
    pub merges: Option<MergeEntries>,
}

const MODEL_FIELDS: [&str; 9] = [
    "type",
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
    "vocab",
    "merges",
];

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Model;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a model")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Model, A::Error> {
                let mut model = Model::default();
                let mut seen = [false; MODEL_FIELDS.len()];
                while let Some(key) = map.next_key::<String>()? {
                    let Some(field) = MODEL_FIELDS.iter().position(|field| *field == key) else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    if std::mem::replace(&mut seen[field], true) {
                        return Err(A::Error::duplicate_field(MODEL_FIELDS[field]));
                    }
                    match MODEL_FIELDS[field] {
                        "type" => model.kind = map.next_value()?,
                        "dropout" => model.dropout = map.next_value()?,
                        "unk_token" => model.unk_token = map.next_value()?,
                        "continuing_subword_prefix" => model.continuing_subword_prefix = map.next_value()?,
                        "end_of_word_suffix" => model.end_of_word_suffix = map.next_value()?,
                        "byte_fallback" => model.byte_fallback = map.next_value()?,
                        "ignore_merges" => model.ignore_merges = map.next_value()?,
                        "vocab" => model.vocab = map.next_value()?,
                        _ => model.merges = map.next_value_seed(MergesOf(model.vocab.as_ref()))?,
                    }
                }
                Ok(model)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Texts one after another in one allocation: as many texts of their own would take several times the file's size.
#[derive(Default)]
struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Texts {
    /// The files are short enough for 32 bits.
    fn push<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).map_err(|_| E::custom("is longer than 4 GiB"))?);
        Ok(())
    }

    fn get(&self, idx: usize) -> &str {
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] as usize };
        &self.text[start..self.ends[idx] as usize]
    }
}

/// The vocabulary in file order. A map would forget a key that comes twice; here that is an error at once.
#[derive(Default)]
pub(super) struct VocabEntries {
    tokens: Texts,
    ids: Vec<u32>,
    /// Places in file order, by the hash of the token.
    places: HashTable<u32>,
}

impl VocabEntries {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Tokens and their ids, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ids.iter().enumerate().map(|(idx, &id)| (self.tokens.get(idx), id))
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        let same = |&place: &u32| self.tokens.get(place as usize) == token;
        self.places.find(xxh3_64(token.as_bytes()), same).map(|&place| self.ids[place as usize])
    }

    /// The ids of a merge; `joined` is work space.
    pub fn merge(&self, rank: usize, left: &str, right: &str, joined: &mut String) -> Result<Merge, String> {
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let id_of = |token: &str| {
            self.id(token).ok_or_else(|| {
                format!("merge {rank} (`{left}` and `{right}`) needs token `{token}`, which is not in the vocabulary")
            })
        };
        Ok(Merge { left: id_of(left)?, right: id_of(right)?, produced: id_of(joined)? })
    }

    fn push<E: serde::de::Error>(&mut self, token: &str, id: u32) -> Result<(), E> {
        if self.id(token).is_some() {
            return Err(E::custom(format!("token `{token}` comes twice in the vocabulary")));
        }
        let place = u32::try_from(self.ids.len()).map_err(|_| E::custom("too many tokens"))?;
        self.tokens.push(token)?;
        self.ids.push(id);
        let tokens = &self.tokens;
        let hash = |&place: &u32| xxh3_64(tokens.get(place as usize).as_bytes());
        self.places.insert_unique(xxh3_64(token.as_bytes()), place, hash);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for VocabEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = VocabEntries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabEntries, A::Error> {
                let mut entries = VocabEntries::default();
                while let Some((token, id)) = map.next_entry::<Cow<'_, str>, u32>()? {
                    entries.push(&token, id)?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The merges in file order.
#[derive(Default)]
pub(super) struct MergeEntries(Texts);

impl MergeEntries {
    pub fn len(&self) -> usize {
        self.0.ends.len() / 2
    }

    /// Left and right side of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|idx| (self.0.get(2 * idx), self.0.get(2 * idx + 1)))
    }
}

/// Reads merges, or null, and refuses the first that the vocabulary lacks a token for, if it is known by then.
struct MergesOf<'a>(Option<&'a VocabEntries>);

impl<'de> DeserializeSeed<'de> for MergesOf<'_> {
    type Value = Option<MergeEntries>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MergesOf<'_> {
    type Value = Option<MergeEntries>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of merges")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = MergeEntries::default();
        let mut joined = String::new();
        while let Some(MergeEntry(left, right)) = seq.next_element()? {
            if let Some(vocab) = self.0 {
                vocab.merge(entries.len(), &left, &right, &mut joined).map_err(A::Error::custom)?;
            }
            entries.0.push(&left)?;
            entries.0.push(&right)?;
        }
        Ok(Some(entries))
    }
}

/// A merge, written `["a", "b"]`, or `"a b"` before `tokenizers` 0.20.
struct MergeEntry(String, String);

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
