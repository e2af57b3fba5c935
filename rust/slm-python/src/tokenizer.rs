//! The tokenizer in Python: text and arrays in, arrays and text out.

use crate::error::{guarded, utf8};
use crate::interruptible::interruptible;
use crate::texts::Texts;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList, PyString};
use slm_core::chat::{ChatTokens, Message};
use slm_core::encode::Coverage;
use slm_core::error::Error;
use slm_core::pretokenize::Normalization;
use slm_core::token::TokenId;
use slm_core::tokenizer::SpecialTokens;
use slm_core::{tiktoken, tokenizer, tokenizer_file};
use std::path::PathBuf;

/// Bytes of text that are encoded at once, with the GIL held: less than a millisecond of work.
const MAX_INLINE_BYTES: usize = 16 * 1024;

/// Ids and offsets, as `encode_batch` gives them.
type Arrays<'py> = (Bound<'py, PyArray1<TokenId>>, Bound<'py, PyArray1<u64>>);

/// A byte-level BPE tokenizer.
#[pyclass(frozen, module = "slm._core")]
pub struct Tokenizer(pub tokenizer::Tokenizer);

#[pymethods]
impl Tokenizer {
    /// Loads a tokenizer directory or a `tokenizer.json`.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        interruptible(py, None, |_| tokenizer_file::load(&path)).map(Self)
    }

    /// Loads a rank file of tiktoken.
    #[staticmethod]
    fn from_tiktoken(
        py: Python<'_>,
        path: PathBuf,
        pattern: String,
        special_tokens: Vec<(String, TokenId)>,
    ) -> PyResult<Self> {
        interruptible(py, None, |_| tiktoken::load(&path, &pattern, &special_tokens)).map(Self)
    }

    /// Special tokens with the ids behind the last rank of a rank file, in their order.
    #[staticmethod]
    fn ids_behind_ranks(py: Python<'_>, path: PathBuf, names: Vec<String>) -> PyResult<Vec<(String, TokenId)>> {
        interruptible(py, None, |_| tiktoken::ids_behind_ranks(&path, names))
    }

    /// Reads the content of a `tokenizer.json`, with the end-of-text token, the chat template and `training.json` that its
    /// directory gave.
    #[staticmethod]
    #[pyo3(signature = (json, end_of_text=None, chat_template=None, training=None, merge_counts=Vec::new()))]
    fn from_json(
        py: Python<'_>,
        json: PyBackedBytes,
        end_of_text: Option<String>,
        chat_template: Option<String>,
        training: Option<String>,
        merge_counts: Vec<u64>,
    ) -> PyResult<Self> {
        interruptible(py, None, |_| {
            tokenizer_file::from_json(&json, end_of_text, chat_template, training, merge_counts)
        })
        .map(Self)
    }

    /// The content of `tokenizer.json`.
    fn to_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        interruptible(py, None, |_| tokenizer_file::to_json(&self.0)).map(|json| PyBytes::new(py, &json))
    }

    /// Writes the tokenizer directory.
    fn save(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        interruptible(py, None, |_| tokenizer_file::save(&self.0, &directory))
    }

    /// The tokenizer that the same training gives with this size of the vocabulary.
    fn prefix(&self, py: Python<'_>, vocab_size: usize) -> PyResult<Self> {
        interruptible(py, None, |_| self.0.prefix(vocab_size)).map(Self)
    }

    /// The ids of a text.
    #[pyo3(signature = (text, parse_special=false) -> "numpy.typing.NDArray[numpy.uint32]")]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyString>,
        parse_special: bool,
    ) -> PyResult<Bound<'py, PyArray1<TokenId>>> {
        let text = utf8(text, || "the text".into())?;
        let special_tokens = special_tokens(parse_special);
        let ids = if text.len() <= MAX_INLINE_BYTES {
            guarded(py, || self.0.encode(text, special_tokens))?
        } else {
            interruptible(py, None, |callback| self.0.encode_long(text, special_tokens, callback))?
        };
        Ok(ids.into_pyarray(py))
    }

    /// The ids of any bytes.
    #[pyo3(signature = (bytes) -> "numpy.typing.NDArray[numpy.uint32]")]
    fn encode_bytes<'py>(&self, py: Python<'py>, bytes: PyBackedBytes) -> PyResult<Bound<'py, PyArray1<TokenId>>> {
        interruptible(py, None, |_| self.0.encode_bytes(&bytes)).map(|ids| ids.into_pyarray(py))
    }

    /// The ids of many texts in one array, and where each text starts in it.
    #[pyo3(signature = (
        texts: "list[str]", *, parse_special, num_threads, progress: "collections.abc.Callable[[Progress], object] | None"=None
    ) -> "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint64]]")]
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        parse_special: bool,
        num_threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Arrays<'py>> {
        let special_tokens = special_tokens(parse_special);
        let mut texts = Texts::new(texts.clone().unbind());
        let mut refused = None;
        let outcome = interruptible(py, progress.as_ref(), |callback| {
            self.0.encode_batch(special_tokens, num_threads, callback, |giving| {
                Python::attach(|py| texts.give(py, giving)).map_err(|error| {
                    refused = Some(error);
                    Error::Interrupted
                })
            })
        });
        if let Some(error) = refused {
            return Err(error);
        }
        let encoded = outcome?;
        Ok((encoded.ids.into_pyarray(py), encoded.offsets.into_pyarray(py)))
    }

    /// The bytes that ids stand for.
    #[pyo3(signature = (ids: "numpy.typing.NDArray[numpy.uint32]"))]
    fn decode_bytes<'py>(&self, py: Python<'py>, ids: PyReadonlyArray1<'py, TokenId>) -> PyResult<Bound<'py, PyBytes>> {
        let ids = ids.as_slice()?;
        guarded(py, || self.0.decode(ids)).map(|bytes| PyBytes::new(py, &bytes))
    }

    /// The text that ids stand for; what is not UTF-8 in it becomes U+FFFD.
    #[pyo3(signature = (ids: "numpy.typing.NDArray[numpy.uint32]"))]
    fn decode(&self, py: Python<'_>, ids: PyReadonlyArray1<'_, TokenId>) -> PyResult<String> {
        let ids = ids.as_slice()?;
        guarded(py, || self.0.decode(ids)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What a text is split into before merging.
    fn pretokens(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<Vec<String>> {
        let text = utf8(text, || "the text".into())?;
        interruptible(py, None, |_| {
            let mut prepared = String::new();
            let text = self.0.pretokenizer().prepare(text, true, &mut prepared).unwrap_or(text);
            Ok(self.0.pretokenizer().split(text).into_iter().map(str::to_owned).collect())
        })
    }

    /// The bytes of one token.
    fn token_bytes<'py>(&self, py: Python<'py>, id: TokenId) -> PyResult<Bound<'py, PyBytes>> {
        match self.0.vocab().token(id) {
            Some(token) => Ok(PyBytes::new(py, token)),
            None => Err(PyIndexError::new_err(format!(
                "token id {id} has no token in the vocabulary of {}",
                self.0.vocab().len()
            ))),
        }
    }

    /// How many bytes each token decodes to, 0 for special tokens.
    #[pyo3(signature = () -> "numpy.typing.NDArray[numpy.int64]")]
    fn token_lengths<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.0.token_lengths().into_pyarray(py)
    }

    /// Tokens that the merges do not make of their own bytes.
    #[pyo3(signature = () -> "numpy.typing.NDArray[numpy.uint32]")]
    fn unreachable_tokens<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<TokenId>>> {
        interruptible(py, None, |_| Ok(self.0.unreachable_tokens())).map(|ids| ids.into_pyarray(py))
    }

    /// The merges by rank: left, right and produced id of each.
    fn merges(&self) -> Vec<(TokenId, TokenId, TokenId)> {
        self.0.merges().into_iter().map(|merge| (merge.left, merge.right, merge.produced)).collect()
    }

    /// How often the pair of each merge occurred when it was merged, 0 where that is not known; empty where nobody counted.
    #[pyo3(signature = () -> "numpy.typing.NDArray[numpy.uint64]")]
    fn merge_counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.0.parts().merge_counts.clone().into_pyarray(py)
    }

    /// The content of `tokenizer_config.json`.
    fn config_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        guarded(py, || tokenizer_file::config_json(&self.0)).map(|json| PyBytes::new(py, &json))
    }

    /// How many pretokens of texts are one token: pretokens and their bytes, those that are one token and their bytes.
    fn coverage(&self, py: Python<'_>, texts: Vec<PyBackedStr>) -> PyResult<(u64, u64, u64, u64)> {
        let coverage = interruptible(py, None, |callback| self.0.coverage(&texts, callback))?;
        let Coverage { pretokens, bytes, whole_pretokens, whole_bytes } = coverage;
        Ok((pretokens, bytes, whole_pretokens, whole_bytes))
    }

    /// Ids below the size of the vocabulary that no token has.
    #[pyo3(signature = () -> "numpy.typing.NDArray[numpy.uint32]")]
    fn unused_ids<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<TokenId>> {
        self.0.vocab().unused_ids().to_vec().into_pyarray(py)
    }

    /// One more than the largest id, special tokens included.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.0.vocab().len()
    }

    /// The name of the split pattern, or the regex.
    #[getter]
    fn pattern(&self) -> &str {
        self.0.pretokenizer().name()
    }

    /// How many numbers stand together at most, where it is not the pattern that says so.
    #[getter]
    fn digits(&self) -> Option<u64> {
        self.0.pretokenizer().settings().digits
    }

    /// Whether a text that does not begin with a blank is given one.
    #[getter]
    fn prefix_space(&self) -> bool {
        self.0.pretokenizer().prefix_space()
    }

    /// What is done to a text first.
    #[getter]
    fn normalization(&self) -> Option<&'static str> {
        self.0.pretokenizer().normalization().map(|Normalization::Nfc| "nfc")
    }

    /// The identity of vocabulary, merges, pretokenizer and special tokens.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }

    /// The special tokens by content and id.
    #[getter]
    fn special_tokens(&self) -> Vec<(String, TokenId)> {
        self.0.vocab().special_tokens().iter().map(|special| (special.content.clone(), special.id)).collect()
    }

    /// The id that ends a document, if there is one.
    #[getter]
    fn end_of_text_id(&self) -> Option<TokenId> {
        self.0.end_of_text_id()
    }

    /// What puts messages together for a model, in Jinja, if the directory says it.
    #[getter]
    fn chat_template(&self) -> Option<&str> {
        self.0.parts().chat_template.as_deref()
    }

    /// The name of the convention for conversations whose template that is, if it is a known one.
    #[getter]
    fn chat_tokens(&self) -> Option<&'static str> {
        self.chat().map(ChatTokens::name)
    }

    /// The id that ends a message in the known convention, if there is one and the tokenizer has the token.
    #[getter]
    fn end_of_message_id(&self) -> Option<TokenId> {
        let content = self.chat()?.end_of_message();
        self.0.vocab().special_tokens().iter().find(|special| special.content == content).map(|special| special.id)
    }

    /// The ids of messages, each a role and what it says, up to where the answer begins if that is asked for; text of special tokens
    /// in messages is text.
    #[pyo3(signature = (
        messages: "list[tuple[str, str]]", asks_for_answer
    ) -> "numpy.typing.NDArray[numpy.uint32]")]
    fn encode_chat<'py>(
        &self,
        py: Python<'py>,
        messages: &Bound<'py, PyList>,
        asks_for_answer: bool,
    ) -> PyResult<Bound<'py, PyArray1<TokenId>>> {
        let messages: Vec<(Bound<'py, PyString>, Bound<'py, PyString>)> = messages.extract()?;
        let mut said = Vec::with_capacity(messages.len());
        for (i, (role, content)) in messages.iter().enumerate() {
            let role = utf8(role, || format!("the role of message {i}"))?;
            said.push(Message { role, content: utf8(content, || format!("message {i}"))? });
        }
        let ids = interruptible(py, None, |_| match self.chat() {
            Some(chat) => chat.encode(&self.0, &said, asks_for_answer),
            None => Err(Error::Config("the tokenizer has no chat template that is known".to_owned())),
        })?;
        Ok(ids.into_pyarray(py))
    }

    /// The content of `training.json`, if there is one.
    #[getter]
    fn training(&self) -> Option<&str> {
        self.0.parts().training.as_deref()
    }
}

fn special_tokens(parse_special: bool) -> SpecialTokens {
    if parse_special { SpecialTokens::Parsed } else { SpecialTokens::AsText }
}

impl Tokenizer {
    fn chat(&self) -> Option<ChatTokens> {
        ChatTokens::of_template(self.0.parts().chat_template.as_deref()?)
    }
}
