"""Signatures of the Rust core. Written by `tools/stubs.py`; do not edit."""

import collections.abc

import numpy
import numpy.typing
from _typeshed import SupportsGetItem
from os import PathLike
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex, final

__all__ = [
    "Corpus",
    "Progress",
    "RowReader",
    "Tokenizer",
    "all_special_tokens",
    "build_shards",
    "count_pretokens",
    "default_memory_limit",
    "file_checksum",
    "file_checksums",
    "find_stretches",
    "is_in_memory",
    "merge_counts",
    "permute",
    "predict_counting",
    "predict_training",
    "read_counts_manifest",
    "sample_texts",
    "train_tokenizer",
]

@final
class Corpus:
    """
    Documents to read: files, or an iterable that is read once.
    """
    @property
    def files(self, /) -> list[Path]:
        """
        The files in the order they are read; empty for an iterable.
        """
    @staticmethod
    def from_iterable(iterable: Any, invalid_utf8: str, on_error: str) -> Corpus:
        """
        Takes documents from an iterable of `str` and `bytes`.
        """
    @staticmethod
    def from_paths(
        paths: SupportsGetItem[int, str],
        format: str,
        documents: str,
        separator: str | None,
        field: str,
        invalid_utf8: str,
        on_error: str,
    ) -> Corpus:
        """
        Finds the files of a corpus; none is opened yet.
        """
    @property
    def total_bytes(self, /) -> int:
        """
        Bytes of all files on disk; 0 for an iterable.
        """

@final
class Progress:
    """
    How far a long call has come.
    """
    def __repr__(self, /) -> str: ...
    @property
    def counters(self, /) -> dict[str, int]:
        """
        Further figures of the phase by name.
        """
    @property
    def done(self, /) -> int:
        """
        Units finished.
        """
    @property
    def phase(self, /) -> str:
        """
        What is being done, such as `count` or `merge`.
        """
    @property
    def total(self, /) -> int:
        """
        Units in all, or 0 where that is not known.
        """
    @property
    def unit(self, /) -> str:
        """
        What `done` and `total` count, such as `bytes`.
        """

@final
class RowReader:
    """
    Reads the rows of a split into arrays; see `slm.data.rows`.
    """
    def __new__(
        cls,
        /,
        tokens: SupportsGetItem[int, tuple[str | PathLike[str], SupportsIndex, SupportsIndex]],
        indices: SupportsGetItem[int, tuple[str | PathLike[str], SupportsIndex, SupportsIndex]],
        *,
        token_bytes: SupportsIndex,
        vocab_size: SupportsIndex,
        end_of_text_id: SupportsIndex,
        row_tokens: SupportsIndex,
        best_fit_directory: str | PathLike[str] | None,
        boundaries: bool,
        max_open_files: SupportsIndex,
    ) -> RowReader:
        """
        Opens the files of ids and of offsets, each given as path, bytes before the array and elements in it.

        Rows are the stream of all documents cut every `row_tokens`, or, with a directory for the file of the plan, documents packed
        by best fit.
        """
    @property
    def num_rows(self, /) -> int:
        """
        Rows in one pass.
        """
    @property
    def padding_tokens(self, /) -> int:
        """
        Positions in one pass that hold no token.
        """
    def read(
        self,
        /,
        rows: numpy.typing.NDArray[numpy.int64],
        slots: numpy.typing.NDArray[numpy.int64],
        input_ids: numpy.typing.NDArray[numpy.int64],
        target_ids: numpy.typing.NDArray[numpy.int64],
        position_ids: numpy.typing.NDArray[numpy.int64] | None,
        document_ids: numpy.typing.NDArray[numpy.int32] | None,
    ) -> None:
        """
        Writes row `rows[i]` to row `slots[i]` of contiguous arrays of `row_tokens` columns.
        """

