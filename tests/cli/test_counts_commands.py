import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm.cli.main import run
from slm.tokenizer import Counts, Tokenizer, train_tokenizer
from tests.reference.command import is_one_paragraph, slm

TEXT = "to be or not to be, that is the question\n" * 20


@pytest.fixture
def counts_config(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{TEXT} {name}")
    path = tmp_path / "counts.yaml"
    path.write_text(f"corpus: {{paths: [{tmp_path}/a.txt, {tmp_path}/b.txt]}}\nout: {tmp_path}/counts\n")
    return path


@pytest.fixture
def train_config(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.yaml"
    path.write_text(f"vocab_size: 280\nout: {tmp_path}/tok\n")
    return path


def test_parts_are_counted_added_up_and_trained_on(
    counts_config: Path, train_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        arguments = ["--set", f"corpus.paths=[{tmp_path}/{name}.txt]", "--set", f"out={tmp_path}/{name}", "--json"]
        assert run(["tokenizer", "count", str(counts_config), *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["counted_bytes"] == len(TEXT) + 2
    assert run(["tokenizer", "merge-counts", f"{tmp_path}/a", f"{tmp_path}/b", "--out", f"{tmp_path}/sum"]) == 0
    assert f"--counts {tmp_path}/sum" in capsys.readouterr().out
    assert run(["tokenizer", "count", str(counts_config)]) == 0
    assert "2 documents, 1,644 bytes, pattern gpt2" in capsys.readouterr().out
    assert (tmp_path / "sum" / "counts.run").read_bytes() == (tmp_path / "counts" / "counts.run").read_bytes()

    assert run(["tokenizer", "train", str(train_config), "--counts", f"{tmp_path}/sum"]) == 0
    assert Tokenizer.load(tmp_path / "tok") == train_tokenizer([tmp_path / "a.txt", tmp_path / "b.txt"], vocab_size=280)


def test_several_sizes_are_written_each_into_its_directory(
    counts_config: Path, train_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tokenizer", "count", str(counts_config)]) == 0
    capsys.readouterr()
    train = ["tokenizer", "train", str(train_config), "--counts", f"{tmp_path}/counts"]
    assert run([*train, "--vocab-sizes", "260,270,290", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["tokenizers"]
    assert [tokenizer["out"] for tokenizer in made] == [f"{tmp_path}/tok/{size}" for size in (260, 270, 290)]
    for size in (260, 270, 290):
        alone = train_tokenizer(counts=tmp_path / "counts", vocab_size=size)
        assert Tokenizer.load(tmp_path / "tok" / str(size)) == alone
    assert run([*train, "--vocab-sizes", "260,x"]) == 2
    assert run([*train, "--set", "vocab_sizes=[260, 270]"]) == 2
    assert "must be the largest of `vocab_sizes`" in capsys.readouterr().err


def test_counting_and_adding_up_tell_their_plan_and_progress_as_lines_of_json(
    counts_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = ["tokenizer", "count", str(counts_config), "--progress"]
    assert run([*count, "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[0]["event"] == "plan"
    assert lines[0]["prediction"]["counts_bytes"] > 0
    assert lines[-1]["event"] == "done"
    # What is finished takes nothing, so nothing is foreseen.
    assert run([*count, "json"]) == 0
    assert '"plan"' not in capsys.readouterr().err
    merge = ["tokenizer", "merge-counts", f"{tmp_path}/counts", "--progress"]
    assert run([*merge, "json", "--out", f"{tmp_path}/sum"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (lines[-1]["event"], lines[-1]["phase"]) == ("done", "add up")
    assert run([*merge, "none", "--out", f"{tmp_path}/other"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert "time       " in output.out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_dry_runs_write_nothing(
    flags: list[str], counts_config: Path, train_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tokenizer", "count", str(counts_config), "--dry-run", *flags]) == 0
    assert not (tmp_path / "counts").exists()
    told = capsys.readouterr().out
    assert ("takes      about" in told) if not flags else json.loads(told)["prediction"]["unique_pretokens"] > 10
    assert run(["tokenizer", "count", str(counts_config)]) == 0
    assert run(["tokenizer", "train", str(train_config), "--counts", f"{tmp_path}/counts", "--dry-run", *flags]) == 0
    assert not (tmp_path / "tok").exists()
    assert "280" in capsys.readouterr().out


def test_a_config_of_the_pattern_by_default_takes_that_of_the_counts(
    counts_config: Path, train_config: Path, tmp_path: Path
) -> None:
    assert run(["tokenizer", "count", str(counts_config), "--set", "pattern=qwen2"]) == 0
    train = ["tokenizer", "train", str(train_config), "--counts", f"{tmp_path}/counts"]
    assert run(train) == 0
    assert Tokenizer.load(tmp_path / "tok").pattern == "qwen2"
    failed = slm(*train, "--set", "pattern=gpt2")
    assert failed.code == 2
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert "`qwen2`" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["train", "{train}"], 2, "`corpus` is missing"),
        (["train", "{train}", "--counts", "nowhere"], 2, "nowhere"),
        (["train", "{train}", "--counts", "{tmp}"], 1, "holds no finished counts"),
        (["merge-counts", "{tmp}", "--out", "{tmp}/sum"], 1, "holds no finished counts"),
        (["merge-counts", "nowhere", "--out", "{tmp}/sum"], 2, "nowhere"),
        (["count", "{counts}", "--set", "out={tmp}"], 2, "holds something else than counts"),
        (["count", "{counts}", "--set", "part_size=0"], 2, "part_size"),
    ],
)
def test_misuse_is_named(
    arguments: list[str], code: int, part: str, counts_config: Path, train_config: Path, tmp_path: Path
) -> None:
    filled = [argument.format(train=train_config, counts=counts_config, tmp=tmp_path) for argument in arguments]
    failed = slm("tokenizer", *filled)
    assert failed.code == code, failed.stderr
    assert is_one_paragraph(failed.stderr), failed.stderr
    assert part in failed.stderr
    assert not (tmp_path / "sum").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("".join(f"{number:x} " for number in range(3_000_000)))
    config = tmp_path / "counts.yaml"
    config.write_text(
        f"corpus: {{paths: [{tmp_path}/long.txt]}}\npart_size: 1MB\nnum_threads: 1\nout: {tmp_path}/out\n"
    )
    command = [sys.executable, "-m", "slm", "tokenizer", "count", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "journal.json").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=30)
    assert child.returncode == 130, stderr
    assert "the same command goes on from there" in stderr
    assert run(["tokenizer", "count", str(config)]) == 0
    assert Counts.load(tmp_path / "out").text_bytes == (tmp_path / "long.txt").stat().st_size
