"""Progress of long work on stderr: a live line where a person watches, a plain line now and then where none does.

Everything that takes long reports in one shape: what is being done (`phase`), how far it is (`done` of `total`, in
`unit`) and any other figures (`counters`). Rate, elapsed and remaining time are found here.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

_RATE_WINDOW_SECONDS = 20.0
_PLAIN_INTERVAL_SECONDS = 5.0
_LIVE_INTERVAL_SECONDS = 0.1

Figure = int | float | str
"""A figure beside the progress: counts are grouped by thousands, fractions cut to four digits."""


class ProgressLike(Protocol):
    """What `on_progress` reads; the Rust core's `Progress` and `ProgressReport` both have it."""

    @property
    def phase(self) -> str:
        """What is being done, such as `count`."""
        ...

    @property
    def unit(self) -> str:
        """What `done` and `total` count, such as `bytes`."""
        ...

    @property
    def done(self) -> int:
        """Units finished in this phase."""
        ...

    @property
    def total(self) -> int:
        """Units in all, or 0 where that is not known."""
        ...

    @property
    def counters(self) -> Mapping[str, Figure]:
        """Further figures of the phase."""
        ...


@dataclass(frozen=True)
class ProgressReport:
    """Progress of work that is done in Python."""

    phase: str
    """What is being done, such as `train`."""

    unit: str
    """What `done` and `total` count, such as `steps`."""

    done: int
    """Units finished in this phase."""

    total: int = 0
    """Units in all, or 0 where that is not known."""

    counters: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    """Further figures, such as the loss."""


OnProgress = Callable[[ProgressLike], None]
"""What long functions take as their progress callback."""


@dataclass
class PhaseClock:
    """Rate and remaining time of one phase, from what was done in the last seconds."""

    started: float
    """When the phase began, in seconds of any clock."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def update(self, now: float, done: int) -> None:
        """Note how far the phase is; samples that are too old for the rate are dropped."""
        self._samples.append((now, done))
        # One sample from before the window stays, so that the window is always covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_WINDOW_SECONDS:
            self._samples.popleft()

    def per_second(self) -> float | None:
        """Units in a second, or None before anything can be said."""
        if len(self._samples) < 2:
            return None
        (first, done_first), (last, done_last) = self._samples[0], self._samples[-1]
        if last <= first or done_last < done_first:
            return None
        return (done_last - done_first) / (last - first)

    def seconds_left(self, done: int, total: int) -> float | None:
        """Seconds until `done` is `total` at this rate, or None where that is not known."""
        rate = self.per_second()
        return (total - done) / rate if rate and total >= done else None


@contextmanager
def progress_display(description: str) -> Generator[OnProgress]:
    """Show progress on stderr while the block runs.

    A new phase gets a new line; the line of the old one stays, with its time. Where stderr is not a terminal, a plain
    line is written about every five seconds and at the end of each phase.

    Args:
        description: What is said until the first report.

    Returns:
        The callback; it may be called as often as one likes, from one thread.

    Example:
        >>> with progress_display("counting") as on_progress:
        ...     on_progress(ProgressReport("count", "bytes", done=5, total=10))
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    is_live = sys.stderr.isatty() and not console.is_dumb_terminal
    display = _LiveDisplay(console, description) if is_live else _PlainDisplay(console)
    try:
        yield display.update
    finally:
        display.close()


class _PhaseTracker:
    """The phase that is on display, its clock and its last report."""

    def __init__(self) -> None:
        self.clock = PhaseClock(time.monotonic())
        self.latest: ProgressLike | None = None

    def ends_with(self, progress: ProgressLike) -> ProgressLike | None:
        """The last report of the phase before, if this report is the first of another."""
        return self.latest if self.latest is not None and self.latest.phase != progress.phase else None

    def note(self, progress: ProgressLike) -> None:
        """Take a report in; the clock starts anew with each phase."""
        if self.latest is None or self.latest.phase != progress.phase:
            self.clock = PhaseClock(time.monotonic())
        self.clock.update(time.monotonic(), progress.done)
        self.latest = progress

    def elapsed(self) -> float:
        """Seconds since the phase began."""
        return time.monotonic() - self.clock.started