@final
class Tokenizer:
    """
    A byte-level BPE tokenizer.
    """
    @property
    def chat_template(self, /) -> str | None:
        """
        What puts messages together for a model, in Jinja, if the directory says it.
        """
    @property
    def chat_tokens(self, /) -> str | None:
        """
        The name of the convention for conversations whose template that is, if it is a known one.
        """
    def config_json(self, /) -> bytes:
        """
        The content of `tokenizer_config.json`.
        """
    def coverage(self, /, texts: SupportsGetItem[int, str]) -> tuple[int, int, int, int]:
        """
        How many pretokens of texts are one token: pretokens and their bytes, those that are one token and their bytes.
        """
    def decode(self, /, ids: numpy.typing.NDArray[numpy.uint32]) -> str:
        """
        The text that ids stand for; what is not UTF-8 in it becomes U+FFFD.
        """
    def decode_bytes(self, /, ids: numpy.typing.NDArray[numpy.uint32]) -> bytes:
        """
        The bytes that ids stand for.
        """
    @property
    def digits(self, /) -> int | None:
        """
        How many numbers stand together at most, where it is not the pattern that says so.
        """
    def encode(self, /, text: str, parse_special: bool = False) -> numpy.typing.NDArray[numpy.uint32]:
        """
        The ids of a text.
        """
    def encode_batch(
        self,
        /,
        texts: list[str],
        *,
        parse_special: bool,
        num_threads: SupportsIndex,
        progress: collections.abc.Callable[[Progress], object] | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint64]]:
        """
        The ids of many texts in one array, and where each text starts in it.
        """
    def encode_bytes(self, /, bytes: bytes | bytearray) -> numpy.typing.NDArray[numpy.uint32]:
        """
        The ids of any bytes.
        """
    def encode_chat(
        self, /, messages: list[tuple[str, str]], asks_for_answer: bool
    ) -> numpy.typing.NDArray[numpy.uint32]:
        """
        The ids of messages, each a role and what it says, up to where the answer begins if that is asked for; text of special tokens
        in messages is text.
        """
    @property
    def end_of_message_id(self, /) -> int | None:
        """
        The id that ends a message in the known convention, if there is one and the tokenizer has the token.
        """
    @property
    def end_of_text_id(self, /) -> int | None:
        """
        The id that ends a document, if there is one.
        """
    @property
    def fingerprint(self, /) -> str:
        """
        The identity of vocabulary, merges, pretokenizer and special tokens.
        """
    @staticmethod
    def from_json(
        json: bytes | bytearray,
        end_of_text: str | None = None,
        chat_template: str | None = None,
        training: str | None = None,
        merge_counts: SupportsGetItem[int, SupportsIndex] = ...,
    ) -> Tokenizer:
        """
        Reads the content of a `tokenizer.json`, with the end-of-text token, the chat template and `training.json` that its
        directory gave.
        """
    @staticmethod
    def from_tiktoken(
        path: str | PathLike[str], pattern: str, special_tokens: SupportsGetItem[int, tuple[str, SupportsIndex]]
    ) -> Tokenizer:
        """
        Loads a rank file of tiktoken.
        """
    @staticmethod
    def ids_behind_ranks(path: str | PathLike[str], names: SupportsGetItem[int, str]) -> list[tuple[str, int]]:
        """
        Special tokens with the ids behind the last rank of a rank file, in their order.
        """
    @staticmethod
    def load(path: str | PathLike[str]) -> Tokenizer:
        """
        Loads a tokenizer directory or a `tokenizer.json`.
        """
    def merge_counts(self, /) -> numpy.typing.NDArray[numpy.uint64]:
        """
        How often the pair of each merge occurred when it was merged, 0 where that is not known; empty where nobody counted.
        """
    def merges(self, /) -> list[tuple[int, int, int]]:
        """
        The merges by rank: left, right and produced id of each.
        """
    @property
    def normalization(self, /) -> str | None:
        """
        What is done to a text first.
        """
    @property
    def pattern(self, /) -> str:
        """
        The name of the split pattern, or the regex.
        """
    def prefix(self, /, vocab_size: SupportsIndex) -> Tokenizer:
        """
        The tokenizer that the same training gives with this size of the vocabulary.
        """
    @property
    def prefix_space(self, /) -> bool:
        """
        Whether a text that does not begin with a blank is given one.
        """
    def pretokens(self, /, text: str) -> list[str]:
        """
        What a text is split into before merging.
        """
    def save(self, /, directory: str | PathLike[str]) -> None:
        """
        Writes the tokenizer directory.
        """
    @property
    def special_tokens(self, /) -> list[tuple[str, int]]:
        """
        The special tokens by content and id.
        """
    def to_json(self, /) -> bytes:
        """
        The content of `tokenizer.json`.
        """
    def token_bytes(self, /, id: SupportsIndex) -> bytes:
        """
        The bytes of one token.
        """
    def token_lengths(self, /) -> numpy.typing.NDArray[numpy.int64]:
        """
        How many bytes each token decodes to, 0 for special tokens.
        """
    @property
    def training(self, /) -> str | None:
        """
        The content of `training.json`, if there is one.
        """
    def unreachable_tokens(self, /) -> numpy.typing.NDArray[numpy.uint32]:
        """
        Tokens that the merges do not make of their own bytes.
        """
    def unused_ids(self, /) -> numpy.typing.NDArray[numpy.uint32]:
        """
        Ids below the size of the vocabulary that no token has.
        """
    @property
    def vocab_size(self, /) -> int:
        """
        One more than the largest id, special tokens included.
        """

def all_special_tokens(
    *, special_tokens: SupportsGetItem[int, str], chat_tokens: str | None, reserved_tokens: SupportsIndex
) -> list[str]:
    """
    All special tokens that training with these settings makes, by id.
    """

def build_shards(
    corpus: Corpus,
    tokenizer: Tokenizer,
    out: str | PathLike[str],
    *,
    validation_fraction: SupportsFloat | SupportsIndex,
    shard_tokens: SupportsIndex,
    deduplicate: bool,
    num_threads: SupportsIndex,
    memory_limit: SupportsIndex,
    progress: collections.abc.Callable[[Progress], object] | None = None,
) -> tuple[bool, int, int, int, str | None]:
    """
    Builds a shard directory.
    """

