"""Says no while it is still cheap: a bounded number of answers may be running or waiting."""

import math
import time
from collections.abc import Generator
from contextlib import contextmanager

from slm.server.schemas import ApiError

_MAX_RETRY_SECONDS = 60


class Admission:
    """Counts answers from admission to their end; used from the event loop alone.

    Args:
        max_batch: Answers that are generated together.
        max_queue: Answers that may wait for that.
    """

    def __init__(self, max_batch: int, max_queue: int):
        self.capacity = max_batch + max_queue
        self.num_admitted = 0
        self.num_refused = 0
        self._max_batch = max_batch
        self._mean_seconds = 1.0

    @contextmanager
    def admit(self, num_answers: int) -> Generator[None, None, None]:
        """Hold places for the answers of one request while the block runs.

        Raises:
            ApiError: The request alone is too large (400), or there is no room (429, with `Retry-After`).
        """
        if num_answers > self.capacity:
            raise ApiError(
                400, f"the request asks for {num_answers} answers, at most {self.capacity} fit in the queue", param="n"
            )
        if self.num_admitted + num_answers > self.capacity:
            self.num_refused += 1
            rounds = (self.num_admitted + num_answers - self.capacity) / self._max_batch
            seconds = min(_MAX_RETRY_SECONDS, max(1, math.ceil(rounds * self._mean_seconds)))
            raise ApiError(
                429,
                f"the server is busy with {self.num_admitted} answers of at most {self.capacity}; "
                f"try again in {seconds} s",
                kind="rate_limit_error",
                code="queue_full",
                headers={"Retry-After": str(seconds)},
            )
        self.num_admitted += num_answers
        started = time.monotonic()
        try:
            yield
        finally:
            self.num_admitted -= num_answers
            # A moving mean over about ten requests; it only has to be of the right size.
            self._mean_seconds += 0.1 * (time.monotonic() - started - self._mean_seconds)
