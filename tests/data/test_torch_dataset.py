import pickle
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from slm.data.dataset import TokenDataset
from slm.data.loader import Loader
from slm.data.mixture import Mixture
from slm.data.torch_dataset import RowDataset
from slm.errors import ConfigError, DataError
from tests.reference.shards import random_documents, write_shards

ROW_TOKENS, SEED = 8, 5
SECONDS = 60  # a worker that has not answered by then is stuck


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards")
    return write_shards(path, {"train": random_documents(40, seed=2)}, documents_per_shard=9)


def make(shards: Path, **settings: Any) -> RowDataset:
    return RowDataset(shards, **({"row_tokens": ROW_TOKENS, "batch_rows": 4, "seed": SEED} | settings))


def loader_of(dataset: RowDataset, num_workers: int = 0, start: str | None = None) -> Any:
    timeout = SECONDS if num_workers else 0
    context = start if num_workers else None
    return DataLoader(
        dataset, batch_size=None, num_workers=num_workers, multiprocessing_context=context, timeout=timeout
    )


def rows_of(batches: list[dict[str, Any]]) -> list[list[int]]:
    """Rows of batches, inputs beside targets."""
    return [
        row
        for batch in batches
        for row in np.hstack([batch["input_ids"].numpy(), batch["target_ids"].numpy()]).tolist()
    ]


def expected_rows(shards: Path, count: int) -> list[list[int]]:
    """The first rows of the order, from the loader of our own trainer."""
    with Loader(TokenDataset(shards), row_tokens=ROW_TOKENS, batch_rows=1, seed=SEED) as loader:
        taken = [next(loader) for _ in range(count)]
    return [np.hstack([batch.input_ids_BT[0], batch.target_ids_BT[0]]).tolist() for batch in taken]


WORKERS = [(0, None), (1, "fork"), (2, "fork"), (2, "spawn")]


@pytest.mark.parametrize(("num_workers", "start"), WORKERS)
def test_any_number_of_workers_gives_the_order_of_the_trainer(num_workers: int, start: str, shards: Path) -> None:
    count = 50  # batches of 4: more than an epoch of 171 rows
    batches = list(islice(loader_of(make(shards), num_workers, start), count))
    assert rows_of(batches) == expected_rows(shards, 4 * count)
    assert [batch["next_row"] for batch in batches] == [4 * (i + 1) for i in range(count)]


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize(("num_workers", "start"), [(0, None), (2, "fork")])
def test_ranks_together_take_every_row_once(world_size: int, num_workers: int, start: str, shards: Path) -> None:
    steps = 10
    of_rank = [
        list(islice(loader_of(make(shards, rank=rank, world_size=world_size), num_workers, start), steps))
        for rank in range(world_size)
    ]
    in_order = [of_rank[rank][step] for step in range(steps) for rank in range(world_size)]
    assert rows_of(in_order) == expected_rows(shards, 4 * steps * world_size)
    assert len({batches[-1]["next_row"] for batches in of_rank}) == 1


def test_a_resumed_run_takes_the_rows_that_are_left_again_and_again(shards: Path) -> None:
    """Stopped three times in the middle of an epoch, each time with other ranks, workers and batch size."""
    rows: list[list[int]] = []
    state: dict[str, Any] | None = None
    for world_size, num_workers, batch_rows, steps in [(1, 2, 4, 5), (2, 0, 3, 7), (3, 1, 2, 4), (1, 2, 5, 17)]:
        of_rank: list[list[dict[str, Any]]] = []
        states: list[dict[str, Any]] = []
        for rank in range(world_size):
            dataset = make(shards, batch_rows=batch_rows, rank=rank, world_size=world_size)
            if state is not None:
                dataset.load_state_dict(state)
            of_rank.append(list(islice(loader_of(dataset, num_workers, "fork"), steps)))
            states.append(dataset.state_dict(of_rank[-1][-1]))
        assert all(each == states[0] for each in states)
        state = states[0]
        rows += rows_of([of_rank[rank][step] for step in range(steps) for rank in range(world_size)])
    assert state is not None
    assert len(rows) == state["next_row"] == make(shards).num_rows  # exactly one epoch
    assert rows == expected_rows(shards, len(rows))
    tokens = TokenDataset(shards).tokens(0, len(rows) * ROW_TOKENS).reshape(-1, ROW_TOKENS)
    assert sorted(row[:ROW_TOKENS] for row in rows) == sorted(tokens.tolist())


def test_without_workers_the_dataset_knows_its_place(shards: Path) -> None:
    dataset = make(shards)
    batches = list(islice(loader_of(dataset), 3))
    assert dataset.state_dict() == dataset.state_dict(batches[-1])
    assert dataset.epoch == 12 / dataset.num_rows
    batches += list(islice(loader_of(dataset), 2))  # goes on, and does not begin anew
    assert rows_of(batches) == expected_rows(shards, 20)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_with_workers_a_state_without_the_batch_is_refused(start: str, shards: Path) -> None:
    dataset = make(shards)
    batch = next(iter(loader_of(dataset, 1, start)))
    with pytest.raises(ConfigError, match=r"dataset\.state_dict\(batch\)"):
        dataset.state_dict()
    dataset.load_state_dict(dataset.state_dict(batch))
    assert dataset.state_dict()["next_row"] == 4


def test_a_state_can_be_saved_as_json_and_by_the_loader(shards: Path) -> None:
    import json

    dataset = make(shards)
    state = json.loads(json.dumps(dataset.state_dict(next(iter(dataset)))))
    with Loader(TokenDataset(shards), row_tokens=ROW_TOKENS, batch_rows=4, seed=SEED) as loader:
        next(loader)
        assert state == vars(loader.state())


