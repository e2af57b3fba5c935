"""`slm train` and `slm eval` through the command line: what they say, what they return, what they leave alone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from slm.config.run import RunConfig
from slm.data.build import build_shards
from slm.tokenizer import train_tokenizer

TEXTS = [f"the tale of number {number}, which is {number * 7} and no more.\n" * 3 for number in range(120)]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "300"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "shards"
    tokenizer = train_tokenizer(iter(TEXTS), vocab_size=300)
    build_shards(iter(TEXTS), tokenizer, path, validation_fraction=0.2)
    return path


@pytest.fixture
def config(shards: Path, tmp_path: Path) -> Path:
    run = RunConfig.from_values(
        {
            "shards": str(shards),
            "out": str(tmp_path / "run"),
            "model": {
                "vocab_size": 300,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "max_position_embeddings": 32,
            },
            "train": {
                "max_steps": 6,
                "micro_batch_rows": 2,
                "row_tokens": 32,
                "precision": "float32",
                "validate_every_steps": 3,
                "validation_rows": 4,
                "checkpoint_every_steps": 3,
                "log_every_steps": 2,
                "num_threads": 1,
                "tensorboard": False,
            },
        }
    )
    path = tmp_path / "run.yaml"
    path.write_text(run.to_yaml())
    return path


def in_process(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run a command line without a new process; the exit code, stdout and stderr."""
    from slm.cli.main import run

    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def assert_one_paragraph(stderr: str) -> None:
    """The error is one paragraph and at most a hint, without a traceback."""
    assert "Traceback" not in stderr
    assert stderr.count("error: ") == 1
    told = stderr[stderr.index("error: ") :].strip()
    assert len(told.split("\n\n")) <= 2


def test_a_run_ends_with_paths_and_next_commands(config: Path, shards: Path, capsys: pytest.CaptureFixture[str]):
    out = config.parent / "run"
    code, stdout, stderr = in_process(capsys, "train", config)
    assert code == 0, stderr
    assert "parameters, LlamaForCausalLM" in stderr
    assert re.search(r"train: .*6 steps.*loss", stderr)
    for line in (f"slm eval {out}/model --shards {shards}", f"slm chat {out}/model", f"slm serve {out}/model"):
        assert line in stdout
    assert re.search(r"validation loss \d\.\d+, \d\.\d+ bits per byte", stdout)

    code, stdout, stderr = in_process(capsys, "train", config, "--json")
    assert code == 0, stderr
    result = json.loads(stdout)
    assert (result["step"], result["is_finished"]) == (6, True)
    assert Path(result["model_dir"], "tokenizer.json").exists()
    assert result["metrics"]["validation_bits_per_byte"] > 0

    code, stdout, stderr = in_process(capsys, "eval", f"{out}/model", "--shards", shards, "--json")
    assert code == 0, stderr
    report = json.loads(stdout)
    assert 0 < report["bits_per_byte"] < 10
    assert (report["window_tokens"], report["stride_tokens"]) == (32, 16)

    code, stdout, stderr = in_process(capsys, "eval", f"{out}/model", "--shards", shards, "--set", "max_documents=2")
    assert code == 0, stderr
    assert "bits per byte" in stdout
    assert "2 documents" in stdout


def test_text_files_are_evaluated_as_documents(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert in_process(capsys, "train", config)[0] == 0
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path, text in zip(files, TEXTS, strict=False):
        path.write_text(text)
    model = config.parent / "run" / "model"
    code, stdout, stderr = in_process(capsys, "eval", model, "--text", files[0], "--text", files[1], "--json")
    assert code == 0, stderr
    report = json.loads(stdout)
    assert (report["documents"], report["bytes"]) == (2, sum(path.stat().st_size for path in files))

    files[0].write_bytes(b"abc\xffdef")
    code, _, stderr = in_process(capsys, "eval", model, "--text", files[0])
    assert code == 1
    assert f"`{files[0]}` is not UTF-8: byte 0xff at offset 3" in stderr
    assert_one_paragraph(stderr)

    code, _, stderr = in_process(capsys, "eval", model, "--text", tmp_path / "nowhere.txt")
    assert code == 2
    assert "nowhere.txt" in stderr
    assert_one_paragraph(stderr)

    code, _, stderr = in_process(capsys, "eval", model)
    assert code == 2
    assert "--shards" in stderr
    assert_one_paragraph(stderr)


def test_a_dry_run_says_what_will_be_done_and_does_nothing(config: Path, capsys: pytest.CaptureFixture[str]):
    code, stdout, _ = in_process(capsys, "train", config, "--dry-run")
    assert code == 0
    assert "6 of 64 tokens" in stdout
    assert "MiB (parameters" in stdout
    code, stdout, _ = in_process(capsys, "train", config, "--dry-run", "--json")
    assert code == 0
    assert json.loads(stdout)["tokens_per_step"] == 64
    assert not (config.parent / "run").exists()


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("shards=/nowhere/at/all", 2, "/nowhere/at/all"),
        ("model.vocab_size=299", 2, "`model.vocab_size` is 299, and the tokenizer of shards"),
        ("train.row_tokens=33", 2, "max_position_embeddings"),
        ("train.max_stesp=3", 2, "max_steps"),
        ("train.device=cuda:99", 2, "cuda:99"),
    ],
)
def test_settings_that_cannot_be(config: Path, capsys: pytest.CaptureFixture[str], override: str, code: int, said: str):
    for extra in ([], ["--dry-run"]):
        got, _, stderr = in_process(capsys, "train", config, "--set", override, *extra)
        assert got == code
        assert said in stderr
        assert_one_paragraph(stderr)
    assert not (config.parent / "run").exists()


