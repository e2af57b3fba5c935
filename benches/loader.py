"""Loader: tokens a second from the page cache, ours beside the peers' on the same ids.

    python -m benches.loader --tokens 100000000 --rows 8,32   # after `pip install litdata mosaicml-streaming`

Each process reads for some seconds. All are measured in turn, several times, and the best of each counts, so that what
else the machine does hits them alike. Peak memory is that of the process and its workers. Peers that are not installed
are left out and named.
"""

import argparse
import tempfile
from pathlib import Path

from benches.corpora import synthetic_text
from benches.loaders import PREPARE, SYSTEMS, TIMED
from benches.measure import Measurement, measure
from benches.report import Report, number, print_table


def main(argv: list[str] | None = None) -> None:
    """Make the ids, bring them into each system's files, and measure each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="nanogpt,litdata,mosaicml-streaming", help="comma-separated")
    parser.add_argument("--tokens", type=int, default=100_000_000)
    parser.add_argument("--row-tokens", type=int, default=1024)
    parser.add_argument("--rows", default="8,32", help="rows in a batch, comma-separated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--smoke", action="store_true", help="seconds, on a million ids")
    options = parser.parse_args(argv)
    peers = [peer for peer in options.peers.split(",") if peer]
    chosen = [system for system in SYSTEMS if not system.is_peer or system.name.split(",")[0] in peers]
    report = Report("loader")
    table: list[list[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        names = ("bin", "tokenizer", "shards", "more_shards", "litdata", "mds")
        shared = {name: f"{scratch}/{name}" for name in names} | {
            "text": str(synthetic_text(Path(scratch) / "text.txt", 1)),
            "tokens": 1_000_000 if options.smoke else options.tokens,
            "row_tokens": 64 if options.smoke else options.row_tokens,
            "seconds": 0.1 if options.smoke else options.seconds,
            "best_fit": False,
            "workers": 0,
        }
        for name in ["slm", *{system.prepare for system in chosen if system.is_installed and system.prepare}]:
            measure(PREPARE[name], shared, threads=options.threads)
        for system in chosen:
            if not system.is_installed:
                report.add("all", system.name, "read", "tokens/s", 0, options.threads, note="not installed")
        cases = [(system, int(rows)) for system in chosen if system.is_installed for rows in options.rows.split(",")]
        best: dict[tuple[str, int], Measurement] = {}
        for _ in range(1 if options.smoke else options.rounds):
            for system, rows in cases:
                arguments = shared | system.arguments | {"rows": rows}
                run = measure(system.program + TIMED, arguments, threads=options.threads)
                before = best.get((system.name, rows))
                if before is None or before.result["tokens_per_second"] < run.result["tokens_per_second"]:
                    best[system.name, rows] = run
    for (system_name, rows), run in best.items():
        rate, case = run.result["tokens_per_second"], f"{rows} rows of {shared['row_tokens']}"
        name = f"{system_name} {run.result['version']}"
        memory = {"peak_mib": run.peak_anonymous_mib, "peak_resident_mib": run.peak_resident_mib}
        report.add(case, name, "read", "tokens/s", rate, options.threads, **memory)
        peaks = [number(run.peak_anonymous_mib), number(run.peak_resident_mib)]
        table.append([name, case, number(rate / 1e6), *peaks])
    print_table(["system", "batch", "million tokens/s", "anonymous MiB", "resident MiB"], table, title="Loader")


if __name__ == "__main__":
    main()
