"""The tokens of one split of a shard directory, as one long array that is never in memory whole."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slm.data.manifest import Manifest, ShardEntry
from slm.errors import DataError

TokenArray = NDArray[np.uint16 | np.uint32]


class TokenDataset:
    """A split of a shard directory: every token of it in document order, mapped from the files on demand.

    Opening it reads the manifest and the header of each shard and compares the two; tokens are read when they are asked
    for.

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
        self._maps = [self._open(entry) for entry in self.shards]
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
            The ids, (count,), uint16 or uint32 as stored; a read-only view of the file where one shard holds them all.

        Raises:
            IndexError: The range leaves [0, num_tokens).
        """
        stop = start + count
        if start < 0 or count < 0 or stop > self.num_tokens:
            raise IndexError(f"tokens [{start}, {stop}) of a split of {self.num_tokens} tokens")
        shard_idx = int(np.searchsorted(self._starts, start, side="right")) - 1
        offset = start - int(self._starts[shard_idx])
        if count and stop <= self._starts[shard_idx + 1]:
            return self._maps[shard_idx][offset : offset + count]
        # With shards of 3 and 4 tokens, tokens(2, 3) takes [2:3] of the first, then [0:2] of the second.
        pieces: list[TokenArray] = []
        while count:
            piece = self._maps[shard_idx][offset : offset + count]
            pieces.append(piece)
            count -= len(piece)
            shard_idx, offset = shard_idx + 1, 0
        return np.concatenate(pieces) if pieces else self._maps[0][:0]

    def documents(self) -> Iterator[TokenArray]:
        """Give each document's ids in order, its end-of-text id last, as a read-only view of the shard.

        Raises:
            DataError: The offsets of a shard do not rise from 0 to its number of tokens.
        """
        for entry, tokens in zip(self.shards, self._maps, strict=True):
            path = self.shards_dir / entry.index_file
            offsets = _load(path)
            valid = offsets.shape == (entry.documents + 1,) and offsets.dtype == np.uint64
            if not valid or offsets[0] != 0 or offsets[-1] != len(tokens) or np.any(offsets[1:] < offsets[:-1]):
                raise DataError(
                    f"`{path}` does not hold {entry.documents + 1} rising offsets from 0 to {len(tokens)}\n\n"
                    f"hint: `slm data verify {self.shards_dir}` says which shards are damaged; rebuild them"
                )
            for document_idx in range(entry.documents):
                yield tokens[int(offsets[document_idx]) : int(offsets[document_idx + 1])]

    def locate(self, position: int) -> str:
        """Say where a token is, for messages: the shard's file and the position in it."""
        shard_idx = int(np.searchsorted(self._starts, position, side="right")) - 1
        path = self.shards_dir / self.shards[shard_idx].tokens_file
        return f"`{path}` at token {position - int(self._starts[shard_idx])}"

    def _open(self, entry: ShardEntry) -> TokenArray:
        path = self.shards_dir / entry.tokens_file
        tokens = _load(path)
        if tokens.dtype != np.dtype(self.manifest.dtype) or tokens.shape != (entry.tokens,):
            raise DataError(
                f"`{path}` is {tokens.dtype} of shape {tokens.shape}, the manifest says {self.manifest.dtype} of shape "
                f"({entry.tokens},)\n\nhint: rebuild the shards with `slm data build`"
            )
        return tokens


def _load(path: Path) -> NDArray[Any]:
    """Map an `.npy` file read-only, as a plain array so that slices cost no subclass."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as err:
        raise DataError(f"`{path}` is not a whole .npy file: {err}\n\nhint: rebuild it with `slm data build`") from err
