"""Byte-level BPE training at its plainest, the twin of the trainer: every pair is counted anew before each merge.

Tokens are texts of the byte-level alphabet, one character a byte, as in `vocab.json` and `merges.txt`.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import regex

from tests.reference import special_tokens as naive_special_tokens
from tests.reference.hugging_face import regex_of

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

CHAR_OF_BYTE = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(_OTHERS)}
"""The character that stands for each byte: itself where it can be printed, or else one from U+0100 on."""

Model: TypeAlias = tuple[dict[str, int], list[tuple[str, str]]]
"""The vocabulary, and the merges by rank."""


def prepared(text: str, *, prefix_space: bool = False, normalization: str | None = None) -> str:
    """A document, or a stretch between special tokens, as it is split."""
    if normalization == "nfc":
        text = unicodedata.normalize("NFC", text)
    return " " + text if prefix_space and text and not text.startswith(" ") else text


def pretokens(text: str, pattern: str, digits: int | None = None) -> list[str]:
    """The pieces of a prepared text, which no merge crosses: the matches, and what is between them."""
    pieces: list[str] = []
    end = 0
    for match in regex.finditer(regex_of(pattern, digits), text):
        pieces += [text[end : match.start()], match.group()]
        end = match.end()
    pieces.append(text[end:])
    return ["".join(CHAR_OF_BYTE[byte] for byte in piece.encode()) for piece in pieces if piece]


def train(
    documents: Iterable[str],
    *,
    vocab_size: int,
    pattern: str = "gpt2",
    digits: int | None = None,
    prefix_space: bool = False,
    normalization: str | None = None,
    special_tokens: Sequence[str] = ("<|endoftext|>",),
    chat_tokens: str | None = None,
    reserved_tokens: int = 0,
    special_tokens_in_text: str = "text",
    min_frequency: int = 0,
    max_token_length: int | None = None,
    max_token_bytes: int | None = None,
    initial_alphabet: bool = True,
    extend: Model | None = None,
) -> Model:
    """Train, or with `extend` go on from a model, whose tokens and merges come first."""
    specials = naive_special_tokens.every(special_tokens, chat_tokens, reserved_tokens)
    counts: Counter[str] = Counter()
    splits = special_tokens_in_text == "split"
    for document, num_times in Counter(documents).items():
        for text in naive_special_tokens.text_between(document, specials) if splits else [document]:
            ready = prepared(text, prefix_space=prefix_space, normalization=normalization)
            for pretoken in pretokens(ready, pattern, digits):
                counts[pretoken] += num_times
    alphabet = set(CHAR_OF_BYTE.values()) if initial_alphabet else set("".join(counts))
    vocab, merges = (dict(extend[0]), list(extend[1])) if extend else ({}, [])
    for token in [*specials, *sorted(alphabet)]:
        vocab.setdefault(token, len(vocab))
    words = {pretoken: list(pretoken) for pretoken in counts}
    for left, right in merges:
        words = {pretoken: _merged(tokens, left, right) for pretoken, tokens in words.items()}
    while len(vocab) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for pretoken, tokens in words.items():
            for left, right in pairwise(tokens):
                if _may_be_merged(len(left + right), max_token_length, max_token_bytes):
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


def _may_be_merged(length: int, max_token_length: int | None, max_token_bytes: int | None) -> bool:
    by_hugging_face = max_token_length is None or length == 2 or length < max_token_length
    return by_hugging_face and (max_token_bytes is None or length <= max_token_bytes)


def _merged(tokens: list[str], left: str, right: str) -> list[str]:
    """`tokens` after one merge, from the left: of `a a a` the first two are merged."""
    if left not in tokens:
        return tokens
    merged: list[str] = []
    for token in tokens:
        if merged and (merged[-1], token) == (left, right):
            merged[-1] = left + right
        else:
            merged.append(token)
    return merged
