"""How much memory and disk space counting and training may take."""

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slm import _core
from slm.errors import SlmWarning
from slm.sizes import parse_size

if TYPE_CHECKING:
    from slm.tokenizer.corpus import PathLike


@dataclass(frozen=True)
class Bounds:
    """Limits as the Rust core takes them."""

    memory_limit: int
    """Bytes of memory."""

    spill_dir: Path
    """Directory in which a directory for spilled counts is made."""

    max_spill: int | None
    """Bytes that may be spilled at a time."""


def resolve_memory_limit(memory_limit: int | str | None) -> int:
    """The memory limit in bytes; None: a quarter of the machine's or the container's memory, at most 4 GiB.

    Raises:
        ConfigError: It is not a size.
    """
    return _core.default_memory_limit() if memory_limit is None else parse_size(memory_limit, "memory_limit")


def resolve_bounds(
    memory_limit: int | str | None, spill_dir: "PathLike | None", max_spill: int | str | None, out: "PathLike | None"
) -> Bounds:
    """Fill in what was left out.

    Raises:
        ConfigError: A size is not one.

    Warns:
        SlmWarning: The directory to spill to lives in memory, so that spilling would not save any.
    """
    if spill_dir is not None:
        directory = Path(spill_dir)
    elif out is not None:
        directory = Path(out).absolute().parent
    else:
        directory = Path(tempfile.gettempdir())
        on_disk = Path("/var/tmp")  # noqa: S108  a directory of our own is made there
        if _core.is_in_memory(directory) and on_disk.is_dir() and not _core.is_in_memory(on_disk):
            directory = on_disk
    if _core.is_in_memory(directory):
        warnings.warn(
            f"`{directory}` is in memory (tmpfs), so what is spilled there counts against the machine's memory\n\n"
            "hint: set `spill_dir` to a directory on a disk",
            SlmWarning,
            stacklevel=3,
        )
    return Bounds(
        memory_limit=resolve_memory_limit(memory_limit),
        spill_dir=directory,
        max_spill=None if max_spill is None else parse_size(max_spill, "max_spill"),
    )
