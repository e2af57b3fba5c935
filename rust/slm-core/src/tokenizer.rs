//! The tokenizer: a vocabulary, its merges and a pretokenizer, ready to encode from any number of threads.

use crate::encode::{Encoder, Queue, Scratch};
use crate::error::{Error, Result};
use crate::merges::Merges;
use crate::pretokenize::Pretokenizer;
use crate::progress::Stop;
use crate::token::TokenId;
use crate::vocab::Vocab;
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::Xxh3;

/// Names by which a special token is known to end a document, in the order of preference.
pub(crate) const END_OF_TEXT_NAMES: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>"];

/// Scratch spaces kept for the next caller: up to 17 MiB each after long texts.
const MAX_POOLED_SCRATCHES: usize = 16;

/// Bytes of text encoded between two looks at the stop flag: a few milliseconds of work.
const STRETCH_BYTES: usize = 1 << 20;

/// What becomes of a special token's text inside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// It is ordinary text. Right for documents: what a stranger wrote must not become a control token.
    AsText,
    /// It becomes the special token; of overlapping ones the leftmost, and at one place the longest.
    Parsed,
}

/// What a tokenizer is made of, as training or a file gives it.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Token bytes by id, and the special tokens.
    pub vocab: Vocab,
    /// The merges by rank.
    pub merges: Merges,
    /// Whether a pretoken that is a token becomes that token whatever the merges say.
    pub ignore_merges: bool,
    /// The special token that ends a document; `None` looks for one of the usual names.
    pub end_of_text: Option<String>,
    /// How often the pair of each merge occurred when it was merged, by rank, 0 where that is not known; empty if it is of none.
    pub merge_counts: Vec<u64>,
    /// What puts messages together for a model, in Jinja; kept, never run.
    pub chat_template: Option<String>,
    /// `training.json`, word for word.
    pub training: Option<String>,
    /// The post-processor of a `tokenizer.json` that another program wrote; kept, never run.
    pub post_processor: Option<serde_json::Value>,
}

/// Encodes and decodes. Shared freely between threads.
#[derive(Debug)]
pub struct Tokenizer {
    pretokenizer: Pretokenizer,
    parts: Parts,
    encoder: Encoder,
    special_tokens: Option<AhoCorasick>,
    end_of_text_id: Option<TokenId>,
    fingerprint: String,
    scratches: Mutex<Vec<Scratch>>,
}

impl PartialEq for Tokenizer {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Tokenizer {}

impl Tokenizer {
    /// Builds the tables that encoding needs.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a special token is empty or `end_of_text` names none.
    pub fn new(pretokenizer: Pretokenizer, parts: Parts) -> Result<Self> {
        let Parts { vocab, merges, .. } = &parts;
        let bytes = (0..=u8::MAX).filter_map(|byte| Some((byte, vocab.id(&[byte])?)));
        let merge_list = merges.as_slice().iter().map(|merge| (merge.left, merge.right, merge.produced));
        let whole_pieces = parts.ignore_merges.then(|| {
            let is_text = |(id, token): &(TokenId, &[u8])| vocab.id(token) == Some(*id);
            (0..).zip(vocab.iter()).filter(is_text).map(|(id, token)| (token.into(), id)).collect()
        });
        let encoder = Encoder::new(bytes, merge_list, whole_pieces);
        let special_tokens = special_token_matcher(vocab)?;
        let end_of_text_id = find_end_of_text(vocab, parts.end_of_text.as_deref())?;
        let fingerprint = fingerprint(&pretokenizer, &parts);
        Ok(Self {
            pretokenizer,
            encoder,
            special_tokens,
            end_of_text_id,
            fingerprint,
            parts,
            scratches: Mutex::default(),
        })
    }

    /// Another one that is the same, to be shared in another way.
    ///
    /// # Errors
    /// As [`Tokenizer::new`].
    pub fn renewed(&self) -> Result<Arc<Self>> {
        Self::new(self.pretokenizer.clone(), self.parts.clone()).map(Arc::new)
    }

    /// How text is split before merging.
    pub fn pretokenizer(&self) -> &Pretokenizer {
        &self.pretokenizer
    }

    /// Token bytes by id, and the special tokens.
    pub fn vocab(&self) -> &Vocab {
        &self.parts.vocab
    }

    /// What the merges make of pretokens.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The merges by rank.
    pub fn merges(&self) -> &Merges {
        &self.parts.merges
    }

    /// Everything that the tokenizer's files hold.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The id of the special token that ends a document, if there is one.
    pub fn end_of_text_id(&self) -> Option<TokenId> {
        self.end_of_text_id
    }

