import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm.tokenizer import train_tokenizer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends a signal")

ENDLESS = """
import itertools, sys, random
words = [f"w{number:x}" for number in range(5000)]
def documents():
    for step in itertools.count():
        yield " ".join(random.Random(step).choices(words, k=2000))
"""

TRAIN = (
    ENDLESS
    + """
from slm.tokenizer import train_tokenizer
def progress(_): print("working", flush=True)
train_tokenizer(documents(), vocab_size=1000, progress=progress)
"""
)

BUILD = (
    ENDLESS
    + """
from slm.data.build import build_shards
def progress(_): print("working", flush=True)
build_shards(documents(), sys.argv[1], sys.argv[2], progress=progress)
"""
)

ENCODE = """
import sys, threading
from slm.tokenizer import Tokenizer
text = "some words of text, again and again. " * 30_000_000
threading.Timer(0.2, lambda: print("working", flush=True)).start()
Tokenizer.load(sys.argv[1]).encode(text)
"""


@pytest.mark.parametrize("program", [TRAIN, BUILD, ENCODE], ids=["train", "build", "encode"])
def test_ctrl_c_ends_long_work_within_half_a_second(program: str, tmp_path: Path) -> None:
    train_tokenizer(iter(["text"]), vocab_size=260, out=tmp_path / "tok")
    command = [sys.executable, "-c", program, str(tmp_path / "tok"), str(tmp_path / "shards")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        time.sleep(0.3)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        seconds = time.monotonic() - started
    assert b"KeyboardInterrupt" in stderr
    assert seconds < 0.5
    assert not (tmp_path / "shards" / "manifest.json").exists()


UNIQUE = """
import itertools, random, sys
from slm.tokenizer import train_tokenizer
numbers = random.Random(1)
def documents():
    while True:
        yield "".join(f" {numbers.getrandbits(60):x}" for _ in range(20_000))
def progress(report):
    if report.counters["spilled_bytes"] > 0: print("working", flush=True)
train_tokenizer(documents(), vocab_size=1000, memory_limit="64MiB", spill_dir=sys.argv[2], progress=progress)
"""

MERGE = """
import random, sys
from slm.tokenizer import train_tokenizer
numbers = random.Random(1)
documents = ["".join(f" {numbers.getrandbits(60):x}" for _ in range(400_000))]
def progress(report):
    if report.phase != "count": print("working", flush=True)
train_tokenizer(iter(documents), vocab_size=1_000_000, progress=progress)
"""

PIPE = """
import sys, threading
from slm.tokenizer import train_tokenizer
threading.Timer(0.2, lambda: print("working", flush=True)).start()
train_tokenizer("-", vocab_size=1000)
"""


@pytest.mark.parametrize("delay", [0.0, 0.15])
@pytest.mark.parametrize("program", [UNIQUE, MERGE, PIPE], ids=["spill", "merge", "silent pipe"])
def test_ctrl_c_ends_every_phase_and_leaves_nothing(program: str, delay: float, tmp_path: Path) -> None:
    command = [sys.executable, "-c", program, "", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        time.sleep(delay)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        # Not `communicate`, which would close the pipe that is to stay silent.
        process.wait(timeout=30)
        seconds = time.monotonic() - started
        assert process.stderr is not None
        assert b"KeyboardInterrupt" in process.stderr.read()
    # Half a second is promised; a machine that does much else may take a few times as long.
    assert seconds < 2
    assert list(tmp_path.iterdir()) == []
