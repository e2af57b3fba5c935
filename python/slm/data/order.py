"""The order of training rows: a permutation that is computed, never stored.

Shuffling a list of row numbers costs memory that grows with the corpus, and a shuffle buffer cannot be resumed exactly.
A keyed bijection of [0, size) gives the row at any position by itself, so the order is a pure function of (seed, epoch,
index): nothing to save, nothing that depends on batch size or on how many readers share the work.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NUM_ROUNDS: Final = 8
_WORD: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15


class Permutation:
    """A pseudo-random bijection of [0, size), the same on every machine.

    A Feistel network permutes the smallest power of two that holds `size`; an image outside [0, size) is mapped again
    until it falls inside (cycle walking), which takes fewer than two tries on average. The halves of the network differ
    by a bit where the width is odd. Memory is constant, and an index costs about 0.1 microseconds in large arrays.

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
        bits = (size - 1).bit_length()
        self._low_bits = np.uint64(bits - bits // 2)
        self._low_mask = np.uint64((1 << (bits - bits // 2)) - 1)
        self._high_mask = np.uint64((1 << (bits // 2)) - 1)
        key = _mix_int(_mix_int(seed & _WORD) ^ _mix_int((epoch + 1) * _GOLDEN & _WORD))
        self._keys = [np.uint64(_mix_int((key + r * _GOLDEN) & _WORD)) for r in range(_NUM_ROUNDS)]

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
        if indices.size and (indices.min() < 0 or indices.max() >= self.size):
            raise IndexError(f"an index into a permutation of {self.size} is outside [0, {self.size})")
        images = self._encrypt(indices.reshape(-1).astype(np.uint64))
        outside = np.flatnonzero(images >= self.size)
        while outside.size:
            images[outside] = self._encrypt(images[outside])
            outside = outside[images[outside] >= self.size]
        return images.astype(np.int64).reshape(indices.shape)

    def _encrypt(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Permute the power of two; a round changes one half by a keyed function of the other, so it can be undone."""
        high, low = values >> self._low_bits, values & self._low_mask
        for r in range(0, _NUM_ROUNDS, 2):
            high = high ^ (_mix(low ^ self._keys[r]) & self._high_mask)
            low = low ^ (_mix(high ^ self._keys[r + 1]) & self._low_mask)
        return (high << self._low_bits) | low


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finalize as SplitMix64 does: every input bit changes about half of the output bits. Arithmetic is modulo 2^64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return x ^ (x >> np.uint64(31))


def _mix_int(x: int) -> int:
    """Do the same for one Python integer."""
    x = (x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9 & _WORD
    x = (x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB & _WORD
    return x ^ (x >> 31)
