"""Differential fuzzing: small random corpora, trained by us, by Hugging Face and by a naive twin, which must all agree.

Each case is also trained on its documents in another order, with other threads and another memory limit; some also from
counts of parts that were added up, and some in two steps, the second of which extends the first. A case is made from
its number alone, and the number of one that fails is printed with the command that runs it again:

    python -m benches.differential --cases 20000
    python -m benches.differential --first 4711 --cases 1
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unicodedata import is_normalized

from benches.report import Row, emit
from tests.reference import agreement, random_corpora

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
            outcome = _outcome(case, Path(scratch))
            kinds.update(_kinds(case, outcome.merges))
            for difference in outcome.differences:
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


def _outcome(case: random_corpora.Case, scratch: Path) -> agreement.Outcome:
    try:
        return agreement.compare(case, scratch)
    except Exception as error:  # noqa: BLE001  an error is a failure of this case, and the others are still tried
        return agreement.Outcome([f"by an error, {error!r}"], [])


def _kinds(case: random_corpora.Case, merges: list[tuple[str, str]]) -> list[str]:
    """What a case is a test of, counted to show that the cases are not all alike."""
    text = "".join(case.documents)
    settings = case.settings
    is_regex = not settings["pattern"].isalnum()
    is_same_text = case.first_documents is case.documents
    names = {
        "with merges": bool(merges),
        "with 100 merges or more": len(merges) >= 100,
        "in files": case.num_files > 0,
        "with special tokens in the text": any(token in text for token in settings["special_tokens"]),
        "with a merge that makes a special token": any("".join(m) in settings["special_tokens"] for m in merges),
        "with min_frequency": settings["min_frequency"] > 1,
        "with max_token_length": settings["max_token_length"] is not None,
        "with max_token_bytes": settings["max_token_bytes"] is not None,
        "with reserved_tokens": settings["reserved_tokens"] > 0,
        "with chat_tokens": settings["chat_tokens"] is not None,
        "with special_tokens_in_text split": settings["special_tokens_in_text"] == "split",
        "with pattern regex" if is_regex else f"with pattern {settings['pattern']}": True,
        f"with digits {settings['digits']}": settings["digits"] is not None,
        "with prefix_space": settings["prefix_space"],
        "with text that nfc changes": settings["normalization"] == "nfc" and not is_normalized("NFC", text),
        "from counts": case.num_counts > 0,
        "from counts added up": case.num_counts > 1,
        "extended with the same text": case.first_vocab_size is not None and is_same_text,
        "extended with other text": case.first_vocab_size is not None and not is_same_text,
    }
    return [name for name, holds in names.items() if holds]


if __name__ == "__main__":
    main()
