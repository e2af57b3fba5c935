"""Reading checkpoints: only what hashes to what was written, and falling back, aloud, to the newest that does."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from slm.checkpoint.layout import STATE_NAME, TENSORS_SUFFIX, CheckpointManifest, find_checkpoints
from slm.checkpoint.save import file_sha256
from slm.errors import CheckpointError, SlmWarning


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        path: The directory it was read from.
        step: Optimizer updates done.
        tensors: Groups of named tensors, on the CPU.
        state: The rest, as it was given to `save_checkpoint`.
    """

    path: Path
    step: int
    tensors: dict[str, dict[str, torch.Tensor]]
    state: dict[str, Any]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint, refusing it where a single byte is not what was written.

    Args:
        path: The checkpoint's directory.

    Returns:
        All of it; nothing but tensors and JSON is read, so no code can run.

    Raises:
        CheckpointError: It is incomplete or corrupt; the message names the file.
    """
    manifest = CheckpointManifest.load(path)
    for name, entry in manifest.files.items():
        found = file_sha256(path / name)
        if found != entry.sha256:
            raise CheckpointError(
                f"`{path / name}` is corrupt: its SHA-256 is {found[:16]}…, the manifest says {entry.sha256[:16]}…"
            )
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    try:
        for name in manifest.files:
            if name.endswith(TENSORS_SUFFIX):
                tensors[name.removesuffix(TENSORS_SUFFIX)] = load_file(path / name)
        state = json.loads((path / STATE_NAME).read_bytes())
    except (SafetensorError, ValueError, RecursionError) as err:
        raise CheckpointError(f"`{path}` cannot be read: {err}") from err
    if not isinstance(state, dict):
        raise CheckpointError(f"`{path / STATE_NAME}` is not a JSON object")
    return Checkpoint(path, manifest.step, tensors, state)


def load_latest_checkpoint(checkpoints_dir: Path) -> Checkpoint | None:
    """Read the newest good checkpoint of a run, with a warning for each newer one that is not.

    Args:
        checkpoints_dir: Directory of all checkpoints of the run.

    Returns:
        The checkpoint, None where the run has not written any.

    Raises:
        CheckpointError: There are checkpoints and none is good.
    """
    refused: list[str] = []
    for path in reversed(find_checkpoints(checkpoints_dir)):
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as err:
            refused.append(str(err))
            continue
        for reason in refused:
            warnings.warn(f"{reason}; going back to `{path}`", SlmWarning, stacklevel=2)
        return checkpoint
    if refused:
        raise CheckpointError(
            f"no checkpoint in `{checkpoints_dir}` can be read: {'; '.join(refused)}\n\n"
            "hint: copy a good checkpoint there, or begin again in another run directory with `--set out=…`"
        )
    return None


def copy_tensors(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy tensors of a checkpoint into those of a run, after checking every name, shape and dtype.

    Args:
        source: Tensors from a checkpoint.
        target: The tensors to overwrite, in place.
        where: Their origin, for the message.

    Raises:
        CheckpointError: A tensor is missing, is not asked for, or has another shape or dtype; nothing was copied.
    """
    if source.keys() != target.keys():
        missing, unknown = sorted(target.keys() - source.keys()), sorted(source.keys() - target.keys())
        named = f"`{missing[0]}` is missing" if missing else f"`{unknown[0]}` is not of this model"
        raise CheckpointError(f"{where} is of another model: {named} ({len(missing)} missing, {len(unknown)} unknown)")
    for name, tensor in target.items():
        found = source[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where} is of another model: `{name}` is {found.dtype} {tuple(found.shape)}, "
                f"this run has {tensor.dtype} {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
