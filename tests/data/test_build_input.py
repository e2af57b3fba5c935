"""What of a corpus gets into shards: splits, duplicates, sources, and what cannot be read."""

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slm import _core
from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
from slm.errors import DataError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference.archives import parquet

WORDS = "the cat sat on a mat and saw 日本 the 42 dogs' été\n".split(" ")  # noqa: SIM905


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter(WORDS), vocab_size=300)


def texts_of(shards: Path, tokenizer: Tokenizer, split: str = "train") -> list[str]:
    """The documents of a split, decoded."""
    texts: list[str] = []
    for shard in Manifest.load(shards).shards:
        if shard.split == split:
            tokens = np.load(shards / shard.tokens_file)
            ends = np.load(shards / shard.index_file).astype(np.int64)
            texts += [tokenizer.decode(tokens[a : b - 1]) for a, b in itertools.pairwise(ends)]
    return texts


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("length", [60_000, 100_000, 1_500_000])
def test_the_end_of_a_document_decides_its_split_too(length: int, tokenizer: Tokenizer, tmp_path: Path) -> None:
    # As long as what the reader cuts documents into, or longer, and all different in their last byte alone.
    texts = ["word " * (length // 5) + str(number) for number in range(10)]
    build_shards(iter(texts), tokenizer, tmp_path / "shards", validation_fraction=0.5, shard_tokens=length)
    found = {split: texts_of(tmp_path / "shards", tokenizer, split) for split in ("train", "validation")}
    assert all(found.values())
    assert sorted(found["train"] + found["validation"]) == sorted(texts)
    for split, of_split in found.items():
        assert [text for text in texts if text in of_split] == of_split, split
    verify_shards(tmp_path / "shards")


def mixed_texts() -> list[str]:
    """Short and long documents, many of them more than once."""
    generator = random.Random(0)
    kinds = [" ".join(generator.choices(WORDS, k=generator.randint(1, 300))) for _ in range(200)]
    kinds += [" ".join(generator.choices(WORDS, k=400_000)) for _ in range(3)]
    return generator.choices(kinds, k=600) + kinds[-3:]


def test_the_first_of_equal_documents_is_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = mixed_texts()
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings: dict[str, Any] = {"deduplicate": True, "shard_tokens": 100_000}
    manifest = build_shards(path, tokenizer, tmp_path / "one", num_threads=1, **settings)
    assert texts_of(tmp_path / "one", tokenizer) == list(dict.fromkeys(texts))
    assert manifest.corpus.documents == len(set(texts))
    assert manifest.corpus.skipped["duplicate"] == len(texts) - len(set(texts)) > 100
    assert manifest.deduplicate
    # The splits are those of the same documents without the others.
    settings |= {"validation_fraction": 0.4}
    build_shards(path, tokenizer, tmp_path / "two", num_threads=3, **settings)
    build_shards(iter(dict.fromkeys(texts)), tokenizer, tmp_path / "three", validation_fraction=0.4)
    for split in ("train", "validation"):
        assert texts_of(tmp_path / "two", tokenizer, split) == texts_of(tmp_path / "three", tokenizer, split)


class BrokenOffError(Exception):
    """Raised by the tests."""


def test_duplicates_are_known_after_any_number_of_interruptions(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = mixed_texts()
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    path.write_text("".join(lines[:300]) + "broken\n" + "".join(lines[300:]))
    out = tmp_path / "broken off"
    settings: dict[str, Any] = {
        "deduplicate": True,
        "on_error": "skip",
        "shard_tokens": 50_000,
        "validation_fraction": 0.2,
    }
    build_shards(path, tokenizer, tmp_path / "whole", **settings)
    num_breaks = 0
    num_shards = 0

    def progress(_: _core.Progress) -> None:
        nonlocal num_shards
        found = len(list(out.glob("shard-*[0-9].npy")))
        if found > num_shards:
            num_shards = found
            raise BrokenOffError

    for _ in range(50):
        try:
            build_shards(path, tokenizer, out, num_threads=2, progress=progress, **settings)
            break
        except BrokenOffError:
            num_breaks += 1
    assert num_breaks >= 2
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not list(out.glob(".*"))


def test_each_path_is_a_source_with_figures_of_its_own(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    for number in range(3):
        (tmp_path / "books" / f"{number}.txt").write_text(f"book {number} " + "long " * 300_000 * (number == 1))
    (tmp_path / "web.jsonl").write_text('{"text": "page"}\n{"text": ""}\nnothing\n{"text": "page"}\n')
    paths = [str(tmp_path / "books"), str(tmp_path / "web.jsonl"), str(tmp_path / "books" / "0.txt")]
    manifest = build_shards(paths, tokenizer, tmp_path / "shards", deduplicate=True, on_error="skip")
    books, web, again = manifest.sources
    assert [source.path for source in manifest.sources] == paths
    assert (books.files, books.documents, web.files, web.documents, again.documents) == (3, 3, 1, 1, 0)
    assert web.skipped == {**dict.fromkeys(["invalid_utf8", "lone_surrogate", "null"], 0)} | {
        "empty": 1,
        "malformed": 1,
        "duplicate": 1,
    }
    assert again.skipped["duplicate"] == 1
    assert web.bytes == len("page")
    for figure in ("documents", "tokens", "bytes"):
        assert sum(getattr(source, figure) for source in manifest.sources) == getattr(manifest.splits["train"], figure)
    assert manifest.corpus.skipped["duplicate"] == 2


GOOD = ['{"text": "one"}', '{"id": 1, "text": "two"}']

BAD_LINES = {
    "no object": ("malformed", "some text"),
    "cut off": ("malformed", '{"text": "three'),
    "missing field": ("malformed", '{"body": "three"}'),
    "wrong type": ("malformed", '{"text": ["three"]}'),
    "field twice": ("malformed", '{"text": "three", "text": "four"}'),
    "rest is wrong": ("malformed", '{"text": "three", "rest": tru}'),
    "long and wrong": ("malformed", '{"text": "' + "three " * 1_000_000 + '", "rest": }'),
    "control character": ("malformed", '{"text": "three\tfour"}'),
    "lone surrogate": ("lone_surrogate", '{"text": "three \\ud800"}'),
    "null": ("null", '{"text": null}'),
}


@pytest.mark.parametrize("kind", BAD_LINES)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_is_left_out_counted_and_named(kind: str, place: int, tokenizer: Tokenizer, tmp_path: Path) -> None:
    reason, line = BAD_LINES[kind]
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join([*GOOD[:place], line, *GOOD[place:]]))
    if reason != "null":
        with pytest.raises(DataError, match=rf"corpus\.jsonl`:{place + 1}: "):
            build_shards(path, tokenizer, tmp_path / "shards")
    manifest = build_shards(path, tokenizer, tmp_path / "shards", on_error="skip")
    assert texts_of(tmp_path / "shards", tokenizer) == ["one", "two"]
    assert {name: count for name, count in manifest.corpus.skipped.items() if count} == {reason: 1}
    if reason != "null":
        (complaint,) = manifest.corpus.first_skipped
        assert complaint.startswith(f"`{path}`:{place + 1}: ")


def test_bytes_that_are_not_utf8_are_left_out_with_the_rest(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"one\ntw\xffo\nthree\n")
    manifest = build_shards(path, tokenizer, tmp_path / "shards", documents="line", on_error="skip")
    assert texts_of(tmp_path / "shards", tokenizer) == ["one\n", "three\n"]
    assert manifest.corpus.skipped["invalid_utf8"] == 1
    assert manifest.corpus.first_skipped == (f"`{path}` is not UTF-8 at offset 6",)
    kept = build_shards(path, tokenizer, tmp_path / "kept", documents="line", on_error="skip", invalid_utf8="replace")
    assert (kept.corpus.documents, kept.corpus.replaced_sequences) == (3, 1)
    from_memory = build_shards(iter(["one", "tw\ud800o", b"\xff"]), tokenizer, tmp_path / "memory", on_error="skip")
    assert from_memory.corpus.first_skipped == (
        "document 1 of the iterable has a lone surrogate",
        "document 2 of the iterable is not UTF-8",
    )


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("change", [cut, lambda content: content[:100] + b"\xff" * 50 + content[150:]])
def test_what_is_before_the_end_of_a_broken_file_is_kept(
    change: Callable[[bytes], bytes], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    generator = random.Random(0)
    lines = [" ".join(generator.choices(WORDS, k=50)).replace("\n", "") + "\n" for _ in range(3000)]
    path = tmp_path / "a.txt.gz"
    path.write_bytes(change(gzip.compress("".join(lines).encode())))
    (tmp_path / "b.txt").write_text("the file behind it\n")
    paths = [str(path), str(tmp_path / "b.txt")]
    with pytest.raises(DataError, match=r"a\.txt\.gz"):
        build_shards(paths, tokenizer, tmp_path / "shards", documents="line")
    manifest = build_shards(paths, tokenizer, tmp_path / "shards", documents="line", on_error="skip")
    *kept, last = texts_of(tmp_path / "shards", tokenizer)
    assert last == "the file behind it\n"
    assert kept == lines[: len(kept)]
    assert len(kept) < len(lines)
    assert manifest.corpus.skipped["unreadable"] == 1
    assert manifest.sources[0].skipped["unreadable"] == 1
    assert str(path) in manifest.corpus.first_skipped[0]


def test_a_whole_document_that_breaks_off_is_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    # Longer than what is held back until it is known to be text to its end.
    for name, content in {"a": "word " * 2_000_000, "b": "fine"}.items():
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "a.txt.gz").write_bytes((tmp_path / "a.txt.gz").read_bytes()[:-9])
    (tmp_path / "c.zst").write_bytes(b"no archive at all")
    manifest = build_shards(str(tmp_path / "*.*"), tokenizer, tmp_path / "shards", on_error="skip")
    assert texts_of(tmp_path / "shards", tokenizer) == ["fine"]
    assert manifest.corpus.skipped["unreadable"] == 2
    assert manifest.corpus.files == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-300], "unreadable"),
        (lambda content: content.replace(b"\x03\x00\x00\x00one", b"\xff\xff\xff\x7fone"), "unreadable"),
        (lambda content: content.replace(b"text", b"body"), "malformed"),
    ],
)
def test_a_table_that_cannot_be_read_is_left_out(
    change: Callable[[bytes], bytes], reason: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / "a.parquet").write_bytes(change(parquet()))
    (tmp_path / "b.parquet").write_bytes(parquet())
    manifest = build_shards(str(tmp_path / "*.parquet"), tokenizer, tmp_path / "shards", on_error="skip")
    assert texts_of(tmp_path / "shards", tokenizer) == ["one", "two", "three"]
    assert {name: count for name, count in manifest.corpus.skipped.items() if count} == {reason: 1, "null": 1}
    assert "a.parquet`" in manifest.corpus.first_skipped[0]


def test_the_reader_of_tokenizer_training_leaves_out_the_same(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join([*GOOD, "broken"]))
    trained = train_tokenizer(path, vocab_size=260, on_error="skip").training
    assert trained is not None
    assert (trained["corpus"]["documents"], trained["corpus"]["skipped"]["malformed"]) == (2, 1)
    (complaint,) = trained["corpus"]["first_skipped"]
    assert complaint.startswith(f"`{path}`:3: ")
    with pytest.raises(DataError, match=r"corpus\.jsonl`:3"):
        train_tokenizer(path, vocab_size=260)
