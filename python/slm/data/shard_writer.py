"""Write shards from arrays of ids, with the same bytes as the Rust core writes them from text."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slm import _core
from slm.data.manifest import ShardEntry, Totals

HEADER_BYTES = 4096
"""Bytes before the array in a file of a shard."""


def npy_header(dtype: np.dtype[Any], length: int) -> bytes:
    """The header of a one-dimensional `.npy` file, as all files of shards have it."""
    fields = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({length},), }}"
    prefix = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return (prefix + fields.encode()).ljust(HEADER_BYTES - 1) + b"\n"


class SplitWriter:
    """The shards of one split, opened and closed as documents come; a document never crosses a shard.

    Args:
        directory: Where to write.
        split: The split.
        first_number: Number of the first shard.
        dtype: What an id is stored as, little-endian.
        shard_tokens: Ids after which a shard is closed; the document that reaches it still belongs to it.
    """

    def __init__(
        self,
        directory: Path,
        split: Literal["train", "validation"],
        *,
        first_number: int,
        dtype: np.dtype[Any],
        shard_tokens: int,
    ) -> None:
        self._directory = directory
        self._split: Literal["train", "validation"] = split
        self._next_number = first_number
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self._shard: _ShardWriter | None = None
        self.entries: list[ShardEntry] = []

    def append(self, ids: NDArray[Any], is_end: NDArray[np.bool_], text_bytes: NDArray[np.int64]) -> None:
        """Take the next ids.

        Args:
            ids: Ids, (N,).
            is_end: Which of them end a document, (N,).
            text_bytes: Bytes of text of each, (N,).
        """
        ends = np.flatnonzero(is_end) + 1
        start = 0
        while start < len(ids):
            if self._shard is None:
                self._shard = _ShardWriter(self._directory, f"shard-{self._next_number:05d}", self._dtype)
                self._next_number += 1
            # The first document end at which the shard has enough.
            full = np.searchsorted(ends, max(start + 1, start + self._shard_tokens - self._shard.num_tokens))
            stop = int(ends[full]) if full < len(ends) else len(ids)
            inside = ends[slice(*np.searchsorted(ends, [start, stop], side="right"))] - start
            self._shard.append(ids[start:stop], inside, int(text_bytes[start:stop].sum()))
            if full < len(ends):
                self._close_shard()
            start = stop

    def finish(self) -> Totals:
        """Close the last shard and add all of them up."""
        self._close_shard()
        return Totals(
            tokens=sum(entry.tokens for entry in self.entries),
            documents=sum(entry.documents for entry in self.entries),
            bytes=sum(entry.bytes for entry in self.entries),
        )

    def abandon(self) -> None:
        """Close the files of the open shard as they are."""
        if self._shard is not None:
            self._shard.abandon()
            self._shard = None

    def _close_shard(self) -> None:
        if self._shard is not None:
            self.entries.append(self._shard.finish(self._split))
            self._shard = None


class _ShardWriter:
    """One shard: its ids and the offsets of its documents."""

    def __init__(self, directory: Path, name: str, dtype: np.dtype[Any]) -> None:
        self._name = name
        self._tokens = _ArrayWriter(directory / f"{name}.npy", dtype)
        self._index = _ArrayWriter(directory / f"{name}.index.npy", np.dtype("<u8"))
        self._index.append(np.zeros(1, "<u8"))
        self._text_bytes = 0

    @property
    def num_tokens(self) -> int:
        return self._tokens.length

    def append(self, ids: NDArray[Any], ends: NDArray[np.int64], text_bytes: int) -> None:
        self._index.append(ends + self._tokens.length)
        self._tokens.append(ids)
        self._text_bytes += text_bytes

    def finish(self, split: Literal["train", "validation"]) -> ShardEntry:
        tokens_xxh3, tokens_blocks_xxh3 = self._tokens.finish()
        index_xxh3, index_blocks_xxh3 = self._index.finish()
        return ShardEntry(
            name=self._name,
            split=split,
            tokens=self._tokens.length,
            documents=self._index.length - 1,
            bytes=self._text_bytes,
            tokens_xxh3=tokens_xxh3,
            index_xxh3=index_xxh3,
            tokens_blocks_xxh3=tokens_blocks_xxh3,
            index_blocks_xxh3=index_blocks_xxh3,
        )

    def abandon(self) -> None:
        self._tokens.abandon()
        self._index.abandon()


class _ArrayWriter:
    """A `.npy` file that grows; its header has the room of a page and is written when the length is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._path = path
        self._dtype = dtype
        self._file = path.open("xb")
        self._file.write(bytes(HEADER_BYTES))
        self.length = 0

    def append(self, elements: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(elements, self._dtype).data)
        self.length += len(elements)

    def finish(self) -> tuple[str, str]:
        """Complete the file, bring it to the disk and give its checksum and those of its blocks."""
        with self._file:
            self._file.seek(0)
            self._file.write(npy_header(self._dtype, self.length))
            self._file.flush()
            os.fsync(self._file.fileno())
        return _core.file_checksums(self._path)

    def abandon(self) -> None:
        self._file.close()
