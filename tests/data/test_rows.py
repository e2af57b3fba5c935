"""Rows of every packing beside naive ones, from shards of every size."""

import subprocess
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.data.dataset import TokenDataset
from slm.data.rows import ArrayPool, Packing, RowArrays, RowSource, SplitRows
from slm.errors import ConfigError, DataError
from tests.reference.rows import NO_TARGET, best_fit_rooms, pieces_of, stream_rows
from tests.reference.shards import END_OF_TEXT_ID, random_documents, write_shards

corpora = st.lists(st.integers(0, 30), min_size=1, max_size=25)
"""Lengths of documents without their end-of-text id."""


def numbered(lengths: list[int]) -> list[list[int]]:
    """Documents in which every token but end-of-text is another one."""
    following = iter(range(1, 70_000))
    return [[next(following) for _ in range(length)] for length in lengths]


def read_all(split: SplitRows) -> RowArrays:
    arrays = RowArrays(split.num_rows, split.row_tokens, with_boundaries=split.with_boundaries)
    numbers = np.arange(split.num_rows, dtype=np.int64)
    split.read(numbers, numbers, arrays)
    return arrays


def open_documents(
    documents: list[list[int]], directory: str | Path, documents_per_shard: int, *, vocab_size: int = 70_000
) -> TokenDataset:
    shards = write_shards(
        Path(directory), {"train": documents}, vocab_size=vocab_size, documents_per_shard=documents_per_shard
    )
    return TokenDataset(shards)


@given(
    lengths=corpora, per_shard=st.integers(1, 30), row_tokens=st.integers(1, 12), vocab=st.sampled_from([900, 70_000])
)
@settings(max_examples=120, deadline=None)
def test_stream_rows_and_their_boundaries_are_those_of_the_naive_cut(
    lengths: list[int], per_shard: int, row_tokens: int, vocab: int
) -> None:
    documents = numbered(lengths)
    expected = stream_rows([[*ids, END_OF_TEXT_ID] for ids in documents], row_tokens)
    with tempfile.TemporaryDirectory() as directory:
        dataset = open_documents(documents, directory, per_shard, vocab_size=vocab)
        if not expected:
            with pytest.raises(DataError, match="one row of"):
                SplitRows(dataset, row_tokens)
            return
        split = SplitRows(dataset, row_tokens, with_boundaries=True, max_open_files=2)
        arrays = read_all(split)
        plain = read_all(SplitRows(dataset, row_tokens))
    assert arrays.position_ids_BT is not None
    assert arrays.document_ids_BT is not None
    columns = (arrays.input_ids_BT, arrays.target_ids_BT, arrays.position_ids_BT, arrays.document_ids_BT)
    assert [tuple(column[row].tolist() for column in columns) for row in range(split.num_rows)] == expected
    assert plain.input_ids_BT.tolist() == arrays.input_ids_BT.tolist()
    assert plain.target_ids_BT.tolist() == arrays.target_ids_BT.tolist()


@given(lengths=corpora, per_shard=st.integers(1, 30), row_tokens=st.integers(1, 12))
@settings(max_examples=200, deadline=None)
def test_best_fit_loses_no_token_and_takes_none_twice(lengths: list[int], per_shard: int, row_tokens: int) -> None:
    documents = [[*ids, END_OF_TEXT_ID] for ids in numbered(lengths)]
    with tempfile.TemporaryDirectory() as directory:
        dataset = open_documents(numbered(lengths), directory, per_shard)
        split = SplitRows(dataset, row_tokens, packing="best_fit", with_boundaries=True, max_open_files=2)
        arrays, again = read_all(split), read_all(SplitRows(dataset, row_tokens, packing="best_fit"))
    assert arrays.position_ids_BT is not None
    assert arrays.document_ids_BT is not None
    assert again.input_ids_BT.tolist() == arrays.input_ids_BT.tolist()  # deterministic, and the same without boundaries
    found: list[tuple[list[int], list[int]]] = []
    rooms: list[int] = []
    for row in range(split.num_rows):
        inputs, targets = arrays.input_ids_BT[row].tolist(), arrays.target_ids_BT[row].tolist()
        positions, document_ids = arrays.position_ids_BT[row].tolist(), arrays.document_ids_BT[row].tolist()
        starts = [at for at, position in enumerate(positions) if position == 0]
        for number, (start, stop) in enumerate(pairwise([*starts, row_tokens])):
            assert positions[start:stop] == list(range(stop - start))
            if document_ids[start] == -1:
                assert stop == row_tokens  # padding comes last
                assert set(document_ids[start:]) == {-1}
                assert set(targets[start:]) == {NO_TARGET}
                assert set(inputs[start:]) == {END_OF_TEXT_ID}
            else:
                assert document_ids[start:stop] == [number] * (stop - start)
                found.append((inputs[start:stop], targets[start:stop]))
        rooms.append(document_ids.count(-1))
    pieces = pieces_of(documents, row_tokens)
    assert sorted(found) == sorted(pieces)
    assert sorted(rooms) == best_fit_rooms([len(inputs) for inputs, _ in pieces], row_tokens)
    assert (split.padding_tokens, split.num_tokens) == (sum(rooms), sum(map(len, documents)))


