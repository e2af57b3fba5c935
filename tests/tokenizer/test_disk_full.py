"""A disk that is full while training spills: an error that names it, and nothing left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")

# Words that occur once each, far more of them than fit into 64 MiB.
CHILD = """
import sys, warnings
import numpy as np
from slm.errors import SlmWarning
from slm.tokenizer.train import train_tokenizer

def documents():
    generator = np.random.default_rng(0)
    for _ in range(30):
        letters = generator.integers(97, 123, size=(100_000, 10), dtype=np.uint8)
        letters[:, 0] = 32
        yield letters.tobytes().decode()

warnings.simplefilter("ignore", SlmWarning)
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    train_tokenizer(documents(), vocab_size=300, memory_limit="64MiB", num_threads=2, spill_dir=sys.argv[1])
except OSError as error:
    print(error.errno, error.filename)
"""


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_file_that_may_not_grow_is_an_error_with_its_path_and_leaves_nothing(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", CHILD, str(tmp_path), "1000000"])
    assert done.returncode == 0, done.stderr
    errno, path = done.stdout.split(maxsplit=1)
    assert (int(errno), Path(path.strip()).parent.parent) == (27, tmp_path)  # EFBIG
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def mounts_in_a_namespace() -> None:
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")


@pytest.mark.usefixtures("mounts_in_a_namespace")
def test_a_full_disk_is_an_error_with_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    # A disk of 4 MiB that only this command sees; at the end it lists what is on it.
    on_small_disk = 'mount -t tmpfs -o size=4m none "$0" && "$@" && echo left: $(ls -A "$0")'
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = run(["unshare", "-rm", "sh", "-c", on_small_disk, str(tmp_path), *command])
    assert done.returncode == 0, done.stderr
    error, left = done.stdout.splitlines()
    errno, path = error.split(maxsplit=1)
    assert (int(errno), Path(path).parent.parent) == (28, tmp_path)  # ENOSPC
    assert left == "left:"
