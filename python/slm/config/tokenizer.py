"""Settings of a corpus and of training a tokenizer on it."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from slm.config.base import Config, FilePath, NumThreads, Size, TextTuple

PATTERN_NAMES = ("gpt2", "cl100k", "o200k", "llama3", "qwen2")
"""Patterns that have a name."""


class CorpusConfig(Config):
    """Which files are read, and what one document is."""

    paths: Annotated[TextTuple, Field(min_length=1)]
    """Files, directories (read with all below them, in sorted order, hidden ones left out) and globs.

    `@list.txt` is a file that lists paths, one a line, and `-` is standard input. Plain, gzip, zstd and xz files are
    told apart by their content. Relative paths start from the working directory.
    """

    format: Literal["auto", "text", "jsonl", "parquet"] = "auto"
    """`text`, `jsonl`, `parquet`, or `auto`: by the name, which ends in `.jsonl`, `.ndjson` (either also compressed) or
    `.parquet`; else text."""

    documents: Literal["file", "line", "separator"] = "file"
    """What one document of a text file is: the `file`, each `line` with its ending, or the text between separators."""

    separator: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Text between two documents where `documents` is `separator`; it belongs to neither. None otherwise."""

    field: Annotated[str, Field(min_length=1)] = "text"
    """Key of the text in each object of a jsonl file, or column in a parquet file (`outer.inner` for a nested one).

    A null is a document that is left out and counted.
    """

    invalid_utf8: Literal["error", "replace", "skip"] = "error"
    """What becomes of bytes that are not UTF-8: an `error`, `replace` by U+FFFD, or `skip` the document; counted.

    The same goes for lone surrogates in JSON.
    """

    on_error: Literal["error", "skip"] = "error"
    """What becomes of a document that cannot be read: an `error`, or `skip` it; counted, and the first are named.

    That is a malformed JSON line, one without the field or without text in it, a document that is not UTF-8, and what
    there is where a compressed or Parquet file is cut off or corrupt.
    """

    @model_validator(mode="after")
    def _separator_goes_with_documents(self) -> Self:
        if self.documents == "separator" and self.separator is None:
            raise ValueError("`documents` is `separator`, so `separator` must be given")
        if self.documents != "separator" and self.separator is not None:
            raise ValueError(f"`separator` is given, so `documents` must be `separator`, not `{self.documents}`")
        return self


def _check_pattern(pattern: str, digits: int | None) -> None:
    looks_like_a_name = re.fullmatch(r"[\w.-]*\w[\w.-]*", pattern, re.ASCII)
    if looks_like_a_name and pattern not in PATTERN_NAMES:
        names = ", ".join(f"`{name}`" for name in PATTERN_NAMES)
        raise ValueError(f"no `pattern` is called `{pattern}`, it must be {names} or a regex")
    if digits is not None and pattern not in PATTERN_NAMES:
        raise ValueError("`digits` goes with the name of a pattern; in a regex, write \\p{N}{1,3} for numbers")