def test_two_documents_of_half_a_row_share_one(tmp_path: Path) -> None:
    documents = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10]]
    split = SplitRows(open_documents(documents, tmp_path, 10), 4, packing="best_fit")
    arrays = read_all(split)
    assert arrays.input_ids_BT.tolist() == [[1, 2, 3, 0], [5, 6, 7, 8], [4, 0, 9, 0], [10, 0, 0, 0]]
    assert arrays.target_ids_BT.tolist() == [
        [2, 3, 0, -100],
        [6, 7, 8, 9],
        [0, -100, 0, -100],
        [0, -100, -100, -100],
    ]
    assert split.padding_tokens == 2


def test_cu_seqlens_cover_the_batch_row_by_row(tmp_path: Path) -> None:
    dataset = open_documents([[1, 2, 3], [4], [5, 6, 7, 8, 9], [10]], tmp_path, 10)
    split = SplitRows(dataset, 4, packing="best_fit", with_boundaries=True)
    # 1 2 3 0 | 5 6 7 8 | 4 0 9 0 | 10 0 and 2 of padding
    first, second = [batch.boundaries for batch in read_all(split).batches(2, 0)]
    assert first is not None
    assert second is not None
    assert (first.cu_seqlens.tolist(), first.max_seqlen) == ([0, 4, 8], 4)
    assert (second.cu_seqlens.tolist(), second.max_seqlen) == ([0, 2, 4, 6, 8], 2)
    assert second.cu_seqlens.dtype == np.int32
    (stream,) = [batch.boundaries for batch in read_all(SplitRows(dataset, 4, with_boundaries=True)).batches(3, 0)]
    assert stream is not None
    # 1 2 3 0 | 4 0 5 6 | 7 8 9 0: the third row begins inside a document.
    assert (stream.cu_seqlens.tolist(), stream.max_seqlen) == ([0, 4, 6, 8, 12], 4)
    assert stream.position_ids_BT.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1], [0, 1, 2, 3]]
    assert stream.document_ids_BT.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


