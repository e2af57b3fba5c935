"""Rows of shards as a PyTorch `IterableDataset`, for trainers other than ours.

The order is that of `slm.data.loader`: a pure function of (shards, weights, seed, index). Ranks and workers only deal
it out. With 2 ranks and 2 workers each, batches go like this, where each number is `batch_rows` rows of the order:

    rank 0: worker 0 takes 0, 4, 8, ...   worker 1 takes 2, 6, 10, ...
    rank 1: worker 0 takes 1, 5, 9, ...   worker 1 takes 3, 7, 11, ...

A `DataLoader` asks its workers in turn, so rank 0 sees 0, 2, 4, ... with any number of workers, and when every rank
has taken n batches, together they have taken the first 2n: a position is one number for all of them.
"""

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from slm.data.dataset import TokenDataset
from slm.data.loader import LoaderState, check_state, state_at
from slm.data.mixture import Mixture, SourceShare
from slm.data.rows import ArrayPool, Batch, Packing, RowSource
from slm.errors import ConfigError, DataError

# The arrays being read, and those of the batch before.
_POOL_SIZE = 2


class RowDataset(IterableDataset[dict[str, Any]]):
    """Whole batches of rows, epoch after epoch, without end, from any position on.

    Give it to a `DataLoader` with `batch_size=None`. Each batch is a dictionary: `input_ids` and `target_ids`, the same
    one token later, both (B, T) and int64, and `next_row`, where all ranks together go on after it. Workers may be
    forked or spawned, and are rarely needed: handing a batch to another process takes longer than reading it.
    Iterating again begins at the position of the last `load_state_dict`, or without workers where the iteration before
    ended.

    With boundaries a batch also has `position_ids` and `document_ids`, (B, T), `cu_seqlens` and `max_seqlen`, as
    `slm.data.boundaries` describes them.

    Args:
        shards: Directory that `slm data build` wrote, or several.
        row_tokens: T, tokens in a row.
        batch_rows: B, rows in a batch of one rank.
        seed: Seed of the order.
        split: `train` or `validation`.
        rank: Which of the processes that train together this is.
        world_size: How many they are.
        weights: What share of the rows each of several directories is to have; see `slm.data.mixture`.
        packing: How documents become rows, `stream` or `best_fit`; see `slm.data.rows`. With `best_fit` every spawned
            worker plans the rows anew, which reads the index files twice.
        with_boundaries: Whether batches say where documents begin.

    Raises:
        ConfigError: An argument is out of range.
        DataError: The split is missing or too short for one row, or a shard is not what the manifest says.
        TokenizerError: The directories are of different tokenizers.

    Example:
        >>> dataset = RowDataset("shards", row_tokens=1024, batch_rows=16, seed=0)  # doctest: +SKIP
        >>> for batch in DataLoader(dataset, batch_size=None):  # doctest: +SKIP
        ...     loss = train_on(batch["input_ids"], batch["target_ids"])
        ...     state = dataset.state_dict(batch)
    """

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        row_tokens: int,
        batch_rows: int,
        seed: int,
        split: str = "train",
        rank: int = 0,
        world_size: int = 1,
        weights: Sequence[float] | None = None,
        packing: Packing = "stream",
        with_boundaries: bool = False,
    ) -> None:
        if row_tokens < 1 or batch_rows < 1:
            raise ConfigError(f"a batch has at least 1 row of 1 token, not {batch_rows} of {row_tokens}")
        if not 0 <= rank < world_size:
            raise ConfigError(f"`rank` is {rank}, with `world_size` {world_size} it is from 0 to {world_size - 1}")
        directories = [shards] if isinstance(shards, str | os.PathLike) else shards
        mixture = Mixture([TokenDataset(directory, split) for directory in directories], weights)
        self.batch_rows = batch_rows
        self.rank = rank
        self.world_size = world_size
        self._source = RowSource(mixture, row_tokens, seed, packing=packing, with_boundaries=with_boundaries)
        self._next_row = 0
        self._is_read_by_workers = mmap.mmap(-1, 1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        worker_idx, num_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        self._is_read_by_workers[0] = worker is not None
        rows_of_all = self.batch_rows * self.world_size
        first_row = self._next_row + worker_idx * rows_of_all
        pool = ArrayPool(_POOL_SIZE)
        while True:
            of_rank = first_row + self.rank * self.batch_rows
            batch = self._source.read(of_rank, self.batch_rows, pool).batch(0, self.batch_rows, of_rank)
            next_row = first_row + rows_of_all
            self._next_row = next_row
            yield {**_tensors(batch), "next_row": next_row}
            del batch  # or its arrays could not be used for the next one
            first_row += num_workers * rows_of_all

    @property
    def num_rows(self) -> int:
        """Rows of all sources."""
        return self._source.num_rows

    @property
    def padding_share(self) -> float:
        """Share of the positions that hold no token; 0 unless `packing="best_fit"`."""
        return self._source.padding_share

    def shares(self, batch: Mapping[str, Any] | None = None) -> list[SourceShare]:
        """Tell what each source has given to all ranks, until the last batch that was trained on as in `state_dict`."""
        return self._source.shares(self._reached(batch))

    def state_dict(self, batch: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Tell where to go on, for any number of ranks and workers and any batch size; the same on every rank.

        Args:
            batch: The last batch that was trained on. May be left out where no worker processes read: they read ahead,
                and only the batch says how far the training is.

        Raises:
            ConfigError: Worker processes read, and no batch is given.
        """
        return asdict(state_at(self._source, self._reached(batch)))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another dataset was; call it before the `DataLoader` is iterated.

        Raises:
            DataError: The state is of other shards or weights, of another row length, packing or seed, or is not a
                state at all.
        """
        try:
            saved = LoaderState(**state)
            next_row = int(saved.next_row)
        except (TypeError, ValueError) as error:
            raise DataError(f"this is not the state of a row dataset: {error}") from error
        check_state(saved, self._source)
        self._next_row = next_row
        self._is_read_by_workers[0] = False

    @property
    def epoch(self) -> float:
        """Passes over the rows before the position where the next iteration begins; of several sources their mean."""
        return self._next_row / self.num_rows

    def _reached(self, batch: Mapping[str, Any] | None) -> int:
        if batch is not None:
            return int(batch["next_row"])
        if self._is_read_by_workers[0]:
            raise ConfigError(
                "worker processes have read ahead, so the dataset does not know how far the training is\n\n"
                "hint: give the last batch that was trained on: `dataset.state_dict(batch)`"
            )
        return self._next_row

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker opens the shards itself: tokens are never sent through a pipe.
        self._is_read_by_workers[0] = True
        source = self._source
        datasets = source.mixture.datasets
        kept = {name: value for name, value in self.__dict__.items() if name not in ("_source", "_is_read_by_workers")}
        return kept | {
            "shards": [(dataset.shards_dir, dataset.split, dataset.fingerprint) for dataset in datasets],
            "weights": source.mixture.weights,
            "rows": (source.row_tokens, source.seed, source.packing, source.with_boundaries),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        datasets: list[TokenDataset] = []
        for shards_dir, split, fingerprint in state.pop("shards"):
            datasets.append(TokenDataset(shards_dir, split))
            if datasets[-1].fingerprint != fingerprint:
                raise DataError(f"the shards in `{shards_dir}` have been replaced since they were opened")
        mixture = Mixture(datasets, state.pop("weights"))
        row_tokens, seed, packing, with_boundaries = state.pop("rows")
        self.__dict__.update(state)
        self._source = RowSource(mixture, row_tokens, seed, packing=packing, with_boundaries=with_boundaries)
        self._is_read_by_workers = mmap.mmap(-1, 1)


def _tensors(batch: Batch) -> dict[str, Any]:
    tensors: dict[str, Any] = {
        "input_ids": torch.from_numpy(batch.input_ids_BT),
        "target_ids": torch.from_numpy(batch.target_ids_BT),
    }
    if batch.boundaries is not None:
        tensors |= {
            "position_ids": torch.from_numpy(batch.boundaries.position_ids_BT),
            "document_ids": torch.from_numpy(batch.boundaries.document_ids_BT),
            "cu_seqlens": torch.from_numpy(batch.boundaries.cu_seqlens),
            "max_seqlen": batch.boundaries.max_seqlen,
        }
    return tensors
