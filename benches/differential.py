"""Differential fuzzing: small random corpora, trained by us, by Hugging Face and by a naive twin, which must all agree.

Each case is also trained on its documents in another order, with other threads and another memory limit. A case is made
from its number alone, and the number of one that fails is printed with the command that runs it again:

    python -m benches.differential --cases 20000
    python -m benches.differential --first 4711 --cases 1
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benches.report import Row, emit
from tests.reference import naive_bpe, random_corpora

_MAX_FAILURES = 10


def main(argv: list[str] | None = None) -> None:
    """Try the cases one after another; exit with 1 if any fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--smoke", action="store_true", help="a hundred cases")
    options = parser.parse_args(argv)
    num_cases = 100 if options.smoke else options.cases
    failures = 0
    kinds: Counter[str] = Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.first, options.first + num_cases):
            case = random_corpora.case(seed)
            kinds.update(_kinds(case))
            for difference in _differences(case, Path(scratch)):
                failures += 1
                print(f"case {seed} differs {difference}: {case}", file=sys.stderr)
                print(f"again: python -m benches.differential --first {seed} --cases 1", file=sys.stderr)
            if failures >= _MAX_FAILURES:
                break
    seconds = time.perf_counter() - started
    emit(
        [
            Row("differential", "random", "slm", "cases", "1", num_cases, 0),
            *(Row("differential", "random", "slm", f"cases {kind}", "1", n, 0) for kind, n in sorted(kinds.items())),
            Row("differential", "random", "slm", "wall", "s", seconds, 0),
            Row("differential", "random", "slm", "differences", "1", failures, 0),
        ]
    )
    if failures:
        sys.exit(1)


def _differences(case: random_corpora.Case, scratch: Path) -> list[str]:
    try:
        return random_corpora.differences(case, scratch)
    except Exception as error:  # noqa: BLE001  an error is a failure of this case, and the others are still tried
        return [f"by an error, {error!r}"]


def _kinds(case: random_corpora.Case) -> list[str]:
    """What a case is a test of, counted to show that the cases are not all alike."""
    text = "".join(case.documents)
    _, merges = naive_bpe.train(case.documents, **case.settings)
    names = {
        "with merges": bool(merges),
        "with 100 merges or more": len(merges) >= 100,
        "in files": case.num_files > 0,
        "with special tokens in the text": any(token in text for token in case.settings["special_tokens"]),
        "with a merge that makes a special token": any("".join(m) in case.settings["special_tokens"] for m in merges),
        "with min_frequency": case.settings["min_frequency"] > 1,
        "with max_token_length": case.settings["max_token_length"] is not None,
    }
    return [name for name, holds in names.items() if holds]


if __name__ == "__main__":
    main()