@given(lengths=corpora, row_tokens=st.integers(1, 12), batches=st.integers(1, 5), rows=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_cu_seqlens_are_where_documents_change(lengths: list[int], row_tokens: int, batches: int, rows: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        dataset = open_documents(numbered(lengths), directory, 10)
        source = RowSource(dataset, row_tokens, 1, packing="best_fit", with_boundaries=True)
        found = source.read(3, batches * rows).batches(rows, 3)
        alone = [source.batch(3 + number * rows, rows) for number in range(batches)]
    for batch, expected in zip(found, alone, strict=True):
        assert batch.first_row == expected.first_row
        assert batch.boundaries is not None
        assert expected.boundaries is not None
        assert batch.input_ids_BT.tolist() == expected.input_ids_BT.tolist()
        assert batch.boundaries.cu_seqlens.tolist() == expected.boundaries.cu_seqlens.tolist()
        numbers = batch.boundaries.document_ids_BT.tolist()
        changes = [
            row * row_tokens + at
            for row in range(rows)
            for at in range(row_tokens)
            if at == 0 or numbers[row][at] != numbers[row][at - 1]
        ]
        ends = [*changes, rows * row_tokens]
        assert batch.boundaries.cu_seqlens.tolist() == ends
        assert batch.boundaries.max_seqlen == max(stop - start for start, stop in pairwise(ends))


@pytest.mark.parametrize("packing", ["stream", "best_fit"])
def test_a_shard_cut_off_while_it_is_read_is_an_error(packing: Packing, tmp_path: Path) -> None:
    dataset = open_documents(random_documents(40, seed=1), tmp_path, 10, vocab_size=257)
    source = RowSource(dataset, 8, 0, packing=packing, with_boundaries=True)
    for name in ("shard-00001.npy", "shard-00001.index.npy"):
        path = tmp_path / name
        whole = path.read_bytes()
        path.write_bytes(whole[:200])
        if name == "shard-00001.npy":  # what a small index says is held
            with pytest.raises(DataError, match=f"{name}` ends before element"):
                source.batch(0, source.num_rows)
        with pytest.raises(DataError, match=name):
            SplitRows(dataset, 8, packing=packing, with_boundaries=True)
        path.write_bytes(whole)
    source.batch(0, source.num_rows)


def test_offsets_that_fall_are_refused(tmp_path: Path) -> None:
    dataset = open_documents(random_documents(40, seed=1), tmp_path, 40, vocab_size=257)
    offsets = np.load(tmp_path / "shard-00000.index.npy")
    offsets[20] = offsets[10]
    np.save(tmp_path / "shard-00000.index.npy", offsets)
    with pytest.raises(DataError, match="rising offsets"):
        SplitRows(dataset, 8, packing="best_fit")
    with pytest.raises(DataError, match="rising offsets"):
        read_all(SplitRows(dataset, 8, with_boundaries=True))


def test_an_id_outside_the_vocabulary_is_named_in_a_packed_row(tmp_path: Path) -> None:
    dataset = open_documents([[1, 2], [3, 300, 4]], tmp_path, 1, vocab_size=257)
    with pytest.raises(DataError, match=r"token id 300 in .*shard-00001.npy` at token 1 is outside the vocabulary"):
        read_all(SplitRows(dataset, 6, packing="best_fit"))


def test_the_plan_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    dataset = open_documents(random_documents(40, seed=1), tmp_path / "shards", 10, vocab_size=257)
    split = SplitRows(dataset, 8, packing="best_fit")
    assert list((tmp_path / "scratch").iterdir()) == []
    read_all(split)


def test_a_directory_that_takes_no_plan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    dataset = open_documents(random_documents(4, seed=1), tmp_path, 10, vocab_size=257)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        SplitRows(dataset, 8, packing="best_fit")


def test_wrong_arrays_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    split = SplitRows(open_documents(random_documents(9, seed=1), tmp_path, 9, vocab_size=257), 8)
    one = np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="shapes"):
        split.read(one, one, RowArrays(1, 9))
    with pytest.raises(ValueError, match="shapes"):
        split.read(one, one, RowArrays(1, 8, with_boundaries=True))
    for row, slot in [(split.num_rows, 0), (-1, 0), (0, 1), (0, -1)]:
        with pytest.raises(IndexError):
            split.read(one + row, one + slot, RowArrays(1, 8))


def test_arrays_are_used_again_only_when_nothing_looks_at_them() -> None:
    import torch

    pool = ArrayPool(2)

    def take() -> RowArrays:
        arrays = pool.take(3, 4, with_boundaries=True)
        assert arrays.position_ids_BT is not None
        arrays.position_ids_BT[:] = np.arange(4)
        return arrays

    first = take()
    assert take() is first
    batch = first.batches(1, 0)[1]
    second = take()
    assert second is not first
    tensor = torch.from_numpy(batch.target_ids_BT)[0]
    view = memoryview(second.input_ids_BT)
    del batch
    assert take() not in (first, second)  # and is not kept, for two are
    del tensor
    assert take() is first
    view.release()
    kept = first.batches(1, 0)[1].boundaries
    assert take() is second
    del kept
    assert take() is first


def test_readers_may_be_shared_by_threads(tmp_path: Path) -> None:
    dataset = open_documents(random_documents(200, seed=3), tmp_path, 20, vocab_size=257)
    source = RowSource(dataset, 8, 0, packing="best_fit", with_boundaries=True)
    expected = source.batch(0, source.num_rows).input_ids_BT.tolist()
    wrong: list[int] = []

    def read_again() -> None:
        for _ in range(20):
            if source.batch(0, source.num_rows).input_ids_BT.tolist() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=read_again) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_there_may_be_more_shards_than_files_that_may_be_open(tmp_path: Path) -> None:
    write_shards(tmp_path, {"train": random_documents(90, seed=5)}, documents_per_shard=1)
    program = f"""if True:
        import resource
        from slm.data.dataset import TokenDataset
        from slm.data.rows import RowSource
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        source = RowSource(TokenDataset({str(tmp_path)!r}), 8, 0, with_boundaries=True)
        print(source.batch(0, source.num_rows).input_ids_BT.sum())
    """
    source = RowSource(TokenDataset(tmp_path), 8, 0)
    expected = int(source.batch(0, source.num_rows).input_ids_BT.sum())
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(found.stdout) == expected


@pytest.mark.parametrize(("row_tokens", "packing"), [(0, "stream"), (4, "first_fit")])
def test_settings_out_of_range_are_refused(row_tokens: int, packing: Packing, tmp_path: Path) -> None:
    dataset = open_documents(random_documents(4, seed=1), tmp_path, 10, vocab_size=257)
    with pytest.raises(ConfigError):
        RowSource(dataset, row_tokens, 0, packing=packing)


def test_reading_does_not_grow_memory(tmp_path: Path) -> None:
    """40 MB of ids are read twice, and what is resident stays as it was after the first rows."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 257, 100_000).tolist() for _ in range(200)]
    source = RowSource(open_documents(documents, tmp_path, 50, vocab_size=257), 1000, 0)
    pool = ArrayPool(2)
    resident: list[int] = []
    for start in range(0, 2 * source.num_rows, 100):
        source.read(start, 100, pool)
        status = Path("/proc/self/status").read_text()
        resident.append(int(status.split("VmRSS:")[1].split()[0]))
    assert resident[-1] - resident[5] < 8 * 1024