OPTIONS = {"weights": [0.7, 0.2, 0.1], "packing": "best_fit", "with_boundaries": True}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    path = tmp_path_factory.mktemp("three")
    return [
        write_shards(path / str(seed), {"train": random_documents(count, seed=seed)}, documents_per_shard=6)
        for seed, count in enumerate((40, 12, 5))
    ]


def with_options(three: list[Path], **settings: Any) -> RowDataset:
    return RowDataset(three, **({"row_tokens": 24, "batch_rows": 4, "seed": SEED} | OPTIONS | settings))


@pytest.mark.parametrize(("num_workers", "start"), WORKERS)
def test_mixture_packing_and_boundaries_are_those_of_the_loader(
    num_workers: int, start: str, three: list[Path]
) -> None:
    count = 40
    batches = list(islice(loader_of(with_options(three), num_workers, start), count))
    mixture = Mixture([TokenDataset(path) for path in three], OPTIONS["weights"])
    with Loader(mixture, row_tokens=24, batch_rows=4, seed=SEED, packing="best_fit", with_boundaries=True) as loader:
        for found, expected in zip(batches, loader, strict=False):
            assert found["input_ids"].tolist() == expected.input_ids_BT.tolist()
            assert found["target_ids"].tolist() == expected.target_ids_BT.tolist()
            assert expected.boundaries is not None
            assert found["position_ids"].tolist() == expected.boundaries.position_ids_BT.tolist()
            assert found["document_ids"].tolist() == expected.boundaries.document_ids_BT.tolist()
            assert found["cu_seqlens"].tolist() == expected.boundaries.cu_seqlens.tolist()
            assert found["max_seqlen"] == expected.boundaries.max_seqlen
    dataset = with_options(three)
    assert [share.rows for share in dataset.shares(batches[-1])] == [112, 32, 16]
    assert dataset.padding_share > 0


def test_a_mixture_resumes_with_other_ranks_workers_and_batches(three: list[Path]) -> None:
    straight = list(islice(loader_of(with_options(three, batch_rows=1)), 3 * 2 * 7 + 2 * 3 * 5 + 4 * 6))
    rows: list[list[int]] = []
    state: dict[str, Any] | None = None
    for world_size, num_workers, start, batch_rows, steps in [
        (3, 0, None, 2, 7),
        (2, 2, "fork", 3, 5),
        (1, 1, "spawn", 4, 6),
    ]:
        of_rank: list[list[dict[str, Any]]] = []
        for rank in range(world_size):
            dataset = with_options(three, batch_rows=batch_rows, rank=rank, world_size=world_size)
            if state is not None:
                dataset.load_state_dict(state)
            of_rank.append(list(islice(loader_of(dataset, num_workers, start), steps)))
        state = dataset.state_dict(of_rank[-1][-1])
        rows += rows_of([of_rank[rank][step] for step in range(steps) for rank in range(world_size)])
    assert rows == rows_of(straight)


def test_a_state_from_before_there_were_packings_goes_on(shards: Path) -> None:
    dataset = make(shards)
    state = dataset.state_dict(next(iter(dataset)))
    assert state.pop("packing") == "stream"
    again = make(shards)
    again.load_state_dict(state)
    assert again.state_dict()["next_row"] == 4
    with pytest.raises(DataError, match="packing stream, this run has best_fit"):
        make(shards, packing="best_fit").load_state_dict(state)


def test_a_batch_that_is_kept_is_not_written_over(shards: Path) -> None:
    batches = list(islice(loader_of(make(shards)), 10))
    assert rows_of(batches) == expected_rows(shards, 40)


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"row_tokens": 9}, {"fingerprint": "x"}, {"next_row": -1}, {"next_row": "x"}, {"more": 1}],
)
def test_a_state_of_another_run_is_refused(change: dict[str, Any], shards: Path) -> None:
    dataset = make(shards)
    with pytest.raises(DataError):
        dataset.load_state_dict(dataset.state_dict() | change)
    with pytest.raises(DataError, match="not the state"):
        dataset.load_state_dict({})


def test_a_pickle_holds_no_tokens_and_finds_the_same_shards(shards: Path, tmp_path: Path) -> None:
    dataset = make(write_shards(tmp_path / "a", {"train": [list(range(1, 200)) * 500]}))
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 2_000
    write_shards(tmp_path / "a", {"train": [list(range(2, 201)) * 500]})
    with pytest.raises(DataError, match="have been replaced"):
        pickle.loads(pickled)


@pytest.mark.parametrize("settings", [{"rank": 1}, {"rank": -1}, {"world_size": 0}, {"batch_rows": 0}])
def test_arguments_out_of_range_are_refused(settings: dict[str, int], shards: Path) -> None:
    with pytest.raises(ConfigError):
        make(shards, **settings)


def test_a_damaged_shard_is_an_error_in_the_main_process(tmp_path: Path) -> None:
    path = write_shards(tmp_path, {"train": [[1, 2, 300, 4, 5, 6, 7, 8, 9]]})
    with pytest.raises(DataError, match="token id 300"):
        next(iter(loader_of(make(path), 1, "fork")))


def test_workers_forked_beside_a_running_loader_do_not_hang(shards: Path) -> None:
    """The trainer's own loader has a thread; a fork copies its locks and not the thread."""
    with Loader(TokenDataset(shards), row_tokens=ROW_TOKENS, batch_rows=4, seed=SEED) as loader:
        next(loader)
        batches = list(islice(loader_of(make(shards), 2, "fork"), 6))
        next(loader)
    assert rows_of(batches) == expected_rows(shards, 24)


def test_the_light_part_of_the_package_loads_no_torch() -> None:
    program = "import sys, slm.data, slm.data.loader, slm.data.order; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
