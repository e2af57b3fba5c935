import json
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.data.manifest import Manifest
from slm.tokenizer import train_tokenizer

LINES = [f"line {number} of a small corpus, 日本\n" for number in range(200)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    train_tokenizer(iter(LINES), vocab_size=300, out=tmp_path / "tok")
    (tmp_path / "corpus.txt").write_text("".join(LINES))
    path = tmp_path / "data.yaml"
    corpus = {"paths": [str(tmp_path / "corpus.txt")], "documents": "line"}
    settings = {"tokenizer": str(tmp_path / "tok"), "out": str(tmp_path / "shards"), "validation_fraction": 0.2}
    path.write_text(json.dumps({"corpus": corpus, **settings}))
    return path


def test_build_inspect_and_verify(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = tmp_path / "shards"
    assert run(["data", "build", str(config)]) == 0
    built = capsys.readouterr().out
    manifest = Manifest.load(shards)
    assert f"{manifest.splits['train'].tokens:,} tokens of" in built
    assert manifest.corpus.documents == 200
    assert run(["data", "verify", str(shards)]) == 0
    assert "4 files" in capsys.readouterr().out
    assert run(["data", "inspect", str(shards), "--documents", "1", "--max-tokens", "5"]) == 0
    shown = capsys.readouterr().out
    for part in (manifest.tokenizer.fingerprint, "train", "validation", "line|", "more", "median"):
        assert part in shown
    assert run(["data", "inspect", str(shards), "--json"]) == 0
    inspection = json.loads(capsys.readouterr().out)
    assert sum(split["documents"] for split in inspection["splits"]) == 200
    (source,) = inspection["sources"]
    assert (source["path"], source["share"], source["documents"]) == (str(tmp_path / "corpus.txt"), 1.0, 200)
    assert [len(document["tokens"]) > 0 for document in inspection["documents"]] == [True] * 4


@pytest.mark.parametrize("given", [["{config}"], ["--config", "{config}"], ["--config={config}"], ["-c", "{config}"]])
def test_the_config_may_be_the_argument_or_an_option(
    given: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [part.format(config=config) for part in given]
    assert run(["data", "build", "--dry-run", *arguments, "--set", "shard_tokens=5000"]) == 0
    assert "shards of 5,000 tokens" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [["data", "build"], ["tokenizer", "train"], ["tokenizer", "count"], ["train"]], ids=" ".join
)
def test_a_command_that_builds_takes_one_config(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert "no config is given" in capsys.readouterr().err
    assert run([*command, "a.yaml", "--config", "b.yaml"]) == 2
    assert "one config, not both `a.yaml` and `--config b.yaml`" in capsys.readouterr().err
    assert run([*command, "-c", "absent.yaml"]) == 2
    assert "absent.yaml" in capsys.readouterr().err


def test_sources_are_shown_by_their_share(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("".join(LINES[: 10 * (number + 1)]))
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\nbroken\n')
    settings = json.loads(config.read_text())
    settings["corpus"]["paths"] = [str(tmp_path / name) for name in ("0.txt", "1.txt", "2.txt", "bad.jsonl")]
    settings["corpus"]["on_error"] = "skip"
    config.write_text(json.dumps(settings))
    assert run(["data", "build", str(config)]) == 0
    built = capsys.readouterr().out
    assert "1 malformed" in built
    assert "bad.jsonl`:2: 'b' where a JSON object must be" in built
    monkeypatch.setattr("slm.cli.data._MAX_SOURCES", 2)
    assert run(["data", "inspect", str(tmp_path / "shards"), "--documents", "0"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("2.txt (1 file)") < shown.index("1.txt (1 file)")
    assert "0.txt" not in shown
    assert "in 2 more" in shown


def test_build_again_says_that_it_is_complete(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "build", str(config), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run(["data", "build", str(config), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (first["was_complete"], second["was_complete"]) == (False, True)
    assert first["manifest"] == second["manifest"]
    assert run(["data", "build", str(config)]) == 0
    assert "already complete" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_dry_run_tells_the_plan_and_writes_nothing(
    flags: list[str], config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "build", str(config), "--dry-run", *flags]) == 0
    assert str(tmp_path / "shards") in capsys.readouterr().out
    assert not (tmp_path / "shards").exists()
