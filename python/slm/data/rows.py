"""Rows of token ids: how documents are packed into them, and the batch at any position of their endless order.

With `packing="stream"` documents lie end to end and are cut every T tokens: nothing is lost but a last incomplete row,
rows begin and end inside documents, and the target of a document's last token is the first of the next.

With `packing="best_fit"` no document is cut that fits into a row. Longer ones are cut into pieces of T and what is
left; then each, the longest first, goes into the fullest row with room. Every token is an input exactly once, and a
target exactly once unless it begins a document. Where a document ends, and at padding, there is nothing to predict and
the target is -100, which losses leave out. Padding repeats the end-of-text id.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slm import _core
from slm.data.boundaries import Boundaries
from slm.data.dataset import TokenDataset
from slm.data.mixture import Mixture, SourceShare
from slm.data.order import Permutation
from slm.errors import ConfigError, DataError

Packing: TypeAlias = Literal["stream", "best_fit"]
"""How documents become rows."""

NO_TARGET = -100
"""Target of a position that has nothing to predict."""

_MAX_OPEN_FILES = 256
_SEED_STEP = 0xD1B5_4A32_D192_ED03
# The attribute, the loop variable that looks at it, and the argument of `getrefcount`.
_OWN_REFERENCES = 3


@dataclass(frozen=True)
class Batch:
    """Rows to train on.

    Attributes:
        input_ids_BT: What the model reads; (B, T), int64.
        target_ids_BT: What it is to predict, the inputs one token later; (B, T), int64. With `packing="best_fit"`, -100
            at the end of a document and at padding.
        first_row: Position of the first row in the endless order, counted over all epochs.
        boundaries: Where documents begin, if that was asked for.
    """

    input_ids_BT: NDArray[np.int64]
    target_ids_BT: NDArray[np.int64]
    first_row: int
    boundaries: Boundaries | None = None

    @property
    def num_targets(self) -> int:
        """Targets that count."""
        return int(np.count_nonzero(self.target_ids_BT != NO_TARGET))


def row_count(dataset: TokenDataset, row_tokens: int) -> int:
    """Count the rows that a split is cut into as a stream.

    Row i is tokens [i*T, i*T + T + 1): T inputs, and the last row's target one further. For 10 tokens and T = 3 the
    rows start at 0, 3 and 6.

    Args:
        dataset: The split.
        row_tokens: T, tokens in a row.

    Raises:
        DataError: The split is too short for one row.
    """
    count = (dataset.num_tokens - 1) // row_tokens
    if count < 1:
        raise DataError(
            f"split `{dataset.split}` of `{dataset.shards_dir}` has {dataset.num_tokens} tokens, "
            f"one row of {row_tokens} needs {row_tokens + 1}\n\n"
            "hint: build the shards from more text, or lower `train.row_tokens`"
        )
    return count


class SplitRows:
    """The rows of one split, by number.

    Files are read, not mapped: what is resident does not grow with what was read. With `packing="best_fit"` the index
    files are read twice at the start, and where each piece begins, 8 bytes a piece, is kept in a file without a name in
    the directory for temporary files (`TMPDIR`), which goes when this object does.

    Args:
        dataset: The split.
        row_tokens: T, tokens in a row.
        packing: How documents become rows.
        with_boundaries: Whether rows come with positions and documents.
        max_open_files: Files of ids that stay open, and as many of offsets; others are opened for each row.

    Raises:
        DataError: The split is too short for one row, or its files are not what the manifest says.
    """

    def __init__(
        self,
        dataset: TokenDataset,
        row_tokens: int,
        *,
        packing: Packing = "stream",
        with_boundaries: bool = False,
        max_open_files: int = _MAX_OPEN_FILES,
    ) -> None:
        self.dataset = dataset
        self.row_tokens = row_tokens
        self.with_boundaries = with_boundaries
        if packing == "stream":
            row_count(dataset, row_tokens)
        self._reader = _core.RowReader(
            dataset.token_arrays,
            dataset.index_arrays,
            token_bytes=np.dtype(dataset.manifest.dtype).itemsize,
            vocab_size=dataset.vocab_size,
            end_of_text_id=dataset.end_of_text_id,
            row_tokens=row_tokens,
            best_fit_directory=Path(tempfile.gettempdir()) if packing == "best_fit" else None,
            boundaries=with_boundaries,
            max_open_files=max_open_files,
        )
        self.num_rows = self._reader.num_rows
        self.padding_tokens = self._reader.padding_tokens

    @property
    def num_tokens(self) -> int:
        """Tokens in all rows."""
        return self.num_rows * self.row_tokens - self.padding_tokens

    def read(self, rows: NDArray[np.int64], slots: NDArray[np.int64], arrays: "RowArrays") -> None:
        """Write rows into arrays.

        Args:
            rows: Numbers of the rows, in [0, num_rows).
            slots: Which row of the arrays each is written to.
            arrays: Where to.

        Raises:
            DataError: An id is not in the tokenizer's vocabulary, or a file has changed.
        """
        self._reader.read(
            rows, slots, arrays.input_ids_BT, arrays.target_ids_BT, arrays.position_ids_BT, arrays.document_ids_BT
        )


class RowArrays:
    """Arrays for rows that are to be read.

    Args:
        num_rows: B, rows.
        row_tokens: T, tokens in a row.
        with_boundaries: Whether positions and documents are read too.
    """

    def __init__(self, num_rows: int, row_tokens: int, *, with_boundaries: bool = False) -> None:
        shape = (num_rows, row_tokens)
        self.input_ids_BT = np.empty(shape, dtype=np.int64)
        self.target_ids_BT = np.empty(shape, dtype=np.int64)
        self.position_ids_BT = np.empty(shape, dtype=np.int64) if with_boundaries else None
        self.document_ids_BT = np.empty(shape, dtype=np.int32) if with_boundaries else None

    def batch(self, start: int, stop: int, first_row: int) -> Batch:
        """Take some of the rows as a batch that begins at `first_row` of the endless order."""
        boundaries = None
        if self.position_ids_BT is not None and self.document_ids_BT is not None:
            boundaries = Boundaries.of(self.position_ids_BT[start:stop], self.document_ids_BT[start:stop])
        return Batch(self.input_ids_BT[start:stop], self.target_ids_BT[start:stop], first_row, boundaries)

    def are_free(self) -> bool:
        """Whether no batch, and nothing made from one, still looks at the arrays.

        A view, a tensor or a buffer of an array keeps the array alive: the only reference left is the attribute's.
        """
        return all(sys.getrefcount(array) <= _OWN_REFERENCES for array in self.__dict__.values() if array is not None)


class ArrayPool:
    """Arrays that are used again once their batches are gone.

    Fresh memory costs more than what is done with it: the system hands it over a page at a time, full of zeros, and
    reading rows into it takes 2 to 9 ns a token instead of 1.3.

    Args:
        size: Sets of arrays that are kept, at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[RowArrays] = []

    def take(self, num_rows: int, row_tokens: int, *, with_boundaries: bool) -> RowArrays:
        """Give arrays that nobody uses, of rows that need not be empty."""
        for idx, arrays in enumerate(self._kept):
            if arrays.are_free():
                if len(arrays.input_ids_BT) == num_rows:
                    return arrays
                del self._kept[idx]
                break
        arrays = RowArrays(num_rows, row_tokens, with_boundaries=with_boundaries)
        if len(self._kept) < self._size:
            self._kept.append(arrays)
        return arrays


