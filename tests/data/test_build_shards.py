import gzip
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from slm import _core
from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
from slm.errors import ConfigError, DataError, TokenizerError
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference.hostile import HOSTILE
from tests.reference.naive_shards import concatenated, tokens_of


@pytest.fixture(scope="module")
def documents() -> list[str]:
    words = "the cat sat on a mat and saw 日本 the 42 dogs' été\n\t🫨 <|endoftext|>".split(" ")  # noqa: SIM905
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, size=int(size))) for size in generator.integers(1, 400, 300)]
    return [*texts, *filter(None, HOSTILE)]


@pytest.fixture(scope="module")
def tokenizer(documents: list[str]) -> Tokenizer:
    return train_tokenizer(iter(documents), vocab_size=400)


@pytest.fixture
def jsonl(documents: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in [*documents, ""])
    return path


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file of a shard directory; the tokenizer's too."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_shards_hold_the_ids_of_hugging_face_in_document_order(
    documents: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    manifest = build_shards(iter(documents), tokenizer, tmp_path / "shards", shard_tokens=5_000)
    theirs = tokenizers.Tokenizer.from_str(tokenizer.core.to_json().decode())
    expected, offsets = tokens_of(theirs, documents, 0)
    shards = [np.load(tmp_path / "shards" / shard.tokens_file, mmap_mode="r") for shard in manifest.shards]
    assert len(shards) > 3
    assert concatenated(shards) == expected
    assert manifest.splits["train"].tokens == len(expected)
    assert manifest.splits["train"].bytes == sum(len(text.encode()) for text in documents)
    start = 0
    for shard, tokens in zip(manifest.shards, shards, strict=True):
        index = np.load(tmp_path / "shards" / shard.index_file, mmap_mode="r")
        assert [start + int(offset) for offset in index] == [
            offset for offset in offsets if start <= offset <= start + len(tokens)
        ]
        # Full when it was closed, and not before its last document.
        assert shard is manifest.shards[-1] or len(tokens) >= 5_000 > index[-2]
        start += len(tokens)


