"""The tokens of one split of a shard directory, as one long array that is never in memory whole."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slm.data.manifest import Manifest
from slm.errors import DataError

TokenArray: TypeAlias = NDArray[np.uint16 | np.uint32]

ArrayPlace: TypeAlias = tuple[Path, int, int]
"""A file, the bytes before its array, and the elements of the array."""

_OFFSETS_AT_ONCE = 1 << 13


class TokenDataset:
    """A split of a shard directory: every token of it in document order, read from the files on demand.

    Opening it reads the manifest and the header of each shard and compares the two; tokens are read when they are asked
    for. Nothing is mapped: what is resident does not grow with what was read, and a file that was cut off is an error.

    Args:
        shards_dir: Directory that `slm data build` wrote.
        split: `train` or `validation`.

    Raises:
        DataError: The split holds no shard, or a shard is not the array that the manifest describes.
        FileNotFoundError: The directory, its manifest or a shard is missing.

    Example:
        >>> dataset = TokenDataset("shards", "validation")  # doctest: +SKIP
        >>> dataset.tokens(0, 4)  # doctest: +SKIP
        array([ 262, 3290,  318,  262], dtype=uint16)
    """

    def __init__(self, shards_dir: str | os.PathLike[str], split: str = "train") -> None:
        self.shards_dir = Path(shards_dir)
        self.split = split
        self.manifest = Manifest.load(self.shards_dir)
        self.shards = [entry for entry in self.manifest.shards if entry.split == split and entry.tokens]
        if not self.shards:
            held = ", ".join(f"`{name}`" for name, totals in self.manifest.splits.items() if totals.tokens) or "nothing"
            raise DataError(
                f"`{self.shards_dir}` has no tokens in split `{split}`; it holds {held}\n\n"
                "hint: rebuild the shards with a larger `validation_fraction` or from more text"
            )
        dtype = np.dtype(self.manifest.dtype)
        self.token_arrays = [self._place(entry.tokens_file, dtype, entry.tokens) for entry in self.shards]
        self.index_arrays = [
            self._place(entry.index_file, np.dtype(np.uint64), entry.documents + 1) for entry in self.shards
        ]
        self._starts = np.cumsum([0, *(entry.tokens for entry in self.shards)], dtype=np.int64)
        self.num_tokens = int(self._starts[-1])
        self.num_documents = sum(entry.documents for entry in self.shards)
        self.num_bytes = sum(entry.bytes for entry in self.shards)

    @property
    def vocab_size(self) -> int:
        """Number of ids of the tokenizer that wrote the shards."""
        return self.manifest.tokenizer.vocab_size

    @property
    def end_of_text_id(self) -> int:
        """The id that ends each document."""
        return self.manifest.tokenizer.end_of_text_id

    @property
    def tokenizer_fingerprint(self) -> str:
        """Fingerprint of the tokenizer that wrote the shards."""
        return self.manifest.tokenizer.fingerprint

    @property
    def fingerprint(self) -> str:
        """Identity of the tokens in this order: a hash of each shard's length and checksum and of the tokenizer."""
        parts = [f"{entry.tokens}:{entry.tokens_xxh3}" for entry in self.shards]
        return sha256("\n".join([self.tokenizer_fingerprint, *parts]).encode()).hexdigest()[:32]

    def tokens(self, start: int, count: int) -> TokenArray:
        """Read consecutive tokens; the end of one shard runs into the start of the next.

        Args:
            start: Position of the first token in the split.
            count: Number of tokens.

        Returns:
            The ids, (count,), uint16 or uint32 as stored.

        Raises:
            DataError: A shard has become shorter.
            IndexError: The range leaves [0, num_tokens).
        """
        stop = start + count
        if start < 0 or count < 0 or stop > self.num_tokens:
            raise IndexError(f"tokens [{start}, {stop}) of a split of {self.num_tokens} tokens")
        shard_idx = int(np.searchsorted(self._starts, start, side="right")) - 1
        offset = start - int(self._starts[shard_idx])
        dtype = np.dtype(self.manifest.dtype)
        # With shards of 3 and 4 tokens, tokens(2, 3) takes [2:3] of the first, then [0:2] of the second.
        pieces: list[TokenArray] = []
        while count:
            path, header_bytes, held = self.token_arrays[shard_idx]
            wanted = min(count, held - offset)
            pieces.append(np.fromfile(path, dtype, wanted, offset=header_bytes + offset * dtype.itemsize))
            if len(pieces[-1]) < wanted:
                raise _ended_early(path)
            count -= wanted
            shard_idx, offset = shard_idx + 1, 0
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, dtype)])

    def documents(self) -> Iterator[TokenArray]:
        """Give each document's ids in order, its end-of-text id last.

        Raises:
            DataError: The offsets of a shard do not rise from 0 to its number of tokens, or it has become shorter.
        """
        dtype = np.dtype(self.manifest.dtype)
        for (path, header_bytes, num_tokens), index in zip(self.token_arrays, self.index_arrays, strict=True):
            with path.open("rb") as file:
                file.seek(header_bytes)
                for length in _document_lengths(index, num_tokens):
                    ids = np.fromfile(file, dtype, length)
                    if len(ids) < length:
                        raise _ended_early(path)
                    yield ids

    def locate(self, position: int) -> str:
        """Say where a token is, for messages: the shard's file and the position in it."""
        shard_idx = int(np.searchsorted(self._starts, position, side="right")) - 1
        path = self.shards_dir / self.shards[shard_idx].tokens_file
        return f"`{path}` at token {position - int(self._starts[shard_idx])}"

    def _place(self, name: str, dtype: np.dtype[Any], length: int) -> ArrayPlace:
        """Compare the header of a shard's file with the manifest, and find where its array begins."""
        path = self.shards_dir / name
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read_header = np.lib.format.read_array_header_1_0
                shape, is_fortran, found = read_header(file) if version == (1, 0) else ((), True, np.dtype("V"))
                header_bytes = file.tell()
        except ValueError as err:
            raise DataError(
                f"`{path}` is not a whole .npy file: {err}\n\nhint: rebuild it with `slm data build`"
            ) from err
        if found != dtype.newbyteorder("<") or shape != (length,) or is_fortran:
            raise DataError(
                f"`{path}` is {found} of shape {shape}, the manifest says {dtype} of shape ({length},)\n\n"
                "hint: rebuild the shards with `slm data build`"
            )
        return path, header_bytes, length


