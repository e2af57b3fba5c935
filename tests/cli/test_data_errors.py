import json
from pathlib import Path

import pytest

from slm.data.build import build_shards
from slm.data.manifest import Manifest
from slm.tokenizer import train_tokenizer
from tests.cli.test_tokenizer_errors import write_bad_corpus
from tests.reference.command import is_one_paragraph, slm


@pytest.fixture
def tok(tmp_path: Path) -> Path:
    train_tokenizer(iter(["some text"]), vocab_size=260, out=tmp_path / "tok")
    return tmp_path / "tok"


def write_config(tmp_path: Path, corpus: Path, **settings: object) -> Path:
    path = tmp_path / "data.yaml"
    values = {"tokenizer": str(tmp_path / "tok"), "out": str(tmp_path / "shards"), **settings}
    path.write_text(json.dumps({"corpus": {"paths": [str(corpus)]}, **values}))
    return path


@pytest.mark.parametrize(
    ("kind", "code", "parts"),
    [
        ("missing", 2, ["nowhere.txt"]),
        ("empty file", 1, ["text"]),
        ("not UTF-8", 1, ["a.txt", "UTF-8", "21"]),
        ("malformed jsonl", 1, ["a.jsonl", "2"]),
        ("truncated gz", 1, ["a.txt.gz"]),
    ],
)
def test_a_corpus_that_cannot_be_read_is_named(
    kind: str, code: int, parts: list[str], tok: Path, tmp_path: Path
) -> None:
    corpus = write_bad_corpus(kind, tmp_path / "corpus")
    failed = slm("data", "build", write_config(tmp_path, corpus))
    assert failed.code == code, failed.stderr
    assert is_one_paragraph(failed.stderr), failed.stderr
    for part in parts:
        assert part in failed.stderr
    assert not (tmp_path / "shards" / "manifest.json").exists()
    assert (tok / "tokenizer.json").exists()


def test_shards_of_another_tokenizer_are_kept_and_named(tok: Path, tmp_path: Path) -> None:
    corpus = write_bad_corpus("fine", tmp_path / "corpus")
    other = train_tokenizer(iter(["other text"]), vocab_size=258)
    kept = build_shards(corpus, other, tmp_path / "shards")
    failed = slm("data", "build", write_config(tmp_path, corpus, validation_fraction=0.0))
    assert failed.code == 2
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert f"tokenizer is {other.fingerprint} there" in failed.stderr
    assert Manifest.load(tmp_path / "shards") == kept


@pytest.mark.parametrize(("tokenizer", "code"), [("nowhere", 2), ("corrupt", 1)])
def test_a_tokenizer_that_cannot_be_read_is_named(tokenizer: str, code: int, tmp_path: Path) -> None:
    corpus = write_bad_corpus("fine", tmp_path / "corpus")
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "tokenizer.json").write_text("{")
    failed = slm("data", "build", write_config(tmp_path, corpus, tokenizer=str(tmp_path / tokenizer)))
    assert failed.code == code
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert tokenizer in failed.stderr
    assert not (tmp_path / "shards").exists()


def test_verify_fails_and_names_the_first_bad_file(tok: Path, tmp_path: Path) -> None:
    build_shards(iter(["text " * 50] * 10), tok, tmp_path / "shards", shard_tokens=100)
    path = tmp_path / "shards" / "shard-00002.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80
    path.write_bytes(content)
    failed = slm("data", "verify", tmp_path / "shards")
    assert failed.code == 1
    assert is_one_paragraph(failed.stderr.partition("error: ")[1] + failed.stderr.partition("error: ")[2])
    assert str(path) in failed.stderr
    for command in ("verify", "inspect"):
        missing = slm("data", command, tmp_path / "nowhere")
        assert missing.code == 2
        assert is_one_paragraph(missing.stderr), missing.stderr