class _PlainDisplay:
    """Lines for logs and pipes."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._tracker = _PhaseTracker()
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

    def close(self) -> None:
        if self._tracker.latest is not None and not self._is_told:
            self._tell_end(self._tracker.latest)

    def _tell_end(self, progress: ProgressLike) -> None:
        self._tell(progress, describe_progress(progress, None, self._tracker.elapsed()))

    def _tell(self, progress: ProgressLike, figures: str) -> None:
        self._console.print(f"{progress.phase}: {figures}", markup=False, soft_wrap=True)
        self._last_line = time.monotonic()
        self._is_told = True


class _LiveDisplay:
    """One moving line for each phase."""

    def __init__(self, console: Any, description: str) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
        from rich.table import Column

        self._tracker = _PhaseTracker()
        self._last_drawn = 0.0
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}", markup=False, style="bold", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
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
            figures = describe_progress(progress, self._tracker.clock, self._tracker.elapsed())
            self._progress.update(
                self._task,
                description=progress.phase,
                completed=progress.done,
                total=progress.total or None,
                figures=figures,
            )

    def close(self) -> None:
        if self._tracker.latest is not None:
            self._finish(self._tracker.latest)
        self._progress.stop()

    def _finish(self, latest: ProgressLike) -> None:
        figures = describe_progress(latest, None, self._tracker.elapsed())
        self._progress.update(
            self._task,
            description=latest.phase,
            completed=latest.done,
            total=latest.total or latest.done,
            figures=figures,
        )


def describe_progress(progress: ProgressLike, clock: PhaseClock | None, elapsed_seconds: float) -> str:
    """Put progress into words: `1.2 GB of 4.0 GB (30%), 85.0 MB/s, 14s, 33s left, unique_pretokens 1,204,311`.

    Args:
        progress: The last report of the phase.
        clock: The clock of the running phase; None for a phase that has ended, whose rate is that of all of it.
        elapsed_seconds: Seconds since the phase began.
    """
    parts = [format_amount(progress.done, progress.unit)]
    if progress.total and (clock is not None or progress.done != progress.total):
        done = parts[0] if progress.unit == "bytes" else f"{progress.done:,}"
        percent = f"{100 * progress.done // progress.total}%"
        parts = [f"{done} of {format_amount(progress.total, progress.unit)} ({percent})"]
    rate = clock.per_second() if clock else (progress.done / elapsed_seconds if elapsed_seconds > 0 else None)
    if rate:
        parts.append(f"{format_amount(rate, progress.unit)}/s")
    parts.append(format_seconds(elapsed_seconds))
    left = clock.seconds_left(progress.done, progress.total) if clock and progress.total else None
    if left is not None:
        parts.append(f"{format_seconds(left)} left")
    parts.extend(f"{name} {format_figure(figure)}" for name, figure in progress.counters.items())
    return ", ".join(parts)


def format_amount(amount: float, unit: str) -> str:
    """Write an amount with its unit, bytes in the decimal units of disks: `85.0 MB`, `1,204 merges`, `2.5 steps`."""
    if unit == "bytes":
        for suffix, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
            if amount >= size:
                return f"{amount / size:.1f} {suffix}"
        return f"{amount:.0f} B"
    return f"{amount:,.0f} {unit}" if isinstance(amount, int) or amount >= 10 else f"{amount:.2g} {unit}"


def format_figure(figure: Figure) -> str:
    """Write a figure beside the progress.

    Example:
        >>> [format_figure(figure) for figure in (1204311, 3.14159, 0.0006, "bf16")]
        ['1,204,311', '3.142', '0.0006', 'bf16']
    """
    if isinstance(figure, int):
        return f"{figure:,}"
    return f"{figure:.4g}" if isinstance(figure, float) else figure


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it.

    Example:
        >>> [format_seconds(seconds) for seconds in (0.42, 14.2, 61, 7384, 90000)]
        ['0.4s', '14s', '1m 01s', '2h 03m', '1d 01h']
    """
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}h"
    if hours:
        return f"{hours}h {minute:02}m"
    return f"{minutes}m {second:02}s" if minutes else f"{second}s"
