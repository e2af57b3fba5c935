"""What a person wants to know about a tokenizer: its tokens, what they save on a text, and which are of no use."""

from dataclasses import dataclass

import numpy as np

from slm.errors import DataError
from slm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenInfo:
    """A token."""

    id: int
    """Its id."""

    bytes: bytes
    """Its bytes."""


@dataclass(frozen=True)
class TokenizerReport:
    """A tokenizer in figures."""

    vocab_size: int
    """Tokens in all."""

    merges: int
    """Merges."""

    special_tokens: dict[str, int]
    """Special tokens and their ids."""

    pattern: str
    """Name of the split pattern, or else its regex."""

    digits: int | None
    """Most digits that stand together in a pretoken; None where that is as the pattern has it."""

    prefix_space: bool
    """Whether a text that does not begin with a blank is given one."""

    normalization: str | None
    """`nfc` if characters are composed before text is split."""

    fingerprint: str
    """Identity of the tokenizer."""

    mean_token_bytes: float
    """Mean length of the tokens that are text."""

    tokens_by_length: dict[int, int]
    """How many tokens have how many bytes; special tokens are left out."""

    longest: tuple[TokenInfo, ...]
    """The longest tokens, longest first, lower ids first among equals."""

    incomplete_utf8: int
    """Tokens that hold part of a character."""

    unreachable: tuple[TokenInfo, ...]
    """Tokens that no text gives: merges do not make them, or their bytes never occur in UTF-8."""

    missing_bytes: int
    """Bytes that have no token, so that text with them cannot be encoded."""


@dataclass(frozen=True)
class SampleReport:
    """What a tokenizer does to a text."""

    bytes: int
    """Bytes of the text in UTF-8."""

    characters: int
    """Characters of the text."""

    tokens: int
    """Tokens that it becomes."""

    bytes_per_token: float
    """Compression: more is better."""

    characters_per_token: float
    """The same in characters."""

    distinct_tokens: int
    """Different tokens that occur."""

    vocab_used: float
    """Share of the vocabulary that occurs, from 0 to 1."""


def inspect_tokenizer(tokenizer: Tokenizer, *, num_longest: int = 20) -> TokenizerReport:
    """Look at the vocabulary.

    Args:
        tokenizer: The tokenizer.
        num_longest: How many of the longest tokens to list.
    """
    lengths = tokenizer.token_lengths()
    special_ids = set(tokenizer.special_tokens.values())
    text_ids = [token_id for token_id in range(len(lengths)) if token_id not in special_ids]
    by_length = sorted(text_ids, key=lambda token_id: (-int(lengths[token_id]), token_id))
    text_lengths = lengths[lengths > 0]
    counts = np.bincount(text_lengths) if text_lengths.size else np.empty(0, np.int64)
    unreachable = {int(token_id) for token_id in tokenizer.unreachable_tokens()}
    single_bytes = {tokenizer.token_bytes(token_id): token_id for token_id in by_length if lengths[token_id] == 1}
    # C0 and C1 would begin overlong forms, F5 to FF characters past the last one.
    unreachable |= {single_bytes[b] for b in map(_byte, (0xC0, 0xC1, *range(0xF5, 0x100))) if b in single_bytes}

    def info(token_id: int) -> TokenInfo:
        return TokenInfo(token_id, tokenizer.token_bytes(token_id))

    return TokenizerReport(
        vocab_size=tokenizer.vocab_size,
        merges=len(tokenizer.merges()),
        special_tokens=tokenizer.special_tokens,
        pattern=tokenizer.pattern,
        digits=tokenizer.digits,
        prefix_space=tokenizer.prefix_space,
        normalization=tokenizer.normalization,
        fingerprint=tokenizer.fingerprint,
        mean_token_bytes=float(text_lengths.mean()) if text_lengths.size else 0.0,
        tokens_by_length={length: int(count) for length, count in enumerate(counts) if count},
        longest=tuple(info(token_id) for token_id in by_length[:num_longest]),
        incomplete_utf8=sum(not _is_utf8(tokenizer.token_bytes(token_id)) for token_id in by_length),
        unreachable=tuple(info(token_id) for token_id in sorted(unreachable)),
        missing_bytes=256 - len(single_bytes),
    )


def inspect_sample(tokenizer: Tokenizer, text: str) -> SampleReport:
    """Measure what the tokenizer does to a text.

    Raises:
        DataError: The text is empty, so there is nothing to measure.
    """
    if not text:
        raise DataError("the sample is empty, so there is nothing to measure")
    ids = tokenizer.encode(text)
    num_bytes = len(text.encode())
    distinct = len(np.unique(ids))
    return SampleReport(
        bytes=num_bytes,
        characters=len(text),
        tokens=len(ids),
        bytes_per_token=num_bytes / len(ids),
        characters_per_token=len(text) / len(ids),
        distinct_tokens=distinct,
        vocab_used=distinct / tokenizer.vocab_size,
    )


def _byte(value: int) -> bytes:
    return bytes([value])


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