def count_pretokens(
    corpus: Corpus,
    out: str | PathLike[str],
    *,
    pattern: str,
    digits: SupportsIndex | None,
    prefix_space: bool,
    normalization: str | None,
    kept_out: SupportsGetItem[int, str],
    num_threads: SupportsIndex,
    memory_limit: SupportsIndex,
    part_bytes: SupportsIndex,
    progress: collections.abc.Callable[[Progress], object] | None = None,
) -> tuple[int, int, str | None]:
    """
    Counts a corpus into a directory, going on where that was broken off.

    Gives the bytes of text that were counted, the parts that had been counted before, and why there were none of use.
    """

def default_memory_limit() -> int:
    """
    A quarter of the memory of the machine or the container, at least 64 MiB and at most 4 GiB; in bytes.
    """

def file_checksum(
    path: str | PathLike[str], *, progress: collections.abc.Callable[[Progress], object] | None = None
) -> str:
    """
    The checksum of a whole file as manifests carry it: XXH3-64 in 16 hexadecimal digits.
    """

def file_checksums(
    path: str | PathLike[str], *, progress: collections.abc.Callable[[Progress], object] | None = None
) -> tuple[str, str]:
    """
    The checksum of a whole file, and those of its blocks of 4 MiB one after another, as manifests carry them.
    """

def find_stretches(
    document_ids: numpy.typing.NDArray[numpy.int32], *, batch_rows: SupportsIndex
) -> tuple[numpy.typing.NDArray[numpy.int32], list[int], list[int]]:
    """
    Finds where documents begin in batches of `batch_rows` rows; see `slm.data.boundaries`.

    Gives the `cu_seqlens` of all batches in one array, where those of each batch end in it, and the longest stretch of each.
    """

def is_in_memory(directory: str | PathLike[str]) -> bool:
    """
    Whether files in a directory live in memory, as on tmpfs.
    """

def merge_counts(
    paths: SupportsGetItem[int, str | PathLike[str]],
    out: str | PathLike[str],
    *,
    memory_limit: SupportsIndex,
    progress: collections.abc.Callable[[Progress], object] | None = None,
) -> None:
    """
    Adds counts up into a directory.
    """

def permute(
    indices: numpy.typing.NDArray[numpy.int64], *, size: SupportsIndex, seed: SupportsIndex, epoch: SupportsIndex
) -> numpy.typing.NDArray[numpy.int64]:
    """
    Maps indices in [0, size) to their places in the order of a seed and an epoch; `size` is 1 to 2^63.
    """

def predict_counting(
    corpus: Corpus,
    *,
    pattern: str,
    digits: SupportsIndex | None,
    prefix_space: bool,
    normalization: str | None,
    kept_out: SupportsGetItem[int, str],
    num_threads: SupportsIndex,
    memory_limit: SupportsIndex,
    part_bytes: SupportsIndex,
    max_sample_bytes: SupportsIndex,
) -> str | None:
    """
    Predicts what counting will take from a sample of the files, as JSON; None where they cannot be read twice.
    """

def predict_training(
    corpus: Corpus,
    *,
    vocab_size: SupportsIndex,
    pattern: str,
    digits: SupportsIndex | None,
    prefix_space: bool,
    normalization: str | None,
    special_tokens: SupportsGetItem[int, str],
    chat_tokens: str | None,
    reserved_tokens: SupportsIndex,
    special_tokens_in_text: str,
    num_threads: SupportsIndex,
    memory_limit: SupportsIndex,
    max_sample_bytes: SupportsIndex,
) -> str | None:
    """
    Predicts what training will take from a sample of the files, as JSON; None where they cannot be read twice.
    """

def read_counts_manifest(path: str | PathLike[str]) -> str:
    """
    The manifest of a counts directory, as JSON, once it is found to be one.
    """

def sample_texts(corpus: Corpus, max_bytes: SupportsIndex) -> list[str]:
    """
    Texts from all over the files of a corpus, about `max_bytes` of the files; none of documents in memory and of pipes.
    """

def train_tokenizer(
    corpus: Corpus | None,
    counts: str | PathLike[str] | None,
    *,
    vocab_size: SupportsIndex,
    pattern: str,
    digits: SupportsIndex | None,
    prefix_space: bool,
    normalization: str | None,
    special_tokens: SupportsGetItem[int, str],
    chat_tokens: str | None,
    reserved_tokens: SupportsIndex,
    special_tokens_in_text: str,
    min_frequency: SupportsIndex,
    max_token_length: SupportsIndex | None,
    max_token_bytes: SupportsIndex | None,
    initial_alphabet: bool,
    num_threads: SupportsIndex,
    memory_limit: SupportsIndex,
    spill_dir: str | PathLike[str],
    max_spill: SupportsIndex | None,
    extend: Tokenizer | None = None,
    progress: collections.abc.Callable[[Progress], object] | None = None,
) -> Tokenizer:
    """
    Learns a tokenizer from a corpus, or from counts if there is none; its merges are those of Hugging Face's `BpeTrainer` on
    the same documents.
    """
