import gzip
import json
from pathlib import Path

import pytest

from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference.command import is_one_paragraph, slm


@pytest.fixture
def old(tmp_path: Path) -> Tokenizer:
    """A tokenizer that is where the failing command would write."""
    return train_tokenizer(iter(["old text"]), vocab_size=260, out=tmp_path / "tok")


def write_bad_corpus(kind: str, directory: Path) -> Path:
    """Make a corpus that cannot be read, and give its path."""
    directory.mkdir()
    if kind == "missing":
        return directory / "nowhere.txt"
    if kind == "empty directory":
        return directory
    path = directory / {"malformed jsonl": "a.jsonl", "no field": "a.jsonl", "truncated gz": "a.txt.gz"}.get(
        kind, "a.txt"
    )
    path.write_bytes(
        {
            "empty file": b"",
            "not UTF-8": b"fine so far\nand then \xff\xfe",
            "malformed jsonl": b'{"text": "fine"}\n{"text": "brok\n',
            "no field": b'{"text": "fine"}\n{"body": "text"}\n',
            "truncated gz": gzip.compress(b"some text " * 10_000)[:-20],
            "fine": b"some text",
        }[kind]
    )
    return path


@pytest.mark.parametrize(
    ("kind", "code", "parts"),
    [
        ("missing", 2, ["nowhere.txt"]),
        ("empty directory", 1, ["corpus"]),
        ("empty file", 1, ["text"]),
        ("not UTF-8", 1, ["a.txt", "UTF-8", "21"]),
        ("malformed jsonl", 1, ["a.jsonl", "2"]),
        ("no field", 1, ["a.jsonl", "`text`", "2"]),
        ("truncated gz", 1, ["a.txt.gz"]),
    ],
)
def test_a_corpus_that_cannot_be_read_is_named(
    kind: str, code: int, parts: list[str], old: Tokenizer, tmp_path: Path
) -> None:
    corpus = write_bad_corpus(kind, tmp_path / "corpus")
    config = tmp_path / "tokenizer.yaml"
    config.write_text(json.dumps({"corpus": {"paths": [str(corpus)]}, "vocab_size": 300, "out": str(tmp_path / "tok")}))
    failed = slm("tokenizer", "train", config)
    assert failed.code == code, failed.stderr
    assert is_one_paragraph(failed.stderr), failed.stderr
    for part in parts:
        assert part in failed.stderr
    assert failed.stdout == ""
    assert Tokenizer.load(tmp_path / "tok") == old


def test_a_vocabulary_smaller_than_the_alphabet_is_a_config_error(old: Tokenizer, tmp_path: Path) -> None:
    corpus = write_bad_corpus("fine", tmp_path / "corpus")
    config = tmp_path / "tokenizer.yaml"
    config.write_text(json.dumps({"corpus": {"paths": [str(corpus)]}, "vocab_size": 100, "out": str(tmp_path / "tok")}))
    for overrides in ([], ["--set", "initial_alphabet=false", "--set", "vocab_size=4"]):
        failed = slm("tokenizer", "train", config, *overrides)
        assert failed.code == 2
        assert is_one_paragraph(failed.stderr), failed.stderr
        assert "vocab_size" in failed.stderr
    assert Tokenizer.load(tmp_path / "tok") == old


@pytest.mark.parametrize("command", [["inspect"], ["encode", "text"], ["decode", "1"]])
def test_a_corrupt_tokenizer_is_named(command: list[str], old: Tokenizer, tmp_path: Path) -> None:
    assert old
    path = tmp_path / "tok" / "tokenizer.json"
    path.write_text(path.read_text()[:-500])
    failed = slm("tokenizer", command[0], tmp_path / "tok", *command[1:])
    assert failed.code == 1
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert str(path) in failed.stderr


def test_a_missing_tokenizer_is_bad_usage(tmp_path: Path) -> None:
    failed = slm("tokenizer", "inspect", tmp_path / "nowhere")
    assert failed.code == 2
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert "nowhere" in failed.stderr


def test_bad_ids_and_bad_text_are_named(old: Tokenizer, tmp_path: Path) -> None:
    assert old
    for arguments, stdin, code, part in [
        (["decode", tmp_path / "tok", "12x"], b"", 2, "`12x`"),
        (["decode", tmp_path / "tok", "99999"], b"", 2, "99999"),
        (["encode", tmp_path / "tok"], b"ab\xff", 1, "offset 2"),
    ]:
        failed = slm("tokenizer", *arguments, stdin=stdin)
        assert failed.code == code
        assert is_one_paragraph(failed.stderr), failed.stderr
        assert part in failed.stderr


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    failed = slm("tokenizer", "inspect", tmp_path / "nowhere", "--verbose")
    assert failed.code == 2
    assert "Traceback" in failed.stderr
