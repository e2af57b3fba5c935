//! From a tokenizer to its files, byte for byte as `tokenizers` would write `tokenizer.json` itself.

use super::{CONFIG_FILE, MERGE_COUNTS_FILE, TOKENIZER_FILE, TRAINING_FILE, steps};
use crate::byte_chars::char_of_byte;
use crate::error::{Error, Result};
use crate::io::durable;
use crate::merges::Merge;
use crate::token::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::Vocab;
use hashbrown::HashMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Names by which a special token is known to begin a document or to fill up rows.
const BEGIN_OF_TEXT_NAMES: [&str; 5] = ["<|begin_of_text|>", "<|startoftext|>", "<s>", "<bos>", "<|bos|>"];
const PADDING_NAMES: [&str; 4] = ["<|pad|>", "<pad>", "[PAD]", "<|padding|>"];

/// What `transformers` writes where a tokenizer sets no limit (`VERY_LARGE_INTEGER`, 1e30 as Python prints it).
const NO_LENGTH_LIMIT: f64 = 1e30;

/// Writes the tokenizer directory; what else is in `directory` stays.
///
/// Interrupted at any point it leaves the old tokenizer, none, or the new one. While the disk refuses to store, the old one.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be made or written.
pub fn save(tokenizer: &Tokenizer, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::io(directory))?;
    let chars = Chars::of(tokenizer);
    let vocab = VocabObject { vocab: tokenizer.vocab(), chars: &chars };
    let vocab = serde_json::to_vec(&vocab).map_err(|error| unwritable(&error))?;
    let config = config_json(tokenizer)?;
    let special_tokens_map = pretty(&Value::Object(special_tokens_map(tokenizer)))?;
    let merges = merges_text(tokenizer, &chars);
    let tokenizer_json = json_of(tokenizer, &chars)?;
    drop(chars);
    let mut files: Vec<(&str, &[u8])> = vec![
        ("vocab.json", &vocab),
        ("merges.txt", merges.as_bytes()),
        (CONFIG_FILE, &config),
        ("special_tokens_map.json", &special_tokens_map),
    ];
    let merge_counts: String =
        tokenizer.parts().merge_counts.iter().flat_map(|count| [count.to_string(), "\n".to_owned()]).collect();
    // Those of another tokenizer would lie about this one; so would its record.
    if merge_counts.is_empty() {
        durable::remove_if_exists(&directory.join(MERGE_COUNTS_FILE))?;
    } else {
        files.push((MERGE_COUNTS_FILE, merge_counts.as_bytes()));
    }
    match &tokenizer.parts().training {
        Some(training) => files.push((TRAINING_FILE, training.as_bytes())),
        None => durable::remove_if_exists(&directory.join(TRAINING_FILE))?,
    }
    files.push((TOKENIZER_FILE, &tokenizer_json));
    durable::write_together(directory, &files)
}

/// The content of `tokenizer_config.json`.
///
/// # Errors
/// As [`to_json`].
pub fn config_json(tokenizer: &Tokenizer) -> Result<Vec<u8>> {
    pretty(&config(tokenizer))
}

/// The content of `tokenizer.json`.
///
/// # Errors
/// [`Error::Tokenizer`] if JSON cannot express it, which no tokenizer of this package causes.
pub fn to_json(tokenizer: &Tokenizer) -> Result<Vec<u8>> {
    json_of(tokenizer, &Chars::of(tokenizer))
}

fn json_of(tokenizer: &Tokenizer, chars: &Chars) -> Result<Vec<u8>> {
    let file = File {
        version: "1.0",
        truncation: (),
        padding: (),
        added_tokens: added_tokens(tokenizer),
        normalizer: steps::normalizer(tokenizer.pretokenizer()),
        pre_tokenizer: steps::pre_tokenizer(tokenizer.pretokenizer()),
        post_processor: json!(tokenizer.parts().post_processor),
        decoder: steps::byte_level(true, true),
        model: Model {
            kind: "BPE",
            dropout: (),
            unk_token: (),
            continuing_subword_prefix: (),
            end_of_word_suffix: (),
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: tokenizer.parts().ignore_merges,
            vocab: VocabObject { vocab: tokenizer.vocab(), chars },
            merges: MergeList { tokenizer, chars },
        },
    };
    serde_json::to_vec_pretty(&file).map_err(|error| unwritable(&error))
}

/// `tokenizer.json`. Its tokens and merges are written as they are come by: as values they would take hundreds of bytes each.
#[derive(Serialize)]
struct File<'a> {
    version: &'static str,
    truncation: (),
    padding: (),
    added_tokens: Vec<Value>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Model<'a>,
}

#[derive(Serialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    dropout: (),
    unk_token: (),
    continuing_subword_prefix: (),
    end_of_word_suffix: (),
    fuse_unk: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    vocab: VocabObject<'a>,
    merges: MergeList<'a>,
}

/// Ids by tokens, in the order of ids. Special tokens are in it too: readers number those that are not by themselves, behind the
/// last token.
struct VocabObject<'a> {
    vocab: &'a Vocab,
    chars: &'a Chars,
}

