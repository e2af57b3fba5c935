"""What a person wants to know about a tokenizer itself: its tokens, how they came to be, and which are of no use."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slm.tokenizer.scripts import script_of_token
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

    tokens_by_script: dict[str, int]
    """How many tokens are of which script, most first; special tokens are left out."""

    merge_curve: dict[int, int]
    """How often the pair of a merge occurred when it was merged, by rank: at 1, 2, 5, 10 and so on, and the last.

    Where the last ones occurred a handful of times, a larger vocabulary would learn only noise. Empty where that was
    not counted, as for tokenizers of other programs.
    """

    longest: tuple[TokenInfo, ...]
    """The longest tokens, longest first, lower ids first among equals."""

    incomplete_utf8: int
    """Tokens that hold part of a character."""

    unreachable: tuple[TokenInfo, ...]
    """Tokens that no text gives: merges do not make them, or their bytes never occur in UTF-8."""

    missing_bytes: int
    """Bytes that have no token, so that text with them cannot be encoded."""


def inspect_tokenizer(tokenizer: Tokenizer, *, num_longest: int = 20) -> TokenizerReport:
    """Look at the vocabulary.

    Args:
        tokenizer: The tokenizer.
        num_longest: How many of the longest tokens to list.
    """
    lengths = tokenizer.token_lengths()
    other_ids = {*tokenizer.special_tokens.values(), *tokenizer.unused_ids().tolist()}
    text_ids = [token_id for token_id in range(len(lengths)) if token_id not in other_ids]
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
        tokens_by_script=dict(
            Counter(script_of_token(tokenizer.token_bytes(token_id)) for token_id in text_ids).most_common()
        ),
        merge_curve=_merge_curve(tokenizer.merge_counts()),
        longest=tuple(info(token_id) for token_id in by_length[:num_longest]),
        incomplete_utf8=sum(not _is_utf8(tokenizer.token_bytes(token_id)) for token_id in by_length),
        unreachable=tuple(info(token_id) for token_id in sorted(unreachable)),
        missing_bytes=256 - len(single_bytes),
    )


def _merge_curve(counts: NDArray[np.uint64]) -> dict[int, int]:
    ranks = [step * 10**power for power in range(len(str(len(counts)))) for step in (1, 2, 5)]
    shown = sorted({rank for rank in ranks if rank <= len(counts)} | ({len(counts)} if len(counts) else set()))
    return {rank: int(counts[rank - 1]) for rank in shown}


def _byte(value: int) -> bytes:
    return bytes([value])


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
