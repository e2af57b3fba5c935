"""Builds of shards that are killed, broken off, or begun twice."""

import itertools
import os
import random
import threading
from pathlib import Path

import pytest

from benches.kills import KilledBuild, finished_shards
from slm import _core
from slm.data.build import BuildResult, build_from, build_shards
from slm.data.manifest import Manifest
from slm.data.verify import verify_shards
from slm.errors import ConfigError, DataError, SlmWarning
from slm.tokenizer import Tokenizer, train_tokenizer
from slm.tokenizer.corpus import open_corpus

WORDS = "the cat sat on a mat and saw 日本 the 42 dogs' été".split(" ")  # noqa: SIM905

SHARD_TOKENS = 60_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 12 MB: a large file between short ones."""
    directory = tmp_path_factory.mktemp("corpus")
    numbers = random.Random(0)
    lines = [" ".join(numbers.choices(WORDS, k=numbers.randint(1, 300))) + "\n" for _ in range(2_000)]
    for number, repetitions in enumerate([1, 0, 9, 1, 2]):
        (directory / f"{number}.txt").write_text("".join(lines[number:]) * repetitions + f"file {number}\n")
    return directory


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter(WORDS), vocab_size=300)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def build(corpus: Path, tokenizer: Tokenizer, out: Path, *, shard_tokens: int = SHARD_TOKENS) -> BuildResult:
    return build_from(
        open_corpus(corpus, documents="line"),
        tokenizer,
        out,
        validation_fraction=0.1,
        shard_tokens=shard_tokens,
        num_threads=2,
        progress=None,
    )


class BrokenOffError(Exception):
    """Raised by the tests."""


def break_off(corpus: Path, tokenizer: Tokenizer, out: Path, *, num_shards: int) -> list[str]:
    """Build until some shards are finished, and give their names."""

    def progress(_: _core.Progress) -> None:
        if len(finished_shards(out)) >= num_shards:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        build_from(
            open_corpus(corpus, documents="line"),
            tokenizer,
            out,
            validation_fraction=0.1,
            shard_tokens=SHARD_TOKENS,
            num_threads=1,
            progress=progress,
        )
    return finished_shards(out)


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_kills_lose_no_finished_shard_and_change_no_byte(corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    """`benches/kills.py` is the same at length."""
    tokenizer.save(tmp_path / "tok")
    build(corpus, tokenizer, tmp_path / "whole")
    killed = tmp_path / "killed"
    settings = {
        "corpus": str(corpus),
        "tokenizer": str(tmp_path / "tok"),
        "out": str(killed),
        "documents": "line",
        "shard_tokens": SHARD_TOKENS,
        "validation_fraction": 0.1,
    }

    def after_kill() -> None:
        with pytest.raises(DataError, match="not ended"):
            Manifest.load(killed)

    interrupted = KilledBuild(settings, random.Random(1), 0.12)
    interrupted.run(20, after_kill)
    assert interrupted.num_kills >= 3
    assert not interrupted.written_anew
    num_finished = len(finished_shards(killed))
    built = build(corpus, tokenizer, killed)
    assert built.was_complete or built.resumed_shards == num_finished
    assert files_of(killed) == files_of(tmp_path / "whole")
    verify_shards(killed)


def test_what_is_finished_is_not_encoded_again(corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    whole = build(corpus, tokenizer, tmp_path / "whole")
    finished = break_off(corpus, tokenizer, tmp_path / "shards", num_shards=5)
    assert len(finished) >= 5
    built = build(corpus, tokenizer, tmp_path / "shards")
    assert built.resumed_shards == len(finished)
    in_finished = sum(shard.bytes for shard in built.manifest.shards if shard.name in finished)
    assert 0 < built.encoded_bytes <= whole.encoded_bytes - in_finished
    assert files_of(tmp_path / "shards") == files_of(tmp_path / "whole")
    assert build(corpus, tokenizer, tmp_path / "shards").was_complete


def test_a_shard_that_was_completed_after_the_journal_is_shortened_again(
    corpus: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    build(corpus, tokenizer, tmp_path / "whole")
    shards = tmp_path / "shards"
    break_off(corpus, tokenizer, shards, num_shards=3)
    partial = next(path for path in shards.glob("shard-*.npy.partial") if "index" not in path.name)
    with partial.open("ab") as file:
        file.write(b"of a document that the journal does not know")
    partial.rename(partial.with_suffix(""))
    assert build(corpus, tokenizer, shards).resumed_shards >= 3
    assert files_of(shards) == files_of(tmp_path / "whole")


def test_what_a_kill_right_after_the_manifest_leaves_is_removed(
    corpus: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    shards = tmp_path / "shards"
    build(corpus, tokenizer, shards)
    whole = files_of(shards)
    for name in (".lock", ".unfinished", ".journal.json"):
        (shards / name).write_text("x")
    assert build(corpus, tokenizer, shards).was_complete
    assert files_of(shards) == whole


@pytest.mark.parametrize("change", ["settings", "text", "shard", "journal"])
def test_what_is_of_no_use_is_made_anew_with_a_warning(
    change: str, corpus: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    copied = tmp_path / "corpus"
    copied.mkdir()
    for path in corpus.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    shards = tmp_path / "shards"
    finished = break_off(copied, tokenizer, shards, num_shards=3)
    shard_tokens = SHARD_TOKENS
    if change == "settings":
        shard_tokens, reason = SHARD_TOKENS * 2, "of another tokenizer or other settings"
    elif change == "text":
        first, reason = copied / "0.txt", "files that were encoded already have changed"
        first.write_text(first.read_text().replace("cat", "dog"))
    elif change == "shard":
        (shards / f"{finished[1]}.npy").unlink()
        reason = "shards are missing"
    else:
        (shards / ".journal.json").write_text("{")
        reason = "was written by another version"
    with pytest.warns(SlmWarning, match=reason):
        built = build(copied, tokenizer, shards, shard_tokens=shard_tokens)
    assert built.resumed_shards == 0
    build(copied, tokenizer, tmp_path / "whole", shard_tokens=shard_tokens)
    assert files_of(shards) == files_of(tmp_path / "whole")


def test_two_builds_in_one_directory_do_not_mix(corpus: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    goes_on = threading.Event()
    has_begun = threading.Event()

    def documents() -> "itertools.chain[str]":
        def wait() -> str:
            has_begun.set()
            assert goes_on.wait(60)
            return "the last"

        return itertools.chain(["the cat"], (wait() for _ in range(1)))

    first = threading.Thread(target=lambda: build_shards(documents(), tokenizer, shards))
    first.start()
    try:
        assert has_begun.wait(60)
        with pytest.raises(ConfigError, match="another process writes shards into"):
            build(corpus, tokenizer, shards)
    finally:
        goes_on.set()
        first.join()
    assert Manifest.load(shards).splits["train"].documents == 2
    assert not (shards / ".lock").exists()
