"""Rows of shards as a PyTorch `IterableDataset`, for trainers other than ours.

The order is that of `slm.data.loader`: a pure function of (shards, seed, epoch, index). Ranks and workers only deal it
out. With 2 ranks and 2 workers each, batches go like this, where each number is `batch_rows` rows of the order:

    rank 0: worker 0 takes 0, 4, 8, ...   worker 1 takes 2, 6, 10, ...
    rank 1: worker 0 takes 1, 5, 9, ...   worker 1 takes 3, 7, 11, ...

A `DataLoader` asks its workers in turn, so rank 0 sees 0, 2, 4, ... with any number of workers, and when every rank
has taken n batches, together they have taken the first 2n: a position is one number for all of them.
"""

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from slm.data.dataset import TokenDataset
from slm.data.loader import LoaderState, RowSource, check_state, row_count
from slm.errors import ConfigError, DataError


class RowDataset(IterableDataset[dict[str, Any]]):
    """Whole batches of rows, epoch after epoch, without end, from any position on.

    Give it to a `DataLoader` with `batch_size=None`. Each batch is a dictionary: `input_ids` and `target_ids`, the same
    one token later, both (B, T) and int64, and `next_row`, where all ranks together go on after it. Workers may be
    forked or spawned. Iterating again begins at the position of the last `load_state_dict`, or without workers where
    the iteration before ended.

    Args:
        shards_dir: Directory that `slm data build` wrote.
        row_tokens: T, tokens in a row.
        batch_rows: B, rows in a batch of one rank.
        seed: Seed of the order.
        split: `train` or `validation`.
        rank: Which of the processes that train together this is.
        world_size: How many they are.

    Raises:
        ConfigError: An argument is out of range.
        DataError: The split is missing or too short for one row, or a shard is not what the manifest says.

    Example:
        >>> dataset = RowDataset("shards", row_tokens=1024, batch_rows=16, seed=0)  # doctest: +SKIP
        >>> for batch in DataLoader(dataset, batch_size=None, num_workers=2):  # doctest: +SKIP
        ...     loss = train_on(batch["input_ids"], batch["target_ids"])
        ...     state = dataset.state_dict(batch)
    """

    def __init__(
        self,
        shards_dir: str | os.PathLike[str],
        *,
        row_tokens: int,
        batch_rows: int,
        seed: int,
        split: str = "train",
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if row_tokens < 1 or batch_rows < 1:
            raise ConfigError(f"a batch has at least 1 row of 1 token, not {batch_rows} of {row_tokens}")
        if not 0 <= rank < world_size:
            raise ConfigError(f"`rank` is {rank}, with `world_size` {world_size} it is from 0 to {world_size - 1}")
        self.row_tokens = row_tokens
        self.batch_rows = batch_rows
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.dataset = TokenDataset(shards_dir, split)
        self.num_rows = row_count(self.dataset, row_tokens)
        self._next_row = 0
        self._is_read_by_workers = mmap.mmap(-1, 1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        source = RowSource(self.dataset, self.row_tokens, self.batch_rows, self.seed, self.num_rows)
        worker = get_worker_info()
        worker_idx, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        self._is_read_by_workers[0] = worker is not None
        rows_of_all = self.batch_rows * self.world_size
        first_row = self._next_row + worker_idx * rows_of_all
        while True:
            batch = source.batch(first_row + self.rank * self.batch_rows)
            next_row = first_row + rows_of_all
            self._next_row = next_row
            yield {
                "input_ids": torch.from_numpy(batch.input_ids_BT),
                "target_ids": torch.from_numpy(batch.target_ids_BT),
                "next_row": next_row,
            }
            first_row += num_workers * rows_of_all

    def state_dict(self, batch: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tell where to go on, for any number of ranks and workers and any batch size; the same on every rank.

        Args:
            batch: The last batch that was trained on. May be left out where no worker processes read: they read ahead,
                and only the batch says how far the training is.

        Raises:
            ConfigError: Worker processes read, and no batch is given.
        """
        if batch is None and self._is_read_by_workers[0]:
            raise ConfigError(
                "worker processes have read ahead, so the dataset does not know how far the training is\n\n"
                "hint: give the last batch that was trained on: `dataset.state_dict(batch)`"
            )
        return asdict(self._state(self._next_row if batch is None else int(batch["next_row"])))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another dataset was; call it before the `DataLoader` is iterated.

        Raises:
            DataError: The state is of other shards, of another row length or of another seed, or is not a state at all.
        """
        try:
            saved = LoaderState(**state)
            next_row = int(saved.next_row)
        except (TypeError, ValueError) as error:
            raise DataError(f"this is not the state of a row dataset: {error}") from error
        check_state(saved, self._state(0), self.dataset)
        self._next_row = next_row
        self._is_read_by_workers[0] = False

    @property
    def epoch(self) -> float:
        """Passes over the split before the position where the next iteration begins."""
        return self._next_row / self.num_rows

    def _state(self, next_row: int) -> LoaderState:
        return LoaderState(next_row, self.seed, self.row_tokens, self.dataset.fingerprint)

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker opens the shards itself: tokens are never sent through a pipe.
        self._is_read_by_workers[0] = True
        kept = {name: value for name, value in self.__dict__.items() if name not in ("dataset", "_is_read_by_workers")}
        return kept | {
            "opened": (self.dataset.shards_dir, self.dataset.split, self.dataset.fingerprint),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        shards_dir, split, fingerprint = state.pop("opened")
        self.__dict__.update(state)
        self.dataset = TokenDataset(shards_dir, split)
        if self.dataset.fingerprint != fingerprint:
            raise DataError(f"the shards in `{shards_dir}` have been replaced since they were opened")
        self._is_read_by_workers = mmap.mmap(-1, 1)