impl Serialize for VocabObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let ids = (0..).take(self.chars.ends.len()).filter(|&id| !self.vocab.is_unused(id));
        serializer.collect_map(ids.map(|id: TokenId| (self.chars.get(id), id)))
    }
}

struct MergeList<'a> {
    tokenizer: &'a Tokenizer,
    chars: &'a Chars,
}

impl Serialize for MergeList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(merge_chars(self.tokenizer, self.chars))
    }
}

/// Special tokens by id: readers number them by their order.
fn added_tokens(tokenizer: &Tokenizer) -> Vec<Value> {
    let mut special_tokens: Vec<_> = tokenizer.vocab().special_tokens().iter().collect();
    special_tokens.sort_unstable_by_key(|special| special.id);
    let entry = |id: TokenId, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    special_tokens.into_iter().map(|special| entry(special.id, &special.content)).collect()
}

/// Every token as the byte-level files write it, by id, one behind another: as texts of their own they would leave the heap in
/// pieces. A special token is written as it is.
struct Chars {
    text: String,
    ends: Vec<usize>,
}

impl Chars {
    fn of(tokenizer: &Tokenizer) -> Self {
        let vocab = tokenizer.vocab();
        let special_tokens: HashMap<TokenId, &str> =
            vocab.special_tokens().iter().map(|special| (special.id, special.content.as_str())).collect();
        let mut chars = Self { text: String::new(), ends: Vec::with_capacity(vocab.iter().len()) };
        for (id, token) in (0..).zip(vocab.iter()) {
            match special_tokens.get(&id) {
                Some(content) => chars.text.push_str(content),
                None => chars.text.extend(token.iter().map(|&byte| char_of_byte(byte))),
            }
            chars.ends.push(chars.text.len());
        }
        chars
    }

    fn get(&self, id: TokenId) -> &str {
        let idx = id as usize;
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        &self.text[start..self.ends[idx]]
    }
}

fn merge_chars<'a>(tokenizer: &'a Tokenizer, chars: &'a Chars) -> impl Iterator<Item = (&'a str, &'a str)> {
    let sides = |merge: &Merge| (chars.get(merge.left), chars.get(merge.right));
    tokenizer.merges().into_iter().map(sides)
}

fn merges_text(tokenizer: &Tokenizer, chars: &Chars) -> String {
    let mut text = String::from("#version: 0.2\n");
    for (left, right) in merge_chars(tokenizer, chars) {
        text.extend([left, " ", right, "\n"]);
    }
    text
}

/// The special tokens by their role for `transformers`. Every one named must be in `tokenizer.json`, or it would be added anew.
fn special_tokens_map(tokenizer: &Tokenizer) -> Map<String, Value> {
    let special_tokens = tokenizer.vocab().special_tokens();
    let named = |names: &[&str]| {
        names.iter().find_map(|name| special_tokens.iter().find(|token| token.content == *name)).map(|token| token.id)
    };
    let end = tokenizer.end_of_text_id();
    // A document follows the end of another, so without a token of its own its beginning is that end; padding likewise.
    let roles = [
        ("bos_token", named(&BEGIN_OF_TEXT_NAMES).or(end)),
        ("eos_token", end),
        ("pad_token", named(&PADDING_NAMES).or(end)),
    ];
    let content = |id: TokenId| special_tokens.iter().find(|token| token.id == id).map(|token| token.content.clone());
    let mut map: Map<String, Value> =
        roles.iter().filter_map(|(role, id)| Some(((*role).to_owned(), content((*id)?)?.into()))).collect();
    let others: Vec<&str> = special_tokens
        .iter()
        .filter(|token| roles.iter().all(|(_, id)| *id != Some(token.id)))
        .map(|token| token.content.as_str())
        .collect();
    if !others.is_empty() {
        map.insert("additional_special_tokens".into(), json!(others));
    }
    map
}

fn config(tokenizer: &Tokenizer) -> Value {
    let mut config = Map::new();
    // Any more specific class makes `transformers` 5 replace the pre-tokenizer by that class's own.
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    config.insert("model_max_length".into(), json!(NO_LENGTH_LIMIT));
    config.insert("model_input_names".into(), json!(["input_ids", "attention_mask"]));
    if steps::is_byte_level_alone(tokenizer.pretokenizer()) && tokenizer.pretokenizer().prefix_space() {
        // Without it `transformers` takes the blank away again.
        config.insert("add_prefix_space".into(), true.into());
    }
    config.extend(special_tokens_map(tokenizer));
    if let Some(template) = &tokenizer.parts().chat_template {
        config.insert("chat_template".into(), template.as_str().into());
    }
    Value::Object(config)
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| unwritable(&error))?;
    json.push(b'\n');
    Ok(json)
}

fn unwritable(error: &serde_json::Error) -> Error {
    Error::Tokenizer(format!("the tokenizer cannot be written as JSON: {error}"))
}
