"""Ctrl-C and SIGTERM as a wish to stop after this step; asked a second time, the process ends at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """A context in which the first SIGINT or SIGTERM only sets a flag; pass it as `stop` to a `Trainer`.

    The first signal, once noticed (Python does so between operations) and told to `on_signal`, gives both their default
    meaning back, so a second one ends the process at once even inside a long operation. That harms nothing: files are
    old, absent or complete. Outside the main thread, where Python delivers no signals, the context does nothing.

    Args:
        on_signal: Called at the first signal, with its name; it may only do little.

    Example:
        >>> with StopOnSignal() as stop:
        ...     stop()
        False
    """

    def __init__(self, on_signal: Callable[[str], None] | None = None) -> None:
        self._on_signal = on_signal
        self._is_stopping = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Tell whether a signal has come."""
        return self._is_stopping

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        if self._on_signal is not None:
            self._on_signal(signal.Signals(number).name)
