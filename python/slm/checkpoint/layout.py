"""Where a run keeps its checkpoints, and what makes one complete.

`checkpoints/step-00001000/` holds `model.safetensors`, `optimizer.safetensors`, `ema.safetensors` where weights are
averaged, `state.json`, and `manifest.json` with the size and SHA-256 of each. The manifest is written last and removed
first, so a directory without one is a remnant of a deletion and never read.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from slm.errors import CheckpointError

MANIFEST_NAME: Final = "manifest.json"
"""The marker of a complete checkpoint."""

STATE_NAME: Final = "state.json"
"""Everything that is not a tensor: step, data position, random state."""

TENSORS_SUFFIX: Final = ".safetensors"
"""Suffix of each file of tensors; what is before it is the group's name."""

_NAME: Final = re.compile(r"step-(\d{8,18})")

FileName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.(safetensors|json)$")]


class FileEntry(BaseModel):
    """What the manifest says of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bytes: int
    sha256: str


class CheckpointManifest(BaseModel):
    """The manifest of a checkpoint: which files it has, how long they are and what they hash to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["slm.checkpoint"] = "slm.checkpoint"
    version: Literal[1] = 1
    step: Annotated[int, Field(ge=0)]
    files: dict[FileName, FileEntry]

    @classmethod
    def load(cls, checkpoint: Path) -> Self:
        """Read a checkpoint's manifest and compare the files' sizes with it.

        Raises:
            CheckpointError: The manifest is missing, malformed or of another version, or a file is missing or of
                another size.
        """
        path = checkpoint / MANIFEST_NAME
        try:
            manifest = cls.model_validate(json.loads(path.read_bytes()))
            sizes = {name: (checkpoint / name).stat().st_size for name in manifest.files}
        except FileNotFoundError as err:
            raise CheckpointError(
                f"`{err.filename}` is missing, so `{checkpoint}` is not a complete checkpoint"
            ) from err
        except (ValidationError, ValueError, RecursionError) as err:
            raise CheckpointError(f"`{path}` is not the manifest of a checkpoint: {_first_line(err)}") from err
        for name, entry in manifest.files.items():
            if sizes[name] != entry.bytes:
                raise CheckpointError(
                    f"`{checkpoint / name}` has {sizes[name]} bytes, the manifest of its checkpoint says {entry.bytes}"
                )
        if STATE_NAME not in manifest.files or manifest.step != step_of(checkpoint):
            raise CheckpointError(
                f"`{path}` describes step {manifest.step} without a state, or another directory than its own"
            )
        return manifest


def checkpoint_path(checkpoints_dir: Path, step: int) -> Path:
    """Give the directory of a step's checkpoint."""
    return checkpoints_dir / f"step-{step:08d}"


def staging_path(checkpoints_dir: Path, step: int) -> Path:
    """Give the directory that a checkpoint is written in before it is renamed."""
    return checkpoints_dir / f".step-{step:08d}.partial"


def step_of(path: Path) -> int | None:
    """Read the step from a checkpoint directory's name, None where the name is of something else."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def find_checkpoints(checkpoints_dir: Path) -> list[Path]:
    """List the checkpoints that have a manifest, the oldest step first; the reader checks whether they are whole."""
    if not checkpoints_dir.is_dir():
        return []
    steps = {path: step_of(path) for path in checkpoints_dir.iterdir() if (path / MANIFEST_NAME).is_file()}
    return sorted((path for path, step in steps.items() if step is not None), key=lambda path: steps[path] or 0)


def is_complete(checkpoint: Path) -> bool:
    """Tell whether a checkpoint has its manifest and every file in full length; reading it also checks the hashes."""
    try:
        CheckpointManifest.load(checkpoint)
    except CheckpointError:
        return False
    return True


def _first_line(err: Exception) -> str:
    """Shorten an error of another library to what fits in a message."""
    if isinstance(err, ValidationError):
        first = err.errors(include_url=False)[0]
        return f"`{'.'.join(map(str, first['loc']))}`: {first['msg'].lower()}"
    return str(err).splitlines()[0] if str(err) else type(err).__name__
