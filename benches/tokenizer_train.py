"""Tokenizer training: seconds and peak memory of the whole process, ours beside the peers, merges compared.

Every system trains byte-level BPE with the GPT-2 pattern on the same files, one document a line.

    python -m benches.tokenizer_train --case books=books-en.txt --vocab-size 32768
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benches.corpora import synthetic_text
from benches.measure import Measurement, measure
from benches.report import Row, emit

OURS = """
import slm
tokenizer = slm.train_tokenizer(
    args["files"], vocab_size=args["vocab_size"], pattern="gpt2", documents="line", special_tokens=[],
    num_threads=args["threads"], out=args["out"],
)
print(json.dumps({"version": slm.__version__, "merges": args["out"] + "/merges.txt"}))
"""

TOKENIZERS = """
import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=args["vocab_size"], show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
tokenizer.train(args["files"], trainer)
import pathlib
pathlib.Path(args["out"]).mkdir(parents=True, exist_ok=True)
tokenizer.model.save(args["out"])
print(json.dumps({"version": tokenizers.__version__, "merges": args["out"] + "/merges.txt"}))
"""

SYSTEMS = {"slm": OURS, "tokenizers": TOKENIZERS}


def main(argv: list[str] | None = None) -> None:
    """Measure each case with each system, interleaved, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to train on")
    parser.add_argument("--peers", default="tokenizers", help="comma-separated; of: " + ", ".join(SYSTEMS))
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        cases = {name: files.split(",") for name, files in (case.split("=", 1) for case in options.case)}
        if options.smoke or not cases:
            cases = {"synthetic": [str(synthetic_text(Path(scratch) / "synthetic.txt", 1 if options.smoke else 50))]}
        vocab_size, repeats = (2_000, 1) if options.smoke else (options.vocab_size, options.repeats)
        rows: list[Row] = []
        for case, files in cases.items():
            runs: dict[str, list[Measurement]] = {}
            systems = ["slm", *(peer for peer in options.peers.split(",") if peer)]
            for repeat in range(repeats):
                for system in systems:
                    arguments = {
                        "files": files,
                        "vocab_size": vocab_size,
                        "threads": options.threads,
                        "out": f"{scratch}/{case}-{system}-{repeat}",
                    }
                    runs.setdefault(system, []).append(measure(SYSTEMS[system], arguments, threads=options.threads))
            rows += _rows(case, runs, options.threads)
        emit(rows)


def _rows(case: str, runs: dict[str, list[Measurement]], threads: int) -> list[Row]:
    ours = statistics.median(run.seconds for run in runs["slm"])
    merges = Path(runs["slm"][0].result["merges"]).read_bytes()
    rows: list[Row] = []
    for system, measured in runs.items():
        seconds = statistics.median(run.seconds for run in measured)
        peak = statistics.median(run.peak_anonymous_mib for run in measured)
        name = f"{system} {measured[0].result['version']}"
        equal = Path(measured[0].result["merges"]).read_bytes() == merges
        rows += [
            Row("tokenizer_train", case, name, "wall", "s", seconds, threads, peak),
            Row("tokenizer_train", case, name, "time over ours", "x", seconds / ours, threads),
            Row("tokenizer_train", case, name, "merges equal to ours", "bool", float(equal), threads),
        ]
    return rows


if __name__ == "__main__":
    main()