def test_arrays_begin_at_a_page_and_map_into_memory(documents: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    build_shards(iter(documents), tokenizer, tmp_path / "shards")
    tokens = np.load(tmp_path / "shards" / "shard-00000.npy", mmap_mode="r")
    assert isinstance(tokens, np.memmap)
    assert (tokens.offset, tokens.dtype) == (4096, np.dtype("<u2"))
    assert np.load(tmp_path / "shards" / "shard-00000.index.npy", mmap_mode="r").dtype == np.dtype("<u8")


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_the_bytes_do_not_depend_on_threads(
    num_threads: int, jsonl: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    settings = {"validation_fraction": 0.2, "shard_tokens": 4_000}
    build_shards(jsonl, tokenizer, tmp_path / "a", num_threads=3, **settings)
    build_shards(jsonl, tokenizer, tmp_path / "b", num_threads=num_threads, **settings)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_the_split_goes_by_the_document_alone(documents: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    # Some longer than a batch of the reader and than the part that decides, some equal.
    long = [("long " * 300_000) + str(number) for number in range(3)]
    texts = [*documents, *long, *documents[:50], long[0]]
    splits: dict[str, set[str]] = {}
    for name, ordered in {"forward": texts, "backward": texts[::-1]}.items():
        manifest = build_shards(iter(ordered), tokenizer, tmp_path / name, validation_fraction=0.3)
        held = [shard for shard in manifest.shards if shard.split == "validation"]
        found: set[str] = set()
        for shard in held:
            tokens = np.load(tmp_path / name / shard.tokens_file)
            index = np.load(tmp_path / name / shard.index_file)
            found |= {tokenizer.decode(tokens[a : b - 1]) for a, b in itertools.pairwise(index)}
        splits[name] = found
        share = sum(shard.documents for shard in held) / len(texts)
        assert 0.2 < share < 0.4
    assert splits["forward"] == splits["backward"]


def test_skipped_documents_are_counted(jsonl: Path, documents: list[str], tokenizer: Tokenizer, tmp_path: Path) -> None:
    manifest = build_shards(jsonl, tokenizer, tmp_path / "shards")
    assert manifest.corpus.skipped == {"empty": 1, "invalid_utf8": 0, "lone_surrogate": 0, "null": 0}
    assert manifest.corpus.documents == len(documents)


def test_the_same_build_again_writes_nothing(jsonl: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    build_shards(jsonl, tokenizer, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    reports: list[_core.Progress] = []
    assert build_shards(jsonl, tokenizer, out, progress=reports.append) == Manifest.load(out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert {report.phase for report in reports} == {"compare"}


def test_shards_of_something_else_are_not_replaced(
    jsonl: Path, documents: list[str], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    build_shards(jsonl, tokenizer, out)
    before = files_of(out)
    other = train_tokenizer(iter(documents), vocab_size=300)
    with pytest.raises(ConfigError, match=r"tokenizer is .* there"):
        build_shards(jsonl, other, out)
    with pytest.raises(ConfigError, match=r"corpus is .* there"):
        build_shards(iter(documents[:-1]), tokenizer, out)
    with pytest.raises(ConfigError, match=r"validation_fraction is 0 there and 0\.5 here"):
        build_shards(jsonl, tokenizer, out, validation_fraction=0.5)
    assert files_of(out) == before


def test_a_directory_of_somebody_else_is_refused(jsonl: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"not empty and no shard directory \(it holds `thesis.txt`\)"):
        build_shards(jsonl, tokenizer, out)
    assert files_of(out) == {"thesis.txt": b"years of work"}


def test_a_failed_build_leaves_no_manifest_and_can_be_mended(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"text": "fine"}\n{"text": 3}\n')
    out = tmp_path / "shards"
    with pytest.raises(DataError, match=r"corpus\.jsonl"):
        build_shards(tmp_path / "corpus.jsonl", tokenizer, out)
    with pytest.raises(DataError, match="build has not ended"):
        Manifest.load(out)
    (tmp_path / "corpus.jsonl").write_text('{"text": "fine"}\n{"text": "too"}\n')
    assert build_shards(tmp_path / "corpus.jsonl", tokenizer, out).splits["train"].documents == 2
    assert not list(out.glob("*.partial")) + list(out.glob(".unfinished"))


def test_a_tokenizer_without_an_end_is_refused(jsonl: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(["text"]), vocab_size=260, special_tokens=[])
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        build_shards(jsonl, tokenizer, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("settings", [{"validation_fraction": 1.5}, {"validation_fraction": -0.1}, {"shard_tokens": 0}])
def test_settings_out_of_range_are_named(
    settings: dict[str, float], jsonl: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        build_shards(jsonl, tokenizer, tmp_path / "shards", **settings)


def test_large_vocabularies_are_stored_in_32_bits(tokenizer: Tokenizer, tmp_path: Path) -> None:
    content = json.loads(tokenizer.core.to_json())
    vocab = content["model"]["vocab"]
    vocab |= {f"token{number}": number for number in range(len(vocab), 70_000)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    manifest = build_shards(iter(["the cat"]), tmp_path / "tokenizer.json", tmp_path / "shards")
    assert manifest.dtype == "uint32"
    assert tokenizer.decode(np.load(tmp_path / "shards" / "shard-00000.npy")) == "the cat<|endoftext|>"


@pytest.fixture
def big_corpus(tmp_path: Path, documents: list[str]) -> Path:
    path = tmp_path / "big.txt"
    lines = [document.replace("\n", " ").replace("\r", " ") + "\n" for document in documents]
    path.write_text("".join(lines) * 60)
    return path


BUILD_ON_A_FULL_DISK = """
import resource, signal, sys
from slm.data.build import build_shards
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
build_shards(sys.argv[1], sys.argv[2], sys.argv[3], documents="line")
"""


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_disk_that_is_full_leaves_nothing_torn(big_corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tok")
    arguments = [str(big_corpus), str(tmp_path / "tok"), str(tmp_path / "shards")]
    failed = subprocess.run(
        [sys.executable, "-c", BUILD_ON_A_FULL_DISK, *arguments], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert "OSError" in failed.stderr
    assert "shard-00000.npy" in failed.stderr
    with pytest.raises(DataError, match="not ended"):
        Manifest.load(tmp_path / "shards")
    build_shards(big_corpus, tokenizer, tmp_path / "shards", documents="line")
    verify_shards(tmp_path / "shards")
