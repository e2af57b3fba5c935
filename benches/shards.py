"""Shards: MB of text a second from raw files to checksummed shards on disk, ours beside the peers' encoding alone.

Peers that write no shards are measured on encoding the same documents into memory, which is less work than ours.

    python -m benches.shards --case books=books-en.txt --vocab-size 32768
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benches.corpora import synthetic_text
from benches.measure import measure
from benches.report import Row, emit

TRAIN = """
import slm
slm.train_tokenizer(args["files"], vocab_size=args["vocab_size"], documents="line", out=args["tokenizer"])
print(json.dumps({}))
"""

OURS = """
import time, slm
tokenizer = slm.Tokenizer.load(args["tokenizer"])
started = time.perf_counter()
manifest = slm.build_shards(args["files"], tokenizer, args["out"], documents="line", num_threads=args["threads"])
seconds = time.perf_counter() - started
print(json.dumps({"version": slm.__version__, "seconds": seconds, "tokens": manifest.splits["train"].tokens}))
"""

TOKENIZERS = """
import time, tokenizers
tokenizer = tokenizers.Tokenizer.from_file(args["tokenizer"] + "/tokenizer.json")
started = time.perf_counter()
tokens = 0
for path in args["files"]:
    with open(path, encoding="utf-8", newline="") as file:
        while lines := file.readlines(8_000_000):
            tokens += sum(len(encoding.ids) + 1 for encoding in tokenizer.encode_batch_fast(lines))
seconds = time.perf_counter() - started
print(json.dumps({"version": tokenizers.__version__, "seconds": seconds, "tokens": tokens}))
"""

SYSTEMS = {"slm": OURS, "tokenizers": TOKENIZERS}


def main(argv: list[str] | None = None) -> None:
    """Train one tokenizer a case, then measure each system on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to encode")
    parser.add_argument("--peers", default="tokenizers", help="comma-separated; of: " + ", ".join(SYSTEMS))
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        cases = {name: files.split(",") for name, files in (case.split("=", 1) for case in options.case)}
        if options.smoke or not cases:
            cases = {"synthetic": [str(synthetic_text(Path(scratch) / "synthetic.txt", 1 if options.smoke else 50))]}
        repeats = 1 if options.smoke else options.repeats
        for case, files in cases.items():
            shared = {
                "files": files,
                "vocab_size": 2_000 if options.smoke else options.vocab_size,
                "tokenizer": f"{scratch}/{case}-tokenizer",
                "threads": options.threads,
            }
            measure(TRAIN, shared, threads=options.threads)
            megabytes = sum(Path(file).stat().st_size for file in files) / 1e6
            ours = 0.0
            for system in ["slm", *(peer for peer in options.peers.split(",") if peer)]:
                runs = [
                    measure(
                        SYSTEMS[system], shared | {"out": f"{scratch}/{case}-{system}-{n}"}, threads=options.threads
                    )
                    for n in range(repeats)
                ]
                rate = megabytes / statistics.median(run.result["seconds"] for run in runs)
                ours = ours or rate
                peak = statistics.median(run.peak_anonymous_mib for run in runs)
                name = f"{system} {runs[0].result['version']}"
                rows += [
                    Row("shards", case, name, "text", "MB/s", rate, options.threads, peak),
                    Row("shards", case, name, "ours over it", "x", ours / rate, options.threads),
                    Row("shards", case, name, "tokens", "1", runs[0].result["tokens"], options.threads),
                ]
    emit(rows)


if __name__ == "__main__":
    main()
