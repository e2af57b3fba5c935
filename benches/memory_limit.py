r"""Memory limits held: peak anonymous memory of the whole process, under `RLIMIT_DATA`.

For each corpus and limit a process of its own trains; the system refuses it memory beyond the limit, 64 MiB and 8 MiB
a thread. The interpreter's own memory counts, the address space that libraries reserve at their start and never touch
does not. Besides the cases named: one line of `--line-gb`, random words that occur once each, and the cases repeated to
1 and 4 GB, where the median peak of three runs must be the same within 5%:

    python -m benches.memory_limit --case books=books-en.txt --case poems=poems.txt --limits 64,128,256,512
"""

import argparse
import itertools
import random
import statistics
import sys
import tempfile
from pathlib import Path

from benches.corpora import cut_into_pieces, repeat_pieces, synthetic_text
from benches.measure import measure
from benches.report import Report, number, print_table
from benches.trainers import OURS

_MIB = 1 << 20

# Before any program: what is reserved and not in use once all is loaded is allowed besides.
_BOUNDED = """
import resource, slm.tokenizer.train
def _kib(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))
_allowed = args["allowed_bytes"] + (_kib("VmData") - _kib("RssAnon") << 10)
resource.setrlimit(resource.RLIMIT_DATA, (_allowed, _allowed))
"""

# What threads do at the same time differs from run to run, and so does the peak, by some MiB.
_GROWTH_RUNS = 3

# Like OURS, but of documents made while they are read: words of nine random letters.
_UNIQUE_WORDS = """
import numpy as np, slm
def documents():
    generator = np.random.default_rng(0)
    for _ in range(args["megabytes"]):
        letters = generator.integers(97, 123, size=(100_000, 10), dtype=np.uint8)
        letters[:, 0] = 32
        yield letters.tobytes().decode()
tokenizer = slm.train_tokenizer(
    documents(), vocab_size=args["vocab_size"], special_tokens=[], num_threads=args["threads"],
    memory_limit=args["limit"], spill_dir=args["spill_dir"], out=args["out"],
)
print(json.dumps({"version": slm.__version__, "training": tokenizer.training}))
"""


