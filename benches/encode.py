"""Encoding: MB of text a second from a list of documents to their ids, beside the peers', first and second pass.

Each system has a process of its own, the same tokenizer (trained here on the case's text) and the same documents, of
8 kB and a little more. The first pass begins with a fresh tokenizer, the second goes over the same documents again. The
ids of all must be equal, or the bench fails.

    python -m benches.encode --case books=books-en.txt --peers gigatoken,tiktoken,tokenizers
"""

import argparse
import importlib.util
import statistics
import tempfile
from pathlib import Path

from benches.corpora import synthetic_text
from benches.measure import Measurement, measure
from benches.report import Report, number, print_table

TRAIN = """
import slm
slm.train_tokenizer(args["files"], vocab_size=args["vocab_size"], documents="line", out=args["tokenizer"])
print(json.dumps({}))
"""

# Defines `documents`, a list of str, and `finish`, which reports two passes of `encode`.
PRELUDE = """
import gc, hashlib, time
import numpy as np

def read_documents():
    documents, document, size, left = [], [], 0, args["max_bytes"]
    for path in args["files"]:
        with open(path, encoding="utf-8", newline="") as file:
            for line in file:
                document.append(line)
                size += len(line.encode())
                if size >= args["document_bytes"]:
                    documents.append("".join(document))
                    left -= size
                    document, size = [], 0
                    if left <= 0:
                        return documents
    return documents + ["".join(document)] * bool(document)

documents = read_documents()
num_bytes = sum(len(document.encode()) for document in documents)

def resident_kib():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def finish(version, encode, flatten):
    gc.collect()
    before = resident_kib()
    seconds = []
    for _ in range(2):
        encoded = None
        started = time.perf_counter()
        encoded = encode(documents)
        seconds.append(time.perf_counter() - started)
    ids = np.ascontiguousarray(flatten(encoded), dtype=np.uint32)
    print(json.dumps({
        "version": version, "seconds": seconds, "bytes": num_bytes, "tokens": ids.size, "before_mib": before / 1024,
        "ids": hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest(),
    }))
"""

OURS = """
import slm
tokenizer = slm.Tokenizer.load(args["tokenizer"])
finish(
    slm.__version__,
    lambda texts: tokenizer.encode_batch(texts, num_threads=args["threads"]),
    lambda encoded: encoded[0],
)
"""

GIGATOKEN = """
import awkward, gigatoken
from importlib.metadata import version
tokenizer = gigatoken.Tokenizer(args["tokenizer"] + "/tokenizer.json")
finish(
    version("gigatoken"),
    lambda texts: tokenizer.encode_batch(texts, parallel=args["threads"] > 1),
    lambda encoded: awkward.to_numpy(awkward.flatten(encoded)),
)
"""

# Makes tiktoken's `encoding` of our tokenizer.
TIKTOKEN_ENCODING = """
import json, tiktoken
from pathlib import Path
file = json.loads(Path(args["tokenizer"], "tokenizer.json").read_text(encoding="utf-8"))
printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
byte_of = {chr(byte): byte for byte in printed}
byte_of |= {chr(256 + idx): byte for idx, byte in enumerate(sorted(set(range(256)) - set(printed)))}
special = {token["content"]: token["id"] for token in file["added_tokens"]}
ranks = {
    bytes(byte_of[character] for character in token): idx
    for token, idx in file["model"]["vocab"].items() if token not in special
}
# GPT-2's pattern as tiktoken writes it, which is the fastest that it runs.
pattern = r"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"
encoding = tiktoken.Encoding("case", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
"""

TIKTOKEN = (
    TIKTOKEN_ENCODING
    + """
finish(
    tiktoken.__version__,
    lambda texts: encoding.encode_ordinary_batch(texts, num_threads=args["threads"]),
    lambda encoded: np.concatenate([np.asarray(ids, dtype=np.uint32) for ids in encoded]),
)
"""
)

