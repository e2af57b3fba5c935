"""`report.html`: one file that needs nothing else, and says of each figure which file it was read from."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from slm import durable
from slm.report.curves import CHARTS, draw, points, read_metrics


@dataclass(frozen=True)
class Sample:
    """A prompt and what a model wrote after it."""

    prompt: str
    continuation: str
    settings: str
    """How it was drawn, such as `temperature 0.8, seed 0`."""


@dataclass(frozen=True)
class Figure:
    """One number of the summary: what it is, its value as text, and the file and key it was read from."""

    name: str
    value: str
    source: str


def write_report(
    run_dir: str | os.PathLike[str],
    *,
    title: str | None = None,
    figures: Sequence[Figure] = (),
    samples: Sequence[Sample] = (),
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the report of a run.

    Args:
        run_dir: A run directory with `metrics.jsonl` and `config.yaml`.
        title: Headline; None takes the name of the directory.
        figures: Numbers to put above the curves, after those that the metrics give.
        samples: Text that the model wrote.
        out: The file to write; None means `report.html` in the run directory.

    Returns:
        The file that was written.

    Raises:
        DataError: `metrics.jsonl` is malformed.
        OSError: A file cannot be read or written.
    """
    run = Path(run_dir)
    rows = read_metrics(run / "metrics.jsonl")
    charts = [(chart, svg) for chart in CHARTS if (svg := draw(chart, rows)) is not None]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("slm.report").joinpath("template.html").read_text(encoding="utf-8"))
    page = template.render(
        title=title or run.resolve().name,
        figures=[*_figures_of(rows), *figures],
        charts=[
            {
                "title": chart.title,
                # Drawn by matplotlib from numbers alone, so it holds no text of a user.
                "svg": Markup(svg),  # noqa: S704
                "source": f"metrics.jsonl, {' and '.join(f'`{curve.key}`' for curve in chart.curves)}",
            }
            for chart, svg in charts
        ],
        samples=samples,
        config=(run / "config.yaml").read_text(encoding="utf-8"),
        rows=len(rows),
    )
    target = Path(out) if out is not None else run / "report.html"
    durable.write_text(target, page)
    return target


def _figures_of(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The headline numbers that the metrics themselves give."""
    table = [dict(row) for row in rows]
    found: list[Figure] = []
    for key, name, form in (
        ("step", "steps", "{:,.0f}"),
        ("tokens", "tokens seen", "{:,.0f}"),
        ("loss", "last training loss, nats per token", "{:.3f}"),
        ("validation_loss", "last validation loss, nats per token", "{:.3f}"),
        ("validation_bits_per_byte", "last validation bits per byte", "{:.3f}"),
    ):
        _, values = points(table, key)
        if values:
            found.append(Figure(name, form.format(values[-1]), f"metrics.jsonl, `{key}`, last row that has it"))
    _, rates = points(table, "tokens_per_second")
    if rates:
        middle = sorted(rates)[len(rates) // 2]
        found.append(Figure("median tokens per second", f"{middle:,.0f}", "metrics.jsonl, `tokens_per_second`"))
    return found
