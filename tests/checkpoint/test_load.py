import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm.checkpoint.layout import checkpoint_path
from slm.checkpoint.load import copy_tensors, load_checkpoint, load_latest_checkpoint
from slm.checkpoint.save import file_sha256, save_checkpoint
from slm.errors import CheckpointError, SlmWarning


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path, 7, {"model": {"a": torch.ones(3)}}, {"step": 7}, keep=3)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_every_flipped_bit_is_found(checkpoint: Path, name: str):
    path = checkpoint / name
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        with pytest.raises(CheckpointError, match=f"{name}` is corrupt"):
            load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_short_or_missing_file_is_named(checkpoint: Path, name: str):
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{name}` has \d+ bytes, the manifest"):
        load_checkpoint(checkpoint)
    path.unlink()
    with pytest.raises(CheckpointError, match=rf"{name}` is missing"):
        load_checkpoint(checkpoint)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest | {key: value}


@pytest.mark.parametrize(
    "edit",
    [
        change("version", 2),
        change("format", "slm.shards"),
        change("step", 8),
        change("step", -7),
        change("step", "7"),
        change("extra", 1),
        change("files", {}),
        change("files", {"../../secret.json": {"bytes": 1, "sha256": ""}}),
        change("files", {"/etc/passwd": {"bytes": 1, "sha256": ""}}),
        change("files", [1]),
        lambda _: [],
        lambda _: None,
    ],
)
def test_a_hostile_manifest_is_refused(checkpoint: Path, edit: Callable[[dict[str, Any]], Any]):
    path = checkpoint / "manifest.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_manifest_that_is_not_json_is_refused(checkpoint: Path, content: bytes):
    (checkpoint / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_checkpoint(checkpoint)


def rewrite(checkpoint: Path, name: str, content: bytes) -> None:
    """Replace a file and make the manifest agree, as somebody with bad intentions would."""
    (checkpoint / name).write_bytes(content)
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": file_sha256(checkpoint / name)}
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("model.safetensors", b"\x80\x04\x95pickle"),
        ("state.json", b"[]"),
        ("state.json", b"{"),
        ("state.json", b"[" * 100_000),
    ],
)
def test_files_that_are_malformed_under_a_right_checksum_are_refused(checkpoint: Path, name: str, content: bytes):
    rewrite(checkpoint, name, content)
    with pytest.raises(CheckpointError):
        load_checkpoint(checkpoint)


def test_no_checkpoint_is_none(tmp_path: Path):
    assert load_latest_checkpoint(tmp_path / "nowhere") is None
    assert load_latest_checkpoint(tmp_path) is None


def test_each_bad_one_on_the_way_back_is_told(tmp_path: Path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"model": {"a": torch.ones(3)}}, {}, keep=9)
    for step in (2, 3):
        (checkpoint_path(tmp_path, step) / "state.json").write_text("{} ")
    with pytest.warns(SlmWarning) as warned:
        loaded = load_latest_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.step == 1
    assert [str(warning.message).count("going back to") for warning in warned] == [1, 1]


def test_copying_checks_names_shapes_and_dtypes_before_it_begins():
    target = {"a": torch.zeros(3), "b": torch.zeros(2)}
    for source, named in [
        ({"a": torch.ones(3)}, "`b` is missing"),
        ({"a": torch.ones(3), "b": torch.ones(2), "c": torch.ones(1)}, "`c` is not of this model"),
        ({"a": torch.ones(3), "b": torch.ones(3)}, r"`b` is torch.float32 \(3,\), this run has torch.float32 \(2,\)"),
        ({"a": torch.ones(3), "b": torch.ones(2, dtype=torch.float64)}, "`b` is torch.float64"),
    ]:
        with pytest.raises(CheckpointError, match=named):
            copy_tensors(source, target, "x")
        assert target["a"].sum() == 0
    copy_tensors({"a": torch.ones(3), "b": torch.ones(2)}, target, "x")
    assert target["a"].sum() == 3
