"""Kills: `slm.build_shards` is killed at random instants, begun again and again until it ends, and compared.

A build that nobody disturbs says what each byte of shards, index and manifest must be. Then builds are killed with
SIGKILL and the same call goes on, until there were `--kills`; a shard that was finished before a kill must be the same
file afterwards. Any difference is told, and the exit code is 1.

    python -m benches.kills --text books-en.txt --tokenizer tok/ --kills 200
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.corpora import synthetic_text
from benches.report import Report, print_rows

_BUILD = """
import json, sys
import slm
settings = json.loads(sys.argv[1])
slm.build_shards(settings.pop("corpus"), settings.pop("tokenizer"), settings.pop("out"), **settings)
"""


def finished_shards(out: Path) -> list[str]:
    """The names of the shards that a kill does not undo."""
    try:
        journal = json.loads((out / ".journal.json").read_bytes())
    except FileNotFoundError:
        return []
    return [shard["name"] for shard in journal["committed"]["finished"]]


class KilledBuild:
    """A build that is killed at random instants and goes on.

    Args:
        settings: Arguments of `slm.build_shards`; `out` is the directory, `num_threads` is another one each time.
        instants: Where instants come from.
        max_seconds: The longest that it may run, from when it has locked the directory.
    """

    def __init__(self, settings: dict[str, Any], instants: random.Random, max_seconds: float) -> None:
        self.num_kills = 0
        self.written_anew: set[str] = set()
        """Shards that were finished, and then were other files."""
        self.finished: dict[str, tuple[int, int]] = {}
        """Inode and time of change of the shards that were finished before a kill."""
        self._settings = settings
        self._out = Path(settings["out"])
        self._instants = instants
        self._max_seconds = max_seconds

    def run(self, max_kills: int, after_kill: Callable[[], None] = lambda: None) -> bool:
        """Kill it until it was killed so often, or ends by itself; True if it ended."""
        for attempt in itertools.count():
            was_killed = self._attempt(1 + attempt % 3)
            self._compare_finished()
            if not was_killed:
                return True
            self.num_kills += 1
            if not (self._out / "manifest.json").exists():
                after_kill()
            if self.num_kills >= max_kills:
                return False
        raise AssertionError("counts without end")

    def finish(self) -> None:
        """Let it end."""
        subprocess.run(_command(self._settings), check=True)
        self._compare_finished()

    def _attempt(self, num_threads: int) -> bool:
        with subprocess.Popen(_command(self._settings | {"num_threads": num_threads})) as process:
            while process.poll() is None and not (self._out / ".lock").exists():
                time.sleep(0.001)
            try:
                process.wait(self._instants.uniform(0, self._max_seconds))
            except subprocess.TimeoutExpired:
                process.kill()
            code = process.wait()
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a build ended with exit code {code}")
        return code == -signal.SIGKILL

    def _compare_finished(self) -> None:
        for name, identity in self.finished.items():
            if self._identity(name) != identity:
                self.written_anew.add(name)
        self.finished |= {name: self._identity(name) for name in finished_shards(self._out)}

    def _identity(self, name: str) -> tuple[int, int]:
        status = (self._out / f"{name}.npy").stat()
        return status.st_ino, status.st_mtime_ns


def hashes_of(directory: Path) -> dict[str, str]:
    """A hash of each file in a directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.blake2b(path.read_bytes()).hexdigest() for path in files}


def _command(settings: dict[str, Any]) -> list[str]:
    return [sys.executable, "-c", _BUILD, json.dumps(settings)]


def main(argv: list[str] | None = None) -> None:
    """Build once undisturbed, then with kills, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", type=Path, help="what to build from; made here if left out")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer directory; made here if left out")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--shard-tokens", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--smoke", action="store_true", help="seconds: five kills, of text made here")
    options = parser.parse_args(argv)
    import slm

    report = Report("kills")
    max_kills = 5 if options.smoke else options.kills
    with tempfile.TemporaryDirectory() as scratch:
        text, tokenizer = options.text, options.tokenizer
        if options.smoke or not text:
            text = [synthetic_text(Path(scratch) / "synthetic.txt", 4 if options.smoke else 48)]
        if options.smoke or not tokenizer:
            tokenizer = Path(scratch) / "tokenizer"
            slm.train_tokenizer([str(path) for path in text], vocab_size=2_000, documents="line", out=tokenizer)
        settings = {
            "corpus": [str(path) for path in text],
            "tokenizer": str(tokenizer),
            "documents": "line",
            "shard_tokens": 20_000 if options.smoke else options.shard_tokens,
            "validation_fraction": 0.1,
            "deduplicate": True,
            "num_threads": os.cpu_count(),
        }
        whole = Path(scratch) / "whole"
        started = time.perf_counter()
        subprocess.run(_command(settings | {"out": str(whole)}), check=True)
        seconds = time.perf_counter() - started
        expected = hashes_of(whole)
        kills = builds = num_finished = num_different = num_anew = 0
        instants = random.Random(options.seed)
        while kills < max_kills:
            out = Path(scratch) / f"killed-{builds}"
            build = KilledBuild(settings | {"out": str(out)}, instants, seconds / 2)
            if not build.run(max_kills - kills):
                build.finish()
            found = hashes_of(out)
            num_different += sum(found.get(name) != expected.get(name) for name in found.keys() | expected.keys())
            kills, builds = kills + build.num_kills, builds + 1
            num_finished, num_anew = num_finished + len(build.finished), num_anew + len(build.written_anew)
            shutil.rmtree(out)
        megabytes = sum(path.stat().st_size for path in text) / 1e6
    for metric, value in (
        ("kills", kills),
        ("builds", builds),
        ("files of a build", len(expected)),
        ("shards finished before a kill", num_finished),
        ("of them written anew", num_anew),
        ("files that differ", num_different),
    ):
        report.add(f"{megabytes:.0f} MB", f"slm {slm.__version__}", metric, "", value, 0)
    print_rows(report.rows)
    if num_different or num_anew:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
