r"""Memory of `slm data build`: peak anonymous memory of the whole process, under `RLIMIT_DATA`.

Each case is the command itself in a process of its own, to which the system refuses memory beyond `--limit` and 32 MiB
a thread. The interpreter's own memory counts; the address space that libraries reserve at their start and never touch
does not. The cases: one text file of `--document-gb` as one document, a JSON line whose field is as long, a zstd file
that unpacks to `--zst-gb`, lines with duplicates left out, and documents that are hard to cut: one letter and blanks,
each a single pretoken, a line of base64, a seventh as long, and blanks between two line ends, which with a tokenizer of
the pattern `cl100k` are decided by the second:

    python -m benches.shard_memory --text books-en.txt --tokenizer tok/ --limit 256
"""

import argparse
import base64
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benches.corpora import synthetic_text
from benches.measure import measure
from benches.report import Report, number, print_table

_MIB = 1 << 20

# What is reserved and not in use once all is loaded is allowed besides.
_BUILD = """
import resource
import numpy, slm.data.build, slm.data.inspect
from slm.cli.main import run
def _kib(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))
_allowed = args["allowed_bytes"] + (_kib("VmData") - _kib("RssAnon") << 10)
resource.setrlimit(resource.RLIMIT_DATA, (_allowed, _allowed))
code = run(["data", "build", "--config", args["config"], "--json", "--progress", "none"])
if code:
    raise SystemExit(code)
"""

_TRAIN = """
import slm
slm.train_tokenizer(
    args["text"], vocab_size=args["vocab_size"], documents="line", pattern=args["pattern"], out=args["out"]
)
print(json.dumps({}))
"""


