//! From files to a tokenizer. The file may come from anywhere, so every claim in it is checked.

use super::json::{AddedToken, Model, TokenizerJson, VocabEntries};
use super::{CONFIG_FILE, MAX_FILE_BYTES, MERGE_COUNTS_FILE, TOKENIZER_FILE, TRAINING_FILE, steps};
use crate::byte_chars::bytes_of_chars;
use crate::error::{Error, Result};
use crate::merges::Merges;
use crate::pretokenize::Pretokenizer;
use crate::tiktoken::MAX_UNUSED_IDS;
use crate::token::TokenId;
use crate::tokenizer::{Parts, Tokenizer};
use crate::vocab::Vocab;
use hashbrown::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Loads a tokenizer directory, or a `tokenizer.json` of byte-level BPE by whoever made it.
///
/// Beside the file, `tokenizer_config.json` names the end-of-text token (`eos_token`) and may have a `chat_template`.
///
/// # Errors
/// [`Error::Io`] if the path does not exist; [`Error::Tokenizer`] naming the file and what is wrong in it.
pub fn load(path: &Path) -> Result<Tokenizer> {
    let file = if path.is_dir() { path.join(TOKENIZER_FILE) } else { path.to_owned() };
    let json = read_limited(&file)?;
    let beside = |name: &str| match read_limited(&file.with_file_name(name)) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    };
    // A loose `tokenizer.json` may lie among files of other things, so only a directory's own neighbours are read.
    let beside = |name: &str| if path.is_dir() { beside(name) } else { Ok(None) };
    let (config, training, merge_counts) = (beside(CONFIG_FILE)?, beside(TRAINING_FILE)?, beside(MERGE_COUNTS_FILE)?);
    let in_file =
        |name: &str, message: String| Error::Tokenizer(format!("`{}`: {message}", file.with_file_name(name).display()));
    let (end_of_text, chat_template) = match config {
        None => (None, None),
        Some(config) => parse_config(&config).map_err(|message| in_file(CONFIG_FILE, message))?,
    };
    let Ok(training) = training.map(String::from_utf8).transpose() else {
        return Err(in_file(TRAINING_FILE, "is not UTF-8".into()));
    };
    let (pretokenizer, mut parts) = parse(&json).map_err(|message| {
        Error::Tokenizer(format!(
            "`{}` cannot be used as a tokenizer: {message}\n\n\
             hint: give a byte-level BPE tokenizer.json, as `slm tokenizer train` and Hugging Face write them",
            file.display()
        ))
    })?;
    parts.end_of_text = end_of_text;
    parts.chat_template = chat_template;
    parts.training = training;
    if let Some(merge_counts) = merge_counts {
        parts.merge_counts = numbers_by_line(&merge_counts, parts.merges.len())
            .map_err(|message| in_file(MERGE_COUNTS_FILE, message))?;
    }
    Tokenizer::new(pretokenizer, parts).map_err(|error| match error {
        Error::Tokenizer(message) => Error::Tokenizer(format!("`{}`: {message}", file.display())),
        other => other,
    })
}

/// Reads the content of a `tokenizer.json`, with what the files beside it said.
///
/// # Errors
/// [`Error::Tokenizer`] saying what is wrong.
pub fn from_json(
    json: &[u8],
    end_of_text: Option<String>,
    chat_template: Option<String>,
    training: Option<String>,
    merge_counts: Vec<u64>,
) -> Result<Tokenizer> {
    let (pretokenizer, mut parts) = parse(json).map_err(Error::Tokenizer)?;
    parts.end_of_text = end_of_text;
    parts.chat_template = chat_template;
    parts.training = training;
    parts.merge_counts = merge_counts;
    Tokenizer::new(pretokenizer, parts)
}

/// Reads a file that has at most [`MAX_FILE_BYTES`], and never more of it than that.
fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let num_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut content = Vec::new();
    // A file that says it is too long is not read at all; others, such as pipes, say nothing.
    if num_bytes <= MAX_FILE_BYTES {
        content.reserve_exact(usize::try_from(num_bytes).unwrap_or(0));
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(Error::io(path))?;
    }
    if num_bytes.max(content.len() as u64) > MAX_FILE_BYTES {
        return Err(Error::Tokenizer(format!(
            "`{}` is larger than the {} MiB that such a file may have",
            path.display(),
            MAX_FILE_BYTES >> 20
        )));
    }
    Ok(content)
}

