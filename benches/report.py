"""How a bench says what it measured: one JSON object a line on standard output, then tables for people."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


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
    peak_resident_mib: float | None = None
    """Peak resident memory: also of files that are mapped."""
    note: str | None = None
    """Why there is no figure, or what it is compared with."""


@dataclass
class Report:
    """Rows, each printed as it comes, so that what was measured survives a run that does not end."""

    bench: str
    rows: list[Row] = field(default_factory=list)

    def add(self, case: str, system: str, metric: str, unit: str, value: float, threads: int, **more: object) -> None:
        """Print a figure as a JSON line on standard output."""
        row = Row(self.bench, case, system, metric, unit, value, threads, **more)  # type: ignore[arg-type]
        self.rows.append(row)
        print(json.dumps({key: value for key, value in asdict(row).items() if value is not None}), flush=True)


def emit(rows: list[Row]) -> None:
    """Print rows as JSON lines on standard output and as a table on standard error."""
    for row in rows:
        print(json.dumps({key: value for key, value in asdict(row).items() if value is not None}), flush=True)
    print_rows(rows)


def print_rows(rows: list[Row]) -> None:
    """Print rows as a table on standard error."""
    header = ("case", "system", "metric", "value", "unit", "threads", "peak MiB")
    peaks = ["" if row.peak_mib is None else f"{row.peak_mib:,.0f}" for row in rows]
    cells = [(row.case, row.system, row.metric, number(row.value), row.unit, str(row.threads)) for row in rows]
    print_table(header, [(*line, peak) for line, peak in zip(cells, peaks, strict=True)])


def number(value: float) -> str:
    """Three digits of a figure."""
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def print_table(header: Sequence[str], lines: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print a table on standard error, as Markdown has it."""
    table = [header, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    if title:
        print(f"\n{title}\n", file=sys.stderr)
    for at, line in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print(f"| {' | '.join(cells)} |", file=sys.stderr)
        if at == 0:
            print(f"|{'|'.join('-' * (width + 2) for width in widths)}|", file=sys.stderr)
