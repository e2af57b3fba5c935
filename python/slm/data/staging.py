"""A directory that appears complete or not at all: written under a partial name beside its place, then renamed."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from slm.durable import flush
from slm.errors import ConfigError

_LOCK_FILE = ".lock"


def is_vacant(path: Path) -> bool:
    """Whether a directory can be made there: nothing is, or an empty directory."""
    return not path.exists() or (path.is_dir() and next(path.iterdir(), None) is None)


def occupied(path: Path, content: str) -> ConfigError:
    """The error for a place where something else is.

    Args:
        path: The place.
        content: What was to be written there, such as `shards`.
    """
    return ConfigError(
        f"`{path}` exists and holds something else than these {content}, so nothing was written\n\n"
        "hint: choose another output directory, or remove this one"
    )


@contextmanager
def staged_directory(out: Path, content: str) -> Generator[Path]:
    """Give a directory to write into; it gets its name when the block ends, and is removed where that fails.

    Files must be flushed by whoever writes them. What a killed process left is removed by the next call for the same
    place. Two processes are kept apart by a lock; systems without `flock` (Windows) have none.

    Args:
        out: Where the directory belongs; must be vacant.
        content: What is written, for messages.

    Raises:
        ConfigError: Another process writes there, or something is there.
    """
    if not is_vacant(out):
        raise occupied(out, content)
    target = out.absolute()
    staging = target.with_name(f".{target.name}.partial")
    lock = _claim(staging, target, content)
    try:
        for left in staging.iterdir():
            if left.name != _LOCK_FILE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield staging
        if not is_vacant(target):
            raise occupied(out, content)
        flush(staging)
        if target.exists():
            target.rmdir()  # it is empty, and not every system renames over it
        staging.rename(target)
        (target / _LOCK_FILE).unlink(missing_ok=True)
        flush(target)
        flush(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _claim(staging: Path, target: Path, content: str) -> int:
    """Make the directory and hold its lock."""
    while True:
        staging.mkdir(parents=True, exist_ok=True)
        path = staging / _LOCK_FILE
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its owner has just given the directory its name
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            return lock
        except BlockingIOError:
            os.close(lock)
            raise ConfigError(
                f"another process writes {content} into `{target}`\n\n"
                "hint: wait for it, or choose another output directory"
            ) from None
        # Between opening and locking its owner may have finished: then this is the lock of another directory.
        if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
            return lock
        os.close(lock)
