"""Export and import under a full disk, a kill and a large file, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slm.data.import_tokens import import_shards
from slm.data.verify import verify_shards
from slm.tokenizer import train_tokenizer
from tests.reference.token_files import read_megatron

NUM_TOKENS = 3_000_000

EXPORT = "from slm.data.export import export_shards as act; arguments = dict(to='megatron')"
IMPORT = (
    "from slm.data.import_tokens import import_shards; arguments = dict(format='nanogpt', shard_tokens=500_000)\n"
    "def act(source, out, **more): import_shards(source, sys.argv[3], out, **more)"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer, a file of nanoGPT, and shards of it."""
    path = tmp_path_factory.mktemp("made")
    tokenizer = train_tokenizer(iter(["a tale of tales"]), vocab_size=260, out=path / "tok")
    ids = np.random.default_rng(3).integers(1, 260, NUM_TOKENS, dtype=np.uint16)
    ids[999::1000] = tokenizer.end_of_text_id
    ids.tofile(path / "x.bin")
    import_shards(path / "x.bin", tokenizer, path / "shards", format="nanogpt")
    return path


def run(program: str, made: Path, out: Path, *, after: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run an export or an import; `after` is what each report of progress does."""
    source = made / ("shards" if program is EXPORT else "x.bin")
    code = (
        f"import os, resource, signal, sys\n{program}\n{before}\nseen = []\n"
        f"def on_progress(progress):\n    seen.append(progress.done)\n    {after}\n"
        "act(sys.argv[1], sys.argv[2], progress=on_progress, **arguments)\n"
        # Not `ru_maxrss`, which begins at what the parent has.
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    command = [sys.executable, "-c", code, str(source), str(out), str(made / "tok")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("program", [EXPORT, IMPORT], ids=["export", "import"])
@pytest.mark.parametrize("reports", [1, 2, 3])
def test_killed_at_any_report_the_same_again_finishes(program: str, reports: int, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = run(program, made, out, after=f"if len(seen) == {reports}: os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()
    finished = run(program, made, out, after="pass")
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    if program is IMPORT:
        assert verify_shards(out).files == 12
    else:
        sequences, _ = read_megatron(out / "train")
        assert {len(ids) for ids in sequences} == {1000}
        assert (out / "train.bin").read_bytes() == (made / "x.bin").read_bytes()


@pytest.mark.parametrize("program", [EXPORT, IMPORT], ids=["export", "import"])
def test_a_full_disk_is_an_error_that_leaves_nothing(program: str, made: Path, tmp_path: Path) -> None:
    # A limit on the size of files gives `OSError` in the middle of a write, as a full disk does.
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    full = run(program, made, tmp_path / "out", before=limit, after="pass")
    assert full.returncode == 1
    assert "OSError" in full.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("program", [EXPORT, IMPORT], ids=["export", "import"])
def test_memory_does_not_grow_with_the_file(program: str, made: Path, tmp_path: Path) -> None:
    peaks: list[int] = []
    for copies in (1, 12):
        large = tmp_path / str(copies)
        large.mkdir()
        (large / "tok").symlink_to(made / "tok")
        with (large / "x.bin").open("wb") as file:
            for _ in range(copies):
                file.write((made / "x.bin").read_bytes())
        import_shards(large / "x.bin", made / "tok", large / "shards", format="nanogpt")
        done = run(program, large, large / "out", after="pass")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] - peaks[0] < 16, f"{peaks} MiB: more for 33 million tokens"


def test_the_limits_are_of_real_work(made: Path) -> None:
    manifest = json.loads((made / "shards/manifest.json").read_text())
    assert manifest["splits"]["train"]["tokens"] == NUM_TOKENS
    assert manifest["corpus"]["documents"] == NUM_TOKENS // 1000
