"""The same tokenizer by Hugging Face `tokenizers`, the oracle of merges and ids."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

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
SPLITS = {
    "cl100k": _CL100K,
    "llama3": _CL100K,
    "o200k": _O200K,
    "qwen2": _CL100K.replace(r"\p{N}{1,3}", r"\p{N}"),
}

PATTERNS = ["gpt2", "cl100k", "o200k", "qwen2"]
"""Names of the patterns that differ."""


def untrained(pattern: str) -> Tokenizer:
    """A byte-level BPE tokenizer without tokens."""
    tokenizer = Tokenizer(models.BPE())
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        split = pre_tokenizers.Split(Regex(SPLITS[pattern]), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(
    documents: Iterable[str] | None = None,
    *,
    files: Sequence[Path] = (),
    vocab_size: int,
    pattern: str = "gpt2",
    special_tokens: Sequence[str] = ("<|endoftext|>",),
    min_frequency: int = 0,
    max_token_length: int | None = None,
    initial_alphabet: bool = True,
) -> Tokenizer:
    """Train on documents, or on files a line a document."""
    tokenizer = untrained(pattern)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(special_tokens),
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
        "pre_tokenizer": parsed["pre_tokenizer"],
    }


def encode(tokenizer: Tokenizer, text: str, *, parse_special: bool = False) -> list[int]:
    """Ids of a text; like this package, special tokens are text unless asked for."""
    tokenizer.encode_special_tokens = not parse_special
    return tokenizer.encode(text, add_special_tokens=False).ids
