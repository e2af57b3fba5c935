"""Mixtures: exact over every window, found without what comes before, the same for everyone."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slm.data.dataset import TokenDataset
from slm.data.loader import Loader
from slm.data.mixture import MAX_PERIOD, Mixture, Schedule
from slm.data.rows import RowSource
from slm.errors import ConfigError, DataError, TokenizerError
from tests.reference.shards import random_documents, write_shards

counts_of_sources = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def sources_of(schedule: Schedule, start: int, count: int) -> np.ndarray:
    return schedule.locate(np.arange(start, start + count, dtype=np.int64))[0]


@given(counts=counts_of_sources, start=st.integers(0, 2**40))
@example(counts=[1] * 12, start=5)
@example(counts=[60, 1, 1, 1, 1], start=7)
@settings(max_examples=200, deadline=None)
def test_every_window_has_its_share_of_every_source_give_or_take_less_than_2(counts: list[int], start: int) -> None:
    schedule = Schedule(counts)
    period = schedule.period
    sources = sources_of(schedule, start, 2 * period + 1)
    for source, count in enumerate(counts):
        before = np.cumsum([0, *(sources == source)]) * period  # all in units of one row over the period: no rounding
        lag = before - np.arange(len(before)) * count
        # The difference of two lags is what a window between them has too many or too few.
        assert lag.max() - lag.min() < 2 * period


@given(counts=counts_of_sources)
@settings(max_examples=100, deadline=None)
def test_every_beginning_has_its_share_give_or_take_less_than_1(counts: list[int]) -> None:
    schedule = Schedule(counts)
    sources = sources_of(schedule, 0, schedule.period)
    for source, count in enumerate(counts):
        lag = np.cumsum(sources == source) * schedule.period - np.arange(1, schedule.period + 1) * count
        assert abs(lag).max() < schedule.period
        assert lag[-1] == 0


@given(counts=counts_of_sources, start=st.integers(0, 5000), length=st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_a_position_is_found_without_those_before_it(counts: list[int], start: int, length: int) -> None:
    schedule = Schedule(counts)
    positions = np.arange(start + length, dtype=np.int64)
    sources, indices = schedule.locate(positions)
    for source in range(len(counts)):
        assert indices[sources == source].tolist() == list(range(np.count_nonzero(sources == source)))
    part = schedule.locate(positions[start:])
    assert (part[0].tolist(), part[1].tolist()) == (sources[start:].tolist(), indices[start:].tolist())
    assert schedule.rows_before(start) == [np.count_nonzero(sources[:start] == s) for s in range(len(counts))]


def test_the_largest_period_is_exact_too() -> None:
    counts = [1, 2, 65_536 - 3 - 9_999, 9_999]
    schedule = Schedule(counts)
    sources = sources_of(schedule, 0, MAX_PERIOD)
    for source, count in enumerate(counts):
        lag = np.cumsum(sources == source) * MAX_PERIOD - np.arange(1, MAX_PERIOD + 1) * count
        assert abs(lag).max() < MAX_PERIOD


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three directories whose tokens tell where they are from: below 80, 80 to 159, from 160 on."""
    path = tmp_path_factory.mktemp("mixture")
    return [
        write_shards(
            path / name,
            {"train": [[1 + low + token % 79 for token in ids] for ids in random_documents(count, seed=low)]},
            documents_per_shard=7,
        )
        for name, low, count in [("a", 0, 30), ("b", 80, 11), ("c", 160, 4)]
    ]


def mixture_of(shards: list[Path], weights: list[float] | None = None) -> Mixture:
    return Mixture([TokenDataset(path) for path in shards], weights)


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([0.7, 0.2, 0.1], (7, 2, 1)),
        ([1, 1, 1], (1, 1, 1)),
        ([2, 4, 6], (1, 2, 3)),
        ([0.1, 1e-05, 0.1], None),
        ([3.14159, 2.71828, 1.41421], None),
        ([1e-9, 1, 1e9], (1, 1, 65_534)),
    ],
)
def test_weights_become_whole_rows(shards: list[Path], weights: list[float], counts: tuple[int, ...] | None) -> None:
    mixture = mixture_of(shards, weights)
    assert counts is None or mixture.schedule.counts == counts
    total = sum(map(Fraction, map(str, weights)))
    for share, weight in zip(mixture.shares, weights, strict=True):
        assert abs(share - Fraction(str(weight)) / total) <= 2 / MAX_PERIOD
        assert share > 0
    assert sum(mixture.schedule.counts) <= MAX_PERIOD


def test_without_weights_shares_are_those_of_the_tokens(shards: list[Path]) -> None:
    mixture = mixture_of(shards)
    for share, dataset in zip(mixture.shares, mixture.datasets, strict=True):
        assert share == pytest.approx(dataset.num_tokens / mixture.num_tokens, abs=2 / MAX_PERIOD)


