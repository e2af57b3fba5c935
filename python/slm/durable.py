"""Files that are old, absent or complete after a kill or a power cut, and never torn.

Everything is written beside its target, flushed to the disk and renamed; then the directory is flushed, because a
rename lives in the directory. The order is that of Pillai et al. 2014, "All File Systems Are Not Created Equal" (OSDI).
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_STAGING_SUFFIX = ".partial"


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file by `content`, or leave it as it was.

    Args:
        path: The file to write; its directory must exist.
        content: All of its bytes.

    Raises:
        OSError: The disk refused, for example because it is full; the old file is untouched.
    """

    def write(staged: Path) -> None:
        staged.write_bytes(content)

    write_file(path, write)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Replace a file by `content` in UTF-8, as `write_bytes` does."""
    write_bytes(path, content.encode())


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Replace a file by `content` as indented JSON, as `write_bytes` does."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_file(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let a library that wants a path write a file, then put it in place in one step.

    Args:
        path: The file to write; its directory must exist.
        write: Writes the whole file at the path that it is given.

    Raises:
        OSError: The disk refused; the old file is untouched.
    """
    target = Path(path)
    staged = target.with_name(f".{target.name}.{os.getpid()}{_STAGING_SUFFIX}")
    try:
        write(staged)
        flush(staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    flush(target.parent)


def replace_directory(staged: Path, target: Path) -> None:
    """Put a finished directory in the place of another of the same name.

    Every file of `staged` must be flushed already. Between the two renames a kill leaves the old directory under its
    `.old` name; the next call for the same target removes it.

    Args:
        staged: The complete directory, beside `target`.
        target: Where it belongs.
    """
    retired = target.with_name(f".{target.name}.old")
    if retired.exists():
        shutil.rmtree(retired)
    flush(staged)
    if target.exists():
        target.rename(retired)
    staged.rename(target)
    flush(target.parent)
    if retired.exists():
        shutil.rmtree(retired)


def flush(path: Path) -> None:
    """Ask the disk to keep a file, or a directory's entries where the system has such a call."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
