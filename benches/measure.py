"""Runs one command as a process of its own and says how long it took and how much memory it held.

Peak memory is the peak of anonymous memory (`RssAnon` of /proc, polled) and of resident memory (`VmHWM`, kept by the
kernel), of the process and its children added up at each poll. Page cache counts in neither.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Measurement:
    """What one run of a process cost."""

    seconds: float
    """Wall time from start to exit, start-up included."""

    peak_anonymous_mib: float
    peak_resident_mib: float
    result: dict[str, Any]
    """The JSON object that the process wrote on its last line of output."""


def measure(
    code: str,
    arguments: dict[str, Any],
    *,
    threads: int,
    max_seconds: float = float("inf"),
) -> Measurement:
    """Run Python code in a fresh interpreter with `arguments` as the dictionary `args`.

    Args:
        code: A program; its last line of output must be a JSON object.
        arguments: What the program finds in `args`, through JSON.
        threads: Cores that the process may use; it is pinned to that many.
        max_seconds: The process is killed after this long.

    Returns:
        Time, memory and the program's own result.

    Raises:
        RuntimeError: The program failed or took too long; the end of its error output is in the message.
    """
    program = f"import json, sys\nargs = json.loads(sys.argv[1])\n{code}"
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true",
        # NumPy's library takes address space for every core at its start, and nothing here uses it.
        "OPENBLAS_NUM_THREADS": "1",
    }
    cores = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(arguments)],
            stdout=output,
            stderr=errors,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        anonymous = resident = 0
        try:
            while process.poll() is None:
                now = [_memory_kib(pid) for pid in _family(process.pid)]
                anonymous = max(anonymous, sum(pair[0] for pair in now))
                resident = max(resident, sum(pair[1] for pair in now))
                if time.perf_counter() - started > max_seconds:
                    raise RuntimeError(f"not done after {max_seconds:.0f} s, at {anonymous / 1024:.0f} MiB")
                time.sleep(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - started
        errors.seek(0)
        output.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"exit {process.returncode}\n{errors.read().decode(errors='replace')[-2000:]}")
        lines = output.read().decode().splitlines()
    return Measurement(seconds, anonymous / 1024, resident / 1024, json.loads(lines[-1]))


def _memory_kib(pid: int) -> tuple[int, int]:
    """`RssAnon` and `VmHWM` of one process, in KiB; zeros once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    figures = {
        line.split(":")[0]: line.split() for line in status.splitlines() if line.startswith(("RssAnon", "VmHWM"))
    }
    return tuple(int(figures[key][1]) if key in figures else 0 for key in ("RssAnon", "VmHWM"))  # type: ignore[return-value]


def _family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found.extend(int(child) for child in children)
    return found
