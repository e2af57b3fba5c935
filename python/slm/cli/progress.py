"""Progress of long work on stderr: a live line where a person watches, a plain line now and then elsewhere, or JSON.

Everything that takes long reports in one shape: what is being done (`phase`), how far it is (`done` of `total`, in
`unit`) and any other figures (`counters`). Rate, elapsed and remaining time are found in `slm.cli.rates`.
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from slm.cli.errors import tell_json
from slm.cli.rates import OnProgress, PhaseClock, PhaseTracker, ProgressLike, ProgressReport
from slm.cli.words import describe_progress, format_amount, format_figure, format_seconds

__all__ = [
    "OnProgress",
    "PhaseClock",
    "ProgressLike",
    "ProgressReport",
    "ProgressStyle",
    "describe_progress",
    "format_amount",
    "format_figure",
    "format_seconds",
    "progress_display",
]

_PLAIN_INTERVAL_SECONDS = 5.0
_LIVE_INTERVAL_SECONDS = 0.1
_WIDE = 120
_JSON_INTERVAL_SECONDS = 0.5


class ProgressStyle(StrEnum):
    """How progress is told on stderr."""

    AUTO = "auto"
    """A bar where stderr is a terminal, lines elsewhere."""

    BAR = "bar"
    """A moving line for each phase."""

    PLAIN = "plain"
    """A line about every five seconds and at the end of each phase."""

    JSON = "json"
    """One JSON object a line; warnings and errors too."""

    NONE = "none"
    """Nothing."""


class _Display(Protocol):
    def update(self, progress: ProgressLike) -> None: ...

    def close(self, *, is_done: bool) -> None: ...


@contextmanager
def progress_display(description: str, style: ProgressStyle = ProgressStyle.AUTO) -> Generator[OnProgress]:
    """Show progress on stderr while the block runs.

    A new phase gets a new line; the line of the old one stays, with its time. Where stderr is not a terminal, a plain
    line is written about every five seconds and at the end of each phase.

    With `json` each line is an object with the keys `event` (`progress`, `phase_end`, or at the very end `done` or
    `stopped`), `phase`, `unit`, `done`, `total` (0: not known), `per_second`, `seconds` (of the phase so far),
    `seconds_left` (an estimate), and `counters`, an object. What is not known is null.

    Args:
        description: What is said until the first report.
        style: How to show it.

    Returns:
        The callback; it may be called as often as one likes, from one thread.

    Example:
        >>> with progress_display("counting") as on_progress:
        ...     on_progress(ProgressReport("count", "bytes", done=5, total=10))
    """
    display = _open_display(description, style)
    is_done = False
    try:
        yield display.update
        is_done = True
    finally:
        display.close(is_done=is_done)


def _open_display(description: str, style: ProgressStyle) -> _Display:
    if style is ProgressStyle.JSON:
        return _JsonDisplay()
    if style is ProgressStyle.NONE:
        return _NoDisplay()
    from rich.console import Console

    console = Console(stderr=True, highlight=False, force_terminal=True if style is ProgressStyle.BAR else None)
    is_watched = style is ProgressStyle.AUTO and sys.stderr.isatty() and not console.is_dumb_terminal
    if style is ProgressStyle.BAR or is_watched:
        return _LiveDisplay(console, description)
    return _PlainDisplay(console)


class _NoDisplay:
    """For those who want to hear nothing."""

    def update(self, progress: ProgressLike) -> None: ...

    def close(self, *, is_done: bool) -> None: ...


class _JsonDisplay:
    """Objects for programs, one a line."""

    def __init__(self) -> None:
        self._tracker = PhaseTracker()
        self._last_line = 0.0

    def update(self, progress: ProgressLike) -> None:
        ended = self._tracker.ends_with(progress)
        if ended is not None:
            self._tell("phase_end", ended)
        is_first = self._tracker.latest is None or ended is not None
        self._tracker.note(progress)
        if is_first or time.monotonic() - self._last_line >= _JSON_INTERVAL_SECONDS:
            self._tell("progress", progress)

    def close(self, *, is_done: bool) -> None:
        self._tracker.end()
        if self._tracker.latest is None:
            tell_json({"event": "done" if is_done else "stopped"})
        else:
            self._tell("done" if is_done else "stopped", self._tracker.latest)

    def _tell(self, event: str, progress: ProgressLike) -> None:
        seconds = self._tracker.elapsed()
        is_over = event != "progress"
        rate = progress.done / seconds if is_over and seconds > 0 else self._tracker.clock.per_second()
        line = {
            "event": event,
            "phase": progress.phase,
            "unit": progress.unit,
            "done": progress.done,
            "total": progress.total,
            "per_second": rate,
            "seconds": seconds,
            "seconds_left": None if is_over else self._tracker.seconds_left(),
            "counters": dict(progress.counters),
        }
        tell_json(line)
        self._last_line = time.monotonic()


class _PlainDisplay:
    """Lines for logs and pipes."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._tracker = PhaseTracker()
        self._last_line = time.monotonic()
        self._is_told = True

    def update(self, progress: ProgressLike) -> None:
        ended = self._tracker.ends_with(progress)
        if ended is not None:
            self._tell_end(ended)
        self._tracker.note(progress)
        self._is_told = False
        if time.monotonic() - self._last_line >= _PLAIN_INTERVAL_SECONDS:
            self._tell(progress, describe_progress(progress, self._tracker.clock, self._tracker.elapsed()))

    def close(self, *, is_done: bool) -> None:
        self._tracker.end()
        # A phase that had done nothing is not worth a line before the error that follows.
        if self._tracker.latest is not None and self._tracker.latest.done and not self._is_told:
            self._tell_end(self._tracker.latest)

    def _tell_end(self, progress: ProgressLike) -> None:
        self._tell(progress, describe_progress(progress, None, self._tracker.elapsed()))

    def _tell(self, progress: ProgressLike, figures: str) -> None:
        self._console.print(f"{progress.phase}: {figures}", markup=False, soft_wrap=True)
        self._last_line = time.monotonic()
        self._is_told = True


