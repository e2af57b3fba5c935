"""The curves of a run as SVG, drawn with matplotlib from the rows of `metrics.jsonl`.

Everything that is ink takes the colour of the page's text, so that a curve reads on a light and on a dark page.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from slm.errors import DataError

_INK = "#010203"
"""Stands for the colour of the text until the SVG is done; no line of a curve has it."""

_LINES = ("#3b82f6", "#f97316")

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # The ids inside an SVG come from this and not from chance: the same run gives the same page.
    "svg.hashsalt": "slm",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": "#8888",
    "axes.grid": True,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """One line of a chart: a key of `metrics.jsonl` and what to call it."""

    key: str
    label: str


@dataclass(frozen=True)
class Chart:
    """One chart: its title, its unit and its lines over the step."""

    title: str
    unit: str
    curves: tuple[Curve, ...]


CHARTS = (
    Chart("Loss", "nats per token", (Curve("loss", "training"), Curve("validation_loss", "validation"))),
    Chart("Learning rate", "per step", (Curve("learning_rate", "learning rate"),)),
    Chart("Throughput", "tokens per second", (Curve("tokens_per_second", "tokens per second"),)),
    Chart("Gradient norm", "before clipping", (Curve("grad_norm", "gradient norm"),)),
)
"""What a report draws, in this order; a chart without a single point is left out."""


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a `metrics.jsonl`.

    Args:
        path: The file that the trainer appends to.

    Returns:
        One dictionary a line, in file order. A last line that a kill has cut short is left out.

    Raises:
        DataError: A line before the last is not a JSON object.
        OSError: The file cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            row: object = json.loads(line)
        except json.JSONDecodeError as err:
            if number == len(lines):
                break
            raise DataError(f"`{path}`, line {number}: not a JSON object ({err})") from err
        if not isinstance(row, dict):
            raise DataError(f"`{path}`, line {number}: not a JSON object but {type(row).__name__}")
        rows.append({str(key): value for key, value in row.items()})
    return rows


def points(rows: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Pick the steps and the values of one key, over the rows that have it.

    Args:
        rows: Rows of `metrics.jsonl`.
        key: The figure to pick, such as `loss`.

    Returns:
        Steps, and the value at each; two lists of the same length.
    """
    having = [(int(row["step"]), float(row[key])) for row in rows if row.get(key) is not None and "step" in row]
    return [step for step, _ in having], [value for _, value in having]


def draw(chart: Chart, rows: Sequence[dict[str, Any]]) -> str | None:
    """Draw one chart.

    Args:
        chart: What to draw.
        rows: Rows of `metrics.jsonl`.

    Returns:
        An `<svg>` element that can stand in a page, or None if no row has any of the chart's figures.
    """
    lines = [(curve, *points(rows, curve.key)) for curve in chart.curves]
    lines = [line for line in lines if line[1]]
    if not lines:
        return None
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        axes = figure.subplots()
        for (curve, steps, values), colour in zip(lines, _LINES, strict=False):
            marker = "o" if len(steps) < 40 else None
            axes.plot(steps, values, color=colour, label=curve.label, linewidth=1.6, marker=marker, markersize=3)
        axes.set_xlabel("step")
        axes.set_ylabel(chart.unit)
        if len(lines) > 1:
            axes.legend()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")
