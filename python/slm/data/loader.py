"""Batches of rows for training, in a resumable random order, read ahead on a thread."""

import queue
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Self

from slm.data.dataset import TokenDataset
from slm.data.mixture import Mixture, SourceShare
from slm.data.rows import ArrayPool, Batch, Packing, RowSource
from slm.errors import ConfigError, DataError

# Tokens that are read in one go, for batches much smaller: handing something to another thread takes about as long as
# reading 10,000 tokens. Larger ones leave the second-level cache.
_READ_TOKENS = 1 << 16
_PREFETCHED_READS = 3


@dataclass(frozen=True)
class LoaderState:
    """Where a loader is: all that another one needs to go on with the next row.

    Attributes:
        next_row: Position in the endless order of the first row not yet given out.
        seed: Seed of the order.
        row_tokens: Tokens in a row.
        fingerprint: `Mixture.fingerprint` of what the rows are cut from.
        packing: How documents become rows.
    """

    next_row: int
    seed: int
    row_tokens: int
    fingerprint: str
    packing: Packing = "stream"


def state_at(source: RowSource, next_row: int) -> LoaderState:
    """Describe a position in the order of a source."""
    return LoaderState(next_row, source.seed, source.row_tokens, source.mixture.fingerprint, source.packing)


def check_state(state: LoaderState, source: RowSource) -> None:
    """Refuse a position in another order.

    Args:
        state: What was saved.
        source: What is to go on with it.

    Raises:
        DataError: The state is of other shards or weights, of another row length, packing or seed, or is not a state at
            all.
    """
    here = state_at(source, 0)
    for name, there, what in [
        ("shards", state.fingerprint, here.fingerprint),
        ("row_tokens", state.row_tokens, here.row_tokens),
        ("packing", state.packing, here.packing),
        ("seed", state.seed, here.seed),
    ]:
        if there != what:
            raise DataError(
                f"the saved data position is of {name} {there}, this run has {what} in {source.mixture.name}\n\n"
                "hint: go on with the shards and settings that the run began with, or start a new run directory"
            )
    if state.next_row < 0:
        raise DataError(f"the saved data position is row {state.next_row}")


class Loader:
    """An endless iterator over batches of rows, epoch after epoch, that can go on from any row.

    Each epoch takes every row once, in an order that is a pure function of (seed, epoch, index); of several shard
    directories each has its own order and epochs. The state counts rows, so it does not depend on the batch size, nor
    on what was read ahead. A daemon thread reads ahead; `close`, leaving the `with` block or dropping the loader ends
    it.

    Args:
        data: The split to read, or several in proportions.
        row_tokens: T, tokens in a row.
        batch_rows: B, rows in a batch.
        seed: Seed of the order.
        packing: How documents become rows: `stream` or `best_fit`; see `slm.data.rows`.
        with_boundaries: Whether batches say where documents begin; see `slm.data.boundaries`.

    Raises:
        ConfigError: An argument is out of range.
        DataError: A split is too short for one row, or its files are not what the manifest says.

    Example:
        >>> with Loader(TokenDataset("shards"), row_tokens=256, batch_rows=8, seed=0) as loader:  # doctest: +SKIP
        ...     batch = next(loader)
    """

    def __init__(
        self,
        data: TokenDataset | Mixture,
        *,
        row_tokens: int,
        batch_rows: int,
        seed: int,
        packing: Packing = "stream",
        with_boundaries: bool = False,
    ) -> None:
        if row_tokens < 1 or batch_rows < 1:
            raise ConfigError(f"a batch has at least 1 row of 1 token, not {batch_rows} of {row_tokens}")
        self.batch_rows = batch_rows
        self._source = RowSource(data, row_tokens, seed, packing=packing, with_boundaries=with_boundaries)
        self._next_row = 0
        self._ready: deque[Batch] = deque()
        self._reader: _Reader | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._reader is None:
            self._reader = _Reader(self._source, self.batch_rows, self._next_row)
            weakref.finalize(self, self._reader.close)
        if not self._ready:
            self._ready.extend(self._reader.get())
        batch = self._ready.popleft()
        self._next_row = batch.first_row + self.batch_rows
        return batch

    @property
    def num_rows(self) -> int:
        """Rows of all sources."""
        return self._source.num_rows

    @property
    def epoch(self) -> float:
        """Passes over the rows so far; 1.5 is in the middle of the second. Of several sources it is their mean."""
        return self._next_row / self.num_rows

    @property
    def padding_share(self) -> float:
        """Share of the positions that hold no token; 0 unless `packing="best_fit"`."""
        return self._source.padding_share

    def shares(self) -> list[SourceShare]:
        """Tell what each source has given so far."""
        return self._source.shares(self._next_row)

    def state(self) -> LoaderState:
        """Tell where the next batch starts."""
        return state_at(self._source, self._next_row)

    def load_state(self, state: LoaderState) -> None:
        """Go on where another loader was; the batch size may differ.

        Raises:
            DataError: The state is of other shards or weights, of another row length, packing or seed, or is not a
                state at all.
        """
        check_state(state, self._source)
        self.close()
        self._next_row = state.next_row

    def close(self) -> None:
        """End the thread; the loader can be used again and goes on with the next row."""
        self._ready.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader:
    """The thread that reads ahead.

    Reads come through one queue, and through another the thread is told that there is room for one more; both are of
    the kind that costs least. It refers to no loader, so a dropped loader is collected and its thread ends.
    """

    def __init__(self, source: RowSource, batch_rows: int, first_row: int) -> None:
        self._reads: queue.SimpleQueue[list[Batch] | BaseException] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_PREFETCHED_READS):
            self._room.put(None)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=_read,
            args=(source, batch_rows, first_row, self._reads, self._room, self._closing),
            name="slm-loader",
            daemon=True,
        )
        self._thread.start()

    def get(self) -> list[Batch]:
        item = self._reads.get()
        if isinstance(item, BaseException):
            self._reads.put(item)  # asked again, it says the same instead of waiting for ever
            raise item
        self._room.put(None)
        return item

    def close(self) -> None:
        self._closing.set()
        self._room.put(None)  # wakes a thread that waits for room
        if self._thread is not threading.current_thread():
            self._thread.join()


def _read(
    source: RowSource,
    batch_rows: int,
    first_row: int,
    reads: "queue.SimpleQueue[list[Batch] | BaseException]",
    room: "queue.SimpleQueue[None]",
    closing: threading.Event,
) -> None:
    """Read whenever there is room until told to stop; an error goes to whoever asks for batches."""
    row = first_row
    batches = max(1, _READ_TOKENS // (batch_rows * source.row_tokens))
    # Those in the queue, the one being read, the one being given out, and one that the trainer is not done with.
    pool = ArrayPool(_PREFETCHED_READS + 3)
    while True:
        room.get()
        if closing.is_set():
            return
        try:
            try:
                item = _read_batches(source, row, batch_rows, batches, pool)
            except DataError:
                batches = 1  # the batches before the one that cannot be read are good
                item = _read_batches(source, row, batch_rows, batches, pool)
        except BaseException as err:  # noqa: BLE001
            reads.put(err)
            return
        reads.put(item)
        row += batches * batch_rows


def _read_batches(source: RowSource, row: int, batch_rows: int, batches: int, pool: ArrayPool) -> list[Batch]:
    arrays = source.read(row, batches * batch_rows, pool)
    return [
        arrays.batch(start, start + batch_rows, row + start) for start in range(0, batches * batch_rows, batch_rows)
    ]
