"""The same tokenizer by Hugging Face `tokenizers`, the oracle of merges and ids."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.reference import special_tokens as naive_special_tokens

# The regular expressions as the `tokenizer.json` files of these models have them.
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CL100K = "|".join(
    [
        _CONTRACTION,
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _CONTRACTION + "?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _CONTRACTION + "?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
_SPLITS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": _CL100K,
    "llama3": _CL100K,
    "o200k": _O200K,
    "qwen2": _CL100K.replace(r"\p{N}{1,3}", r"\p{N}"),
}

PATTERNS = ["gpt2", "cl100k", "o200k", "qwen2"]
"""Names of the patterns that differ."""


def regex_of(pattern: str, digits: int | None = None) -> str:
    """The regular expression of a name, or `pattern` itself; with so many digits to a pretoken."""
    regex = _SPLITS.get(pattern, pattern)
    if digits is not None:
        numbers = r"\p{N}" if digits == 1 else rf"\p{{N}}{{1,{digits}}}"
        for own in (r" ?\p{N}+", r"\p{N}{1,3}", r"\p{N}"):
            regex = regex.replace(f"|{own}|", f"|{numbers}|")
    return regex


def untrained(
    pattern: str, *, digits: int | None = None, prefix_space: bool = False, normalization: str | None = None
) -> Tokenizer:
    """A byte-level BPE tokenizer without tokens."""
    tokenizer = Tokenizer(models.BPE())
    steps: list[normalizers.Normalizer] = [normalizers.NFC()] if normalization == "nfc" else []
    if pattern == "gpt2" and digits is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    else:
        split = pre_tokenizers.Split(Regex(regex_of(pattern, digits)), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        if prefix_space:
            # Behind a `Split`, `ByteLevel` would put a blank before every pretoken.
            steps += [normalizers.Prepend(" "), normalizers.Replace(Regex(r"\A  "), " ")]
    if steps:
        tokenizer.normalizer = steps[0] if len(steps) == 1 else normalizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(
    documents: Iterable[str] | None = None,
    *,
    files: Sequence[Path] = (),
    vocab_size: int,
    pattern: str = "gpt2",
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: str | None = None,
    special_tokens: Sequence[str] = ("<|endoftext|>",),
    chat_tokens: str | None = None,
    reserved_tokens: int = 0,
    min_frequency: int = 0,
    max_token_length: int | None = None,
    max_token_bytes: int | None = None,
    initial_alphabet: bool = True,
) -> Tokenizer:
    """Train on documents, or on files a line a document, with what the settings of our trainer are in theirs."""
    tokenizer = untrained(pattern, digits=digits, prefix_space=prefix_space, normalization=normalization)
    if max_token_bytes is not None:
        # Of theirs, two bytes are merged whatever the longest is; so for no merges at all there is no room for any.
        max_token_length = min(max_token_bytes + 1, 1 << 30 if max_token_length is None else max_token_length)
        vocab_size = vocab_size if max_token_bytes > 1 else 0
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=naive_special_tokens.every(special_tokens, chat_tokens, reserved_tokens),
        max_token_length=max_token_length,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if initial_alphabet else [],
        show_progress=False,
    )
    if documents is None:
        tokenizer.train([str(path) for path in files], trainer)
    else:
        tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def model_of(tokenizer_json: str | bytes) -> dict[str, Any]:
    """Vocabulary, merges and added tokens of a `tokenizer.json`."""
    parsed = json.loads(tokenizer_json)
    return {
        "vocab": parsed["model"]["vocab"],
        "merges": parsed["model"]["merges"],
        "added": [(token["content"], token["id"]) for token in parsed["added_tokens"]],
        "normalizer": parsed["normalizer"],
        "pre_tokenizer": parsed["pre_tokenizer"],
    }


def encode(tokenizer: Tokenizer, text: str, *, parse_special: bool = False) -> list[int]:
    """Ids of a text; like this package, special tokens are text unless asked for."""
    tokenizer.encode_special_tokens = not parse_special
    return tokenizer.encode(text, add_special_tokens=False).ids
