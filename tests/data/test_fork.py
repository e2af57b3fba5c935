"""Encoding and building in processes that were forked or spawned from one that is at work."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["the cat sat on a mat and saw 42 dogs, "] * 2000


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter(TEXTS[:10]), vocab_size=300)


def _work(tokenizer: Tokenizer, out: Path, queue: "multiprocessing.Queue[tuple[int, int]]") -> None:
    ids, _ = tokenizer.encode_batch(TEXTS, num_threads=2)
    manifest = build_shards(iter(TEXTS), tokenizer, out, num_threads=2)
    queue.put((len(ids), manifest.splits["train"].tokens))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_a_process_whose_threads_are_at_work_do_not_hang(
    method: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """A fork copies the locks of all threads, and only one of the threads."""
    num_ids = len(tokenizer.encode_batch(TEXTS, num_threads=2)[0])
    is_over = threading.Event()
    failures: list[Exception] = []

    def keep_busy(number: int) -> None:
        try:
            for turn in range(1_000_000):
                if is_over.is_set():
                    return
                assert len(tokenizer.encode_batch(TEXTS, num_threads=2)[0]) == num_ids
                build_shards(iter(TEXTS[:100]), tokenizer, tmp_path / f"busy-{number}-{turn % 2}", num_threads=2)
        except Exception as error:  # noqa: BLE001  told by the assertion at the end
            failures.append(error)

    threads = [threading.Thread(target=keep_busy, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context(method)
    try:
        for attempt in range(5 if method == "fork" else 1):
            queue = context.Queue()
            out = tmp_path / f"child-{attempt}"
            child = context.Process(target=_work, args=(tokenizer, out, queue))
            child.start()
            assert queue.get(timeout=60) == (num_ids, num_ids + len(TEXTS))
            child.join(timeout=60)
            assert child.exitcode == 0
            assert Manifest.load(out).splits["train"].documents == len(TEXTS)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert not failures
