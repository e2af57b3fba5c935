"""Bad input of every kind: an error of the right type that names the place, in little time and memory.

Each is met in a process of its own, which is measured. Hostile `tokenizer.json` files are in
tests/tokenizer/test_hostile_tokenizer_files.py, and what `on_error: skip` makes of a corpus is in test_build_input.py.
"""

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm.data.build import build_shards
from slm.tokenizer import train_tokenizer
from tests.reference.archives import parquet, zstandard

_MAX_SECONDS = 2
_MAX_KIB = 64 << 10

# Prints seconds, KiB of resident memory beyond what was there before, and the type and text of the error.
# `ru_maxrss` would not do: it begins at what the parent has.
_MEET = """
import pathlib, sys, time
from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
peak = lambda: int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
root = pathlib.Path(sys.argv[1])
build = lambda corpus, **more: build_shards(corpus, root / "tok", root / "new", num_threads=2, **more)
before, started = peak(), time.monotonic()
try:
    {call}
except Exception as error:
    print(time.monotonic() - started, peak() - before, type(error).__name__, error, sep="\\n")
"""

_LINES = 100_000
_GOOD_LINE = json.dumps({"text": "some words of a line that is as it should be, and some more of them"}) + "\n"


def meet(call: str, root: Path) -> tuple[str, str]:
    """Make the call and give the type and the text of its error."""
    program = _MEET.replace("{call}", call)
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seconds, kib, kind, error = done.stdout.split("\n", 3)
    assert float(seconds) < _MAX_SECONDS
    assert int(kib) < _MAX_KIB
    return kind, error


