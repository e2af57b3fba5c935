"""Rows of token ids for training, in a resumable random order, read ahead on a thread."""

import contextlib
import queue
import threading
import weakref
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slm.data.dataset import TokenDataset
from slm.data.order import Permutation
from slm.errors import ConfigError, DataError

_PREFETCHED_BATCHES = 4
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Batch:
    """Rows to train on.

    Attributes:
        input_ids_BT: What the model reads; (B, T), int64.
        target_ids_BT: What it is to predict, the inputs one token later; (B, T), int64.
        first_row: Position of the first row in the endless order, counted over all epochs.
    """

    input_ids_BT: NDArray[np.int64]
    target_ids_BT: NDArray[np.int64]
    first_row: int


@dataclass(frozen=True)
class LoaderState:
    """Where a loader is: all that another one needs to go on with the next row.

    Attributes:
        next_row: Position in the endless order of the first row not yet given out.
        seed: Seed of the order.
        row_tokens: Tokens in a row.
        fingerprint: `TokenDataset.fingerprint` of what the rows are cut from.
    """

    next_row: int
    seed: int
    row_tokens: int
    fingerprint: str


def check_state(state: LoaderState, here: LoaderState, dataset: TokenDataset) -> None:
    """Refuse a position in another order.

    Args:
        state: What was saved.
        here: The state of whoever is to go on with it.
        dataset: What it reads, for the message.

    Raises:
        DataError: The state is of other shards, of another row length or of another seed, or is not a state at all.
    """
    for name, there, what in [
        ("shards", state.fingerprint, here.fingerprint),
        ("row_tokens", state.row_tokens, here.row_tokens),
        ("seed", state.seed, here.seed),
    ]:
        if there != what:
            raise DataError(
                f"the saved data position is of {name} {there}, this run has {what} in `{dataset.shards_dir}`\n\n"
                "hint: go on with the shards and settings that the run began with, or start a new run directory"
            )
    if state.next_row < 0:
        raise DataError(f"the saved data position is row {state.next_row}")


