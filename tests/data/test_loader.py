import dataclasses
import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.data.dataset import TokenDataset
from slm.data.loader import Loader
from slm.errors import ConfigError, DataError
from tests.reference.shards import random_documents, write_shards


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> TokenDataset:
    path = tmp_path_factory.mktemp("shards")
    return TokenDataset(write_shards(path, {"train": random_documents(40, seed=2)}, documents_per_shard=9))


def take(loader: Loader, batches: int) -> np.ndarray:
    """The rows of the next batches, inputs beside targets."""
    taken = [next(loader) for _ in range(batches)]
    return np.concatenate([np.concatenate([b.input_ids_BT, b.target_ids_BT], axis=1) for b in taken])


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "slm-loader"]


def test_an_epoch_has_every_row_once_and_targets_are_one_further(dataset: TokenDataset):
    with Loader(dataset, row_tokens=16, batch_rows=1, seed=0) as loader:
        rows = take(loader, loader.num_rows)
    everything = dataset.tokens(0, dataset.num_tokens).tolist()
    expected = [[*everything[s : s + 16], *everything[s + 1 : s + 17]] for s in range(0, len(everything) - 16, 16)]
    assert sorted(rows.tolist()) == sorted(expected)
    assert rows.tolist() != expected


def test_rows_are_contiguous_int64(dataset: TokenDataset):
    with Loader(dataset, row_tokens=16, batch_rows=3, seed=0) as loader:
        batch = next(loader)
    for ids_BT in (batch.input_ids_BT, batch.target_ids_BT):
        assert (ids_BT.dtype, ids_BT.shape, ids_BT.flags.c_contiguous) == (np.int64, (3, 16), True)


def test_each_epoch_has_an_order_of_its_own(dataset: TokenDataset):
    with Loader(dataset, row_tokens=16, batch_rows=1, seed=0) as loader:
        first, second = take(loader, loader.num_rows), take(loader, loader.num_rows)
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist())


def test_the_order_does_not_depend_on_the_batch_size(dataset: TokenDataset):
    rows = []
    for batch_rows in (1, 4, 12):
        with Loader(dataset, row_tokens=8, batch_rows=batch_rows, seed=5) as loader:
            rows.append(take(loader, 240 // batch_rows).tolist())  # more than one epoch of 146 rows
    assert rows[0] == rows[1] == rows[2]


@given(before=st.integers(0, 40), again=st.integers(0, 10), batch_rows=st.sampled_from([1, 3, 8]))
@settings(max_examples=25)
def test_a_resumed_loader_yields_the_same_rows(dataset: TokenDataset, before: int, again: int, batch_rows: int):
    with Loader(dataset, row_tokens=8, batch_rows=3, seed=9) as straight:
        expected = take(straight, before + again + 10)
    with Loader(dataset, row_tokens=8, batch_rows=3, seed=9) as first:
        rows = [take(first, before)] if before else []
        state = first.state()
    with Loader(dataset, row_tokens=8, batch_rows=1, seed=9) as second:  # resumed twice, and with another batch size
        second.load_state(state)
        rows += [take(second, again)] if again else []
        state = second.state()
    with Loader(dataset, row_tokens=8, batch_rows=batch_rows, seed=9) as third:
        third.load_state(state)
        rows.append(take(third, 2))
    resumed = np.concatenate(rows)
    assert resumed.tolist() == expected[: len(resumed)].tolist()


def test_the_state_counts_rows_given_out_not_rows_read_ahead(dataset: TokenDataset):
    with Loader(dataset, row_tokens=8, batch_rows=2, seed=0) as loader:
        assert loader.state().next_row == 0
        next(loader)
        time.sleep(0.1)
        assert loader.state().next_row == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fingerprint": "other"}, "shards"),
        ({"row_tokens": 9}, "row_tokens"),
        ({"seed": 1}, "seed"),
        ({"next_row": -1}, "-1"),
    ],
)
def test_a_state_of_another_run_is_refused(dataset: TokenDataset, change: dict[str, object], named: str):
    with Loader(dataset, row_tokens=8, batch_rows=2, seed=0) as loader, pytest.raises(DataError, match=named):
        loader.load_state(dataclasses.replace(loader.state(), **change))  # type: ignore[arg-type]


def test_closing_ends_the_thread_and_the_loader_can_go_on(dataset: TokenDataset):
    with Loader(dataset, row_tokens=8, batch_rows=2, seed=0) as straight:
        expected = take(straight, 4).tolist()
    loader = Loader(dataset, row_tokens=8, batch_rows=2, seed=0)
    rows = take(loader, 2).tolist()
    start = time.perf_counter()
    loader.close()
    assert time.perf_counter() - start < 1
    assert loader_threads() == []
    assert rows + take(loader, 2).tolist() == expected
    loader.close()


def test_a_dropped_loader_ends_its_thread(dataset: TokenDataset):
    loader = Loader(dataset, row_tokens=8, batch_rows=2, seed=0)
    next(loader)
    assert len(loader_threads()) == 1
    del loader
    gc.collect()
    assert loader_threads() == []


def test_too_few_tokens_name_both_numbers(tmp_path: Path):
    dataset = TokenDataset(write_shards(tmp_path, {"train": [[1, 2, 3]]}))
    assert Loader(dataset, row_tokens=3, batch_rows=1, seed=0).num_rows == 1
    with pytest.raises(DataError, match="has 4 tokens, one row of 4 needs 5"):
        Loader(dataset, row_tokens=4, batch_rows=1, seed=0)


def test_an_id_outside_the_vocabulary_names_its_place_again_and_again(tmp_path: Path):
    dataset = TokenDataset(write_shards(tmp_path, {"train": [[1, 2], [3, 300, 4]]}, documents_per_shard=1))
    with Loader(dataset, row_tokens=6, batch_rows=1, seed=0) as loader:
        for _ in range(2):
            with pytest.raises(
                DataError, match=r"token id 300 in .*shard-00001.npy` at token 1 is outside the vocabulary of 257"
            ):
                next(loader)


@pytest.mark.parametrize(("row_tokens", "batch_rows"), [(0, 1), (1, 0)])
def test_empty_batches_are_refused(dataset: TokenDataset, row_tokens: int, batch_rows: int):
    with pytest.raises(ConfigError, match="at least 1 row of 1 token"):
        Loader(dataset, row_tokens=row_tokens, batch_rows=batch_rows, seed=0)
