"""Training within a memory limit: the same tokenizer, and no more memory than was allowed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm import _core
from slm.config.tokenizer import TokenizerConfig
from slm.errors import ConfigError, SlmWarning
from slm.tokenizer.bounds import resolve_bounds
from slm.tokenizer.train import train_tokenizer

MIB = 1 << 20

# Trains on random words, nearly all of them different, and prints the most anonymous memory that it had.
CHILD = """
import json, resource, sys, threading
import numpy as np
from slm.tokenizer.train import train_tokenizer

limit, threads, num_bytes, spill_dir = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rlimit = sys.argv[5] == "rlimit"

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))

def documents():
    generator = np.random.default_rng(0)
    for _ in range(num_bytes // 1_000_000):
        letters = generator.integers(97, 123, size=(100_000, 10), dtype=np.uint8)
        letters[:, 0] = 32
        yield letters.tobytes().decode()

peak, phases = 0, []
def progress(report):
    global peak
    peak = max(peak, status("RssAnon"))
    if not phases or phases[-1] != report.phase:
        phases.append(report.phase)
        print(report.phase, file=sys.stderr, flush=True)

if rlimit:
    allowed = status("VmData") - status("RssAnon") + limit + (64 << 20) + threads * (8 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
tokenizer = train_tokenizer(
    documents(), vocab_size=4096, memory_limit=limit, num_threads=threads, spill_dir=spill_dir, progress=progress
)
print(json.dumps({"peak": peak, "training": tokenizer.training, "fingerprint": tokenizer.fingerprint}))
"""


def command(spill_dir: Path, *, num_bytes: int, threads: int = 2, rlimit: bool = True) -> list[str]:
    return [
        *(sys.executable, "-c", CHILD, str(64 * MIB), str(threads), str(num_bytes), str(spill_dir)),
        "rlimit" if rlimit else "free",
    ]


def environment() -> dict[str, str]:
    return os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("num_bytes", [20_000_000])
def test_memory_stays_within_the_limit(num_bytes: int, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, num_bytes=num_bytes), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["training"]["spilled_bytes"] > num_bytes / 4
    assert report["training"]["counts"]["unique_pretokens"] > num_bytes / 10 * 0.99
    assert report["peak"] <= (64 + 64 + 2 * 8) * MIB
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_training_spilled_is_removed_by_the_next(tmp_path: Path) -> None:
    child = subprocess.Popen(
        command(tmp_path, num_bytes=10**12, rlimit=False), env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/*.run")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        train_tokenizer(iter(["some text"]), vocab_size=260, spill_dir=tmp_path)
        assert list(tmp_path.glob("*/*.run"))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(tmp_path.iterdir())
    train_tokenizer(iter(["some text"]), vocab_size=260, spill_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        command(tmp_path, num_bytes=10**12, rlimit=False), env=environment(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/*.run")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    assert child.wait(10) != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory_limit", ["64MiB", 100 * MIB, "1 GiB", None])
def test_the_tokenizer_does_not_depend_on_the_limit(memory_limit: int | str | None, python_files: list[Path]) -> None:
    paths = list(python_files)
    tokenizer = train_tokenizer(paths, vocab_size=1000, memory_limit=memory_limit)
    assert tokenizer.fingerprint == train_tokenizer(paths, vocab_size=1000).fingerprint


@pytest.mark.parametrize("memory_limit", ["63MiB", 0, "lots"])
def test_a_limit_below_64_mib_is_refused(memory_limit: int | str) -> None:
    with pytest.raises(ConfigError, match="`memory_limit` is"):
        train_tokenizer(iter(["text"]), vocab_size=300, memory_limit=memory_limit)


def test_a_stretch_without_borders_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match='it begins with "xxxx'):
        train_tokenizer(iter(["x" * (2 * MIB)]), vocab_size=300, memory_limit="64MiB")


def test_too_little_space_to_spill_is_a_config_error(tmp_path: Path) -> None:
    letters = str.maketrans("0123456789", "ghijklmnop")
    words = iter(
        " ".join(f"{number * 7919:x}".translate(letters) for number in range(start, start + 50_000))
        for start in range(0, 3_000_000, 50_000)
    )
    with pytest.raises(ConfigError, match="`max_spill` is 1000000 bytes"):
        train_tokenizer(words, vocab_size=300, memory_limit="64MiB", max_spill="1MB", spill_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or not _core.is_in_memory("/dev/shm"), reason="no tmpfs here")
def test_spilling_into_memory_is_warned_of() -> None:
    with pytest.warns(SlmWarning, match="is in memory"):
        resolve_bounds("64MiB", "/dev/shm", None, None)


def test_the_config_takes_sizes_as_text(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.yaml"
    text = "corpus: {paths: [a]}\nvocab_size: 1000\nout: tok\n"
    path.write_text(text + "memory_limit: 256MiB\nmax_spill: 1_000\n")
    config = TokenizerConfig.load(path)
    assert (config.memory_limit, config.max_spill) == (256 * MIB, 1000)
    path.write_text(text + "memory_limit: 1MiB\n")
    with pytest.raises(ConfigError, match="memory_limit"):
        TokenizerConfig.load(path)