def row_count(dataset: TokenDataset, row_tokens: int) -> int:
    """Count the rows that a split is cut into.

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


def read_rows(dataset: TokenDataset, rows: NDArray[np.int64], row_tokens: int) -> NDArray[np.int64]:
    """Read rows and check their ids.

    Args:
        dataset: The split.
        rows: Numbers of the rows, in [0, row_count); (B,).
        row_tokens: T, tokens in a row.

    Returns:
        (B, T + 1) ids, int64: column t is the input at t, column t + 1 its target.

    Raises:
        DataError: An id is not in the tokenizer's vocabulary.
    """
    ids_BU = np.empty((len(rows), row_tokens + 1), dtype=np.int64)
    for b, row in enumerate(rows.tolist()):
        ids_BU[b] = dataset.tokens(row * row_tokens, row_tokens + 1)
    if ids_BU.max(initial=0) >= dataset.vocab_size:
        b, t = np.argwhere(ids_BU >= dataset.vocab_size)[0].tolist()
        place = dataset.locate(int(rows[b]) * row_tokens + t)
        raise DataError(
            f"token id {ids_BU[b, t]} in {place} is outside the vocabulary of {dataset.vocab_size}\n\n"
            f"hint: `slm data verify {dataset.shards_dir}` says which shards are damaged; rebuild them"
        )
    return ids_BU


class Loader:
    """An endless iterator over batches of rows, epoch after epoch, that can go on from any row.

    Documents are packed end to end and cut into rows; each epoch takes every row once, in an order that is a pure
    function of (seed, epoch, index). The state counts rows, so it does not depend on the batch size, nor on what was
    read ahead. A daemon thread reads ahead; `close`, leaving the `with` block or dropping the loader ends it.

    Args:
        dataset: The split to read.
        row_tokens: T, tokens in a row.
        batch_rows: B, rows in a batch.
        seed: Seed of the order.

    Raises:
        DataError: The split is too short for one row.

    Example:
        >>> with Loader(TokenDataset("shards"), row_tokens=256, batch_rows=8, seed=0) as loader:  # doctest: +SKIP
        ...     batch = next(loader)
    """

    def __init__(self, dataset: TokenDataset, *, row_tokens: int, batch_rows: int, seed: int) -> None:
        if row_tokens < 1 or batch_rows < 1:
            raise ConfigError(f"a batch has at least 1 row of 1 token, not {batch_rows} of {row_tokens}")
        self.dataset = dataset
        self.row_tokens = row_tokens
        self.batch_rows = batch_rows
        self.seed = seed
        self.num_rows = row_count(dataset, row_tokens)
        self._next_row = 0
        self._reader: _Reader | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._reader is None:
            source = RowSource(self.dataset, self.row_tokens, self.batch_rows, self.seed, self.num_rows)
            self._reader = _Reader(source, self._next_row)
            weakref.finalize(self, self._reader.close)
        batch = self._reader.get()
        self._next_row = batch.first_row + self.batch_rows
        return batch

    @property
    def epoch(self) -> float:
        """Passes over the split so far; 1.5 is in the middle of the second."""
        return self._next_row / self.num_rows

    def state(self) -> LoaderState:
        """Tell where the next batch starts."""
        return LoaderState(self._next_row, self.seed, self.row_tokens, self.dataset.fingerprint)

    def load_state(self, state: LoaderState) -> None:
        """Go on where another loader was; the batch size may differ.

        Raises:
            DataError: The state is of other shards, of another row length or of another seed, or is not a state at all.
        """
        check_state(state, self.state(), self.dataset)
        self.close()
        self._next_row = state.next_row

    def close(self) -> None:
        """End the thread; the loader can be used again and goes on with the next row."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class RowSource:
    """Makes the batch at any position; it refers to no loader, so a dropped loader is collected and its thread ends."""

    dataset: TokenDataset
    row_tokens: int
    batch_rows: int
    seed: int
    num_rows: int

    def batch(self, first_row: int) -> Batch:
        """Read the batch that begins at a position of the endless order."""
        positions = np.arange(first_row, first_row + self.batch_rows, dtype=np.int64)
        epochs, indices = np.divmod(positions, self.num_rows)
        rows = np.empty_like(positions)
        for epoch in np.unique(epochs).tolist():  # more than one where a batch crosses into the next epoch
            of_epoch = epochs == epoch
            rows[of_epoch] = Permutation(self.num_rows, self.seed, epoch)(indices[of_epoch])
        ids_BU = read_rows(self.dataset, rows, self.row_tokens)
        return Batch(np.ascontiguousarray(ids_BU[:, :-1]), np.ascontiguousarray(ids_BU[:, 1:]), first_row)


class _Reader:
    """The thread that reads ahead, and the bounded queue between it and the loader."""

    def __init__(self, source: RowSource, first_row: int) -> None:
        self._batches: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=_PREFETCHED_BATCHES)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=_read, args=(source, first_row, self._batches, self._closing), name="slm-loader", daemon=True
        )
        self._thread.start()

    def get(self) -> Batch:
        item = self._batches.get()
        if isinstance(item, BaseException):
            self._batches.put(item)  # asked again, it says the same instead of waiting for ever
            raise item
        return item

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(queue.Empty):
            while True:  # make room, so that a reader waiting to put a batch sees the request at once
                self._batches.get_nowait()
        if self._thread is not threading.current_thread():
            self._thread.join()


def _read(
    source: RowSource, first_row: int, batches: "queue.Queue[Batch | BaseException]", closing: threading.Event
) -> None:
    """Fill the queue until told to stop; an error travels through the queue to whoever reads from it."""
    row = first_row
    while not closing.is_set():
        try:
            item: Batch | BaseException = source.batch(row)
        except BaseException as err:  # noqa: BLE001
            item = err
        while not closing.is_set():
            try:
                batches.put(item, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue
        if isinstance(item, BaseException):
            return
        row += source.batch_rows
