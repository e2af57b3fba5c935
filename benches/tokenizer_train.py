r"""Tokenizer training: seconds and peak memory of the whole process, ours beside the peers', merges compared.

Every system trains byte-level BPE with the GPT-2 pattern on the lines of the same files, in a process of its own that
is pinned to `--threads` cores. Ours is also measured with fewer threads, within memory limits, and on more text:

    python -m benches.tokenizer_train --case books=books-en.txt --case c=linux.txt \
        --limits 64,128,256,none --threads 1,2 --curve 1,4,20
"""

import argparse
import hashlib
import itertools
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benches.corpora import cut_into_pieces, repeat_pieces, synthetic_text
from benches.measure import Measurement, measure
from benches.report import Report, number, print_table
from benches.trainers import OURS, PEERS, Peer, merged_tokens

# What takes longer than this is measured once: its noise is small beside it.
_REPEATED_BELOW_SECONDS = 60


@dataclass
class Runs:
    """What one system did on one corpus with one setting."""

    directory: Path
    """The tokenizer of the first run."""
    measured: list[Measurement] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median of the wall times."""
        return statistics.median(run.seconds for run in self.measured)

    @property
    def peak_mib(self) -> float:
        """Highest anonymous memory."""
        return max(run.peak_anonymous_mib for run in self.measured)

    @property
    def result(self) -> dict[str, Any]:
        """What the program of the fastest run said."""
        return min(self.measured, key=lambda run: run.seconds).result

    @property
    def cell(self) -> str:
        """As in the table for people."""
        return f"{number(self.seconds)} / {number(self.peak_mib)}"


class Bench:
    """The measurements, by what was asked for."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.scratch = scratch
        self.vocab_size = 2_000 if options.smoke else options.vocab_size
        self.repeats = 1 if options.smoke else options.repeats
        self.max_seconds = options.timeout
        self.threads = max(options.threads)
        self.report = Report("tokenizer_train")
        self._numbers = itertools.count()
        self._ours: dict[tuple[object, ...], Runs] = {}

    def ours(self, files: list[str], *, threads: int, limit: str = "none", documents: str = "line") -> Runs:
        """Our training, measured once for each setting."""
        key = (*files, threads, limit, documents)
        if key not in self._ours:
            memory_limit = None if limit == "none" else f"{limit}MiB"
            settings = {"limit": memory_limit, "documents": documents, "spill_dir": str(self.scratch)}
            self._ours[key] = self.run("slm", OURS, files, threads, **settings)
        return self._ours[key]

    def run(self, name: str, program: str, files: list[str], threads: int, **settings: Any) -> Runs:
        """Run a program as often as asked for."""
        runs = Runs(self.scratch / f"{next(self._numbers)}")
        for repeat in range(self.repeats):
            arguments = {
                "files": files,
                "vocab_size": self.vocab_size,
                "threads": threads,
                "out": str(self.scratch / f"{runs.directory.name}-{repeat}" if repeat else runs.directory),
                **settings,
            }
            measured = measure(program, arguments, threads=threads, max_seconds=self.max_seconds)
            what = " ".join([name, *(f"{key}={settings[key]}" for key in ("limit", "documents") if settings.get(key))])
            print(f"  {what}, {threads} threads: {measured.seconds:.2f} s", file=sys.stderr, flush=True)
            runs.measured.append(measured)
            if measured.seconds > _REPEATED_BELOW_SECONDS:
                break
        return runs

    def peers(self, cases: dict[str, list[str]], names: list[str]) -> None:
        """Ours and the peers', as many threads each."""
        lines: list[list[str]] = [["slm"], *([name] for name in names)]
        for case, files in cases.items():
            ours = self.ours(files, threads=self.threads)
            self._add(case, f"slm {ours.result['version']}", ours)
            lines[0].append(ours.cell)
            for line, peer in zip(lines[1:], (PEERS[name] for name in names), strict=True):
                line.append(self._beside(case, files, peer, ours))
        title = f"Seconds / peak MiB of the whole process, {self.threads} threads, vocabulary {self.vocab_size:,}"
        print_table(["", *cases], lines, title=title)

    def _beside(self, case: str, files: list[str], peer: Peer, ours: Runs) -> str:
        """Measure a peer; the cell of the table."""
        if not peer.is_installed:
            self.report.add(case, peer.name, "missing", "", 1, self.threads, note=f"`pip install {peer.name}`")
            return "missing"
        try:
            theirs = self.run(peer.name, peer.program, files, self.threads)
        except RuntimeError as error:
            self.report.add(case, peer.name, "failed", "", 1, self.threads, note=str(error))
            return f"failed: {str(error).splitlines()[0]}"
        system = f"{peer.name} {theirs.result['version']}"
        self._add(case, system, theirs)
        self.report.add(case, system, "time over ours", "x", theirs.seconds / ours.seconds, self.threads)
        self.report.add(case, system, "peak over ours", "x", theirs.peak_mib / ours.peak_mib, self.threads)
        # Untimed where it is not what was timed: for a peer that takes other documents from the same lines.
        reference = merged_tokens(self.ours(files, threads=self.threads, documents=peer.documents).directory)
        found = merged_tokens(theirs.directory)
        first = next((at for at, pair in enumerate(zip(reference, found, strict=False)) if pair[0] != pair[1]), None)
        equal = len(reference) == len(found) and first is None
        common = len(set(reference) & set(found)) / max(len(reference), 1)
        note = None if peer.same_ties else "it breaks ties otherwise"
        self.report.add(case, system, "merges equal to ours", "bool", float(equal), self.threads, note=note)
        self.report.add(case, system, "tokens in common with ours", "%", 100 * common, self.threads, note=note)
        if equal:
            verdict = "equal"
        else:
            verdict = f"{100 * common:.1f}% in common, other ties" if not peer.same_ties else f"DIFFER at {first}"
        return f"{theirs.cell}, {theirs.seconds / ours.seconds:.1f}x, {verdict}"

    def threads_and_phases(self, cases: dict[str, list[str]], threads: list[int]) -> None:
        """Ours by number of threads, with the time of each phase."""
        lines: list[list[str]] = []
        phases: list[str] = []
        for case, count in itertools.product(cases, threads):
            runs = self.ours(cases[case], threads=count)
            training = runs.result["training"]
            phases = list(training["seconds"])
            rate = training["corpus"]["bytes"] / 1e6 / training["seconds"]["count"] / count
            system = f"slm {runs.result['version']}"
            if count != self.threads:
                self._add(case, system, runs)
            for phase, seconds in training["seconds"].items():
                self.report.add(case, system, phase, "s", seconds, count)
            self.report.add(case, system, "counting a core", "MB/s", rate, count)
            lines.append(
                [case, str(count), runs.cell, *(number(training["seconds"][phase]) for phase in phases), number(rate)]
            )
        header = ["", "threads", "seconds / peak MiB", *(f"{phase} s" for phase in phases), "counted, MB/s a core"]
        print_table(header, lines, title="Ours by threads, and its phases in the fastest run")

    def limits(self, cases: dict[str, list[str]], limits: list[str]) -> None:
        """Ours within memory limits; the tokenizer must be the same to the byte."""
        lines: list[list[str]] = []
        for limit in limits:
            line = [limit if limit == "none" else f"{limit} MiB"]
            for case, files in cases.items():
                free = self.ours(files, threads=self.threads)
                runs = self.ours(files, threads=self.threads, limit=limit)
                training, system = runs.result["training"], f"slm {runs.result['version']}"
                same = _digest(runs.directory) == _digest(free.directory)
                within = limit == "none" or runs.peak_mib <= int(limit) + 64 + 8 * self.threads
                name = f"{case} within {limit} MiB"
                if limit != "none":
                    self._add(name, system, runs)
                    times = runs.seconds / free.seconds
                    self.report.add(name, system, "time over no limit", "x", times, self.threads)
                    self.report.add(name, system, "same bytes as without", "bool", float(same), self.threads)
                    self.report.add(name, system, "peak within the limit", "bool", float(within), self.threads)
                    self.report.add(name, system, "spilled", "MB", training["spilled_bytes"] / 1e6, self.threads)
                    self.report.add(name, system, "passes", "1", training["passes"], self.threads)
                wrong = ("" if same else ", OTHER BYTES") + ("" if within else ", OVER THE LIMIT")
                ratio = f", {runs.seconds / free.seconds:.2f}x" if limit != "none" else ""
                spilled = f", {number(training['spilled_bytes'] / 1e6)} MB spilled, {training['passes']} passes"
                line.append(runs.cell + ratio + (spilled if training["spilled_bytes"] else "") + wrong)
            lines.append(line)
        print_table(
            ["limit", *cases], lines, title=f"Ours within memory limits: seconds / peak MiB, {self.threads} threads"
        )

    def curve(self, cases: dict[str, list[str]], gigabytes: list[float]) -> None:
        """Ours on more and more text: pieces of all cases, in random order, again and again."""
        files = list(itertools.chain.from_iterable(cases.values()))
        pieces = cut_into_pieces(files, self.scratch / "pieces")
        lines: list[list[str]] = []
        first = 0.0
        for size in gigabytes:
            path = self.scratch / f"{size}.list"
            megabytes = repeat_pieces(pieces, size, path) / 1e6
            runs = self.ours([f"@{path}"], threads=self.threads)
            training, system, case = runs.result["training"], f"slm {runs.result['version']}", f"{size:g} GB"
            rate = megabytes / runs.seconds
            first = first or rate
            self._add(case, system, runs)
            self.report.add(case, system, "text", "MB/s", rate, self.threads)
            self.report.add(case, system, "rate over the first", "x", rate / first, self.threads)
            phases = [f"{phase} {number(seconds)} s" for phase, seconds in training["seconds"].items()]
            unique = f"{training['counts']['unique_pretokens']:,}"
            lines.append([case, runs.cell, number(rate), f"{rate / first:.2f}", unique, ", ".join(phases)])
        header = ["text", "seconds / peak MiB", "MB/s", "of the first", "unique pretokens", "phases"]
        print_table(header, lines, title=f"Ours on {' and '.join(cases)}, in pieces, shuffled and repeated")

    def _add(self, case: str, system: str, runs: Runs) -> None:
        resident = max(run.peak_resident_mib for run in runs.measured)
        peaks = {"peak_mib": runs.peak_mib, "peak_resident_mib": resident}
        self.report.add(case, system, "wall", "s", runs.seconds, self._threads_of(runs), **peaks)

    def _threads_of(self, runs: Runs) -> int:
        training = runs.result.get("training")
        return training["config"]["num_threads"] if training else self.threads