class RowSource:
    """The endless order of rows: batches at any position, a pure function of (shards, weights, seed, position).

    Args:
        data: One split, or several in proportions.
        row_tokens: T, tokens in a row.
        seed: Seed of the order.
        packing: How documents become rows.
        with_boundaries: Whether batches say where documents begin.

    Raises:
        ConfigError: `row_tokens` is not above 0.
        DataError: A split is too short for one row, or its files are not what the manifest says.
    """

    def __init__(
        self,
        data: TokenDataset | Mixture,
        row_tokens: int,
        seed: int,
        *,
        packing: Packing = "stream",
        with_boundaries: bool = False,
    ) -> None:
        if row_tokens < 1:
            raise ConfigError(f"a row has at least 1 token, not {row_tokens}")
        if packing not in ("stream", "best_fit"):
            raise ConfigError(f"`packing` is `{packing}`, and must be `stream` or `best_fit`")
        self.mixture = data if isinstance(data, Mixture) else Mixture([data])
        self.row_tokens = row_tokens
        self.seed = seed
        self.packing: Packing = packing
        self.with_boundaries = with_boundaries
        datasets = self.mixture.datasets
        self.splits = [
            SplitRows(
                dataset,
                row_tokens,
                packing=packing,
                with_boundaries=with_boundaries,
                max_open_files=_MAX_OPEN_FILES // len(datasets),
            )
            for dataset in datasets
        ]
        self.num_rows = sum(split.num_rows for split in self.splits)
        self.padding_tokens = sum(split.padding_tokens for split in self.splits)

    @property
    def padding_share(self) -> float:
        """Share of the positions that hold no token."""
        return self.padding_tokens / (self.num_rows * self.row_tokens)

    def batch(self, first_row: int, num_rows: int) -> Batch:
        """Read the batch that begins at a position of the endless order."""
        return self.read(first_row, num_rows).batch(0, num_rows, first_row)

    def read(self, first_row: int, num_rows: int, pool: ArrayPool | None = None) -> RowArrays:
        """Read the rows at `num_rows` positions from `first_row` on.

        Args:
            first_row: The first position.
            num_rows: How many.
            pool: Where the arrays come from; new ones if None.

        Raises:
            DataError: An id is not in the tokenizer's vocabulary, or a file has changed.
        """
        arrays = (pool or ArrayPool(0)).take(num_rows, self.row_tokens, with_boundaries=self.with_boundaries)
        positions = np.arange(first_row, first_row + num_rows, dtype=np.int64)
        if len(self.splits) == 1:
            self._read_split(0, positions, np.arange(num_rows, dtype=np.int64), arrays)
            return arrays
        sources, indices = self.mixture.schedule.locate(positions)
        for source_idx in np.unique(sources).tolist():
            slots = np.flatnonzero(sources == source_idx)
            self._read_split(source_idx, indices[slots], slots, arrays)
        return arrays

    def shares(self, next_row: int) -> list[SourceShare]:
        """Tell what each source has given before a position."""
        shares: list[SourceShare] = []
        for dataset, split, share, rows in zip(
            self.mixture.datasets,
            self.splits,
            self.mixture.shares,
            self.mixture.schedule.rows_before(next_row),
            strict=True,
        ):
            epochs, rest = divmod(rows, split.num_rows)
            tokens = epochs * split.num_tokens + rest * split.num_tokens // split.num_rows
            shares.append(SourceShare(str(dataset.shards_dir), share, rows, tokens, rows / split.num_rows))
        return shares

    def _read_split(
        self, source_idx: int, indices: NDArray[np.int64], slots: NDArray[np.int64], arrays: RowArrays
    ) -> None:
        """Read rows by their rising places in the endless order of one source."""
        split = self.splits[source_idx]
        seed = self.seed + source_idx * _SEED_STEP  # sources of equal size have orders of their own
        start = 0
        while start < len(indices):  # more than once where a batch crosses into the next epoch
            epoch = int(indices[start]) // split.num_rows
            stop = int(np.searchsorted(indices, (epoch + 1) * split.num_rows))
            of_epoch = slice(start, stop)
            order = Permutation(split.num_rows, seed, epoch)
            split.read(order(indices[of_epoch] - epoch * split.num_rows), slots[of_epoch], arrays)
            start = stop
