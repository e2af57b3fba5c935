"""The text that a quickstart learns from, and prompts that fit it.

Where no corpus is named it is the running interpreter's own standard library: real text that every machine has.
"""

import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slm.errors import DataError

_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "encodings", "idle_test", "site-packages", "test", "tests"})
"""Not library code: tests hold odd encodings and broken syntax on purpose, and encodings are tables."""

_PYTHON_PROMPTS = ("import re\nimport", "class Parser", "    def read(self, path):\n")
"""None ends in a space, which belongs to the token of the next word."""


@dataclass(frozen=True)
class QuickstartCorpus:
    """Paths to read, one document a file, and what is known of them."""

    paths: tuple[str, ...]
    """Files, directories or globs, as `slm.train_tokenizer` takes them."""

    name: str
    """What to call the corpus in messages."""

    prompts: tuple[str, ...]
    """Prompts that fit the text; empty if they are to be taken from held-out documents."""

    skipped: int
    """Files left out because they are not UTF-8."""


def choose_corpus(paths: Sequence[str]) -> QuickstartCorpus:
    """Take the user's paths, or the standard library's sources where there are none.

    Args:
        paths: What the user named; may be empty.

    Returns:
        The corpus to learn from.

    Raises:
        DataError: No path was named, and this interpreter has no sources on disk.
    """
    if paths:
        return QuickstartCorpus(tuple(paths), ", ".join(paths), (), 0)
    root = Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(
        path for path in root.rglob("*.py") if not _SKIPPED_DIRECTORIES.intersection(path.relative_to(root).parts)
    )
    readable = [path for path in sources if _is_text(path)]
    if not readable:
        raise DataError(f"`{root}` holds no Python sources to learn from\n\nhint: name some text with `--corpus PATH`")
    return QuickstartCorpus(
        tuple(str(path) for path in readable),
        f"the Python sources in {root}",
        _PYTHON_PROMPTS,
        len(sources) - len(readable),
    )


def _is_text(path: Path) -> bool:
    content = path.read_bytes()
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return bool(content.strip())