fn numbers_by_line(content: &[u8], expected: usize) -> std::result::Result<Vec<u64>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "is not UTF-8".to_owned())?;
    let number = |(line, number): (usize, &str)| {
        number.parse().map_err(|_| format!("line {} is {number:?}, it must be a number", line + 1))
    };
    let numbers = text.lines().enumerate().map(number).collect::<std::result::Result<Vec<u64>, _>>()?;
    if numbers.len() != expected {
        return Err(format!("has {} lines, the tokenizer has {expected} merges", numbers.len()));
    }
    Ok(numbers)
}

/// The end-of-text token and the chat template. Several templates by name, which `transformers` knows too, are passed over.
fn parse_config(config: &[u8]) -> std::result::Result<(Option<String>, Option<String>), String> {
    #[derive(serde::Deserialize)]
    struct Config {
        eos_token: Option<Token>,
        chat_template: Option<serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Token {
        Content(String),
        Object { content: String },
    }
    let config: Config = serde_json::from_slice(config).map_err(|error| format!("malformed: {error}"))?;
    let end_of_text = config.eos_token.map(|token| match token {
        Token::Content(content) | Token::Object { content } => content,
    });
    let chat_template = config.chat_template.and_then(|template| template.as_str().map(str::to_owned));
    Ok((end_of_text, chat_template))
}

fn parse(json: &[u8]) -> std::result::Result<(Pretokenizer, Parts), String> {
    let file: TokenizerJson = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if let Some(version) = file.version.filter(|version| version != "1.0") {
        return Err(format!("version `{version}` is unknown, it must be `1.0`"));
    }
    match file.decoder {
        Some(decoder) if decoder.kind == "ByteLevel" => {}
        Some(decoder) => return Err(format!("decoder `{}` is not supported, it must be `ByteLevel`", decoder.kind)),
        None => return Err("there is no decoder, it must be `ByteLevel`".into()),
    }
    let pretokenizer = steps::pretokenizer_of(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?;
    let (vocab, merges) = vocab_and_merges(&file.model, &file.added_tokens)?;
    let parts = Parts {
        vocab,
        merges,
        ignore_merges: file.model.ignore_merges,
        post_processor: file.post_processor,
        ..Parts::default()
    };
    Ok((pretokenizer, parts))
}

fn check_model(model: &Model) -> std::result::Result<(), String> {
    if let Some(kind) = model.kind.as_ref().filter(|kind| *kind != "BPE") {
        return Err(format!("model `{kind}` is not supported, it must be `BPE`"));
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("model setting `dropout` is not supported, it must be null".into());
    }
    if model.byte_fallback {
        return Err(
            "model setting `byte_fallback: true` is not supported: a byte-level vocabulary has all bytes".into()
        );
    }
    let affixes = [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, value) in affixes {
        if value.as_ref().is_some_and(|value| !value.is_empty()) {
            return Err(format!("model setting `{name}` is not supported, it must be null or empty"));
        }
    }
    Ok(())
}

fn vocab_and_merges(model: &Model, added: &[AddedToken]) -> std::result::Result<(Vocab, Merges), String> {
    check_model(model)?;
    let entries = model.vocab.as_ref().ok_or("the model has no `vocab`")?;
    let merges = merges(model, entries)?;
    let contents = contents_by_id(entries, added)?;
    let added_ids: HashMap<TokenId, &AddedToken> = added.iter().map(|token| (token.id, token)).collect();
    let mut vocab = Vocab::default();
    for (id, content) in (0..).zip(contents) {
        let Some(content) = content else {
            vocab.push_unused();
            continue;
        };
        match (added_ids.get(&id), bytes_of_chars(content)) {
            (Some(_), _) => {
                vocab.push_special(content);
            }
            (None, Some(bytes)) => {
                if vocab.push(&bytes) != id || vocab.id(&bytes) != Some(id) {
                    return Err(format!("token `{content}` (id {id}) has the bytes of another token"));
                }
            }
            (None, None) => {
                return Err(format!(
                    "token `{content}` (id {id}) has characters that are not of the byte-level alphabet"
                ));
            }
        }
    }
    index_reachable_special_tokens(&mut vocab, &merges)?;
    if let Some(unknown) = model.unk_token.as_ref().filter(|_| (0..=u8::MAX).any(|byte| vocab.id(&[byte]).is_none())) {
        return Err(format!("`unk_token` is `{unknown}` and the vocabulary lacks bytes, which is not supported"));
    }
    Ok((vocab, merges))
}

/// The tokens by id, added tokens included: at most one for each id, and few ids without one.
fn contents_by_id<'a>(
    entries: &'a VocabEntries,
    added: &'a [AddedToken],
) -> std::result::Result<Vec<Option<&'a str>>, String> {
    let outside = |token: &&AddedToken| entries.id(&token.content).is_none();
    let num_tokens = entries.len() + added.iter().filter(outside).count();
    let num_ids = entries.iter().map(|(_, id)| id).chain(added.iter().map(|token| token.id)).max();
    let num_ids = num_ids.map_or(0, |id| id as usize + 1).min(num_tokens + MAX_UNUSED_IDS);
    let mut contents = vec![None; num_ids];
    // Those outside the vocabulary are numbered by whoever reads, whatever id the file gives them.
    let mut next_id = entries.len();
    for token in added {
        let content = &token.content;
        if token.lstrip || token.rstrip || token.single_word || !token.special {
            return Err(format!(
                "added token `{content}` must have `special: true` and `lstrip`, `rstrip`, `single_word` false"
            ));
        }
        if let Some(id) = entries.id(content).filter(|id| *id != token.id) {
            return Err(format!("added token `{content}` has id {} and the vocabulary gives it {id}", token.id));
        }
        if outside(&token) && token.id as usize != next_id {
            return Err(format!(
                "added token `{content}` has id {}, but those that are not in the vocabulary are numbered in their order, which \
                 gives it {next_id}",
                token.id
            ));
        }
        next_id = next_id.max(token.id as usize + 1);
    }
    let added = added.iter().filter(outside).map(|token| (token.content.as_str(), token.id));
    for (content, id) in entries.iter().chain(added) {
        match contents.get_mut(id as usize) {
            None => {
                return Err(format!(
                    "token `{content}` has id {id}, which {num_tokens} tokens must not have: at most {MAX_UNUSED_IDS} ids may be \
                     without a token"
                ));
            }
            Some(Some(other)) => return Err(format!("tokens `{other}` and `{content}` both have id {id}")),
            Some(slot) => *slot = Some(content),
        }
    }
    Ok(contents)
}

fn merges(model: &Model, vocab: &VocabEntries) -> std::result::Result<Merges, String> {
    let entries = model.merges.as_ref().ok_or("the model has no `merges`")?;
    let mut merges = Vec::with_capacity(entries.len());
    let mut joined = String::new();
    for (rank, (left, right)) in entries.iter().enumerate() {
        merges.push(vocab.merge(rank, left, right, &mut joined)?);
    }
    Ok(merges.into())
}

/// Lets text become a special token where merging says so: one that is a single byte, or the product of a merge.
pub(crate) fn index_reachable_special_tokens(vocab: &mut Vocab, merges: &Merges) -> std::result::Result<(), String> {
    for special in vocab.special_tokens().to_vec() {
        let is_produced = merges.as_slice().iter().any(|merge| merge.produced == special.id);
        let is_byte = special.content.chars().count() == 1 && bytes_of_chars(&special.content).is_some();
        if !is_produced && !is_byte {
            continue;
        }
        if !special.content.is_ascii() {
            // Its content in UTF-8 and the bytes that its characters stand for differ, and a token has one meaning here.
            return Err(format!("special token `{}` is also the token of other bytes", special.content));
        }
        vocab.index(special.id);
    }
    Ok(())
}