def _document_lengths(index: ArrayPlace, num_tokens: int) -> Iterator[int]:
    """Read an index a stretch at a time and give the length of each document."""
    path, header_bytes, left = index
    last = 0
    with path.open("rb") as file:
        file.seek(header_bytes)
        # The first offset is where the first document starts, not where one ends.
        if np.fromfile(file, np.dtype("<u8"), 1).tolist() != [0]:
            raise _not_rising(index, num_tokens)
        left -= 1
        while left:
            offsets = np.fromfile(file, np.dtype("<u8"), min(left, _OFFSETS_AT_ONCE)).astype(np.int64)
            left -= len(offsets)
            lengths = np.diff(offsets, prepend=last)
            is_valid = len(offsets) and (lengths >= 0).all() and offsets[-1] <= num_tokens
            if not is_valid or (not left and offsets[-1] != num_tokens):
                raise _not_rising(index, num_tokens)
            yield from lengths.tolist()
            last = int(offsets[-1])


def _not_rising(index: ArrayPlace, num_tokens: int) -> DataError:
    path, _, length = index
    return DataError(
        f"`{path}` does not hold {length} rising offsets from 0 to {num_tokens}\n\n"
        f"hint: `slm data verify {path.parent}` says which shards are damaged; rebuild them"
    )


def _ended_early(path: Path) -> DataError:
    return DataError(
        f"`{path}` ends early: it was changed while it was read\n\n"
        "hint: copy it again from where it came, or rebuild the shards with `slm data build`"
    )
