"""Encoding: MB of text a second from a list of documents to their ids, beside the peers', first and second pass.

Each system has a process of its own, the same tokenizer (trained here on the case's text) and the same documents, of
8 kB and a little more. The first pass begins with a fresh tokenizer, the second goes over the same documents again. The
ids of all must be equal, or the bench fails.

    python -m benches.encode --case books=books-en.txt --peers gigatoken,tiktoken,tokenizers
"""

import tempfile
from pathlib import Path

from benches.contest import TIKTOKEN_ENCODING, add_rates, cases, check_same, contest_parser, installed, take_turns
from benches.report import Report, print_rows

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


def main(argv: list[str] | None = None) -> None:
    """Measure each system on each case."""
    parser = contest_parser(__doc__, list(SYSTEMS))
    parser.add_argument("--megabytes", type=float, default=100, help="of each case's text")
    options = parser.parse_args(argv)
    report = Report("encode")
    with tempfile.TemporaryDirectory() as scratch:
        for case, arguments in cases(options, Path(scratch)):
            arguments |= {"max_bytes": options.megabytes * 1e6, "document_bytes": 8_000}
            programs = {system: PRELUDE + SYSTEMS[system] for system in installed(report, case, options.peers)}
            for threads, runs in take_turns(options, programs, arguments):
                check_same(case, runs, "ids")
                for at, metric in enumerate(("first pass", "second pass")):
                    add_rates(
                        report,
                        case,
                        threads,
                        runs,
                        megabytes=runs["slm"][0].result["bytes"] / 1e6,
                        metric=metric,
                        seconds=lambda run, at=at: run.result["seconds"][at],
                        peak_mib=lambda run: run.peak_anonymous_mib - run.result["before_mib"],
                    )
    print_rows(report.rows)


if __name__ == "__main__":
    main()
