"""The tokenizer: text to ids and back."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slm import _core
from slm.errors import ConfigError
from slm.tokenizer import convert
from slm.tokenizer.threads import default_num_threads

if TYPE_CHECKING:
    import tokenizers
    import transformers

    from slm.tokenizer.corpus import PathLike

IdsLike: TypeAlias = NDArray[Any] | Sequence[int] | Iterable[int]
"""Token ids as an array of any integer type, a list or another iterable."""

Normalization: TypeAlias = Literal["nfc"]
"""What can be done to a text before it is split."""


class Tokenizer:
    """A byte-level BPE tokenizer.

    Its ids are those of Hugging Face `tokenizers` for the same `tokenizer.json`, and those of `tiktoken` for the same
    rank file. It never changes, may be used by many threads at once, survives a fork, and can be pickled.

    Example:
        >>> from slm.tokenizer import train_tokenizer
        >>> tok = train_tokenizer(iter(["a tale of tales"]), vocab_size=260)
        >>> tok.decode(tok.encode("tale"))
        'tale'
    """

    __slots__ = ("_core",)

    def __init__(self, core: "_core.Tokenizer") -> None:
        """Wrap a tokenizer of the Rust core; use `load` or `train_tokenizer`."""
        self._core = core

    @classmethod
    def load(cls, path: "PathLike") -> Self:
        """Load a tokenizer directory, or a `tokenizer.json` of byte-level BPE by whoever made it.

        Raises:
            TokenizerError: The file is malformed, or needs something that is not supported; the message names it.
            FileNotFoundError: There is no such file, or no `tokenizer.json` in the directory.
            ConfigError: It is a `.tiktoken` file, which does not say how text is split; use `from_tiktoken`.
        """
        if Path(path).suffix == ".tiktoken" and not Path(path).is_dir():
            raise ConfigError(
                f"`{path}` has ranks alone, and a tokenizer also needs the pattern and the special tokens that go "
                f"with them\n\nhint: slm tokenizer import {path} --pattern NAME --out DIR"
            )
        return cls(_core.Tokenizer.load(path))

    @classmethod
    def from_tiktoken(
        cls, path: "PathLike", *, pattern: str, special_tokens: "Mapping[str, int] | Sequence[str]" = ()
    ) -> Self:
        r"""Load a rank file of `tiktoken`, with the ids that `tiktoken` gives.

        Ids may have gaps, which `unused_ids` lists. Saved, it is a `tokenizer.json` with the same ids.

        Args:
            path: A file with a token in base64, a blank and its rank in each line.
            pattern: How text is split: the name of a pattern (`gpt2` for r50k and p50k, `cl100k`, `o200k`, ...), or a
                regex. Those of `tiktoken`'s own encodings are known by their text there.
            special_tokens: Ids of the special tokens by name; or names alone, for the ids behind the largest rank.

        Raises:
            TokenizerError: A line is malformed, a token or a rank comes twice, or a byte has no token.
            ConfigError: The pattern is not known, or the name or the id of a special token is taken.
            FileNotFoundError: There is no such file.

        Example:
            >>> import base64, pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.tiktoken"
            >>> tokens = [bytes([byte]) for byte in range(256)] + [b"to", b" to"]
            >>> lines = [base64.b64encode(token).decode() + f" {rank}\n" for rank, token in enumerate(tokens)]
            >>> _ = path.write_text("".join(lines))
            >>> tok = Tokenizer.from_tiktoken(path, pattern="cl100k", special_tokens={"<|end|>": 300})
            >>> tok.encode("to to<|end|>", parse_special=True).tolist(), tok.vocab_size
            ([256, 257, 300], 301)
        """
        if isinstance(special_tokens, Mapping):
            ids = [(name, _as_token_id(name, token_id)) for name, token_id in special_tokens.items()]
        else:
            ids = _core.Tokenizer.ids_behind_ranks(path, list(special_tokens))
        return cls(_core.Tokenizer.from_tiktoken(path, pattern, ids))

    def save(self, directory: "PathLike") -> None:
        """Write `tokenizer.json` and the files beside it; other files in the directory stay.

        Interrupted at any point it leaves the old tokenizer, none or the new one, never a mixture that loads.

        Raises:
            OSError: The disk refused.
        """
        self._core.save(directory)

    def prefix(self, vocab_size: int) -> "Tokenizer":
        """The tokenizer that the same training gives with a smaller `vocab_size`, its record included.

        Only `seconds`, `passes`, `spilled_bytes`, `spill_peak_bytes` and `peak_memory_bytes` of the record stay those
        of the training that there was.

        Args:
            vocab_size: Tokens in all; at least those that no merge makes: special tokens and bytes.

        Raises:
            ConfigError: The size is too small, or larger than the one that was trained.

        Example:
            >>> from slm.tokenizer import train_tokenizer
            >>> tok = train_tokenizer(iter(["a tale of tales"]), vocab_size=260)
            >>> tok.prefix(258) == train_tokenizer(iter(["a tale of tales"]), vocab_size=258)
            True
        """
        return Tokenizer(self._core.prefix(vocab_size))

    def to_tokenizers(self) -> "tokenizers.Tokenizer":
        """Make the Hugging Face `tokenizers.Tokenizer` with the same ids, without a file.

        Raises:
            MissingPackageError: `tokenizers` is not installed.
        """
        return convert.to_tokenizers(self._core)

    def to_transformers(self) -> "transformers.PreTrainedTokenizerFast":
        """Make the Hugging Face `transformers.PreTrainedTokenizerFast` with the same ids, without a file.

        It is what `AutoTokenizer.from_pretrained` makes of the saved directory: special tokens have their roles. As
        always there, text of a special token becomes that token unless `split_special_tokens=True` is given.

        Raises:
            MissingPackageError: `transformers` is not installed.
        """
        return convert.to_transformers(self._core)

    @classmethod
    def from_tokenizers(cls, tokenizer: "tokenizers.Tokenizer") -> Self:
        """Take over a Hugging Face `tokenizers.Tokenizer` of byte-level BPE, with its ids.

        For one of `transformers`, give its `backend_tokenizer`.

        Raises:
            TokenizerError: It is of another kind, or has a part that is not supported; the message names it.
        """
        return cls(convert.from_tokenizers(tokenizer))

    @property
    def core(self) -> "_core.Tokenizer":
        """The tokenizer of the Rust core, for the parts of this package that hand it back there."""
        return self._core

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included; ids are below it. Ids of `unused_ids` count too."""
        return self._core.vocab_size

    @property
    def pattern(self) -> str:
        """Name of the pattern that splits text before merging, or else its regex."""
        return self._core.pattern

    @property
    def digits(self) -> int | None:
        """Most digits that stand together in a pretoken; None where that is as the pattern has it."""
        return self._core.digits

    @property
    def prefix_space(self) -> bool:
        """Whether a text that does not begin with a blank is given one."""
        return self._core.prefix_space

    @property
    def normalization(self) -> "Normalization | None":
        """`nfc` if characters are composed before text is split, None if text stays as it is."""
        return "nfc" if self._core.normalization == "nfc" else None

    @property
    def fingerprint(self) -> str:
        """Identity of vocabulary, merges, pattern and special tokens, in 32 hexadecimal digits."""
        return self._core.fingerprint

    @property
    def special_tokens(self) -> dict[str, int]:
        """Ids of the special tokens."""
        return dict(self._core.special_tokens)

    @property
    def end_of_text_id(self) -> int | None:
        """Id of the special token that ends a document, if there is one."""
        return self._core.end_of_text_id

    @property
    def chat_template(self) -> str | None:
        """What puts messages together for a model, in Jinja as `transformers` reads it; None if there is none."""
        return self._core.chat_template

    @property
    def chat_tokens(self) -> str | None:
        """Name of the convention for conversations whose template that is, such as `chatml`.

        None where there is no template, or one that is not known here: templates are programs, and none is run.
        """
        return self._core.chat_tokens

    @property
    def end_of_message_id(self) -> int | None:
        """Id of the special token that ends a message in that convention; None without one."""
        return self._core.end_of_message_id

    def encode_chat(self, messages: Iterable[tuple[str, str]], *, asks_for_answer: bool = True) -> NDArray[np.uint32]:
        r"""Turn a conversation into ids, as `apply_chat_template` of `transformers` does.

        Text of special tokens in a message stays text, so that nobody can end a message and speak in another's name.

        Args:
            messages: Role (`system`, `user` or `assistant`) and content of each.
            asks_for_answer: Whether to go on to where the assistant's answer begins.

        Returns:
            Token ids; (T,), uint32.

        Raises:
            ConfigError: The tokenizer has no chat template that is known, or not the special tokens of it.
            DataError: A message has a lone surrogate.
            TokenizerError: As in `encode`.

        Example:
            >>> from slm.tokenizer import train_tokenizer
            >>> tok = train_tokenizer(iter(["ab"]), vocab_size=260, chat_tokens="chatml")
            >>> tok.decode(tok.encode_chat([("user", "ab")]))
            '<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n'
        """
        return self._core.encode_chat([(role, content) for role, content in messages], asks_for_answer)

    @property
    def training(self) -> dict[str, Any] | None:
        """What the tokenizer was made from, with what settings; None if it does not say."""
        return None if self._core.training is None else json.loads(self._core.training)

    def encode(self, text: str, *, parse_special: bool = False) -> NDArray[np.uint32]:
        """Turn a text into ids.

        Args:
            text: Any text.
            parse_special: Whether a special token's text becomes that token. Leave it off for text that others wrote.

        Returns:
            Token ids; (T,), uint32.

        Raises:
            DataError: The text has a lone surrogate, which is no character.
            TokenizerError: The vocabulary has no token for a byte of the text, which happens only to tokenizers
                trained without `initial_alphabet`.
        """
        return self._core.encode(text, parse_special)

    def encode_bytes(self, content: bytes) -> NDArray[np.uint32]:
        """Turn any bytes into ids: valid UTF-8 as `encode` does, each run of other bytes on its own.

        Returns:
            Token ids; (T,), uint32. `decode_bytes` gives the same bytes back.
        """
        return self._core.encode_bytes(content)

    def encode_batch(
        self,
        texts: Iterable[str],
        *,
        parse_special: bool = False,
        num_threads: int | None = None,
        progress: "Callable[[_core.Progress], object] | None" = None,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Turn many texts into ids, on many threads.

        Args:
            texts: The texts.
            parse_special: As in `encode`.
            num_threads: Threads to use; all cores of this process if None. The ids do not depend on it.
            progress: Called about twenty times a second from this thread; an exception in it stops the work. The
                total that it is told is 0 until all texts have been looked at.

        Returns:
            The ids of all texts one after another, (N,), uint32; and where each text starts in them, with the end of
            the last, (number of texts + 1,), uint64.

        Raises:
            DataError: A text has a lone surrogate.
            TokenizerError: As in `encode`.

        Example:
            >>> from slm.tokenizer import train_tokenizer
            >>> tok = train_tokenizer(iter(["ab"]), vocab_size=258)
            >>> ids, offsets = tok.encode_batch(["abab", "", "a"])
            >>> offsets.tolist()
            [0, 2, 2, 3]
        """
        texts = texts if isinstance(texts, list) else list(texts)
        return self._core.encode_batch(
            texts, parse_special=parse_special, num_threads=num_threads or default_num_threads(), progress=progress
        )

    def decode(self, ids: IdsLike) -> str:
        """Turn ids into text; bytes that are no UTF-8 become U+FFFD, special tokens their own text.

        Raises:
            ConfigError: An id is not in the vocabulary.
        """
        return self._core.decode(_as_ids(ids))

    def decode_bytes(self, ids: IdsLike) -> bytes:
        """Turn ids into the bytes they stand for, which need not be UTF-8.

        Raises:
            ConfigError: An id is not in the vocabulary.
        """
        return self._core.decode_bytes(_as_ids(ids))

    def pretokens(self, text: str) -> list[str]:
        """Split a text as is done before merging, which never joins two of the pieces.

        Together they are the text, composed and with a blank before it where the tokenizer's options say so.

        Raises:
            DataError: The text has a lone surrogate.

        Example:
            >>> from slm.tokenizer import train_tokenizer
            >>> train_tokenizer(iter(["a"]), vocab_size=257, pattern="cl100k").pretokens("it's 1984!")
            ['it', "'s", ' ', '198', '4', '!']
        """
        return self._core.pretokens(text)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; a token may hold part of a character.

        Raises:
            IndexError: There is no such token.
        """
        return self._core.token_bytes(token_id)

    def token_lengths(self) -> NDArray[np.int64]:
        """How many bytes each token decodes to, 0 for special tokens, which are not text; (V,), int64."""
        return self._core.token_lengths()

    def unused_ids(self) -> NDArray[np.uint32]:
        """Ids below `vocab_size` that no token has, ascending; no text gives them, and they decode to an error."""
        return self._core.unused_ids()

    def unreachable_tokens(self) -> NDArray[np.uint32]:
        """Ids of tokens that the merges do not make of the token's own bytes, so that no text gives them."""
        return self._core.unreachable_tokens()

    def merges(self) -> list[tuple[int, int, int]]:
        """The merges by rank: left id, right id and the id of both together."""
        return self._core.merges()

    def merge_counts(self) -> NDArray[np.uint64]:
        """How often the pair of each merge occurred in the corpus when it was merged; (merges,), uint64.

        They fall from rank to rank. 0 where that is not known; empty for a tokenizer that another program trained.
        """
        return self._core.merge_counts()

    def __len__(self) -> int:
        return self.vocab_size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, pattern={self.pattern!r}, fingerprint={self.fingerprint!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        names = {token_id: content for content, token_id in self.special_tokens.items()}
        end_of_text = None if self.end_of_text_id is None else names[self.end_of_text_id]
        return _unpickle, (
            self._core.to_json(),
            end_of_text,
            self._core.chat_template,
            self._core.training,
            self._core.merge_counts().tolist(),
        )


def _unpickle(
    tokenizer_json: bytes,
    end_of_text: str | None,
    chat_template: str | None,
    training: str | None,
    merge_counts: list[int],
) -> Tokenizer:
    return Tokenizer(_core.Tokenizer.from_json(tokenizer_json, end_of_text, chat_template, training, merge_counts))


def _as_token_id(name: str, token_id: int) -> int:
    if not 0 <= token_id < np.iinfo(np.uint32).max:
        raise ConfigError(f"the special token `{name}` has id {token_id}, it must be from 0 to {2**32 - 2}")
    return token_id


def _as_ids(ids: IdsLike) -> NDArray[np.uint32]:
    array = np.asarray(ids if isinstance(ids, np.ndarray | list | tuple) else list(ids))
    if array.size == 0:
        return np.empty(0, np.uint32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ConfigError(
            f"token ids have shape {array.shape} and type {array.dtype}, they must be one row of integers"
        )
    if array.dtype.kind == "i" and int(array.min()) < 0:
        position = int(array.argmin())
        raise ConfigError(f"token id {int(array[position])} at position {position} is negative")
    if int(array.max()) > np.iinfo(np.uint32).max:
        raise ConfigError(f"token id {int(array.max())} is larger than any vocabulary")
    return np.ascontiguousarray(array, np.uint32)


def load_tokenizer(tokenizer: "Tokenizer | PathLike") -> Tokenizer:
    """Give a tokenizer back as it is, or load it from its path."""
    return tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.load(Path(tokenizer))
