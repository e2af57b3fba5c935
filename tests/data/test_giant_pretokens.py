"""`slm data build` of documents with pretokens longer than what a build holds of a document."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
from slm.errors import ConfigError
from slm.tokenizer import Tokenizer, train_tokenizer

# Runs, so that there is much to merge: tokens of 2, 4, 8 letters.
WORDS = ["the", "aaaaaaaaaaaaaa", "       ", "======", "1111", "日本", "😀😀", "\n\n\n", " \n \n", "été", "'s"]

UNITS = {
    "letter": "a",
    "blanks": " ",
    "digits": "1",
    "emoji": "😀",
    "equals": "=",
    "line ends": "=\n",
    "marks": "e\u0301",
}


def trained(pattern: str, **options: bool | str) -> Tokenizer:
    return train_tokenizer(iter(WORDS * 20), vocab_size=340, pattern=pattern, **options)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return trained("gpt2")


def ids_of(directory: Path) -> Iterator[list[int]]:
    """Every document's ids, without the end-of-text token."""
    manifest = json.loads((directory / "manifest.json").read_bytes())
    for shard in manifest["shards"]:
        tokens = np.load(directory / f"{shard['name']}.npy")
        ends = np.load(directory / f"{shard['name']}.index.npy")
        for start, end in itertools.pairwise(ends):
            assert tokens[end - 1] == manifest["tokenizer"]["end_of_text_id"]
            yield tokens[start : end - 1].tolist()


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "qwen2", "prefix_space", r"a+|[^a]{1,3}"])
def test_ids_of_runs_of_any_length_are_those_of_the_whole(pattern: str, tmp_path: Path) -> None:
    if pattern == "prefix_space":
        tokenizer = trained("gpt2", prefix_space=True)
    else:
        tokenizer = trained(pattern, **({"normalization": "nfc"} if pattern == "qwen2" else {}))
    runs = {name: unit * (1_300_000 // len(unit.encode())) for name, unit in UNITS.items()}
    texts = [*runs.values(), f"it's {runs['letter']}'s  {runs['equals']}\n", "short"]
    build_shards(iter(texts), tokenizer, tmp_path / "shards", memory_limit="64MiB", num_threads=2)
    for text, ids in zip(texts, ids_of(tmp_path / "shards"), strict=True):
        assert ids == tokenizer.encode(text).tolist(), text[:10]


def test_a_giant_is_split_off_known_again_and_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = ["a" * 3_000_000, "one", "=" * 3_000_000, "a" * 3_000_000, "a" * 3_000_001]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    def build() -> Manifest:
        return build_shards(
            path, tokenizer, tmp_path / "shards", deduplicate=True, validation_fraction=0.5, memory_limit="64MiB"
        )

    manifest = build()
    assert manifest.corpus.documents == 4
    assert manifest.corpus.skipped["duplicate"] == 1
    found = sorted(map(len, ids_of(tmp_path / "shards")))
    assert found == sorted(len(tokenizer.encode(text)) for text in {*texts})
    verify_shards(tmp_path / "shards")
    # A finished directory is compared, which reads the giants too.
    assert build() == manifest


def test_the_split_of_a_document_does_not_depend_on_whether_it_came_in_parts(tmp_path: Path) -> None:
    # A vocabulary that lacks bytes takes no parts, and so has the documents whole.
    whole = train_tokenizer(iter(["a rest 0123456789"]), vocab_size=30, initial_alphabet=False)
    texts = ["a" * (1_300_000 + 2**number) + " rest" * 30_000 for number in range(12)]

    def lengths(tokenizer: Tokenizer, out: str) -> list[tuple[int, int]]:  # the bytes tell which documents they are
        manifest = build_shards(
            iter(texts), tokenizer, tmp_path / out, validation_fraction=0.5, deduplicate=True, memory_limit="1GiB"
        )
        return [(split.documents, split.bytes) for split in manifest.splits.values()]

    assert lengths(trained("gpt2"), "parts") == lengths(whole, "whole")


BUILD = """
import sys
from slm.data.build import build_shards
build_shards(*sys.argv[1:4], validation_fraction=0.3, shard_tokens=100_000, memory_limit="64MiB", num_threads=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_build_that_is_killed_within_giants_goes_on_to_the_same_bytes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tok")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, unit in enumerate(["a", "=", " ", "😀"]):
        (corpus / f"{number}.txt").write_text(f"file {number} " + unit * 3_000_000 + " and its end")

    def command(out: str) -> list[str]:
        return [sys.executable, "-c", BUILD, str(corpus), str(tmp_path / "tok"), str(tmp_path / out)]

    def files(out: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / out).rglob("*") if path.is_file()}

    subprocess.run(command("whole"), check=True)
    num_kills = 0
    for delay in [0.2, 0.4, 0.6, 0.8, 1.0]:
        with subprocess.Popen(command("killed")) as process:
            while process.poll() is None and not list((tmp_path / "killed").glob("*.npy.partial")):
                time.sleep(0.005)
            time.sleep(delay)
            num_kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert num_kills > 0
    subprocess.run(command("killed"), check=True)
    assert files("killed") == files("whole")


@pytest.mark.parametrize("pattern", ["cl100k", "o200k", "qwen2"])
def test_what_a_line_end_far_behind_decides_is_as_in_the_whole(pattern: str, tmp_path: Path) -> None:
    tokenizer = trained(pattern, normalization="nfc") if pattern == "qwen2" else trained(pattern)
    blanks, capitals = " " * 3_000_000, "A" * 3_000_000
    texts = [
        f"a\n{blanks}",
        f"\n{blanks}\n{blanks}the",
        f"\n\t{blanks}=\n \n{blanks}\n",
        f"語{capitals}",
        f"語{capitals}a {blanks}",
        "a" * 2_000_000 + "\u0316 aaa" + blanks,
    ]
    manifests = [
        build_shards(
            iter(texts), tokenizer, tmp_path / str(threads), deduplicate=True, memory_limit="64MiB", num_threads=threads
        )
        for threads in (1, 3)
    ]
    assert manifests[0] == manifests[1]
    for text, ids in zip(texts, ids_of(tmp_path / "1"), strict=True):
        assert ids == tokenizer.encode(text).tolist(), text[:10]
    # A finished directory is compared, which holds such text too.
    assert build_shards(iter(texts), tokenizer, tmp_path / "1", deduplicate=True, memory_limit="64MiB") == manifests[0]


def test_what_a_regex_looks_at_again_and_again_is_refused(tmp_path: Path) -> None:
    tokenizer = trained(r"a+b|a|[^a]")
    text = "a" * 2_000_000
    with pytest.raises(ConfigError, match="does not split") as refused:
        build_shards(iter([text]), tokenizer, tmp_path / "refused", memory_limit="64MiB", num_threads=1)
    assert "raise `memory_limit`" in str(refused.value)
    build_shards(iter([text]), tokenizer, tmp_path / "shards", memory_limit="512MiB", num_threads=1)
    assert next(ids_of(tmp_path / "shards")) == tokenizer.encode(text).tolist()
