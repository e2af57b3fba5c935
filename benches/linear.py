"""Time by length: nanoseconds a byte for pretokens of any length, and microseconds for prompts of a few words.

A pretoken is one letter again and again, blanks, digits, an emoji, base64, or two letters at random. Where the time is
linear, the figures of one kind are alike.

    python -m benches.linear --text books-en.txt --megabytes 1,10,100
"""

import argparse
import tempfile
from pathlib import Path

from benches.corpora import synthetic_text
from benches.measure import measure
from benches.report import Report, number, print_table

_TRAIN = """
import slm
slm.train_tokenizer([args["text"]], vocab_size=args["vocab_size"], documents="line", out=args["tokenizer"])
print(json.dumps({}))
"""

_GIANTS = """
import base64, random, time
import slm
tokenizer = slm.Tokenizer.load(args["tokenizer"])
numbers = random.Random(1)
length = args["length"]
make = {
    "letter": lambda: "a" * length,
    "blanks": lambda: " " * length,
    "digits": lambda: "0123456789" * (length // 10),
    "emoji": lambda: "\\U0001f600" * (length // 4),
    "base64": lambda: base64.b64encode(numbers.randbytes(length // 4 * 3)).decode(),
    "two letters": lambda: "".join(numbers.choices("ab", k=length)),
}
seconds = {}
for kind in make:
    text = make[kind]()
    started = time.perf_counter()
    tokenizer.encode(text)
    seconds[kind] = (time.perf_counter() - started) / len(text.encode())
print(json.dumps({"version": slm.__version__, "seconds": seconds}))
"""

_PROMPTS = """
import timeit
import slm
tokenizer = slm.Tokenizer.load(args["tokenizer"])
sentence = "Write a short story about a dragon who is afraid of fire. "
prompts = ["Hi", "Hello, how are you?", sentence * 4]
seconds = {
    str(len(text)): min(timeit.repeat(lambda: tokenizer.encode(text), number=args["number"], repeat=5)) / args["number"]
    for text in prompts
}
print(json.dumps({"version": slm.__version__, "seconds": seconds}))
"""


def main(argv: list[str] | None = None) -> None:
    """Train a tokenizer, then encode giants of each length and prompts, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="what the tokenizer is trained on; made here if left out")
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--megabytes", default="1,10,100", help="lengths, with commas")
    parser.add_argument("--smoke", action="store_true", help="seconds")
    options = parser.parse_args(argv)
    report = Report("linear")
    lengths = [0.2, 0.4] if options.smoke else [float(length) for length in options.megabytes.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        text = options.text
        if options.smoke or text is None:
            text = synthetic_text(Path(scratch) / "synthetic.txt", 1)
        arguments = {
            "text": str(text),
            "tokenizer": f"{scratch}/tokenizer",
            "vocab_size": 2_000 if options.smoke else options.vocab_size,
        }
        measure(_TRAIN, arguments, threads=2)
        for length in lengths:
            run = measure(_GIANTS, arguments | {"length": int(length * 1e6)}, threads=1)
            for kind, seconds in run.result["seconds"].items():
                name = f"slm {run.result['version']}"
                peak = run.peak_anonymous_mib
                report.add(kind, name, f"{length:g} MB", "ns/byte", seconds * 1e9, 1, peak_mib=peak)
        run = measure(_PROMPTS, arguments | {"number": 100 if options.smoke else 20_000}, threads=1)
        for characters, seconds in run.result["seconds"].items():
            name = f"slm {run.result['version']}"
            report.add("prompt", name, f"{characters} characters", "us", seconds * 1e6, 1)
    print_table(
        ("case", "length", "value", "unit"),
        [(row.case, row.metric, number(row.value), row.unit) for row in report.rows],
    )


if __name__ == "__main__":
    main()
