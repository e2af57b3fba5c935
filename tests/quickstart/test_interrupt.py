"""Ctrl-C in the middle of a quickstart."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("quickstart")]


def test_ctrl_c_while_training_writes_a_checkpoint_and_exits_130(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(60):
        text = "".join(f"the {number} of {line} is {number * line}, and so on and on\n" for line in range(400))
        (tmp_path / "corpus" / f"{number}.txt").write_text(text)
    command = [sys.executable, "-m", "slm", "quickstart", "--minutes", "3", "--corpus", "corpus", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "out" / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 180
    try:
        while not metrics.exists() or not metrics.read_text():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "the same command goes on" in told
    assert "Traceback" not in told
    assert list((tmp_path / "out" / "run" / "checkpoints").glob("step-*/manifest.json"))