class TokenizerConfig(Config):
    """Settings of `slm tokenizer train`."""

    corpus: CorpusConfig | None = None
    """What the tokenizer is trained on. None: `counts`."""

    counts: FilePath | None = None
    """Directory of `slm tokenizer count` or `merge-counts` to train on; the corpus is not read then."""

    extend: FilePath | None = None
    """Tokenizer to go on from: its tokens keep their ids, its merges come first. None: from the beginning.

    Its special tokens stay; `special_tokens` are added only where they are set.
    """

    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)]
    """Tokens in all: special tokens, alphabet and merges. Must hold the alphabet, 256 bytes if `initial_alphabet`."""

    vocab_sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)] | None = None
    """Sizes that this run writes, each into a directory of its own in `out`; the largest is `vocab_size`. None: it.

    A smaller vocabulary is a prefix of a larger one, so they take the time of the largest.
    """

    pattern: Annotated[str, Field(min_length=1, max_length=4096)] = "gpt2"
    """How text is split before merging: `gpt2`, `cl100k`, `o200k`, `llama3`, `qwen2`, or any other regex itself.

    `llama3` is another name of `cl100k`, whose regex is the same. `qwen2` has that tokenizer's NFC only with
    `normalization`. See docs/patterns.md.
    """

    digits: Annotated[int, Field(ge=1, le=3)] | None = None
    """Most digits that stand together in a pretoken, 1, 2 or 3. None: as the pattern has it. Not with a regex."""

    prefix_space: bool = False
    """Whether a document that does not begin with a blank is given one, so that its first word is as any other."""

    normalization: Literal["nfc"] | None = None
    """`nfc`: characters that can be written as one are, before text is split. None: text stays as it is."""

    special_tokens: TextTuple = ("<|endoftext|>",)
    """Tokens that no text is split into, with the lowest ids in this order; shards need `<|endoftext|>`."""

    chat_tokens: Literal["chatml"] | None = None
    """Special tokens for conversations, with ids after `special_tokens`, and their template. None: no such tokens.

    `chatml` is `<|im_start|>` and `<|im_end|>`; `apply_chat_template` of `transformers` uses them.
    """

    reserved_tokens: Annotated[int, Field(ge=0)] = 0
    """Special tokens kept for later uses, with ids after all others: `<|reserved_special_token_0|>` and so on."""

    special_tokens_in_text: Literal["text", "split"] = "text"
    """What the text of a special token is in the corpus: `text` like any other, or a place to `split` at.

    With `split` nothing is learned from it or across it. Hugging Face's `BpeTrainer` takes it as text.
    """

    min_frequency: Annotated[int, Field(ge=0)] = 0
    """Fewest occurrences of a pair that is merged. 0 and 1 merge until the vocabulary is full."""

    max_token_length: Annotated[int, Field(ge=1)] | None = None
    """Hugging Face's rule: merges make tokens of fewer bytes than this, and any of two bytes. None: no limit."""

    max_token_bytes: Annotated[int, Field(ge=1)] | None = None
    """Most bytes of a token that merges make, without exceptions. None: no limit."""

    initial_alphabet: bool = True
    """Whether all 256 bytes are tokens, so that every text can be encoded, or only those of the corpus."""

    num_threads: NumThreads | None = None
    """Threads that count. None: one for each core. The result is the same for any number."""

    memory_limit: Annotated[Size, Field(ge=64 << 20)] | None = None
    """Memory for counting and merging, in bytes or as `256MiB`. None: a quarter of the machine's, at most 4 GiB.

    At least 64 MiB; reading takes up to 8 MiB a thread besides. The result is the same for any limit.
    """

    spill_dir: FilePath | None = None
    """Directory for what does not fit into memory; emptied at the end. None: the one that `out` is in."""

    max_spill: Size | None = None
    """Most bytes that may be on disk in `spill_dir` at a time, in bytes or as `20GiB`. None: no limit."""

    out: FilePath
    """Directory of the tokenizer; made if missing, replaced as a whole when done."""

    @model_validator(mode="after")
    def _pattern_is_known(self) -> Self:
        _check_pattern(self.pattern, self.digits)
        return self

    @model_validator(mode="after")
    def _special_tokens_are_distinct(self) -> Self:
        if "" in self.special_tokens:
            raise ValueError("`special_tokens` has an empty token")
        repeated = sorted({token for token in self.special_tokens if self.special_tokens.count(token) > 1})
        if repeated:
            raise ValueError(f"`special_tokens` has `{repeated[0]}` more than once")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_train_on(self) -> Self:
        if self.corpus is None and self.counts is None:
            raise ValueError("`corpus` is missing: give it, or `counts`")
        return self

    @model_validator(mode="after")
    def _sizes_hold_the_alphabet(self) -> Self:
        if self.vocab_sizes is not None and max(self.vocab_sizes, default=0) != self.vocab_size:
            raise ValueError(f"`vocab_size` is {self.vocab_size:,}, it must be the largest of `vocab_sizes`")
        least = min(self.vocab_sizes or (self.vocab_size,))
        if self.extend is not None:
            return self
        if len(self.special_tokens) + self.reserved_tokens + 256 * self.initial_alphabet > least:
            name = "vocab_size" if self.vocab_sizes is None else "vocab_sizes"
            raise ValueError(
                f"`{name}` is {least:,}, fewer than the {len(self.special_tokens)} `special_tokens`"
                + (f", {self.reserved_tokens:,} `reserved_tokens`" if self.reserved_tokens else "")
                + (" and 256 bytes of `initial_alphabet`" if self.initial_alphabet else "")
            )
        return self


class CountConfig(Config):
    """Settings of `slm tokenizer count`."""

    corpus: CorpusConfig
    """What is counted."""

    pattern: Annotated[str, Field(min_length=1, max_length=4096)] = "gpt2"
    """How text is split, as for training; counts of different patterns do not add up."""

    digits: Annotated[int, Field(ge=1, le=3)] | None = None
    """As for training."""

    prefix_space: bool = False
    """As for training."""

    normalization: Literal["nfc"] | None = None
    """As for training."""

    special_tokens: TextTuple = ("<|endoftext|>",)
    """As for training; what is counted depends on them only where `special_tokens_in_text` is `split`."""

    chat_tokens: Literal["chatml"] | None = None
    """As for training; see `special_tokens`."""

    reserved_tokens: Annotated[int, Field(ge=0)] = 0
    """As for training; see `special_tokens`."""

    special_tokens_in_text: Literal["text", "split"] = "text"
    """As for training. Counts that were split at special tokens are for training with these and no others."""

    num_threads: NumThreads | None = None
    """Threads that count. None: one for each core. The result is the same for any number."""

    memory_limit: Annotated[Size, Field(ge=64 << 20)] | None = None
    """Memory for counting, in bytes or as `256MiB`. None: a quarter of the machine's, at most 4 GiB."""

    part_size: Annotated[Size, Field(ge=1)] = 1 << 30
    """Text after which a part is finished, in bytes or as `1GiB`: what a kill costs at most."""

    out: FilePath
    """Directory of the counts; made if missing. The same command again goes on with what is there."""

    @model_validator(mode="after")
    def _pattern_is_known(self) -> Self:
        _check_pattern(self.pattern, self.digits)
        return self
