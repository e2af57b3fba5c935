"""The thread that owns the engine, and the way in and out of it.

Nothing but this thread calls the engine, so the engine needs no locks. Requests go in through a queue; after each step
the event loop is told once about all sequences that grew. An abort is a flag that the next step obeys.
"""

import asyncio
import logging
import queue
import threading
import time

from slm.engine import Engine, Sequence
from slm.errors import InternalError

_logger = logging.getLogger(__name__)

IDLE_BEAT_SECONDS = 1.0
"""How often an idle thread shows that it lives."""

STALL_SECONDS = 60.0
"""A step that takes longer counts as stuck."""


class Generation:
    """The sequences of one request, as the event loop sees them.

    Args:
        sequences: Answers, prompt by prompt.
    """

    def __init__(self, sequences: list[Sequence]):
        self.sequences = sequences
        self.has_news = asyncio.Event()

    @property
    def is_finished(self) -> bool:
        """Whether all answers are complete."""
        return all(sequence.is_finished for sequence in self.sequences)

    @property
    def completion_tokens(self) -> int:
        """Tokens generated so far, in all answers."""
        return sum(sequence.num_generated for sequence in self.sequences)

    @property
    def error(self) -> BaseException | None:
        """What went wrong in one of the answers."""
        return next((sequence.error for sequence in self.sequences if sequence.error is not None), None)

    def abort(self) -> None:
        """Ask the engine to drop what is unfinished; harmless if nothing is."""
        for sequence in self.sequences:
            sequence.is_aborted = True


class EngineWorker:
    """Runs `Engine.step` as long as there is work.

    Args:
        engine: Used by no one else from `start` on.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.failure: BaseException | None = None
        self._inbox: queue.SimpleQueue[Sequence | None] = queue.SimpleQueue()
        self._generations: dict[Sequence, Generation] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False
        self._is_over = False
        self._last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="slm-engine", daemon=True)

    def start(self) -> None:
        """Start the thread; to be called on the event loop that asks for generations."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step; what is unfinished is dropped."""
        self._is_stopping = True
        self._inbox.put(None)
        self._thread.join(timeout=STALL_SECONDS)

    @property
    def health(self) -> str:
        """`ok`, `stalled` if a step takes too long, or `dead`."""
        if self._is_over or not self._thread.is_alive():
            return "dead"
        return "ok" if time.monotonic() - self._last_beat < STALL_SECONDS else "stalled"

    def submit(self, generation: Generation) -> None:
        """Queue all sequences of a request.

        Raises:
            InternalError: The thread has died.
        """
        if self.health == "dead":
            raise InternalError("the engine has stopped")
        for sequence in generation.sequences:
            self._generations[sequence] = generation
            self._inbox.put(sequence)
        if self._is_over:  # it ended just now, and may have emptied the inbox for the last time before
            raise InternalError("the engine has stopped")

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._last_beat = time.monotonic()
                self._receive()
                if self.engine.has_work:
                    self._tell(self.engine.step())
        except BaseException as error:
            # The engine survives errors of requests, so this one is a bug or the interpreter's end.
            _logger.critical("the engine has died", exc_info=error)
            self.failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._end_all()

    def _receive(self) -> None:
        """Give what has arrived to the engine; wait for something only if there is nothing to do."""
        try:
            arrived = self._inbox.get(block=not self.engine.has_work, timeout=IDLE_BEAT_SECONDS)
            while True:
                if arrived is not None:
                    self.engine.add(arrived)
                arrived = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _end_all(self) -> None:
        self._is_over = True
        left = self.engine.scheduler.sequences()
        while True:
            try:
                arrived = self._inbox.get_nowait()
            except queue.Empty:
                break
            if arrived is not None:
                left.append(arrived)
        unfinished = [sequence for sequence in left if not sequence.is_finished]
        for sequence in unfinished:
            sequence.fail(InternalError("the engine has stopped"))
        self._tell(unfinished)

    def _tell(self, sequences: list[Sequence]) -> None:
        if sequences and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, sequences)

    def _wake(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            generation = self._generations.get(sequence)
            if generation is not None:
                if sequence.is_finished:
                    del self._generations[sequence]
                generation.has_news.set()
