"""How a bench says what it measured: one JSON object a line on standard output, then a table for people."""

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One figure."""

    bench: str
    case: str
    system: str
    """Name and version of what was measured."""
    metric: str
    unit: str
    value: float
    threads: int
    peak_mib: float | None = None
    """Peak anonymous memory of the process."""


def emit(rows: list[Row]) -> None:
    """Print rows as JSON lines on standard output and as a table on standard error."""
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)
    header = ("case", "system", "metric", "value", "unit", "threads", "peak MiB")
    table = [header] + [
        (r.case, r.system, r.metric, f"{r.value:,.3g}" if r.value < 100 else f"{r.value:,.0f}", r.unit, str(r.threads),
         "" if r.peak_mib is None else f"{r.peak_mib:,.0f}")
        for r in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), file=sys.stderr)