def _with_margin(progress_class: type[Any], console: Any) -> type[Any]:
    """Leave the last columns free: the `^C` that a terminal writes there would wrap and shift all that is redrawn."""

    class WithMargin(progress_class):
        def make_tasks_table(self, tasks: Any) -> Any:
            table = super().make_tasks_table(tasks)
            table.width = max(20, console.width - 3)
            return table

    return WithMargin


class _LiveDisplay:
    """One moving line for each phase."""

    def __init__(self, console: Any, description: str) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._tracker = PhaseTracker()
        self._last_drawn = 0.0
        self._is_narrow = console.width < _WIDE
        self._progress = _with_margin(Progress, console)(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}", markup=False, style="bold", table_column=Column(no_wrap=True)),
            # On a narrow terminal the figures need the room.
            BarColumn(bar_width=8 if self._is_narrow else 20),
            TextColumn("{task.fields[figures]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=console,
            refresh_per_second=8,
            expand=True,
            # What a command writes to stdout is its result and is left alone.
            redirect_stdout=False,
        )
        self._task = self._progress.add_task(description, total=None, figures="")
        self._progress.start()

    def update(self, progress: ProgressLike) -> None:
        ended = self._tracker.ends_with(progress)
        if ended is not None:
            self._finish(ended)
            self._task = self._progress.add_task(progress.phase, total=None, figures="")
            self._last_drawn = 0.0
        self._tracker.note(progress)
        now = time.monotonic()
        if now - self._last_drawn >= _LIVE_INTERVAL_SECONDS or progress.done == progress.total:
            self._last_drawn = now
            clock, elapsed = self._tracker.clock, self._tracker.elapsed()
            figures = describe_progress(progress, clock, elapsed, is_narrow=self._is_narrow)
            self._progress.update(
                self._task,
                description=progress.phase,
                completed=progress.done,
                total=progress.total or None,
                figures=figures,
            )

    def close(self, *, is_done: bool) -> None:
        self._tracker.end()
        if self._tracker.latest is not None:
            self._finish(self._tracker.latest)
        self._progress.stop()

    def _finish(self, latest: ProgressLike) -> None:
        figures = describe_progress(latest, None, self._tracker.elapsed(), is_narrow=self._is_narrow)
        self._progress.update(
            self._task,
            description=latest.phase,
            completed=latest.done,
            total=latest.total or latest.done,
            figures=figures,
        )
