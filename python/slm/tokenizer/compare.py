"""Compression beside other tokenizers: ours, any `tokenizer.json`, and those of `tiktoken` that this machine has."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm.errors import ConfigError, TokenizerError
from slm.tokenizer.convert import import_package
from slm.tokenizer.tokenizer import Tokenizer

_BLOBS = "https://openaipublic.blob.core.windows.net"

# Where `tiktoken` would get the files of its encodings, by whose hash it names them in its cache.
_TIKTOKEN_FILES = {
    "gpt2": [f"{_BLOBS}/gpt-2/encodings/main/vocab.bpe", f"{_BLOBS}/gpt-2/encodings/main/encoder.json"],
    "r50k_base": [f"{_BLOBS}/encodings/r50k_base.tiktoken"],
    "p50k_base": [f"{_BLOBS}/encodings/p50k_base.tiktoken"],
    "cl100k_base": [f"{_BLOBS}/encodings/cl100k_base.tiktoken"],
    "o200k_base": [f"{_BLOBS}/encodings/o200k_base.tiktoken"],
}


@dataclass(frozen=True)
class Compression:
    """How many tokens a tokenizer makes of the sample."""

    name: str
    """What it was asked for as."""

    vocab_size: int
    """Its tokens in all."""

    tokens: int
    """Tokens of the sample."""

    bytes_per_token: float
    """Compression: more is better."""

    seconds: float
    """Time that encoding took."""


def compare_compression(texts: Sequence[str], names: Sequence[str]) -> tuple[Compression, ...]:
    """Encode texts with other tokenizers.

    Args:
        texts: The sample.
        names: Tokenizer directories, `tokenizer.json` files, or encodings of `tiktoken` such as `cl100k_base`. A path
            that exists comes before a name.

    Raises:
        ConfigError: A name is neither, or the encoding's files are not on this machine.
        TokenizerError: A file is not a tokenizer.
        MissingPackageError: What reads that tokenizer is not installed.
    """
    num_bytes = sum(len(text.encode()) for text in texts)
    measured: list[Compression] = []
    for name in names:
        vocab_size, count_tokens = _open(name)
        started = time.monotonic()
        tokens = count_tokens(texts)
        measured.append(Compression(name, vocab_size, tokens, num_bytes / max(tokens, 1), time.monotonic() - started))
    return tuple(measured)


def _open(name: str) -> tuple[int, Callable[[Sequence[str]], int]]:
    """The size of a tokenizer's vocabulary, and a function from texts to the number of their tokens."""
    if Path(name).exists():
        return _open_path(name)
    encoding_name = name.removeprefix("tiktoken:")
    if encoding_name not in _TIKTOKEN_FILES:
        raise ConfigError(
            f"`{name}` is neither a tokenizer on this machine nor an encoding of `tiktoken`\n\n"
            f"hint: give a directory, a tokenizer.json, or one of {', '.join(_TIKTOKEN_FILES)}"
        )
    return _open_tiktoken(encoding_name)


def _open_path(path: str) -> tuple[int, Callable[[Sequence[str]], int]]:
    try:
        ours = Tokenizer.load(path)
    except TokenizerError as refused:
        file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
        tokenizers = import_package("tokenizers")
        try:
            theirs = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:
            # The library raises bare `Exception`; what we said of the file is at least as clear.
            raise refused from error
        return theirs.get_vocab_size(), lambda texts: sum(
            len(encoding.ids) for encoding in theirs.encode_batch_fast(list(texts), add_special_tokens=False)
        )
    return ours.vocab_size, lambda texts: len(ours.encode_batch(texts)[0])


def _open_tiktoken(name: str) -> tuple[int, Callable[[Sequence[str]], int]]:
    cache = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    directory = Path(tempfile.gettempdir()) / "data-gym-cache" if cache is None else Path(cache)
    for address in _TIKTOKEN_FILES[name]:
        # `tiktoken` names files so; the hash guards nothing.
        file = directory / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        if cache == "" or not file.is_file():
            raise ConfigError(
                f"the files of `{name}` are not on this machine: `{file}` is missing, and nothing is fetched from the "
                f"network here\n\nhint: where there is a network, run `python -c 'import tiktoken; "
                f'tiktoken.get_encoding("{name}")\'` once with the same TIKTOKEN_CACHE_DIR'
            )
    encoding = import_package("tiktoken", "tiktoken").get_encoding(name)
    return encoding.n_vocab, lambda texts: sum(map(len, encoding.encode_ordinary_batch(list(texts))))