def _digest(directory: Path) -> str:
    """Of the tokenizer, without the record of how it was made."""
    files = sorted(path for path in directory.iterdir() if path.name != "training.json")
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def _list(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


def _cases(options: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, list[str]]]:
    for case in options.case:
        name, files = case.split("=", 1)
        yield name, [str(Path(file).absolute()) for file in files.split(",")]
    if options.smoke or not options.case:
        yield "synthetic", [str(synthetic_text(scratch / "synthetic.txt", 1 if options.smoke else 50))]


def main(argv: list[str] | None = None) -> None:
    """Measure what was asked for; JSON lines come as they are measured, tables at the end of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to train on")
    parser.add_argument("--peers", type=_list, default=list(PEERS), help="comma-separated; of: " + ", ".join(PEERS))
    parser.add_argument(
        "--limits", type=_list, default=[], metavar="MIB,…", help="memory limits; `none` is the default"
    )
    parser.add_argument("--threads", type=lambda text: [int(item) for item in _list(text)], default=[2])
    parser.add_argument("--curve", type=lambda text: [float(item) for item in _list(text)], default=[], metavar="GB,…")
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--repeats", type=int, default=3, help="where a run takes less than a minute")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one run")
    parser.add_argument("--scratch", type=Path, help="directory for pieces, spills and tokenizers")
    parser.add_argument("--smoke", action="store_true", help="every part, in seconds, on text made here")
    options = parser.parse_args(argv)
    if options.smoke:
        options.limits, options.threads, options.curve = ["64", "none"], [1, 2], [0.002, 0.004]
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        cases = dict(_cases(options, Path(scratch)))
        bench = Bench(options, Path(scratch))
        bench.peers(cases, options.peers)
        bench.threads_and_phases(cases, options.threads)
        if options.limits:
            bench.limits(cases, options.limits)
        if options.curve:
            bench.curve(cases, options.curve)


if __name__ == "__main__":
    main()
