"""A real server in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest


class RunningServer:
    """`slm serve` in a subprocess, ready to answer."""

    def __init__(self, model_dir: Path, *options: str, env: dict[str, str] | None = None):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "slm", "serve", str(model_dir), "--port", "0", "--device", "cpu", *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "SLM_API_KEY": "", **(env or {})},
        )
        assert self.process.stderr is not None
        first_line = self.process.stderr.readline()
        found = re.search(r"http://\S+", first_line)
        assert found, first_line + self.process.stderr.read()
        self.url = found[0]
        self.port = int(self.url.rpartition(":")[2])

    def health(self) -> dict[str, object]:
        return httpx.get(f"{self.url}/health", timeout=20).json()

    def wait_until(self, condition: Callable[[dict[str, object]], bool], seconds: float = 20) -> dict[str, object]:
        """Ask for the health until it is as expected."""
        deadline = time.monotonic() + seconds
        while not condition(state := self.health()):
            assert time.monotonic() < deadline, f"after {seconds} s the server says {state}"
            time.sleep(0.02)
        return state

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what stderr said."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_server(tiny_model_dir: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start a server with further options; it is gone when the test ends."""
    started: list[RunningServer] = []

    def start(*options: str, **arguments: dict[str, str]) -> RunningServer:
        started.append(RunningServer(tiny_model_dir, *options, **arguments))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def server(tiny_model_dir: Path) -> Iterator[RunningServer]:
    """A server with the defaults, shared by the tests of a file."""
    running = RunningServer(tiny_model_dir)
    yield running
    running.kill()
