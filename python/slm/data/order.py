"""The order of training rows: a permutation that is computed, never stored.

Shuffling a list of row numbers costs memory that grows with the corpus, and a shuffle buffer cannot be resumed exactly.
A keyed bijection of [0, size) gives the row at any position by itself, so the order is a pure function of (seed, epoch,
index): nothing to save, nothing that depends on batch size or on how many readers share the work.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slm import _core

_WORD: Final = (1 << 64) - 1


class Permutation:
    """A pseudo-random bijection of [0, size), the same on every machine.

    A Feistel network permutes the smallest power of two that holds `size`; an image outside [0, size) is mapped again
    until it falls inside (cycle walking), which takes fewer than two tries on average. Memory is constant, and an index
    costs about 0.05 microseconds.

    Args:
        size: Number of indices, 1 to 2^63.
        seed: Any integer; different seeds give unrelated orders.
        epoch: Which pass over the indices; each has an order of its own.

    Raises:
        ValueError: `size` is out of range.

    Source:
        Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains (cycle walking). The round function is the
        finalizer of SplitMix64: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators.

    Example:
        >>> sorted(Permutation(5, seed=1, epoch=0)(range(5)).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, seed: int, epoch: int) -> None:
        if not 1 <= size <= 1 << 63:
            raise ValueError(f"the size of a permutation is 1 to 2^63, not {size}")
        self.size = size
        self.seed = seed & _WORD
        self.epoch = epoch & _WORD

    def __call__(self, index: ArrayLike) -> NDArray[np.int64]:
        """Map indices to their places.

        Args:
            index: Integers in [0, size), of any shape.

        Returns:
            Their images, int64, of the same shape.

        Raises:
            IndexError: An index is outside [0, size).
        """
        indices = np.asarray(index, dtype=np.int64)
        images = _core.permute(indices.reshape(-1), size=self.size, seed=self.seed, epoch=self.epoch)
        return images.reshape(indices.shape)
