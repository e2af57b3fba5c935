"""Rows of several shard directories in fixed proportions, exact over every stretch of the order.

Drawing the source of each row at random is right only on average: of a source with a share of 1 %, a hundred rows hold
none one time in three. Here the sources follow a schedule of at most 65,536 rows that repeats for ever. In it each
source comes as evenly as whole rows allow, so among any W consecutive rows, wherever they begin, a source with share s
has W*s rows, give or take less than 2. Position i is looked up without those before it: a run that goes on, a rank or a
worker begins anywhere.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slm.data.dataset import TokenDataset
from slm.errors import ConfigError, DataError, TokenizerError

MAX_PERIOD = 1 << 16
"""Rows after which a schedule repeats, at most; shares are multiples of one over the period."""

MAX_SOURCES = 1024
"""Shard directories in a mixture."""


class Schedule:
    """Which source each row comes from: a period of rows that repeats for ever.

    Args:
        counts: Rows of each source in a period, all above 0.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.counts = tuple(counts)
        self.period = sum(counts)
        self._sources = _even_sequence(self.counts)
        order = np.argsort(self._sources, kind="stable")
        starts = np.cumsum([0, *counts])
        # Where the rows of each source are in a period, and for each row how many of its source come before it.
        self._places = [order[start:stop] for start, stop in pairwise(starts)]
        self._ranks = np.empty(self.period, dtype=np.int64)
        for places in self._places:
            self._ranks[places] = np.arange(len(places))
        self._counts = np.array(counts, dtype=np.int64)

    def locate(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the source of rows, and their places among all rows of that source.

        Args:
            positions: Positions in the endless order.

        Returns:
            Two arrays of their shape. With counts (2, 1) the order is 0 1 0, 0 1 0, ..., and position 5 is row 3 of
            source 0: two in the period before, and one before it in its own.
        """
        periods, in_period = np.divmod(positions, self.period)
        sources = self._sources[in_period]
        return sources, periods * self._counts[sources] + self._ranks[in_period]

    def rows_before(self, position: int) -> list[int]:
        """Count the rows of each source before a position."""
        periods, in_period = divmod(position, self.period)
        return [
            periods * count + int(np.searchsorted(places, in_period))
            for count, places in zip(self.counts, self._places, strict=True)
        ]


class Mixture:
    """Several splits that one tokenizer wrote, to be read in proportions.

    Args:
        datasets: The splits.
        weights: What share of the rows each is to have, relative to their sum. None: as many as it has tokens, so that
            all end their epochs at about the same time. Shares are exact where they have a common denominator up to
            65,536, and otherwise rounded to 1/65,536, never to 0.

    Raises:
        ConfigError: A weight is not above 0, or there are not as many as datasets, or there are too many datasets.
        TokenizerError: The datasets are of different tokenizers.

    Example:
        >>> mixture = Mixture([TokenDataset("books"), TokenDataset("code")], [0.7, 0.3])  # doctest: +SKIP
        >>> mixture.schedule.counts  # doctest: +SKIP
        (7, 3)
    """

    def __init__(self, datasets: Sequence[TokenDataset], weights: Sequence[float] | None = None) -> None:
        if not 1 <= len(datasets) <= MAX_SOURCES:
            raise ConfigError(f"a mixture is of 1 to {MAX_SOURCES} shard directories, not {len(datasets)}")
        first = datasets[0]
        for dataset in datasets[1:]:
            if dataset.tokenizer_fingerprint != first.tokenizer_fingerprint:
                raise TokenizerError(
                    f"`{first.shards_dir}` was made with tokenizer {first.tokenizer_fingerprint}, "
                    f"`{dataset.shards_dir}` with {dataset.tokenizer_fingerprint}\n\n"
                    "hint: rebuild one of them with the tokenizer of the other"
                )
            if (dataset.vocab_size, dataset.end_of_text_id) != (first.vocab_size, first.end_of_text_id):
                raise DataError(
                    f"`{first.shards_dir}` and `{dataset.shards_dir}` name the same tokenizer, and say that it has "
                    f"{first.vocab_size} and {dataset.vocab_size} tokens, end-of-text {first.end_of_text_id} and "
                    f"{dataset.end_of_text_id}"
                )
        self.datasets = tuple(datasets)
        self.weights = tuple(weights) if weights is not None else tuple(dataset.num_tokens for dataset in datasets)
        self.schedule = Schedule(_counts_of(self.weights, len(datasets)))

    @property
    def vocab_size(self) -> int:
        """Number of ids of the tokenizer that wrote the shards."""
        return self.datasets[0].vocab_size

    @property
    def num_tokens(self) -> int:
        """Tokens of all sources."""
        return sum(dataset.num_tokens for dataset in self.datasets)

    @property
    def shares(self) -> tuple[float, ...]:
        """What share of the rows each source has."""
        return tuple(count / self.schedule.period for count in self.schedule.counts)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the tokens and the proportions: that of the dataset where there is one only."""
        if len(self.datasets) == 1:
            return self.datasets[0].fingerprint
        parts = [
            f"{dataset.fingerprint}:{count}" for dataset, count in zip(self.datasets, self.schedule.counts, strict=True)
        ]
        return sha256("\n".join(["mixture", *parts]).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """The directories, for messages."""
        return ", ".join(f"`{dataset.shards_dir}`" for dataset in self.datasets)


@dataclass(frozen=True)
class SourceShare:
    """What one source of a mixture has given so far.

    Attributes:
        shards_dir: The shard directory.
        share: Share of the rows that it is to have, from 0 to 1.
        rows: Rows that it has given.
        tokens: Tokens in them. With `packing="best_fit"`, where each row has its own padding, those of whole epochs are
            exact, and of the epoch under way it is the mean.
        epochs: Passes over it; 1.5 is in the middle of the second.
    """

    shards_dir: str
    share: float
    rows: int
    tokens: int
    epochs: float


def _counts_of(weights: Sequence[float], num_datasets: int) -> list[int]:
    """Bring weights to whole rows of a period: 0.7 and 0.3 to 7 and 3."""
    if len(weights) != num_datasets:
        raise ConfigError(f"there are {len(weights)} weights for {num_datasets} shard directories")
    for weight in weights:
        if not (weight > 0 and math.isfinite(weight)):
            raise ConfigError(f"the weight of a shard directory is a number above 0, not {weight}")
    # By its decimal digits, 0.1 is a tenth; by its bits it is 3602879701896397 / 2**55.
    exact = [Fraction(str(weight)) for weight in weights]
    total = sum(exact)
    shares = [weight / total for weight in exact]
    period = math.lcm(*(share.denominator for share in shares))
    if period <= MAX_PERIOD:
        return [int(share * period) for share in shares]
    counts = [max(1, int(share * MAX_PERIOD)) for share in shares]
    # The rows that rounding down has left go to those that lost the most; those that "at least 1" took, to the others.
    by_loss = sorted(range(len(counts)), key=lambda source: (counts[source] - shares[source] * MAX_PERIOD, source))
    left = MAX_PERIOD - sum(counts)
    for source in by_loss[: max(left, 0)]:
        counts[source] += 1
    while sum(counts) > MAX_PERIOD:
        counts[counts.index(max(counts))] -= 1
    return counts


def _even_sequence(counts: Sequence[int]) -> NDArray[np.int64]:
    """Order the rows of a period so that before each place every source is less than 1 row from its share.

    Row j of a source with n of P rows may come from place floor(j*P/n) on and has to be there before place
    ceil((j+1)*P/n): inside these windows a source is never a whole row early or late. That there is an order with all
    rows inside theirs is the theorem of Tijdeman; taking the row whose window closes first finds it, as for any jobs of
    equal length. At the end of a period all shares are met exactly, so repeating it changes nothing.

    Source:
        Tijdeman 1980, The chairman assignment problem. Baruah et al. 1996, Proportionate progress (the windows).
    """
    period = sum(counts)
    sequence = np.empty(period, dtype=np.int64)
    next_rows = [0] * len(counts)
    opening = [(0, source) for source in range(len(counts))]
    closing: list[tuple[int, int]] = []
    for place in range(period):
        while opening and opening[0][0] <= place:
            _, source = heapq.heappop(opening)
            heapq.heappush(closing, (-(-(next_rows[source] + 1) * period // counts[source]), source))
        _, source = heapq.heappop(closing)
        sequence[place] = source
        next_rows[source] += 1
        if next_rows[source] < counts[source]:
            heapq.heappush(opening, (next_rows[source] * period // counts[source], source))
    return sequence