class Bench:
    """The measurements, by what was asked for."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.report = Report("shard_memory")
        self.lines: list[list[str]] = []
        self.num_failed = 0

    def case(self, name: str, corpus: dict[str, Any], **settings: Any) -> None:
        """Build within the limit, report time and peak, and remove what was made."""
        threads, limit = self.options.threads, self.options.limit
        allowed = limit + 32 * threads
        out = self.scratch / "shards"
        config = self.scratch / "data.yaml"
        content = {"corpus": corpus, "tokenizer": str(self.options.tokenizer), "out": str(out), "num_threads": threads}
        config.write_text(json.dumps(content | {"memory_limit": f"{limit}MiB"} | settings))
        arguments = {"config": str(config), "allowed_bytes": allowed * _MIB}
        try:
            run = measure(_BUILD, arguments, threads=threads, max_seconds=self.options.timeout)
        except RuntimeError as error:
            # A clear refusal is no failure: memory was not exceeded, and nobody was left in the dark.
            is_refused = str(error).startswith("exit 2\n") and "`memory_limit`" in str(error)
            self.num_failed += not is_refused
            metric = "refused" if is_refused else "failed"
            self.report.add(name, "slm", metric, "", 1, threads, note=f"limit {limit} MiB: {error}")
            self.lines.append([name, metric, "", ""])
            print(f"  {name}: {error}", file=sys.stderr, flush=True)
            return
        finally:
            shutil.rmtree(out, ignore_errors=True)
        text_bytes = run.result["manifest"]["corpus"]["bytes"]
        system = run.result["manifest"]["created_by"]
        peaks = {"peak_mib": run.peak_anonymous_mib, "peak_resident_mib": run.peak_resident_mib}
        note = f"limit {limit} MiB"
        self.report.add(name, system, "text", "MB", text_bytes / 1e6, threads, note=note)
        self.report.add(name, system, "rate", "MB/s", text_bytes / 1e6 / run.seconds, threads, note=note, **peaks)
        is_within = run.peak_anonymous_mib <= allowed
        self.num_failed += not is_within
        peak = number(run.peak_anonymous_mib) + ("" if is_within else " OVER")
        self.lines.append([name, number(text_bytes / 1e6), number(text_bytes / 1e6 / run.seconds), peak])

    def corpus_of(self, name: str, write: Callable[[Path], None], **corpus: Any) -> dict[str, Any]:
        """Make the one file of a corpus."""
        for path in self.scratch.glob("corpus.*"):
            path.unlink()
        path = self.scratch / name
        write(path)
        return {"paths": [str(path)], **corpus}

    def run(self) -> None:
        """Every case."""
        options = self.options
        text = options.text.read_bytes()[:100_000_000].decode(errors="ignore").encode()
        document_bytes, zst_bytes = int(options.document_gb * 1e9), int(options.zst_gb * 1e9)
        cases = {
            "one document": lambda: self.corpus_of(
                "corpus.txt", lambda path: _write(path, _repeated(text, document_bytes))
            ),
            "one JSON line": lambda: self.corpus_of(
                "corpus.jsonl", lambda path: _write(path, _json_line(text, document_bytes))
            ),
            "zst of one document": lambda: self.corpus_of(
                "corpus.txt.zst", lambda path: _compress(path, _repeated(text, zst_bytes))
            ),
            "duplicates": lambda: self.corpus_of(
                "corpus.txt", lambda path: _write(path, _numbered_lines(document_bytes)), documents="line"
            ),
            "one letter": lambda: self.corpus_of(
                "corpus.txt", lambda path: _write(path, _repeated(b"a" * 1_000_000, document_bytes))
            ),
            "blanks": lambda: self.corpus_of(
                "corpus.txt", lambda path: _write(path, _repeated(b" " * 1_000_000, document_bytes))
            ),
            "blanks within line ends": lambda: self.corpus_of(
                "corpus.txt", lambda path: _write(path, _blank_line(document_bytes))
            ),
            "base64": lambda: self.corpus_of("corpus.txt", lambda path: _write(path, _base64(document_bytes // 7))),
        }
        if shutil.which("zstd") is None:
            cases.pop("zst of one document")
            self.report.add("zst of one document", "slm", "left out", "", 1, options.threads, note="no program `zstd`")
        settings = {
            "duplicates": {"deduplicate": True},
            "blanks within line ends": {"tokenizer": str(options.line_tokenizer)},
        }
        for name, corpus in cases.items():
            if not options.cases or name in options.cases.split(","):
                self.case(name, corpus(), **settings.get(name, {}))
        title = f"{options.limit} MiB and 32 MiB for each of {options.threads} threads"
        print_table(["case", "MB of text", "MB/s", "peak MiB"], self.lines, title=title)


def _repeated(text: bytes, num_bytes: int) -> Iterator[bytes]:
    while num_bytes > 0:
        yield text[:num_bytes]
        num_bytes -= len(text)


def _blank_line(num_bytes: int) -> Iterator[bytes]:
    yield b"\n"
    yield from _repeated(b" " * 1_000_000, num_bytes - 2)
    yield b"\n"


def _base64(num_bytes: int) -> Iterator[bytes]:
    """One line, without an end."""
    numbers = random.Random(0)
    while num_bytes > 0:
        text = base64.b64encode(numbers.randbytes(750_000))
        yield text[:num_bytes]
        num_bytes -= len(text)


def _json_line(text: bytes, num_bytes: int) -> Iterator[bytes]:
    escaped = json.dumps(text.decode(), ensure_ascii=False)[1:-1].encode()
    yield b'{"id": 1, "text": "'
    yield from (escaped for _ in range(-(-num_bytes // len(text))))
    yield b'", "kind": "long"}\n'


def _numbered_lines(num_bytes: int) -> Iterator[bytes]:
    """Each line of 800 bytes twice, a while apart."""
    first = 0
    rest = b" and has some words" * 41 + b"\n"
    while num_bytes > 0:
        lines = b"".join(b"this is line %d of many" % number + rest for number in range(first, first + 10_000))
        yield from (lines, lines)
        num_bytes -= 2 * len(lines)
        first += 10_000


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(pieces)


def _compress(path: Path, pieces: Iterator[bytes]) -> None:
    command = ["zstd", "-q", "-3"]
    with path.open("wb") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
        assert process.stdin is not None
        process.stdin.writelines(pieces)
        process.stdin.close()
    assert process.returncode == 0


def _trained(options: argparse.Namespace, scratch: Path, pattern: str, vocab_size: int) -> Path:
    arguments = {"text": str(options.text), "vocab_size": vocab_size, "pattern": pattern}
    measure(_TRAIN, arguments | {"out": str(scratch / pattern)}, threads=options.threads)
    return scratch / pattern


def main(argv: list[str] | None = None) -> None:
    """Measure; exit with 1 where the limit did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="text to repeat; made here if left out")
    parser.add_argument("--tokenizer", type=Path, help="trained on the text if left out")
    parser.add_argument("--cases", default="", metavar="NAME,…", help="only these")
    parser.add_argument("--limit", type=int, default=256, metavar="MIB")
    parser.add_argument("--document-gb", type=float, default=2)
    parser.add_argument("--zst-gb", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one case")
    parser.add_argument("--scratch", type=Path, help="directory for corpora and shards")
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    if options.smoke:
        options.document_gb = options.zst_gb = 0.01
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        scratch = Path(name)
        if options.text is None:
            options.text = synthetic_text(scratch / "synthetic.txt", 1 if options.smoke else 20)
        if options.tokenizer is None:
            options.tokenizer = _trained(options, scratch, "gpt2", 2_000 if options.smoke else 32_768)
        options.tokenizer = options.tokenizer.absolute()
        options.line_tokenizer = _trained(options, scratch, "cl100k", 2_000)
        bench = Bench(options, scratch)
        bench.run()
    if bench.num_failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
