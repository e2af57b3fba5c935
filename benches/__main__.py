"""Runs every bench: `python -m benches [--smoke] [--out DIR]`."""

import argparse
import contextlib
import importlib
from pathlib import Path

BENCHES = (
    "tokenizer_train",
    "memory_limit",
    "encode",
    "linear",
    "shards",
    "shard_memory",
    "kills",
    "loader",
    "differential",
    "same_ids",
)


def main() -> None:
    """Run the benches one after another, each into a file of its own if `--out` is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="seconds each, on data made here")
    parser.add_argument("--out", type=Path, help="write one .jsonl a bench into this directory")
    options = parser.parse_args()
    for name in BENCHES:
        bench = importlib.import_module(f"benches.{name}")
        with contextlib.ExitStack() as stack:
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((options.out / f"{name}.jsonl").open("w"))
                stack.enter_context(contextlib.redirect_stdout(file))
            bench.main(["--smoke"] if options.smoke else [])


if __name__ == "__main__":
    main()