@pytest.fixture(scope="module")
def tok(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tok"
    train_tokenizer(iter(["some words of a line"]), vocab_size=280, out=path)
    return path


@pytest.fixture
def root(tok: Path, tmp_path: Path) -> Path:
    (tmp_path / "tok").symlink_to(tok)
    return tmp_path


def after_many_lines(line: str) -> bytes:
    return (_GOOD_LINE * _LINES + line + "\n" + _GOOD_LINE).encode()


# Name of the file, its content, and what the error says.
CORPORA: dict[str, tuple[str, Callable[[], bytes], list[str]]] = {
    "malformed JSON line": (
        "a.jsonl",
        lambda: after_many_lines('{"text": "some" "words"}'),
        [f"a.jsonl`:{_LINES + 1}:", "where `,` or `}` must be", "column 17"],
    ),
    "JSON line that is cut off": (
        "a.jsonl",
        lambda: after_many_lines('{"text": "some')[: -len(_GOOD_LINE)],
        [f"a.jsonl`:{_LINES + 1}:", "ends inside a string"],
    ),
    "endless JSON line": ("a.jsonl", lambda: b'{"text": [' + b"[" * 30_000_000, ["a.jsonl`:1:", "is an array"]),
    "deep JSON line": (
        "a.jsonl",
        lambda: b'{"other": ' + b"[" * 30_000_000,
        ["a.jsonl`:1:", "more than 128 arrays and objects"],
    ),
    "missing field": (
        "a.jsonl",
        lambda: after_many_lines('{"body": "some"}'),
        [f"a.jsonl`:{_LINES + 1}:", "no field `text`"],
    ),
    "wrong type": (
        "a.jsonl",
        lambda: after_many_lines('{"text": 17}'),
        [f"a.jsonl`:{_LINES + 1}:", "field `text` is a number"],
    ),
    "lone surrogate in JSON": (
        "a.jsonl",
        lambda: after_many_lines('{"text": "some\\udc00"}'),
        [f"a.jsonl`:{_LINES + 1}:", "lone surrogate `\\udc00`"],
    ),
    "text that is not UTF-8": (
        "a.txt",
        lambda: b"some words\n" * _LINES + b"caf\xe9 and more\n",
        ["a.txt` is not UTF-8: byte 0xE9 at offset 1100003"],
    ),
    "JSON that is not UTF-8": (
        "a.jsonl",
        lambda: (_GOOD_LINE * _LINES).encode() + b'{"text": "caf\xe9"}\n',
        ["a.jsonl` is not UTF-8: byte 0xE9 at offset"],
    ),
    "gzip that is cut off": (
        "a.txt.gz",
        lambda: gzip.compress(after_many_lines(""), 1)[:-50],
        ["a.txt.gz` is truncated", "bytes of text"],
    ),
    "zstd that is cut off": (
        "a.txt.zst",
        lambda: zstandard(after_many_lines(""))[:-50],
        ["a.txt.zst` is truncated", "bytes of text"],
    ),
    "zstd that is none": ("a.txt.zst", lambda: after_many_lines(""), ["a.txt.zst` does not begin as a zstd file"]),
    "zstd with a window beyond the limit": (
        # A window of 2 GiB is asked for by a few bytes.
        "a.txt.zst",
        lambda: b"\x28\xb5\x2f\xfd\x00\xa8" + zstandard(b"some words")[6:],
        ["a.txt.zst` needs more than", "raise `memory_limit`"],
    ),
    "Parquet that is cut off": ("a.parquet", lambda: parquet()[:-300], ["a.parquet` cannot be read as Parquet"]),
    "Parquet with a damaged page": (
        "a.parquet",
        lambda: parquet().replace(b"\x03\x00\x00\x00one", b"\xff\xff\xff\x7fone"),
        ["a.parquet` cannot be read as Parquet at row 0"],
    ),
    "Parquet without the column": (
        "a.parquet",
        lambda: parquet().replace(b"text", b"body"),
        ["a.parquet`: column `text` is not there", "this file has `body`"],
    ),
}


def test_the_archives_of_these_tests_are_read(root: Path) -> None:
    (root / "a.parquet").write_bytes(parquet())
    (root / "b.txt.zst").write_bytes(zstandard(b"some words" * 20_000))
    manifest = build_shards([root / "a.parquet", root / "b.txt.zst"], root / "tok", root / "shards")
    assert [(source.documents, source.bytes) for source in manifest.sources] == [(3, 11), (1, 200_000)]


@pytest.mark.parametrize("kind", CORPORA)
def test_a_bad_corpus_is_an_error_that_names_the_place(kind: str, root: Path) -> None:
    name, content, parts = CORPORA[kind]
    (root / name).write_bytes(content())
    limit = ', memory_limit="256MiB"' if "window" in kind else ""
    found, error = meet(f'build(root / "{name}"{limit})', root)
    assert found == "DataError", error
    assert str(root / name) in error
    assert "\n\nhint: " in error
    for part in parts:
        assert part in error
    assert not (root / "new" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("documents", "parts"),
    [
        (r'["fine", "some\ud800"]', ["document 1 of the iterable has a lone surrogate at index 4"]),
        (r'["fine", b"caf\xe9"]', ["document 1 of the iterable is not UTF-8: byte 0xE9 at offset 3"]),
    ],
)
def test_a_bad_document_from_python_is_an_error_that_names_it(documents: str, parts: list[str], root: Path) -> None:
    found, error = meet(f"build(iter({documents}))", root)
    assert found == "DataError", error
    for part in parts:
        assert part in error


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(shards: Path) -> None:
        path = shards / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    return damage


def in_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda shards: (shards / name).write_bytes(change((shards / name).read_bytes())) and None


def linked_out(shards: Path) -> None:
    (shards / "shard-00000.npy").rename(shards.parent / "elsewhere.npy")
    (shards / "shard-00000.npy").symlink_to(shards.parent / "elsewhere.npy")


def another_tokenizer(shards: Path) -> None:
    train_tokenizer(iter(["other words"]), vocab_size=280, out=shards / "tokenizer")


# What is done to the shards, the type of the error, and what it says.
DAMAGES: dict[str, tuple[Callable[[Path], None], str, list[str]]] = {
    "../x": (
        in_manifest(lambda manifest: manifest["shards"][0].update(name="../x")),
        "DataError",
        ["manifest.json` is not a manifest", "`shards.0.name`"],
    ),
    "absolute path": (
        in_manifest(lambda manifest: manifest["shards"][0].update(name="/etc/shard-00000")),
        "DataError",
        ["manifest.json` is not a manifest", "`shards.0.name`"],
    ),
    "link out of the directory": (linked_out, "DataError", ["shard-00000.npy` is a link to", "elsewhere.npy"]),
    "shard that is shorter": (
        in_bytes("shard-00000.npy", lambda content: content[:-6]),
        "DataError",
        ["shard-00000.npy` has", "are missing"],
    ),
    "shard that is longer": (
        in_bytes("shard-00000.npy", lambda content: content + b"some"),
        "DataError",
        ["shard-00000.npy` has", "are too many"],
    ),
    "flipped bit": (
        in_bytes("shard-00000.npy", lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]),
        "DataError",
        ["shard-00000.npy` has changed in its bytes 4194304 to"],
    ),
    "flipped bit in an index": (
        in_bytes("shard-00000.index.npy", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
        "DataError",
        ["shard-00000.index.npy` has changed in its bytes 4096 to"],
    ),
    "another tokenizer": (another_tokenizer, "TokenizerError", ["shards were made with tokenizer", "tokenizer` uses"]),
    "endless manifest": (
        lambda shards: (shards / "manifest.json").write_bytes(b"[" * 30_000_000) and None,
        "DataError",
        ["manifest.json` is not a manifest"],
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_shards_are_an_error_that_names_the_file(kind: str, root: Path) -> None:
    damage, expected, parts = DAMAGES[kind]
    generator = random.Random(0)
    text = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz     ", k=3_000_000))
    build_shards(iter([text]), root / "tok", root / "shards")
    damage(root / "shards")
    found, error = meet('verify_shards(root / "shards")', root)
    assert found == expected, error
    assert str(root / "shards") in error
    for part in parts:
        assert part in error


def test_training_data_of_another_tokenizer_is_refused(root: Path) -> None:
    build_shards(iter(["some words"]), root / "tok", root / "shards")
    found, error = meet('Manifest.load(root / "shards").require_tokenizer("f" * 64)', root)
    assert found == "TokenizerError"
    assert "rebuild the shards" in error
