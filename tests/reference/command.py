"""Run `slm` as a person would: in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


def slm(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
    """Run one command line and wait for it."""
    command = [sys.executable, "-m", "slm", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def is_one_paragraph(stderr: str) -> bool:
    """Whether an error is a paragraph and at most a hint, without a traceback."""
    paragraphs = [paragraph for paragraph in stderr.strip().split("\n\n") if paragraph]
    return (
        stderr.startswith("error: ")
        and len(paragraphs) <= 2
        and all(paragraph.startswith("hint: ") for paragraph in paragraphs[1:])
        and "Traceback" not in stderr
    )
