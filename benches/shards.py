"""Shards: MB of text a second from files to checksummed shards on disk, beside the peers' encoding of those files.

The files are JSON Lines with a document of about 8 kB each, as they are and compressed with zstd. Ours reads, unpacks
and encodes, and writes shards and their checksums. The peers write no shards: they are measured from the same files to
ids in memory, which is less work. tiktoken and tokenizers read no files; Python's json and zstandard do that for them.
All begin anew, so this is a first pass.

    python -m benches.shards --case books=books-en.txt --peers gigatoken,tiktoken,tokenizers
"""

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benches.contest import TIKTOKEN_ENCODING, add_rates, cases, check_same, contest_parser, installed, take_turns
from benches.report import Report, print_rows

OURS = """
import tempfile, time, slm
from slm import build_shards
tokenizer = slm.Tokenizer.load(args["tokenizer"])
out = tempfile.mkdtemp(dir=args["scratch"])
started = time.perf_counter()
manifest = build_shards([args["file"]], tokenizer, out, num_threads=args["threads"])
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
    """Make the files of each case, then measure each system on them."""
    options = contest_parser(__doc__, list(SYSTEMS)).parse_args(argv)
    report = Report("shards")
    with tempfile.TemporaryDirectory() as scratch:
        for case, arguments in cases(options, Path(scratch)):
            plain = Path(scratch) / f"{case}.jsonl"
            megabytes = _write_json_lines(arguments["files"], plain) / 1e6
            files = [plain]
            if shutil.which("zstd") is None:
                report.add(case, "slm", "zst left out", "", 1, 0, note="no program `zstd`")
            else:
                subprocess.run(["zstd", "-q", str(plain)], check=True)
                files.append(plain.with_suffix(".jsonl.zst"))
            for file in files:
                systems = installed(report, file.name, options.peers)
                if file.suffix == ".zst" and importlib.util.find_spec("zstandard") is None:
                    # Of the peers only gigatoken unpacks by itself.
                    systems = [system for system in systems if system in ("slm", "gigatoken")]
                programs = {system: SYSTEMS[system] for system in systems}
                for threads, runs in take_turns(options, programs, arguments | {"file": str(file), "scratch": scratch}):
                    check_same(file.name, runs, "tokens")
                    add_rates(
                        report,
                        file.name,
                        threads,
                        runs,
                        megabytes=megabytes,
                        metric="text",
                        seconds=lambda run: run.result["seconds"],
                        peak_mib=lambda run: run.peak_anonymous_mib,
                    )
    print_rows(report.rows)


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


if __name__ == "__main__":
    main()
