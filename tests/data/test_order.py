import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.data.order import Permutation
from tests.reference.order import NaivePermutation


@given(size=st.integers(1, 3000), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_every_index_has_one_image_inside_the_size(size: int, seed: int, epoch: int):
    images = Permutation(size, seed, epoch)(np.arange(size))
    assert sorted(images.tolist()) == list(range(size))


@given(
    size=st.integers(1, 2**63),
    seed=st.integers(0, 2**63),
    indices=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50, unique=True),
)
@settings(max_examples=150, deadline=None)
def test_sizes_up_to_two_to_the_63_keep_indices_apart(size: int, seed: int, indices: list[int]):
    wanted = sorted({index % size for index in indices})
    images = Permutation(size, seed, 0)(wanted)
    assert len(set(images.tolist())) == len(wanted)
    assert images.min() >= 0
    assert images.max() < size


@given(size=st.integers(1, 2**63), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_the_order_is_that_of_the_naive_network(size: int, seed: int, epoch: int):
    indices = np.unique(np.linspace(0, size - 1, 40).astype(np.uint64).clip(0, size - 1).astype(np.int64))
    assert Permutation(size, seed, epoch)(indices).tolist() == NaivePermutation(size, seed, epoch)(indices).tolist()


def test_golden_order_never_changes():
    # A change here would give every run that is resumed another order of its data.
    assert Permutation(10, seed=0, epoch=0)(range(10)).tolist() == [0, 2, 3, 8, 6, 1, 7, 4, 5, 9]
    assert Permutation(1 << 63, seed=0, epoch=0)((1 << 63) - 1).tolist() == 6827782458959158243


def test_one_index_at_a_time_equals_all_at_once():
    order = Permutation(777, seed=3, epoch=5)
    assert [int(order(index)) for index in range(777)] == order(np.arange(777)).tolist()


def test_seed_and_epoch_change_the_order():
    orders = [Permutation(1000, seed, epoch)(np.arange(1000)) for seed in range(4) for epoch in range(4)]
    for a in range(len(orders)):
        for b in range(a):
            # Two unrelated orders agree in one place on average.
            assert np.count_nonzero(orders[a] == orders[b]) < 12


@pytest.mark.parametrize("size", [2, 3, 5, 8, 12, 100])
def test_each_place_is_as_likely_as_another(size: int):
    epochs = 3000
    counts = np.zeros((size, size))
    for epoch in range(epochs):
        counts[np.arange(size), Permutation(size, seed=11, epoch=epoch)(np.arange(size))] += 1
    expected = epochs / size
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    freedom = (size - 1) ** 2
    # Five standard deviations of a chi-squared variable with this many degrees of freedom.
    assert chi_squared < freedom + 5 * (2 * freedom) ** 0.5 + 10


def test_neighbours_do_not_stay_neighbours():
    images = Permutation(10_000, seed=1, epoch=0)(np.arange(10_000))
    assert np.count_nonzero(np.abs(np.diff(images)) == 1) < 20


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_outside_is_refused(index: int):
    with pytest.raises(IndexError, match="permutation of 10"):
        Permutation(10, seed=0, epoch=0)(index)


@pytest.mark.parametrize("size", [0, -1, (1 << 63) + 1])
def test_a_size_out_of_range_is_refused(size: int):
    with pytest.raises(ValueError, match="1 to 2\\^63"):
        Permutation(size, seed=0, epoch=0)
