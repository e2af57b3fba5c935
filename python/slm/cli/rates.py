"""Rate and remaining time of long work, from what was done so far."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

_RATE_WINDOW_SECONDS = 20.0

# Merging n tokens takes about n ** exponent: frequent pairs, which have most places, come first.
_LEAST_EXPONENT = 0.25
_MOST_EXPONENT = 1.5

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
    """Rate and remaining time of one phase."""

    started: float
    """When the phase began, in seconds of any clock."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    _doublings: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """When `done` first was at least twice what it was the time before."""

    def update(self, now: float, done: int) -> None:
        """Note how far the phase is; samples that are too old for the rate are dropped."""
        self._samples.append((now, done))
        # One sample from before the window stays, so that the window is always covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_WINDOW_SECONDS:
            self._samples.popleft()
        if done > 0 and (not self._doublings or done >= 2 * self._doublings[-1][1]):
            self._doublings.append((now, done))

    def per_second(self) -> float | None:
        """Units in a second of the last ones, or None before anything can be said."""
        if len(self._samples) < 2:
            return None
        (first, done_first), (last, done_last) = self._samples[0], self._samples[-1]
        if last <= first or done_last < done_first:
            return None
        return (done_last - done_first) / (last - first)

    def seconds_left(self, done: int, total: int, unit: str = "") -> float | None:
        """About how many seconds until `done` is `total`, or None where nothing can be said.

        By the rate of the last seconds; for `merges`, whose rate rises all the way, by the power of their number that
        the time has followed since they were half as many.
        """
        if total < done:
            return None
        if unit == "merges":
            return self._merge_seconds_left(done, total)
        rate = self.per_second()
        return (total - done) / rate if rate else None

    def _merge_seconds_left(self, done: int, total: int) -> float | None:
        past = [(when, merges) for when, merges in self._doublings if 2 * merges <= done]
        if not past or not self._samples:
            return None
        now, _ = self._samples[-1]
        then, merges = past[-1]
        # Before the first merge the words were laid out, which says nothing of what is to come.
        begun, _ = self._doublings[0]
        if not begun < then < now:
            return None
        exponent = math.log((now - begun) / (then - begun)) / math.log(done / merges)
        exponent = min(max(exponent, _LEAST_EXPONENT), _MOST_EXPONENT)
        return (now - begun) * ((total / done) ** exponent - 1)


class PhaseTracker:
    """The phase that is on display, its clock and its last report."""

    def __init__(self) -> None:
        self._last_report = time.monotonic()
        self.clock = PhaseClock(self._last_report)
        self.latest: ProgressLike | None = None

    def ends_with(self, progress: ProgressLike) -> ProgressLike | None:
        """The phase before as it ended, if this report is the first of another: all of it was done."""
        if self.latest is None or self.latest.phase == progress.phase:
            return None
        ended = self.latest
        return ProgressReport(ended.phase, ended.unit, ended.total or ended.done, ended.total, ended.counters)

    def note(self, progress: ProgressLike) -> None:
        """Take a report in; the clock starts anew with each phase.

        A phase is taken to begin where the one before was last heard of, and the first one with the tracker: its own
        first report may also be its last.
        """
        if self.latest is not None and self.latest.phase != progress.phase:
            self.clock = PhaseClock(self._last_report)
        self._last_report = time.monotonic()
        self.clock.update(self._last_report, progress.done)
        self.latest = progress

    def elapsed(self) -> float:
        """Seconds of the phase up to the last report, or to the end of the work."""
        return self._last_report - self.clock.started

    def end(self) -> None:
        """The work is over; what passed since the last report belongs to its phase."""
        self._last_report = time.monotonic()

    def seconds_left(self) -> float | None:
        """About how many seconds the phase still takes, or None where nothing can be said."""
        if self.latest is None or not self.latest.total:
            return None
        return self.clock.seconds_left(self.latest.done, self.latest.total, self.latest.unit)
