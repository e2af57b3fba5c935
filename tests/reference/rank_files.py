"""Rank files made here, and the same encoding by `tiktoken`, the oracle of their ids."""

import base64
import random
from collections.abc import Mapping
from pathlib import Path

import tiktoken

from slm.tokenizer import train_tokenizer

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
    r"|\s+(?!\S)|\s"
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)

PATTERNS = {"gpt2": GPT2, "cl100k": CL100K, "o200k": O200K}
"""The regexes of `tiktoken`'s encodings, by the names that the patterns have here."""


def write(path: Path, ranks: Mapping[bytes, int]) -> Path:
    """Write a rank file."""
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    path.write_text("".join(lines))
    return path


def read(path: Path) -> dict[bytes, int]:
    """Read a rank file as `tiktoken.load` does."""
    lines = (line.split() for line in path.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def encoding(ranks: dict[bytes, int], pattern: str, special_tokens: dict[str, int]) -> tiktoken.Encoding:
    """The same encoding by `tiktoken`, in memory."""
    return tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens)


def trained(text: str, pattern: str, vocab_size: int = 1000) -> dict[bytes, int]:
    """Ranks as training makes them, bytes first."""
    tokenizer = train_tokenizer(iter([text]), vocab_size=vocab_size, pattern=pattern, special_tokens=[])
    return {tokenizer.token_bytes(token_id): token_id for token_id in range(tokenizer.vocab_size)}


def gnarled(seed: int, alphabet: str = "ab \n") -> dict[bytes, int]:
    """Ranks that no training makes: in any order, with gaps, of tokens that merging does not reach."""
    rng = random.Random(seed)
    tokens = {bytes([byte]) for byte in range(256)}
    while len(tokens) < 256 + rng.randrange(60):
        tokens.add("".join(rng.choices(alphabet, k=rng.randint(2, 7))).encode())
    ranks = rng.sample(range(len(tokens) + rng.choice([0, 5, 300])), len(tokens))
    return dict(zip(sorted(tokens), ranks, strict=True))