def test_a_missing_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, _, stderr = in_process(capsys, "train", tmp_path / "missing.yaml")
    assert code == 2
    assert "missing.yaml" in stderr
    assert_one_paragraph(stderr)


def copied(shards: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(shards, to))


def test_shards_whose_tokenizer_was_swapped(
    config: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mixed = copied(shards, tmp_path / "mixed")
    train_tokenizer(iter(["other words entirely"]), vocab_size=270).save(mixed / "tokenizer")
    code, _, stderr = in_process(capsys, "train", config, "--set", f"shards={mixed}")
    assert code == 1
    assert "the shards were made with tokenizer" in stderr
    assert_one_paragraph(stderr)


def test_shards_of_another_tokenizer_in_evaluation(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert in_process(capsys, "train", config)[0] == 0
    other = tmp_path / "other"
    build_shards(iter(TEXTS), train_tokenizer(iter(TEXTS), vocab_size=290), other, validation_fraction=0.2)
    code, _, stderr = in_process(capsys, "eval", config.parent / "run" / "model", "--shards", other)
    assert code == 1
    assert "the shards were made with tokenizer" in stderr
    assert_one_paragraph(stderr)


def test_an_id_outside_the_vocabulary(config: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = copied(shards, tmp_path / "bad")
    ids = np.load(bad / "shard-00000.npy", mmap_mode="r+")
    ids[:] = 999
    del ids
    code, _, stderr = in_process(capsys, "train", config, "--set", f"shards={bad}")
    assert code == 1
    assert "token id 999" in stderr
    assert "outside the vocabulary of 300" in stderr
    assert_one_paragraph(stderr)


def test_a_corrupt_checkpoint_falls_back_and_all_corrupt_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]):
    assert in_process(capsys, "train", config)[0] == 0
    checkpoints = sorted((config.parent / "run" / "checkpoints").iterdir())
    flip_a_byte(checkpoints[-1] / "model.safetensors")
    code, _, stderr = in_process(capsys, "train", config)
    assert code == 0
    assert f"warning: `{checkpoints[-1]}/model.safetensors` is corrupt" in stderr
    assert f"going back to `{checkpoints[0]}`" in stderr
    for checkpoint in checkpoints:
        flip_a_byte(checkpoint / "optimizer.safetensors")
    code, _, stderr = in_process(capsys, "train", config)
    assert code == 1
    assert "no checkpoint in" in stderr
    assert_one_paragraph(stderr)
    assert all((checkpoint / "model.safetensors").exists() for checkpoint in checkpoints)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_other_settings_for_a_run_that_was_begun(config: Path, capsys: pytest.CaptureFixture[str]):
    assert in_process(capsys, "train", config)[0] == 0
    before = (config.parent / "run" / "config.yaml").read_bytes()
    code, _, stderr = in_process(capsys, "train", config, "--set", "train.seed=4")
    assert code == 2
    assert "`train.seed` (0 there, 4 here)" in stderr
    assert_one_paragraph(stderr)
    assert (config.parent / "run" / "config.yaml").read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_checkpoint_and_the_way_on(config: Path, number: signal.Signals):
    process = begin(config)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert f"{number.name}: finishing the step" in stderr
    assert f"go on with `slm train {config} --set train.max_steps=1000000`" in stderr
    assert "Traceback" not in stderr
    step = int(re.findall(r"stopped after step ([\d,]+) of", stderr)[0].replace(",", ""))
    assert (config.parent / "run" / "checkpoints" / f"step-{step:08d}" / "manifest.json").exists()
    assert f"step-{step:08d}" in stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_second_signal_ends_the_run_at_once(config: Path):
    process = begin(config, "--set", "train.micro_batch_rows=20000")  # steps of many seconds
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("SIGINT: finishing the step" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT  # 130 if the step had been finished


def begin(config: Path, *more: str) -> subprocess.Popen[str]:
    """Start a long run and wait until it trains."""
    overrides = ["--set", "train.max_steps=1000000", *more]
    command = [sys.executable, "-m", "slm", "train", str(config), *overrides]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    metrics = config.parent / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    wanted = 0 if more else 1
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size >= wanted):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(0.3)
    return process
