"""Byte-level BPE training at its plainest, the twin of the trainer: every pair is counted anew before each merge.

Tokens are texts of the byte-level alphabet, one character a byte, as in `vocab.json` and `merges.txt`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import regex

from tests.reference.hugging_face import SPLITS

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

CHAR_OF_BYTE = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(_OTHERS)}
"""The character that stands for each byte: itself where it can be printed, or else one from U+0100 on."""


def pretokens(document: str, pattern: str) -> list[str]:
    """The pieces of a document, which no merge crosses."""
    pieces = regex.findall(_GPT2 if pattern == "gpt2" else SPLITS[pattern], document)
    assert "".join(pieces) == document
    return ["".join(CHAR_OF_BYTE[byte] for byte in piece.encode()) for piece in pieces]


def train(
    documents: Iterable[str],
    *,
    vocab_size: int,
    pattern: str = "gpt2",
    special_tokens: Sequence[str] = ("<|endoftext|>",),
    min_frequency: int = 0,
    max_token_length: int | None = None,
    initial_alphabet: bool = True,
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary, and the merges by rank."""
    counts = Counter(pretoken for document in documents for pretoken in pretokens(document, pattern))
    alphabet = set(CHAR_OF_BYTE.values()) if initial_alphabet else set("".join(counts))
    vocab: dict[str, int] = {}
    for token in [*special_tokens, *sorted(alphabet)]:
        vocab.setdefault(token, len(vocab))
    merges: list[tuple[str, str]] = []
    words = {pretoken: list(pretoken) for pretoken in counts}
    while len(vocab) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for pretoken, tokens in words.items():
            for left, right in pairwise(tokens):
                if len(left + right) == 2 or max_token_length is None or len(left + right) < max_token_length:
                    pairs[left, right] += counts[pretoken]
        if not pairs:
            break
        left, right = max(pairs, key=lambda pair: (pairs[pair], -vocab[pair[0]], -vocab[pair[1]]))
        if pairs[left, right] < min_frequency:
            break
        vocab.setdefault(left + right, len(vocab))
        merges.append((left, right))
        words = {pretoken: _merged(tokens, left, right) for pretoken, tokens in words.items()}
    return vocab, merges


def _merged(tokens: list[str], left: str, right: str) -> list[str]:
    """`tokens` after one merge, from the left: of `a a a` the first two are merged."""
    merged: list[str] = []
    for token in tokens:
        if merged and (merged[-1], token) == (left, right):
            merged[-1] = left + right
        else:
            merged.append(token)
    return merged
