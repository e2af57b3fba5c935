import errno
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from slm import durable
from slm.checkpoint import save
from slm.checkpoint.layout import checkpoint_path, find_checkpoints
from slm.checkpoint.load import load_checkpoint, load_latest_checkpoint
from slm.checkpoint.save import recover_checkpoints, remove_checkpoint, save_checkpoint

Tensors = dict[str, dict[str, torch.Tensor]]


def tensors(step: int) -> Tensors:
    return {
        "model": {"a": torch.full((3,), float(step)), "b": torch.arange(4).view(2, 2)},
        "optimizer": {"step.a": torch.tensor(float(step))},
    }


def write(path: Path, step: int, keep: int = 3) -> Path:
    return save_checkpoint(path, step, tensors(step), {"step": step, "text": "é"}, keep=keep)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_what_is_written_is_read_back(tmp_path: Path):
    path = write(tmp_path / "checkpoints", 7)
    loaded = load_checkpoint(path)
    assert (loaded.path, loaded.step, loaded.state) == (path, 7, {"step": 7, "text": "é"})
    assert loaded.tensors.keys() == tensors(7).keys()
    for group, named in tensors(7).items():
        for name, tensor in named.items():
            assert torch.equal(loaded.tensors[group][name], tensor)
            assert loaded.tensors[group][name].dtype == tensor.dtype


def test_the_manifest_has_what_sha256sum_says(tmp_path: Path):
    path = write(tmp_path, 7)
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["format"], manifest["version"], manifest["step"]) == ("slm.checkpoint", 1, 7)
    assert sorted(manifest["files"]) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    for name, entry in manifest["files"].items():
        content = (path / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": sha256(content).hexdigest()}


def test_the_newest_are_kept(tmp_path: Path):
    for step in (1, 2, 10, 9_999_999, 100_000_000):
        write(tmp_path, step, keep=3)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-00000010", "step-09999999", "step-100000000"]
    write(tmp_path, 100_000_001, keep=1)
    assert names(tmp_path) == ["step-100000001"]


def test_only_complete_checkpoints_count_for_keeping(tmp_path: Path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    for step in (2, 3):
        with (checkpoint_path(tmp_path, step) / "model.safetensors").open("ab") as file:
            file.write(b"torn")
    write(tmp_path, 4, keep=2)
    assert checkpoint_path(tmp_path, 1).exists(), "the only other good one"
    latest = load_latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.step == 4


def test_later_checkpoints_are_not_removed(tmp_path: Path):
    write(tmp_path, 5)
    write(tmp_path, 3, keep=1)
    assert names(tmp_path) == ["step-00000003", "step-00000005"]


def test_the_same_step_is_replaced(tmp_path: Path):
    write(tmp_path, 5)
    save_checkpoint(tmp_path, 5, tensors(6), {}, keep=3)
    assert torch.equal(load_checkpoint(checkpoint_path(tmp_path, 5)).tensors["model"]["a"], torch.full((3,), 6.0))
    assert names(tmp_path) == ["step-00000005"]


def failing_after(calls: int, fail: Callable[[], None]) -> Callable[[Path], None]:
    real = durable.flush
    left = calls

    def flush(path: Path) -> None:
        nonlocal left
        if left == 0:
            fail()
        left -= 1
        real(path)

    return flush


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def save_with_flush(path: Path, flush: Callable[[Path], None], step: int, keep: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "flush", flush)
        patch.setattr(durable, "flush", flush)
        write(path, step, keep)


def test_a_full_disk_at_any_moment_leaves_a_good_checkpoint(tmp_path: Path):
    failures = 0
    for calls in range(20):
        path = tmp_path / str(calls)
        write(path, 1)
        try:
            save_with_flush(path, failing_after(calls, disk_full), 2, keep=1)
        except OSError:
            failures += 1
        latest = load_latest_checkpoint(path)
        assert latest is not None
        assert not [name for name in names(path) if name.endswith(".partial")]
        write(path, 3, keep=1)
        assert names(path) == ["step-00000003"]
    assert 8 <= failures < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("step", [2, 1], ids=["another step", "the same step"])
def test_a_kill_at_any_moment_leaves_a_good_checkpoint(tmp_path: Path, step: int):
    kills = 0
    for calls in range(20):
        path = tmp_path / str(calls)
        write(path, 1, keep=1)
        child = os.fork()
        if child == 0:
            save_with_flush(path, failing_after(calls, lambda: os._exit(9)), step, keep=1)
            os._exit(0)
        kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        recover_checkpoints(path)
        latest = load_latest_checkpoint(path)
        assert latest is not None
        assert latest.step in (1, step)
        assert not [name for name in names(path) if name.startswith(".")]
    assert 8 <= kills < 20


def test_a_kill_between_the_renames_of_a_replacement_loses_nothing(tmp_path: Path):
    path = write(tmp_path, 5)
    path.rename(tmp_path / ".step-00000005.old")
    recover_checkpoints(tmp_path)
    assert load_checkpoint(path).step == 5


def test_recovery_touches_nothing_that_is_not_a_checkpoint(tmp_path: Path):
    write(tmp_path, 5)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.partial").mkdir()
    (tmp_path / "step-00000001").mkdir()  # a deletion that a kill cut short
    (tmp_path / ".step-00000009.partial").mkdir()
    recover_checkpoints(tmp_path)
    assert names(tmp_path) == ["notes", "notes.partial", "step-00000005"]


def test_removing_takes_the_manifest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, 5)
    monkeypatch.setattr(save.shutil, "rmtree", lambda _: None)
    remove_checkpoint(path)
    assert names(path) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert find_checkpoints(tmp_path) == []
