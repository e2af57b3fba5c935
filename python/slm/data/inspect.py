"""Look inside a shard directory: totals, lengths of documents, and documents with their token borders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slm.data.manifest import TOKENIZER_DIRECTORY, Manifest
from slm.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class LengthBin:
    """Documents of about the same length."""

    at_least: int
    """Fewest tokens of a document in this bin."""

    below: int
    """More tokens than any document in this bin."""

    documents: int
    """How many there are."""


@dataclass(frozen=True)
class SplitReport:
    """One split in figures."""

    split: str
    """Its name."""

    shards: int
    """Shards."""

    documents: int
    """Documents."""

    tokens: int
    """Ids, those that end documents included."""

    bytes: int
    """Bytes of text."""

    bytes_per_token: float | None
    """Bytes of text for each id that is text; None without any."""

    shortest: int
    """Tokens of the shortest document, its end-of-text token included; 0 without any."""

    median: float
    """Tokens of the document in the middle."""

    longest: int
    """Tokens of the longest document."""

    lengths: tuple[LengthBin, ...]
    """How many documents have how many tokens, in bins that double."""


@dataclass(frozen=True)
class TokenizedDocument:
    """A document as the model will see it."""

    split: str
    """The split it belongs to."""

    shard: str
    """The shard it is in."""

    document_idx: int
    """Its number in that shard."""

    tokens: tuple[bytes, ...]
    """The bytes of its tokens, without the end-of-text token, as far as they were asked for."""

    num_tokens: int
    """Tokens in all, the end-of-text token included."""


def inspect_splits(directory: str | os.PathLike[str]) -> list[SplitReport]:
    """Count what each split of a shard directory holds. Reads the indexes, not the ids.

    Raises:
        DataError: The directory is not a finished shard directory.
        FileNotFoundError: It does not exist.
    """
    directory = Path(directory)
    manifest = Manifest.load(directory)
    return [_report(directory, manifest, split) for split in manifest.splits]


def read_documents(
    directory: str | os.PathLike[str], split: str, *, count: int, max_tokens: int = 300
) -> Iterator[TokenizedDocument]:
    """Give the first documents of a split with the bytes of their tokens.

    Args:
        directory: The shard directory.
        split: `train` or `validation`.
        count: Documents to give at most.
        max_tokens: Tokens of each document to give at most.

    Raises:
        DataError: The directory is not a finished shard directory.
        FileNotFoundError: It does not exist.
        TokenizerError: The tokenizer in it is not the one that made the shards.
    """
    directory = Path(directory)
    manifest = Manifest.load(directory)
    tokenizer = Tokenizer.load(directory / TOKENIZER_DIRECTORY)
    manifest.require_tokenizer(tokenizer.fingerprint, owner=f"`{directory / TOKENIZER_DIRECTORY}`")
    for shard in manifest.shards:
        if shard.split != split:
            continue
        tokens = np.load(directory / shard.tokens_file, mmap_mode="r", allow_pickle=False)
        offsets = np.load(directory / shard.index_file, mmap_mode="r", allow_pickle=False)
        for document_idx in range(min(count, shard.documents)):
            start, end = int(offsets[document_idx]), int(offsets[document_idx + 1])
            shown = tokens[start : min(end - 1, start + max_tokens)].tolist()
            pieces = tuple(tokenizer.token_bytes(token_id) for token_id in shown)
            yield TokenizedDocument(split, shard.name, document_idx, pieces, end - start)
        count -= min(count, shard.documents)


def _report(directory: Path, manifest: Manifest, split: str) -> SplitReport:
    shards = [shard for shard in manifest.shards if shard.split == split]
    indexes = [np.load(directory / shard.index_file, mmap_mode="r", allow_pickle=False) for shard in shards]
    lengths = np.concatenate([np.diff(index).astype(np.int64) for index in indexes] or [np.empty(0, np.int64)])
    totals = manifest.splits["train" if split == "train" else "validation"]
    text_tokens = totals.tokens - totals.documents
    return SplitReport(
        split=split,
        shards=len(shards),
        documents=totals.documents,
        tokens=totals.tokens,
        bytes=totals.bytes,
        bytes_per_token=totals.bytes / text_tokens if text_tokens else None,
        shortest=int(lengths.min()) if lengths.size else 0,
        median=float(np.median(lengths)) if lengths.size else 0.0,
        longest=int(lengths.max(initial=0)),
        lengths=_bins(lengths),
    )


def _bins(lengths: NDArray[np.int64]) -> tuple[LengthBin, ...]:
    """Bins [1, 2), [2, 4), [4, 8), ... from the shortest to the longest document."""
    if not lengths.size:
        return ()
    exponents = np.floor(np.log2(lengths)).astype(int)
    counts = np.bincount(exponents)
    return tuple(
        LengthBin(1 << exponent, 2 << exponent, int(counts[exponent]))
        for exponent in range(int(exponents.min()), len(counts))
    )