@pytest.mark.parametrize("packing", ["stream", "best_fit"])
def test_rows_come_from_where_the_schedule_says_and_each_source_has_its_epochs(shards: list[Path], packing) -> None:
    source = RowSource(mixture_of(shards, [0.5, 0.3, 0.2]), 8, 3, packing=packing)
    count = 6 * source.num_rows
    inputs = source.batch(0, count).input_ids_BT
    origin = (inputs.max(axis=1) - 1) // 80
    assert origin.tolist() == sources_of(source.mixture.schedule, 0, count).tolist()
    for idx, (split, share) in enumerate(zip(source.splits, source.shares(count), strict=True)):
        rows = [tuple(row) for row in inputs[origin == idx].tolist()]
        assert (share.rows, share.epochs) == (len(rows), len(rows) / split.num_rows)
        epochs = [rows[at : at + split.num_rows] for at in range(0, len(rows) - split.num_rows, split.num_rows)]
        assert len(epochs) >= 1
        alone = RowSource(source.mixture.datasets[idx], 8, 99, packing=packing)
        for epoch in epochs:
            assert sorted(epoch) == sorted(map(tuple, alone.batch(0, split.num_rows).input_ids_BT.tolist()))
        assert len(set(map(tuple, epochs))) == len(epochs)  # each epoch has an order of its own
    assert [share.share for share in source.shares(0)] == [0.5, 0.3, 0.2]
    assert {share.tokens for share in source.shares(0)} == {0}


def test_tokens_of_whole_epochs_are_exact(shards: list[Path]) -> None:
    source = RowSource(mixture_of(shards[:1]), 8, 0, packing="best_fit")
    (share,) = source.shares(3 * source.num_rows)
    assert share.tokens == 3 * source.mixture.num_tokens


def test_a_mixture_of_one_is_the_dataset_alone(shards: list[Path]) -> None:
    with (
        Loader(mixture_of(shards[:1], [5]), row_tokens=8, batch_rows=4, seed=1) as mixed,
        Loader(TokenDataset(shards[0]), row_tokens=8, batch_rows=4, seed=1) as alone,
    ):
        assert next(mixed).input_ids_BT.tolist() == next(alone).input_ids_BT.tolist()
        assert mixed.state() == alone.state()


def test_batches_of_a_resumed_mixture_go_on(shards: list[Path]) -> None:
    make = lambda rows: Loader(mixture_of(shards, [5, 3, 1]), row_tokens=8, batch_rows=rows, seed=2)  # noqa: E731
    with make(1) as straight:
        expected = [next(straight).input_ids_BT[0].tolist() for _ in range(60)]
    rows: list[list[int]] = []
    state = None
    for batch_rows, count in [(3, 4), (7, 2), (2, 17)]:
        with make(batch_rows) as loader:
            if state is not None:
                loader.load_state(state)
            for _ in range(count):
                rows += next(loader).input_ids_BT.tolist()
            state = loader.state()
    assert rows == expected
    shares = loader.shares()
    assert [share.rows for share in shares] == [34, 20, 6]
    assert [share.tokens for share in shares] == [34 * 8, 20 * 8, 6 * 8]


@pytest.mark.parametrize("change", ["weights", "order", "packing"])
def test_a_state_of_another_mixture_is_refused(shards: list[Path], change: str) -> None:
    settings = {"row_tokens": 8, "batch_rows": 4, "seed": 1}
    with Loader(mixture_of(shards[:2], [1, 2]), **settings) as loader:
        state = loader.state()
    other = mixture_of(shards[1::-1] if change == "order" else shards[:2], [1, 3] if change == "weights" else [1, 2])
    with (
        Loader(other, **settings, packing="best_fit" if change == "packing" else "stream") as loader,
        pytest.raises(DataError, match="the saved data position is of"),
    ):
        loader.load_state(state)


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]])
def test_weights_that_are_none_are_refused(shards: list[Path], weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="weight"):
        mixture_of(shards[:2], weights)
    with pytest.raises(ConfigError, match="1 to 1024"):
        Mixture([])


def test_shards_of_another_tokenizer_are_refused(shards: list[Path], tmp_path: Path) -> None:
    write_shards(tmp_path, {"train": [[1, 2, 3]]}, fingerprint="a" * 64)
    with pytest.raises(TokenizerError, match=f"{'f' * 64}.*{'a' * 64}"):
        mixture_of([shards[0], tmp_path])
    write_shards(tmp_path, {"train": [[1, 2, 3]]}, vocab_size=300)
    with pytest.raises(DataError, match="257 and 300"):
        mixture_of([shards[0], tmp_path])
