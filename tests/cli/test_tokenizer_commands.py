import json
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.tokenizer import Tokenizer, train_tokenizer
from tests.reference import rank_files
from tests.reference.command import slm

TEXT = "to be or not to be, that is the question\n" * 20


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text(TEXT)
    path = tmp_path / "tokenizer.yaml"
    path.write_text(f"corpus:\n  paths: [{tmp_path}/corpus.txt]\nvocab_size: 290\nout: {tmp_path}/tok\n")
    return path


@pytest.fixture
def tok(tmp_path: Path) -> Path:
    train_tokenizer(iter([TEXT]), vocab_size=290, out=tmp_path / "tok")
    return tmp_path / "tok"


def test_train_writes_the_tokenizer_of_the_library(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tokenizer", "train", str(config), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    made = Tokenizer.load(tmp_path / "tok")
    assert made == train_tokenizer(iter([TEXT]), vocab_size=290)
    assert result["fingerprint"] == made.fingerprint
    assert result["training"]["corpus"]["bytes"] == len(TEXT)


def test_train_takes_overrides_and_says_what_to_do_next(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "other"
    assert run(["tokenizer", "train", str(config), "--set", "vocab_size=270", "--set", f"out={out}"]) == 0
    assert f"slm tokenizer inspect {out}" in capsys.readouterr().out
    assert Tokenizer.load(out).vocab_size == 270


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_dry_run_tells_the_plan_and_writes_nothing(
    flags: list[str], config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tokenizer", "train", str(config), "--dry-run", *flags]) == 0
    assert "290" in capsys.readouterr().out
    assert not (tmp_path / "tok").exists()


def test_inspect_shows_sizes_and_a_sample(tok: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample.txt").write_text("to be, question 日本\x00")
    assert run(["tokenizer", "inspect", str(tok), "--sample", str(tmp_path / "sample.txt"), "--longest", "3"]) == 0
    shown = capsys.readouterr().out
    for part in ("281", "<|endoftext|> (0)", "' question'", "bytes a token", "to| be|,", "<e6>|<97>|<a5>"):
        assert part in shown
    assert run(["tokenizer", "inspect", str(tok), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["vocab_size"], report["sample"]) == (281, None)
    assert len(report["unreachable"]) == 13


def test_ids_go_through_encode_and_decode(tok: Path) -> None:
    text = "to be 日本 \r\n\x00 <|endoftext|>\n"
    encoded = slm("tokenizer", "encode", tok, stdin=text.encode())
    assert encoded.stdout.split() == [str(token_id) for token_id in Tokenizer.load(tok).encode(text)]
    decoded = slm("tokenizer", "decode", tok, stdin=encoded.stdout.encode())
    assert (decoded.code, decoded.stdout) == (0, text)


def test_arguments_serve_as_well_as_stdin(tok: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["tokenizer", "encode", str(tok), "to be<|endoftext|>", "--parse-special", "--json"]) == 0
    ids = json.loads(capfdbinary.readouterr().out)["ids"]
    assert ids[-1] == 0
    assert run(["tokenizer", "decode", str(tok), *map(str, ids)]) == 0
    assert capfdbinary.readouterr().out == b"to be<|endoftext|>"
    assert run(["tokenizer", "encode", str(tok), "to be", "--show"]) == 0
    assert capfdbinary.readouterr().out == b"to| be\n"


def test_standard_input_is_a_corpus(tmp_path: Path) -> None:
    config = tmp_path / "tokenizer.yaml"
    config.write_text(
        f"corpus: {{paths: ['-'], documents: line, invalid_utf8: skip}}\nvocab_size: 300\nout: {tmp_path / 'tok'}\n"
    )
    done = slm("tokenizer", "train", config, stdin=b"to be or\nnot \xff\n\nto be\n")
    assert done.code == 0, done.stderr
    assert "3 documents, 16 bytes" in done.stdout
    assert "skipped 1 invalid_utf8" in done.stdout


@pytest.mark.parametrize("vocab_size", [290, 10])
def test_for_programs_every_line_of_stderr_is_json_also_where_it_fails(config: Path, vocab_size: int) -> None:
    done = slm("tokenizer", "train", config, "--progress", "json", "--set", f"vocab_size={vocab_size}")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events[-1]["event"] == ("error" if done.code else "done")
    assert done.code == (0 if vocab_size == 290 else 2)


def test_import_makes_a_directory_of_a_rank_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"to": 256, b" be": 260}
    file = str(rank_files.write(tmp_path / "small.tiktoken", ranks))
    command = ["tokenizer", "import", file, "--pattern", "gpt2", "--special-token", "<|a=b|>=300"]
    assert run([*command, "--out", str(tmp_path / "tok"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    made = Tokenizer.load(tmp_path / "tok")
    assert (result["vocab_size"], result["fingerprint"]) == (301, made.fingerprint)
    assert made.special_tokens == {"<|a=b|>": 300}
    assert run([*command, "--out", str(tmp_path / "tok")]) == 0
    assert "259 tokens, 42 ids without a token" in capsys.readouterr().out
    assert run(["tokenizer", "encode", str(tmp_path / "tok"), "to be"]) == 0
    assert capsys.readouterr().out == "256 260\n"
    assert run(["tokenizer", "inspect", str(tmp_path / "tok")]) == 0


def test_a_rank_file_alone_is_no_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(rank_files.write(tmp_path / "small.tiktoken", {bytes([byte]): byte for byte in range(256)}))
    assert run(["tokenizer", "encode", file, "to be"]) == 2
    assert f"slm tokenizer import {file} --pattern NAME" in capsys.readouterr().err.replace("\n", " ")
    for special_token in ("<|end|>", "=7", "<|end|>=x"):
        command = ["tokenizer", "import", file, "--pattern", "gpt2", "--special-token", special_token]
        assert run([*command, "--out", str(tmp_path / "tok")]) == 2
        assert f"`{special_token}` is not a special token" in capsys.readouterr().err
    assert not (tmp_path / "tok").exists()
