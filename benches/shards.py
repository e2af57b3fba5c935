"""Shards: MB of text a second from files to checksummed shards on disk, beside the peers' encoding of those files.

The files are JSON Lines with a document of about 8 kB each, as they are and compressed with zstd. Ours reads, unpacks
and encodes, and writes shards and their checksums. The peers write no shards: they are measured from the same files to
ids in memory, which is less work. tiktoken and tokenizers read no files; Python's json and zstandard do that for them.
All begin anew, so this is a first pass.

    python -m benches.shards --case books=books-en.txt --peers gigatoken,tiktoken,tokenizers
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benches.corpora import synthetic_text
from benches.encode import TIKTOKEN_ENCODING, installed, print_report
from benches.measure import Measurement, measure
from benches.report import Report

TRAIN = """
import slm
slm.train_tokenizer(args["files"], vocab_size=args["vocab_size"], documents="line", out=args["tokenizer"])
print(json.dumps({}))
"""

OURS = """
import time, slm
from slm import build_shards
tokenizer = slm.Tokenizer.load(args["tokenizer"])
started = time.perf_counter()
manifest = build_shards([args["file"]], tokenizer, args["out"], num_threads=args["threads"])
seconds = time.perf_counter() - started
tokens = manifest.splits["train"].tokens - manifest.splits["train"].documents
print(json.dumps({"version": slm.__version__, "seconds": seconds, "tokens": tokens}))
"""

GIGATOKEN = """
import time, gigatoken
from importlib.metadata import version
tokenizer = gigatoken.Tokenizer(args["tokenizer"] + "/tokenizer.json")
started = time.perf_counter()
ids = tokenizer.encode_files(gigatoken.JsonlFileSource([args["file"]]), parallel=args["threads"] > 1)
seconds = time.perf_counter() - started
import awkward
tokens = int(awkward.count(ids))
print(json.dumps({"version": version("gigatoken"), "seconds": seconds, "tokens": tokens}))
"""

READ = """
import time

def texts():
    if args["file"].endswith(".zst"):
        import io, zstandard
        lines = io.TextIOWrapper(zstandard.open(args["file"], "rb"), encoding="utf-8", newline="\\n")
    else:
        lines = open(args["file"], encoding="utf-8", newline="\\n")
    with lines:
        batch = []
        for line in lines:
            batch.append(json.loads(line)["text"])
            if len(batch) == 1000:
                yield batch
                batch = []
        yield batch
"""

TIKTOKEN = (
    READ
    + TIKTOKEN_ENCODING
    + """
started = time.perf_counter()
encode = encoding.encode_ordinary_batch
tokens = sum(len(ids) for batch in texts() for ids in encode(batch, num_threads=args["threads"]))
seconds = time.perf_counter() - started
print(json.dumps({"version": tiktoken.__version__, "seconds": seconds, "tokens": tokens}))
"""
)

TOKENIZERS = (
    READ
    + """
import tokenizers
tokenizer = tokenizers.Tokenizer.from_file(args["tokenizer"] + "/tokenizer.json")
tokenizer.encode_special_tokens = True
started = time.perf_counter()
tokens = sum(len(encoding.ids) for batch in texts() for encoding in tokenizer.encode_batch_fast(batch))
seconds = time.perf_counter() - started
print(json.dumps({"version": tokenizers.__version__, "seconds": seconds, "tokens": tokens}))
"""
)

SYSTEMS = {"slm": OURS, "gigatoken": GIGATOKEN, "tiktoken": TIKTOKEN, "tokenizers": TOKENIZERS}


def main(argv: list[str] | None = None) -> None:
    """Train one tokenizer a case, make its files, then measure each system on them, run after run in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to encode")
    parser.add_argument("--peers", default="gigatoken,tiktoken,tokenizers", help="of: " + ", ".join(SYSTEMS))
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    report = Report("shards")
    with tempfile.TemporaryDirectory() as scratch:
        cases = {name: files.split(",") for name, files in (case.split("=", 1) for case in options.case)}
        if options.smoke or not cases:
            cases = {"synthetic": [str(synthetic_text(Path(scratch) / "synthetic.txt", 1 if options.smoke else 50))]}
        for case, texts in cases.items():
            plain = Path(scratch) / f"{case}.jsonl"
            megabytes = _write_json_lines(texts, plain) / 1e6
            files = [plain]
            if shutil.which("zstd") is None:
                report.add(case, "slm", "zst left out", "", 1, 0, note="no program `zstd`")
            else:
                subprocess.run(["zstd", "-q", str(plain)], check=True)
                files.append(plain.with_suffix(".jsonl.zst"))
            arguments = {
                "files": texts,
                "vocab_size": 2_000 if options.smoke else options.vocab_size,
                "tokenizer": f"{scratch}/{case}-tokenizer",
            }
            measure(TRAIN, arguments, threads=2)
            for file in files:
                systems = installed(report, file.name, options.peers)
                if file.suffix == ".zst" and importlib.util.find_spec("zstandard") is None:
                    # Of the peers only gigatoken unpacks by itself.
                    systems = [system for system in systems if system in ("slm", "gigatoken")]
                for threads in [int(count) for count in options.threads.split(",")]:
                    runs: dict[str, list[Measurement]] = {system: [] for system in systems}
                    for repeat in range(1 if options.smoke else options.repeats):
                        for system in systems:
                            out = f"{scratch}/{file.name}-{threads}-{repeat}"
                            each = arguments | {"file": str(file), "threads": threads, "out": out}
                            runs[system].append(measure(SYSTEMS[system], each, threads=threads))
                    _add(report, file.name, threads, megabytes, runs)
    print_report(report)


def _write_json_lines(texts: list[str], path: Path) -> int:
    """Write documents of about 8 kB, and give their bytes."""
    num_bytes = 0
    with path.open("w", encoding="utf-8") as out:
        for document in _documents(texts):
            num_bytes += len(document.encode())
            out.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
    return num_bytes


def _documents(texts: list[str]) -> Iterator[str]:
    document, size = [], 0
    for text in texts:
        with Path(text).open(encoding="utf-8", newline="") as file:
            for line in file:
                document.append(line)
                size += len(line.encode())
                if size >= 8_000:
                    yield "".join(document)
                    document, size = [], 0
    if document:
        yield "".join(document)


def _add(report: Report, case: str, threads: int, megabytes: float, runs: dict[str, list[Measurement]]) -> None:
    """Add the medians of each system, and how many times as fast ours is."""
    tokens = {system: measured[0].result["tokens"] for system, measured in runs.items()}
    if different := {system: count for system, count in tokens.items() if count != tokens["slm"]}:
        raise RuntimeError(f"{case}: not the {tokens['slm']} tokens of slm: {different}")
    ours = 0.0
    for system, measured in runs.items():
        name = f"{system} {measured[0].result['version']}"
        rate = megabytes / statistics.median(run.result["seconds"] for run in measured)
        ours = ours or rate
        peak = statistics.median(run.peak_anonymous_mib for run in measured)
        report.add(case, name, "text", "MB/s", rate, threads, peak_mib=peak)
        if system != "slm":
            report.add(case, name, "ours over it", "x", ours / rate, threads)


if __name__ == "__main__":
    main()