    /// The identity of vocabulary, merges, pretokenizer and special tokens: 32 hexadecimal digits of XXH3-128.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The ids of `text`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if `text` has a byte that the vocabulary has no token for.
    pub fn encode(&self, text: &str, special_tokens: SpecialTokens) -> Result<Vec<TokenId>> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 8);
        self.with_scratch(|scratch| self.encode_into(text, special_tokens, scratch, &mut ids))?;
        Ok(ids)
    }

    /// Appends the ids of `text` to `ids`. `scratch` must only ever have served this tokenizer.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_into(
        &self,
        text: &str,
        special_tokens: SpecialTokens,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
    ) -> Result<()> {
        self.encode_stoppably(text, special_tokens, scratch, ids, &Stop::default())
    }

    /// As [`Tokenizer::encode_into`], looking at `stop` between stretches of [`STRETCH_BYTES`].
    pub(crate) fn encode_stoppably(
        &self,
        text: &str,
        special_tokens: SpecialTokens,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) -> Result<()> {
        let mut start = 0;
        if let (Some(matcher), SpecialTokens::Parsed) = (&self.special_tokens, special_tokens) {
            for found in matcher.find_iter(text) {
                self.encode_ordinary(&text[start..found.start()], true, scratch, ids, stop)?;
                ids.push(self.vocab().special_tokens()[found.pattern().as_usize()].id);
                start = found.end();
            }
        }
        self.encode_ordinary(&text[start..], true, scratch, ids, stop)?;
        check_missing(scratch)
    }

    /// Appends the ids of a document, or of a part of one whose ends [`Pretokenizer::safe_cut`] or the
    /// splitter of open text allows; special tokens are text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(crate) fn encode_part(
        &self,
        text: &str,
        begins: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
    ) -> Result<()> {
        self.encode_ordinary(text, begins, scratch, ids, &Stop::default())?;
        check_missing(scratch)
    }

    /// The ids of any bytes. What is valid UTF-8 is encoded as text, what is not as pretokens of one to three bytes, each as
    /// long as it could begin a character.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_bytes(&self, bytes: &[u8]) -> Result<Vec<TokenId>> {
        let mut ids = Vec::with_capacity(bytes.len() / 4 + 8);
        self.with_scratch(|scratch| {
            for chunk in bytes.utf8_chunks() {
                let begins = chunk.valid().as_ptr() == bytes.as_ptr();
                self.encode_ordinary(chunk.valid(), begins, scratch, &mut ids, &Stop::default())?;
                self.encoder.encode_uncached(chunk.invalid(), scratch, &mut ids, &Stop::default());
            }
            check_missing(scratch)
        })?;
        Ok(ids)
    }

    /// The ids of `bytes` taken as one pretoken: what the merges alone make of it.
    pub fn encode_as_one_pretoken(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut ids = Vec::new();
        self.with_scratch(|scratch| {
            self.encoder.encode_uncached(bytes, scratch, &mut ids, &Stop::default());
            scratch.take_missing_byte();
        });
        ids
    }

    /// Tokens of text that the merges do not make of their own bytes, by id; encoding never gives them.
    pub fn unreachable_tokens(&self) -> Vec<TokenId> {
        let vocab = self.vocab();
        let special_ids: HashSet<TokenId> = vocab.special_tokens().iter().map(|special| special.id).collect();
        let is_text = |id: &TokenId| !special_ids.contains(id) && !vocab.is_unused(*id);
        let tokens = (0..).zip(vocab.iter()).filter(|(id, _)| is_text(id));
        tokens.filter(|(id, token)| self.encode_as_one_pretoken(token) != [*id]).map(|(id, _)| id).collect()
    }

    /// Lends work space from the pool. Waits for nobody: while another thread looks into the pool it makes a new one, so a
    /// lock that was held at the moment of a `fork` stops no child.
    pub fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let pooled = self.scratches.try_lock().ok().and_then(|mut pool| pool.pop());
        let mut scratch = pooled.unwrap_or_default();
        let answer = work(&mut scratch);
        if let Ok(mut pool) = self.scratches.try_lock()
            && pool.len() < MAX_POOLED_SCRATCHES
        {
            pool.push(scratch);
        }
        answer
    }

    fn encode_ordinary(
        &self,
        mut text: &str,
        mut begins: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) -> Result<()> {
        // Text without a safe cut is looked through again with twice the length, so the search stays linear.
        let mut stretch = STRETCH_BYTES;
        while text.len() > stretch {
            let cut = self.pretokenizer.safe_cut(&text.as_bytes()[..stretch]);
            if cut == 0 {
                stretch *= 2;
                continue;
            }
            self.encode_stretch(&text[..cut], begins, scratch, ids, stop)?;
            begins = false;
            text = &text[cut..];
            stretch = STRETCH_BYTES;
            stop.check()?;
        }
        self.encode_stretch(text, begins, scratch, ids, stop)
    }

    fn encode_stretch(
        &self,
        text: &str,
        begins: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
        stop: &Stop,
    ) -> Result<()> {
        let mut buffer = scratch.take_text();
        let text = self.pretokenizer.prepare(text, begins, &mut buffer).unwrap_or(text);
        let mut queue = Queue::new(&self.encoder, text.as_bytes(), scratch, ids, stop);
        self.pretokenizer.find_ends(text, &mut queue);
        queue.finish();
        scratch.keep_text(buffer);
        if scratch.take_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

fn check_missing(scratch: &mut Scratch) -> Result<()> {
    match scratch.take_missing_byte() {
        None => Ok(()),
        Some(byte) => Err(Error::Tokenizer(format!(
            "the vocabulary has no token for byte 0x{byte:02X}, which is in the text\n\n\
             hint: train with `initial_alphabet: true`, which gives all 256 bytes a token"
        ))),
    }
}

fn special_token_matcher(vocab: &Vocab) -> Result<Option<AhoCorasick>> {
    let contents = vocab.special_tokens().iter().map(|special| special.content.as_str());
    if contents.clone().any(str::is_empty) {
        return Err(Error::Tokenizer("a special token is empty; it must have at least one character".into()));
    }
    if vocab.special_tokens().is_empty() {
        return Ok(None);
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(contents)
        .map(Some)
        .map_err(|error| Error::Tokenizer(format!("the special tokens cannot be searched for: {error}")))
}

fn find_end_of_text(vocab: &Vocab, name: Option<&str>) -> Result<Option<TokenId>> {
    let find = |name: &str| vocab.special_tokens().iter().find(|special| special.content == name).map(|token| token.id);
    match name {
        None => Ok(END_OF_TEXT_NAMES.iter().find_map(|name| find(name))),
        Some(name) => match find(name) {
            Some(id) => Ok(Some(id)),
            None => Err(Error::Tokenizer(format!("the end-of-text token `{name}` is not one of the special tokens"))),
        },
    }
}

/// Lengths go before contents, so that no two tokenizers feed the hash the same bytes.
fn fingerprint(pretokenizer: &Pretokenizer, parts: &Parts) -> String {
    fn number(hasher: &mut Xxh3, value: usize) {
        hasher.update(&(value as u64).to_le_bytes());
    }
    fn bytes(hasher: &mut Xxh3, value: &[u8]) {
        number(hasher, value.len());
        hasher.update(value);
    }
    let mut hasher = Xxh3::new();
    bytes(&mut hasher, b"slm.tokenizer 1");
    bytes(&mut hasher, pretokenizer.identity().as_bytes());
    number(&mut hasher, usize::from(parts.ignore_merges));
    number(&mut hasher, parts.vocab.len());
    for token in parts.vocab.iter() {
        bytes(&mut hasher, token);
    }
    number(&mut hasher, parts.merges.len());
    for merge in &parts.merges {
        for id in [merge.left, merge.right, merge.produced] {
            hasher.update(&id.to_le_bytes());
        }
    }
    // By id: the order in which a file lists them says nothing.
    let mut special_tokens: Vec<_> = parts.vocab.special_tokens().iter().collect();
    special_tokens.sort_unstable_by_key(|special| special.id);
    number(&mut hasher, special_tokens.len());
    for special in special_tokens {
        hasher.update(&special.id.to_le_bytes());
        bytes(&mut hasher, special.content.as_bytes());
    }
    // Tells an id without a token from an empty token; where there is none, nothing is added to what other versions hash.
    for id in parts.vocab.unused_ids() {
        hasher.update(&id.to_le_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merges::Merge;

    fn tokenizer(special_tokens: &[&str]) -> Tokenizer {
        let mut vocab = Vocab::default();
        for special in special_tokens {
            vocab.push_special(special);
        }
        let first = TokenId::try_from(special_tokens.len()).unwrap();
        for byte in 0..=255 {
            vocab.push(&[byte]);
        }
        let produced = vocab.push(b"ab");
        let merge = Merge { left: first + 97, right: first + 98, produced };
        Tokenizer::new(Pretokenizer::default(), Parts { vocab, merges: vec![merge].into(), ..Parts::default() })
            .unwrap()
    }

    #[test]
    fn special_tokens_are_text_unless_parsing_is_asked_for() {
        let tokenizer = tokenizer(&["<a>", "<a>b"]);
        assert_eq!(tokenizer.encode("<a>", SpecialTokens::AsText).unwrap(), [62, 99, 64]);
        assert_eq!(tokenizer.encode("ab<a><a>bab", SpecialTokens::Parsed).unwrap(), [258, 0, 1, 258]);
    }

    #[test]
    fn any_bytes_encode_and_come_back() {
        let tokenizer = tokenizer(&[]);
        let bytes = b"ab\xff\xfeab \xe2\x82";
        let ids = tokenizer.encode_bytes(bytes).unwrap();
        assert_eq!(ids, [256, 255, 254, 256, 32, 0xe2, 0x82]);
    }

    #[test]
    fn the_fingerprint_sees_special_tokens_and_merges() {
        let fingerprints = [tokenizer(&[]), tokenizer(&["<a>"]), tokenizer(&["<b>"])].map(|t| t.fingerprint);
        assert!(fingerprints[0] != fingerprints[1] && fingerprints[1] != fingerprints[2]);
    }

    #[test]
    fn the_end_of_text_token_goes_by_its_name() {
        assert_eq!(tokenizer(&["<a>"]).end_of_text_id(), None);
        assert_eq!(tokenizer(&["<a>", "<|endoftext|>"]).end_of_text_id(), Some(1));
    }
}