TOKENIZERS = """
import tokenizers
tokenizer = tokenizers.Tokenizer.from_file(args["tokenizer"] + "/tokenizer.json")
tokenizer.encode_special_tokens = True
finish(
    tokenizers.__version__,
    lambda texts: tokenizer.encode_batch_fast(texts),
    lambda encoded: np.concatenate([np.asarray(encoding.ids, dtype=np.uint32) for encoding in encoded]),
)
"""

SYSTEMS = {"slm": OURS, "gigatoken": GIGATOKEN, "tiktoken": TIKTOKEN, "tokenizers": TOKENIZERS}


def installed(report: Report, case: str, peers: str) -> list[str]:
    """Ours and those of `peers`, names with commas, that are installed; the others are reported."""
    systems = ["slm"]
    for peer in filter(None, peers.split(",")):
        if importlib.util.find_spec(peer) is None:
            report.add(case, peer, "left out", "", 1, 0, note="not installed")
        else:
            systems.append(peer)
    return systems


def main(argv: list[str] | None = None) -> None:
    """Train one tokenizer a case, then measure each system on it, run after run in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to encode")
    parser.add_argument("--peers", default="gigatoken,tiktoken,tokenizers", help="of: " + ", ".join(SYSTEMS))
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--megabytes", type=float, default=100, help="of each case's text")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    report = Report("encode")
    with tempfile.TemporaryDirectory() as scratch:
        cases = {name: files.split(",") for name, files in (case.split("=", 1) for case in options.case)}
        if options.smoke or not cases:
            cases = {"synthetic": [str(synthetic_text(Path(scratch) / "synthetic.txt", 1 if options.smoke else 50))]}
        for case, files in cases.items():
            arguments = {
                "files": files,
                "vocab_size": 2_000 if options.smoke else options.vocab_size,
                "tokenizer": f"{scratch}/{case}-tokenizer",
                "max_bytes": options.megabytes * 1e6,
                "document_bytes": 8_000,
            }
            measure(TRAIN, arguments, threads=2)
            systems = installed(report, case, options.peers)
            for threads in [int(count) for count in options.threads.split(",")]:
                runs: dict[str, list[Measurement]] = {system: [] for system in systems}
                for _ in range(1 if options.smoke else options.repeats):
                    for system in systems:
                        code = PRELUDE + SYSTEMS[system]
                        runs[system].append(measure(code, arguments | {"threads": threads}, threads=threads))
                _add(report, case, threads, runs)
    print_report(report)


def print_report(report: Report) -> None:
    """Print what was measured as a table."""
    print_table(
        ("case", "system", "metric", "value", "unit", "threads", "peak MiB"),
        [
            (
                row.case,
                row.system,
                row.metric,
                number(row.value),
                row.unit,
                str(row.threads),
                "" if row.peak_mib is None else f"{row.peak_mib:,.0f}",
            )
            for row in report.rows
        ],
    )


def _add(report: Report, case: str, threads: int, runs: dict[str, list[Measurement]]) -> None:
    """Add the medians of each system, and how many times as fast ours is."""
    ids = {system: measured[0].result["ids"] for system, measured in runs.items()}
    if different := [system for system, those in ids.items() if those != ids["slm"]]:
        raise RuntimeError(f"{case}: the ids of {', '.join(different)} are not ours")
    ours: dict[int, float] = {}
    for system, measured in runs.items():
        name = f"{system} {measured[0].result['version']}"
        peak = statistics.median(run.peak_anonymous_mib - run.result["before_mib"] for run in measured)
        for at, which in enumerate(("first pass", "second pass")):
            megabytes = measured[0].result["bytes"] / 1e6
            rate = megabytes / statistics.median(run.result["seconds"][at] for run in measured)
            ours.setdefault(at, rate)
            report.add(case, name, which, "MB/s", rate, threads, peak_mib=peak)
            if system != "slm":
                report.add(case, name, f"{which}, ours over it", "x", ours[at] / rate, threads)


if __name__ == "__main__":
    main()
