"""A contest: ours and the peers encode the same text with the same tokenizer, each in a process of its own, in turn.

What `benches.encode` and `benches.shards` have in common: their options, a tokenizer for each case, who takes part, and
medians of what was measured.
"""

import argparse
import importlib.util
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benches.corpora import synthetic_text
from benches.measure import Measurement, measure
from benches.report import Report

Runs = dict[str, list[Measurement]]
"""What was measured of each system, ours first."""

_TRAIN = """
import slm
slm.train_tokenizer(args["files"], vocab_size=args["vocab_size"], documents="line", out=args["tokenizer"])
print(json.dumps({}))
"""

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
"""Makes tiktoken's `encoding` of our tokenizer."""


def contest_parser(description: str | None, systems: Sequence[str]) -> argparse.ArgumentParser:
    """Options of every contest."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", default=[], metavar="NAME=FILE[,FILE]", help="text to encode")
    parser.add_argument("--peers", default="gigatoken,tiktoken,tokenizers", help="of: " + ", ".join(systems))
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="seconds, on text made here")
    return parser


def cases(options: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each case's name, and its `files` and `tokenizer` as programs find them in `args`."""
    named = {name: files.split(",") for name, files in (case.split("=", 1) for case in options.case)}
    if options.smoke or not named:
        named = {"synthetic": [str(synthetic_text(scratch / "synthetic.txt", 1 if options.smoke else 50))]}
    for case, files in named.items():
        arguments = {
            "files": files,
            "vocab_size": 2_000 if options.smoke else options.vocab_size,
            "tokenizer": f"{scratch}/{case}-tokenizer",
        }
        measure(_TRAIN, arguments, threads=2)
        yield case, arguments


def installed(report: Report, case: str, peers: str) -> list[str]:
    """Ours and those of `peers`, names with commas, that are installed; the others are reported."""
    systems = ["slm"]
    for peer in filter(None, peers.split(",")):
        if importlib.util.find_spec(peer) is None:
            report.add(case, peer, "left out", "", 1, 0, note="not installed")
        else:
            systems.append(peer)
    return systems


def take_turns(
    options: argparse.Namespace, programs: dict[str, str], arguments: dict[str, Any]
) -> Iterator[tuple[int, Runs]]:
    """Measure each program as often as asked for, run after run in turn, and give all runs by number of threads."""
    for threads in [int(count) for count in options.threads.split(",")]:
        runs: Runs = {system: [] for system in programs}
        for _ in range(1 if options.smoke else options.repeats):
            for system, program in programs.items():
                runs[system].append(measure(program, arguments | {"threads": threads}, threads=threads))
        yield threads, runs


def check_same(case: str, runs: Runs, result: str) -> None:
    """Refuse runs of which one has another `result` than ours."""
    ours = runs["slm"][0].result[result]
    different = [system for system, measured in runs.items() if any(run.result[result] != ours for run in measured)]
    if different:
        raise RuntimeError(f"{case}: the {result} of {', '.join(different)} are not ours")


def add_rates(
    report: Report,
    case: str,
    threads: int,
    runs: Runs,
    *,
    megabytes: float,
    metric: str,
    seconds: Callable[[Measurement], float],
    peak_mib: Callable[[Measurement], float],
) -> None:
    """Report the medians of each system, and how many times as fast ours is."""
    ours = None
    for system, measured in runs.items():
        name = f"{system} {measured[0].result['version']}"
        rate = megabytes / statistics.median(map(seconds, measured))
        report.add(case, name, metric, "MB/s", rate, threads, peak_mib=statistics.median(map(peak_mib, measured)))
        if ours is None:
            ours = rate
        else:
            report.add(case, name, f"{metric}, ours over it", "x", ours / rate, threads)