class Bench:
    """The measurements, by what was asked for."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.report = Report("memory_limit")
        self.num_failed = 0
        self._numbers = itertools.count()

    def held(self, case: str, limit: int, program: str, **arguments: object) -> tuple[str, float]:
        """Train within a limit; the cell of the table, and the peak in MiB."""
        threads = self.options.threads
        allowed = limit + 64 + 8 * threads
        settings = {
            "vocab_size": self.options.vocab_size,
            "threads": threads,
            "limit": f"{limit}MiB",
            "spill_dir": str(self.scratch),
            "out": str(self.scratch / f"{next(self._numbers)}"),
            "documents": "line",
            "allowed_bytes": allowed * _MIB,
        }
        try:
            run = measure(_BOUNDED + program, settings | arguments, threads=threads, max_seconds=self.options.timeout)
        except RuntimeError as error:
            self.num_failed += 1
            self.report.add(case, "slm", "failed", "", 1, threads, note=f"limit {limit} MiB: {error}")
            return f"FAILED: {str(error).splitlines()[0]}", 0
        training, system = run.result["training"], f"slm {run.result['version']}"
        note = f"limit {limit} MiB"
        peaks = {"peak_mib": run.peak_anonymous_mib, "peak_resident_mib": run.peak_resident_mib}
        self.report.add(case, system, "wall", "s", run.seconds, threads, note=note, **peaks)
        self.report.add(
            case, system, "peak of what is allowed", "%", 100 * run.peak_anonymous_mib / allowed, threads, note=note
        )
        self.report.add(case, system, "spilled", "MB", training["spilled_bytes"] / 1e6, threads, note=note)
        is_within = run.peak_anonymous_mib <= allowed
        self.num_failed += not is_within
        left = [path.name for path in self.scratch.glob(".slm-spill-*")]
        self.num_failed += bool(left)
        wrong = ("" if is_within else " OVER") + (f" LEFT {left}" if left else "")
        print(
            f"  {case}, {limit} MiB: {run.seconds:.1f} s, {run.peak_anonymous_mib:.0f} MiB", file=sys.stderr, flush=True
        )
        return f"{number(run.seconds)} / {number(run.peak_anonymous_mib)}{wrong}", run.peak_anonymous_mib

    def matrix(self, cases: dict[str, list[str]], limits: list[int]) -> None:
        """Every corpus within every limit."""
        lines: list[list[str]] = []
        for limit in limits:
            line = [f"{limit} + {64 + 8 * self.options.threads}"]
            line += [self.held(case, limit, OURS, files=files)[0] for case, files in cases.items()]
            megabytes = self.options.unique_mb
            line.append(self.held("unique words", limit, _UNIQUE_WORDS, megabytes=megabytes)[0])
            lines.append(line)
        title = f"Seconds / peak MiB, {self.options.threads} threads"
        print_table(["allowed MiB", *cases, f"{self.options.unique_mb} MB of unique words"], lines, title=title)

    def growth(self, files: list[str], limit: int, gigabytes: list[float]) -> None:
        """The peak on more and more of the same text: the median of some runs."""
        pieces = cut_into_pieces(files, self.scratch / "pieces")
        lines: list[list[str]] = []
        peaks: list[float] = []
        for size in gigabytes:
            path = self.scratch / f"{size}.list"
            repeat_pieces(pieces, size, path)
            runs = [self.held(f"{size:g} GB", limit, OURS, files=[f"@{path}"]) for _ in range(_GROWTH_RUNS)]
            peaks.append(statistics.median(peak for _, peak in runs))
            lines.append([f"{size:g} GB", ", ".join(cell for cell, _ in runs)])
        growth = 100 * (peaks[-1] / max(peaks[0], 1) - 1)
        # In a smoke run the text is nothing beside the interpreter, so nothing is to be learned from it.
        self.num_failed += growth > 5 and not self.options.smoke
        self.report.add("growth", "slm", "last peak over the first", "%", growth, self.options.threads)
        print_table(
            ["text", f"within {limit} MiB"], [*lines, ["growth", f"{growth:+.1f}%"]], title="Peak by amount of text"
        )


def one_line(files: list[str], path: Path, gigabytes: float) -> Path:
    """Write `files` again and again without a line feed, as a single line of `gigabytes`."""
    generator = random.Random(0)
    lines: list[bytes] = []
    for file in files:
        with Path(file).open("rb") as text:
            lines += [line.strip() for line in text.readlines(50_000_000) if not line.isspace()]
    with path.open("wb") as out:
        while out.tell() < gigabytes * 1e9:
            out.write(b" ".join(generator.choices(lines, k=10_000)))
            out.write(b" ")
    return path


def main(argv: list[str] | None = None) -> None:
    """Measure; exit with 1 where a limit did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE", help="text to train on")
    parser.add_argument("--limits", default="64,128,256,512", metavar="MIB,…")
    parser.add_argument("--growth", default="1,4", metavar="GB,…", help="amounts of text to compare the peaks of")
    parser.add_argument("--growth-limit", type=int, default=256, metavar="MIB")
    parser.add_argument("--line-gb", type=float, default=2)
    parser.add_argument("--unique-mb", type=int, default=100)
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one run")
    parser.add_argument("--scratch", type=Path, help="directory for the line, the pieces and spills")
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    limits, growth = (
        [int(item) for item in options.limits.split(",")],
        [float(item) for item in options.growth.split(",")],
    )
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        scratch = Path(name)
        cases = {case: [str(Path(file).absolute())] for case, file in (item.split("=", 1) for item in options.case)}
        if options.smoke or not cases:
            cases = {"synthetic": [str(synthetic_text(scratch / "synthetic.txt", 1 if options.smoke else 50))]}
        if options.smoke:
            limits, growth, options.line_gb, options.unique_mb, options.vocab_size = (
                [64],
                [0.002, 0.004],
                0.01,
                8,
                2_000,
            )
        bench = Bench(options, scratch)
        files = [file for files in cases.values() for file in files]
        line = one_line(files, scratch / "line.txt", options.line_gb)
        bench.matrix(cases | {f"a line of {options.line_gb:g} GB": [str(line)]}, limits)
        line.unlink()
        bench.growth(files, options.growth_limit, growth)
    if bench.num_failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
