"""A run that was stopped or killed and resumed ends with the bytes of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm.checkpoint.layout import find_checkpoints
from slm.checkpoint.load import load_checkpoint
from slm.config.run import RunConfig
from slm.errors import CheckpointError, SlmWarning
from slm.train.trainer import Trainer, TrainResult

MakeRun = Callable[..., RunConfig]

pytestmark = pytest.mark.filterwarnings("ignore:.*tokenizer. is missing")

PATHS_AND_TIMES = {"seconds", "tokens_per_second"}


class StopAt:
    """Asks to stop at one question only, counted from 1."""

    def __init__(self, question: int) -> None:
        self.question = question

    def __call__(self) -> bool:
        self.question -= 1
        return self.question == 0


def assert_same_end(a: TrainResult, b: TrainResult) -> None:
    """Compare the last checkpoints to the bit, the lines of metrics but for times, and the models."""
    first, second = load_checkpoint(a.checkpoint), load_checkpoint(b.checkpoint)
    assert first.step == second.step
    assert first.tensors.keys() == second.tensors.keys()
    for group, tensors in first.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.tensors[group][name]), f"{group}/{name}"
    for key in (
        "step",
        "tokens",
        "loader",
        "random",
        "scaler",
        "precision",
        "loss_sum",
        "loss_steps",
        "last_grad_norm",
    ):
        assert first.state[key] == second.state[key], key
    assert metrics_rows(a.out) == metrics_rows(b.out)
    assert (a.out / "model/model.safetensors").read_bytes() == (b.out / "model/model.safetensors").read_bytes()


def metrics_rows(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in PATHS_AND_TIMES} for row in rows]


@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9}, {"precision": "bfloat16"}, {"precision": "float16"}])
def test_a_run_stopped_at_any_moment_goes_on_to_the_bit(make_run: MakeRun, settings: dict[str, object]):
    straight = Trainer(make_run(out="straight", **settings)).fit()
    # 12 steps ask before each and before each of 3 batches of 3 validations, so every moment is among 21 questions.
    for question in range(1, 22, 1 if not settings else 5):
        run = make_run(out=f"stopped-{question}", **settings)
        first = Trainer(run, stop=StopAt(question)).fit()
        assert not first.is_finished
        assert_same_end(straight, Trainer(run).fit())


def test_a_run_stopped_again_and_again_goes_on_to_the_bit(make_run: MakeRun):
    straight = Trainer(make_run(out="straight", ema_decay=0.95)).fit()
    run = make_run(out="stopped", ema_decay=0.95)
    sessions = 0
    # A validation that was stopped begins again, so a session that never gets to ask four times would not end it.
    while not (result := Trainer(run, stop=StopAt(2 + sessions % 4)).fit()).is_finished:
        sessions += 1
    assert sessions >= 6
    assert_same_end(straight, result)


def test_a_validation_stopped_twice_is_told_once(make_run: MakeRun):
    straight = Trainer(make_run(out="straight")).fit()
    run = make_run(out="stopped")
    Trainer(run, stop=StopAt(6)).fit()  # in the validation of step 4
    assert [row["step"] for row in metrics_rows(run.out)] == [1, 2]
    Trainer(run, stop=StopAt(2)).fit()  # in the same one
    assert [row["step"] for row in metrics_rows(run.out)] == [1, 2]
    assert_same_end(straight, Trainer(run).fit())


def test_the_newest_checkpoint_corrupt_falls_back_aloud_and_ends_the_same(make_run: MakeRun):
    straight = Trainer(make_run(out="straight")).fit()
    run = make_run(out="corrupt")
    Trainer(run, stop=StopAt(15)).fit()
    newest, before = find_checkpoints(run.out / "checkpoints")[::-1][:2]
    flip_a_byte(newest / "optimizer.safetensors")
    with pytest.warns(
        SlmWarning, match=rf"{newest.name}/optimizer\.safetensors` is corrupt: .* going back to .*{before.name}"
    ):
        result = Trainer(run).fit()
    assert_same_end(straight, result)


def test_no_good_checkpoint_is_an_error_and_nothing_is_removed(make_run: MakeRun):
    run = make_run()
    Trainer(run).fit()
    for checkpoint in find_checkpoints(run.out / "checkpoints"):
        flip_a_byte(checkpoint / "model.safetensors")
    before = sorted(path.relative_to(run.out) for path in run.out.rglob("*"))
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read"):
        Trainer(run).fit()
    assert sorted(path.relative_to(run.out) for path in run.out.rglob("*")) == before


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
from slm.config.run import RunConfig
from slm.train.trainer import Trainer
run = RunConfig.load(sys.argv[1])
print("ready", flush=True)
Trainer(run).fit()
"""


def start(config: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_a_run_killed_at_random_moments_goes_on_to_the_bit(make_run: MakeRun, tmp_path: Path):
    settings: dict[str, object] = {
        "max_steps": 60, "checkpoint_every_steps": 1, "validate_every_steps": 3, "ema_decay": 0.9,
        "keep_checkpoints": 1,
    }  # fmt: skip
    straight = Trainer(make_run(out="straight", **settings)).fit()
    run = make_run(out="killed", **settings)
    config = tmp_path / "run.yaml"
    config.write_text(run.to_yaml())
    moments = random.Random(0)
    kills = 0
    while not (run.out / "model" / "config.json").exists() and kills < 4:
        process = start(config)
        checkpoints = run.out / "checkpoints"
        known = len(list(checkpoints.iterdir())) if checkpoints.exists() else 0
        deadline = time.monotonic() + 60
        # From when it writes, a moment in the next half second: in a step, in a validation or in a checkpoint.
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoints.exists() and len(list(checkpoints.iterdir())) != known:
                break
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 2
    assert_same_end(straight, Trainer(run).fit())
