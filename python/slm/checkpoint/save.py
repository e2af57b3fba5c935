"""Writing a checkpoint so that a kill at any moment leaves the one before it in place and whole."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from slm.checkpoint.layout import (
    MANIFEST_NAME,
    STATE_NAME,
    TENSORS_SUFFIX,
    CheckpointManifest,
    FileEntry,
    checkpoint_path,
    find_checkpoints,
    is_complete,
    staging_path,
    step_of,
)
from slm.durable import flush, replace_directory, write_json

Tensors = Mapping[str, torch.Tensor]


def save_checkpoint(
    checkpoints_dir: Path, step: int, tensors: Mapping[str, Tensors], state: Mapping[str, Any], *, keep: int
) -> Path:
    """Write a checkpoint beside the others, then remove the oldest complete ones beyond `keep`.

    The files are written in a hidden directory, each is flushed to the disk and hashed, the manifest comes last, and
    the directory is renamed into place. Where the disk is full, the error passes through and every older checkpoint is
    as it was.

    Args:
        checkpoints_dir: Directory of all checkpoints of the run; made if missing.
        step: Optimizer updates done.
        tensors: Groups of named tensors, each written to `<group>.safetensors`.
        state: The rest, as JSON.
        keep: Number of complete checkpoints to leave, this one included; at least 1.

    Returns:
        The checkpoint's directory.

    Raises:
        OSError: The disk refused.
    """
    checkpoints_dir.mkdir(parents=True, exist_ok=True)
    recover_checkpoints(checkpoints_dir)
    staged, target = staging_path(checkpoints_dir, step), checkpoint_path(checkpoints_dir, step)
    staged.mkdir()
    try:
        for group, named in tensors.items():
            path = staged / f"{group}{TENSORS_SUFFIX}"
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}, path)
            flush(path)
        write_json(staged / STATE_NAME, state)
        written = sorted(staged.iterdir())
        files = {path.name: FileEntry(bytes=path.stat().st_size, sha256=file_sha256(path)) for path in written}
        write_json(staged / MANIFEST_NAME, CheckpointManifest(step=step, files=files).model_dump())
        replace_directory(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    older = [path for path in find_checkpoints(checkpoints_dir) if (step_of(path) or 0) < step and is_complete(path)]
    for path in older[: max(len(older) - (keep - 1), 0)]:
        remove_checkpoint(path)
    return target


def remove_checkpoint(path: Path) -> None:
    """Delete a checkpoint, its manifest first: a kill half-way leaves what no reader takes for a checkpoint."""
    (path / MANIFEST_NAME).unlink(missing_ok=True)
    flush(path)
    shutil.rmtree(path)


def recover_checkpoints(checkpoints_dir: Path) -> None:
    """Clear away what a killed writer or deletion left, and put back a checkpoint that was about to be replaced.

    Removed are staging directories and checkpoints without a manifest. A kill between the two renames of a replacement
    leaves the old checkpoint under its retired name only; it gets its name back.

    Args:
        checkpoints_dir: Directory of all checkpoints of the run; no other process may be writing there.
    """
    if not checkpoints_dir.is_dir():
        return
    for path in sorted(checkpoints_dir.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue
        named = path.with_name(path.name.removeprefix(".").removesuffix(".old").removesuffix(".partial"))
        if step_of(named) is None:
            continue
        if path.suffix == ".old" and not named.exists():
            path.rename(named)
        elif path != named or not (path / MANIFEST_NAME).exists():
            shutil.rmtree(path)


def file_sha256(path: Path) -> str:
    """Hash a file's bytes with SHA-256, as `sha256sum` does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
