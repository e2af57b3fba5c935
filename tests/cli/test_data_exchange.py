import json
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.data.build import build_shards
from slm.tokenizer import train_tokenizer
from tests.reference.command import is_one_paragraph, slm
from tests.reference.token_files import read_nanogpt

TEXTS = [f"document {number} of a small corpus" for number in range(50)]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    tokenizer = train_tokenizer(iter(TEXTS), vocab_size=300, out=tmp_path / "tok")
    build_shards(iter(TEXTS), tokenizer, tmp_path / "shards", validation_fraction=0.3)
    return tmp_path / "shards"


def test_there_and_back(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "nanogpt"
    assert run(["data", "export", str(shards), "--to", "nanogpt", "--out", str(out), "--progress", "none"]) == 0
    told = capsys.readouterr().out
    num_tokens = len(read_nanogpt(out / "train.bin"))
    assert "train.bin" in told
    assert f"{num_tokens:,} tokens" in told
    command = ["data", "import", str(out / "train.bin"), "--validation", str(out / "val.bin"), "--from", "nanogpt"]
    command += ["--tokenizer", str(tmp_path / "tok"), "--out", str(tmp_path / "back"), "--json"]
    for was_complete in (False, True):
        assert run(command) == 0
        imported = json.loads(capsys.readouterr().out)
        assert imported["was_complete"] is was_complete
        built = json.loads((shards / "manifest.json").read_text())
        assert imported["manifest"]["splits"] == built["splits"]
    assert run(["data", "verify", str(tmp_path / "back")]) == 0


def test_export_tells_programs_what_it_wrote(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "export", str(shards), "--to", "llmc", "--out", str(tmp_path / "o"), "--json"]
    assert run([*arguments, "--file-tokens", "100", "--progress", "json"]) == 0
    captured = capsys.readouterr()
    exported = json.loads(captured.out)
    assert {file["name"] for file in exported["export"]["files"]} | {"export.json"} == {
        path.name for path in (tmp_path / "o").iterdir()
    }
    events = [json.loads(line) for line in captured.err.splitlines()]
    assert events[-1]["event"] == "done"
    assert events[-1]["done"] == events[-1]["total"] > 0


@pytest.mark.parametrize("to", ["nanogpt", "llmc", "megatron"])
def test_a_dry_run_of_an_export_tells_what_would_be_written(
    to: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "export", str(shards), "--to", to, "--out", str(tmp_path / "o"), "--file-tokens", "100"]
    assert run([*command, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["files"]
    assert run([*command, "--dry-run"]) == 0
    assert all(file["name"] in capsys.readouterr().out for file in planned[:1])
    assert not (tmp_path / "o").exists()
    assert run([*command, "--json", "--progress", "none"]) == 0
    written = json.loads(capsys.readouterr().out)["export"]["files"]
    assert sorted(planned, key=lambda file: file["name"]) == sorted(
        ({key: file[key] for key in ("name", "split", "tokens", "bytes")} for file in written),
        key=lambda file: file["name"],
    )


def test_a_dry_run_of_an_import_tells_what_would_be_read(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "nanogpt"
    assert run(["data", "export", str(shards), "--to", "nanogpt", "--out", str(out), "--progress", "none"]) == 0
    capsys.readouterr()
    command = ["data", "import", str(out / "train.bin"), "--validation", str(out / "val.bin"), "--from", "nanogpt"]
    command += ["--tokenizer", str(tmp_path / "tok"), "--out", str(tmp_path / "back"), "--dry-run"]
    assert run(command) == 0
    num_tokens = len(read_nanogpt(out / "train.bin"))
    assert f"{num_tokens:,} ids of {out / 'train.bin'}" in capsys.readouterr().out
    assert run([*command, "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert [file["split"] for file in files] == ["train", "validation"]
    assert files[0]["tokens"] == num_tokens
    assert not (tmp_path / "back").exists()


def test_errors_are_one_paragraph_with_their_exit_code(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"odd")
    tokenizer = tmp_path / "tok"
    for arguments, code, message in [
        (["export", shards, "--to", "nanogpt", "--out", tmp_path], 2, "exists and holds something else"),
        (["export", shards, "--to", "gguf", "--out", tmp_path / "o"], 2, "gguf"),
        (["export", tmp_path / "none", "--to", "llmc", "--out", tmp_path / "o"], 2, "no such file"),
        (["import", tmp_path / "odd.bin", "--from", "nanogpt"], 1, "has 3 bytes"),
        (["import", tmp_path / "odd.bin", "--from", "llmc"], 1, "has 3 bytes"),
        (["import", "--from", "llmc"], 2, "no file to import"),
    ]:
        rest = ["--tokenizer", tokenizer, "--out", tmp_path / "o"] if arguments[0] == "import" else []
        outcome = slm("data", *arguments, *rest)
        assert (outcome.code, outcome.stdout) == (code, "")
        assert message in outcome.stderr
        assert is_one_paragraph(outcome.stderr)
        assert not (tmp_path / "o").exists()
