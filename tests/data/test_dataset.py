from pathlib import Path

import numpy as np
import pytest

from slm.data.dataset import TokenDataset
from slm.errors import DataError
from tests.reference.shards import random_documents, write_shards


@pytest.fixture
def documents() -> list[list[int]]:
    return random_documents(10, seed=1)


@pytest.fixture
def shards(tmp_path: Path, documents: list[list[int]]) -> Path:
    return write_shards(tmp_path / "shards", {"train": documents, "validation": [[5, 6], [7]]}, documents_per_shard=3)


def test_tokens_run_across_shards(shards: Path, documents: list[list[int]]):
    dataset = TokenDataset(shards)
    everything = [token for ids in documents for token in [*ids, 0]]
    assert (dataset.num_tokens, dataset.num_documents) == (len(everything), 10)
    for start in range(0, len(everything) + 1, 7):
        for count in (0, 1, 2, 50, 150, len(everything) - start):
            if start + count <= len(everything):
                assert dataset.tokens(start, count).tolist() == everything[start : start + count]


def test_documents_end_with_the_end_of_text_id(shards: Path, documents: list[list[int]]):
    assert [ids.tolist() for ids in TokenDataset(shards).documents()] == [[*ids, 0] for ids in documents]


def test_splits_are_apart(shards: Path):
    assert TokenDataset(shards, "validation").tokens(0, 5).tolist() == [5, 6, 0, 7, 0]


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 10_000), (5, -1)])
def test_a_range_outside_is_refused(shards: Path, start: int, count: int):
    with pytest.raises(IndexError, match="of a split of"):
        TokenDataset(shards).tokens(start, count)


def test_an_empty_split_is_refused_with_the_ones_there_are(tmp_path: Path):
    write_shards(tmp_path, {"train": [[1, 2]]})
    with pytest.raises(DataError, match="no tokens in split `validation`; it holds `train`"):
        TokenDataset(tmp_path, "validation")


def test_a_shard_of_another_length_is_refused(shards: Path):
    np.save(shards / "shard-00001.npy", np.zeros(3, dtype=np.uint16))
    with pytest.raises(DataError, match=r"shard-00001\.npy"):
        TokenDataset(shards)


def test_a_truncated_shard_is_refused(shards: Path):
    path = shards / "shard-00001.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"shard-00001\.npy"):
        TokenDataset(shards)


def test_offsets_that_fall_are_refused(shards: Path):
    path = shards / "shard-00000.index.npy"
    offsets = np.load(path)
    offsets[1], offsets[2] = offsets[2], offsets[1]
    np.save(path, offsets)
    with pytest.raises(DataError, match="rising offsets"):
        list(TokenDataset(shards).documents())


def test_missing_shards_are_a_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as err:
        TokenDataset(tmp_path / "nowhere")
    assert "nowhere" in str(err.value)


def test_fingerprint_follows_the_tokens(tmp_path: Path, documents: list[list[int]]):
    first = TokenDataset(write_shards(tmp_path / "a", {"train": documents}))
    same = TokenDataset(write_shards(tmp_path / "b", {"train": documents}))
    other = TokenDataset(write_shards(tmp_path / "c", {"train": documents[1:]}))
    assert first.fingerprint == same.fingerprint != other.fingerprint
