"""Look inside a shard directory: totals, lengths of documents, and documents with their token borders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slm.data.manifest import TOKENIZER_DIRECTORY, Manifest
from slm.tokenizer.tokenizer import Tokenizer

_CHUNK_DOCUMENTS = 1 << 20
_MAX_COUNTED = 1 << 16


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


@dataclass(frozen=True)
class SourceReport:
    """One path of the corpus in figures."""

    path: str | None
    """The path, directory, glob or list as it was given; None for documents in memory."""

    files: int
    """Files."""

    documents: int
    """Documents in the shards."""

    tokens: int
    """Their ids, those that end documents included."""

    share: float
    """The part of all ids that is from here, from 0 to 1."""

    bytes: int
    """Bytes of text."""

    bytes_per_token: float | None
    """Bytes of text for each id that is text; None without any."""

    skipped: dict[str, int]
    """Documents that are in no shard, by reason."""


def inspect_sources(directory: str | os.PathLike[str]) -> list[SourceReport]:
    """Tell what is from each path of the corpus, in the order they were given; empty where the manifest does not say.

    Raises:
        DataError: The directory is not a finished shard directory.
        FileNotFoundError: It does not exist.
    """
    manifest = Manifest.load(directory)
    total = sum(source.tokens for source in manifest.sources)
    return [
        SourceReport(
            path=source.path,
            files=source.files,
            documents=source.documents,
            tokens=source.tokens,
            share=source.tokens / total if total else 0.0,
            bytes=source.bytes,
            bytes_per_token=source.bytes / text_tokens if (text_tokens := source.tokens - source.documents) else None,
            skipped=dict(source.skipped),
        )
        for source in manifest.sources
    ]


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
    lengths = _Lengths()
    for shard in shards:
        offsets = np.load(directory / shard.index_file, mmap_mode="r", allow_pickle=False)
        for start in range(0, shard.documents, _CHUNK_DOCUMENTS):
            lengths.add(np.diff(offsets[start : start + _CHUNK_DOCUMENTS + 1]).astype(np.int64))
    totals = manifest.splits["train" if split == "train" else "validation"]
    text_tokens = totals.tokens - totals.documents
    return SplitReport(
        split=split,
        shards=len(shards),
        documents=totals.documents,
        tokens=totals.tokens,
        bytes=totals.bytes,
        bytes_per_token=totals.bytes / text_tokens if text_tokens else None,
        shortest=lengths.at(0),
        median=(lengths.at((lengths.count - 1) // 2) + lengths.at(lengths.count // 2)) / 2,
        longest=lengths.at(lengths.count - 1),
        lengths=lengths.bins(),
    )


class _Lengths:
    """How often each length occurs, in memory that hardly grows with the number of documents."""

    def __init__(self) -> None:
        self._counts = np.zeros(_MAX_COUNTED, np.int64)
        # A shard holds few documents as long as these.
        self._longer: list[NDArray[np.int64]] = []
        self.count = 0

    def add(self, lengths: NDArray[np.int64]) -> None:
        is_longer = lengths >= _MAX_COUNTED
        self._counts += np.bincount(lengths[~is_longer], minlength=_MAX_COUNTED)
        self._longer.append(lengths[is_longer])
        self.count += len(lengths)

    def at(self, rank: int) -> int:
        """The length of the document that is the `rank`-th shortest; 0 without any."""
        if not self.count:
            return 0
        counted = int(self._counts.sum())
        if rank < counted:
            return int(np.searchsorted(np.cumsum(self._counts), rank, side="right"))
        return int(np.sort(np.concatenate(self._longer))[rank - counted])

    def bins(self) -> tuple[LengthBin, ...]:
        """Bins [1, 2), [2, 4), [4, 8), ... from the shortest to the longest document."""
        if not self.count:
            return ()
        lengths = np.flatnonzero(self._counts)
        longer = np.concatenate([np.empty(0, np.int64), *self._longer])
        exponents = np.floor(np.log2(np.concatenate([lengths, longer]))).astype(int)
        weights = np.concatenate([self._counts[lengths], np.ones(len(longer), np.int64)])
        counts = np.bincount(exponents, weights=weights)
        return tuple(
            LengthBin(1 << exponent, 2 << exponent, int(counts[exponent]))
            for exponent in range(int(exponents.min()), len(counts))
        )
