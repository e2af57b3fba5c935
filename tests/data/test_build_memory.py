"""`slm data build` within a memory limit, in a process that the system refuses more."""

import gzip
import json
import os
import random
import shutil
import string
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from slm.data.build import build_shards
from slm.errors import ConfigError
from slm.tokenizer import Tokenizer, train_tokenizer

MIB = 1 << 20

CHILD = """
import resource, sys
import numpy, slm.data.build, slm.data.inspect
from slm.cli.main import run

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))

allowed = status("VmData") - status("RssAnon") + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
sys.exit(run(["data", "build", sys.argv[1], "--json", "--progress", "none"]))
"""

WORDS = "the cat sat on a mat and saw 日本 the 42 dogs' été\n".split(" ")  # noqa: SIM905


@dataclass(frozen=True)
class Outcome:
    code: int
    result: dict[str, Any]
    stderr: str


@pytest.fixture
def text() -> bytes:
    """About a megabyte of words."""
    return " ".join(random.Random(0).choices(WORDS, k=250_000)).encode()


def build(tmp_path: Path, corpus: dict[str, Any], *, limit: int = 64, threads: int = 2, **settings: Any) -> Outcome:
    """Build within a limit in MiB, with 32 MiB a thread besides."""
    if not (tmp_path / "tok").exists():
        train_tokenizer(iter(WORDS), vocab_size=300, out=tmp_path / "tok")
    config = tmp_path / "data.yaml"
    content = {"tokenizer": str(tmp_path / "tok"), "out": str(tmp_path / "shards"), "num_threads": threads}
    content |= {"memory_limit": f"{limit}MiB", "corpus": corpus}
    config.write_text(json.dumps(content | settings))
    command = [sys.executable, "-c", CHILD, str(config), str((limit + 32 * threads) * MIB)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, json.loads(done.stdout or "{}"), done.stderr)


@pytest.mark.parametrize("kind", ["text", "jsonl", "gz", "lines"])
def test_a_corpus_larger_than_the_limit_is_built_within_it(kind: str, text: bytes, tmp_path: Path) -> None:
    repeats = 150
    path = tmp_path / {"text": "a.txt", "jsonl": "a.jsonl", "gz": "a.txt.gz", "lines": "a.txt"}[kind]
    if kind == "jsonl":
        escaped = json.dumps(text.decode(), ensure_ascii=False)[1:-1].encode()
        path.write_bytes(b'{"text": "' + escaped * repeats + b'"}\n')
    elif kind == "gz":
        path.write_bytes(gzip.compress(text, 1) * repeats)
    else:
        path.write_bytes(text * repeats)
    done = build(tmp_path, {"paths": [str(path)], "documents": "line" if kind == "lines" else "file"})
    assert done.code == 0, done.stderr
    assert done.result["manifest"]["corpus"]["bytes"] == repeats * len(text) > 128 * MIB
    assert (done.result["manifest"]["corpus"]["documents"] == 1) is (kind != "lines")
    assert 20 * MIB < done.result["peak_memory_bytes"] <= (64 + 2 * 32) * MIB


@pytest.mark.parametrize("threads", [1, 2])
def test_text_that_fills_the_caches_of_each_thread_is_built_within_the_limit(threads: int, tmp_path: Path) -> None:
    rng = random.Random(0)
    words = ["".join(letters) for letters in product(string.ascii_letters, repeat=3)]
    phrases = ["".join(chr(rng.randrange(0x5000, 0x9000)) for _ in range(8)) for _ in range(30_000)]
    path = tmp_path / "a.txt"
    mixed = " ".join(rng.choices(words, k=1_000_000) + rng.choices(phrases, k=300_000))
    path.write_bytes(mixed.encode() * 5)
    done = build(tmp_path, {"paths": [str(path)]}, threads=threads)
    assert done.code == 0, done.stderr
    assert 20 * MIB < done.result["peak_memory_bytes"] <= (64 + threads * 32) * MIB


def test_a_pretoken_larger_than_the_limit_is_built_within_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 150_000_000)
    done = build(tmp_path, {"paths": [str(path)]})
    assert done.code == 0, done.stderr
    assert done.result["manifest"]["corpus"]["bytes"] == 150_000_000 > 128 * MIB
    assert 20 * MIB < done.result["peak_memory_bytes"] <= (64 + 2 * 32) * MIB


def test_a_tokenizer_of_many_tokens_is_kept_beside_the_shards_within_the_limit(text: bytes, tmp_path: Path) -> None:
    letters = [bytes([letter]) for letter in range(256)]
    tokens = letters + [left + right for left in letters for right in letters]
    tokens += [b" " + bytes(pair) + b"s" for pair in product(range(ord("a"), ord("z") + 1), repeat=2)]
    tokens += [token + bytes([letter]) for token in tokens[-676:] for letter in range(100)]
    lines = (b64encode(token) + f" {rank}\n".encode() for rank, token in enumerate(tokens))
    (tmp_path / "ranks").write_bytes(b"".join(lines))
    special_tokens = {"<|endoftext|>": len(tokens)}
    Tokenizer.from_tiktoken(tmp_path / "ranks", pattern="cl100k", special_tokens=special_tokens).save(tmp_path / "tok")
    (tmp_path / "a.txt").write_bytes(text)
    done = build(tmp_path, {"paths": [str(tmp_path / "a.txt")]}, threads=1)
    assert done.code == 0, done.stderr
    assert done.result["manifest"]["tokenizer"]["vocab_size"] > 130_000


@pytest.mark.parametrize("end", ["", "\n"])
def test_blanks_that_a_line_end_decides_are_built_within_the_limit(end: str, tmp_path: Path) -> None:
    train_tokenizer(iter(WORDS), vocab_size=300, pattern="cl100k", out=tmp_path / "tok")
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n" + b" " * 150_000_000 + end.encode())
    done = build(tmp_path, {"paths": [str(path)]})
    assert done.code == 0, done.stderr
    assert done.result["manifest"]["corpus"]["bytes"] == 150_000_001 + len(end)
    assert 20 * MIB < done.result["peak_memory_bytes"] <= (64 + 2 * 32) * MIB


def test_of_more_documents_than_memory_has_room_for_each_first_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    # 57,000 are known in memory at a time. Those that come again are from the first run on disk, the last, and memory.
    lines = [f"line {number}\n" for number in range(500_000)]
    again = lines[:1000] + lines[-1000:] + lines[250_000:251_000]
    path.write_text("".join([*lines, *again, "new\n", *again]))
    corpus = {"paths": [str(path)], "documents": "line"}
    settings: dict[str, Any] = {"deduplicate": True, "shard_tokens": 200_000}
    manifests: list[dict[str, Any]] = []
    for limit in (64, 1024):
        done = build(tmp_path, corpus, limit=limit, **settings)
        assert done.code == 0, done.stderr
        manifests.append(done.result["manifest"])
        assert done.result["peak_memory_bytes"] <= (limit + 2 * 32) * MIB
        assert not list((tmp_path / "shards").glob(".*"))
        shutil.rmtree(tmp_path / "shards")
    assert manifests[0] == manifests[1]
    assert manifests[0]["corpus"]["documents"] == 500_001
    assert manifests[0]["corpus"]["skipped"]["duplicate"] == 6000


def test_a_limit_that_is_too_low_is_refused(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(WORDS), vocab_size=300)
    with pytest.raises(ConfigError, match="`memory_limit` is 1048576 bytes, it must be at least 64 MiB"):
        build_shards(iter(["text"]), tokenizer, tmp_path / "shards", memory_limit="1MiB")
    assert not (tmp_path / "shards").exists()
