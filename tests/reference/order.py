"""The order of rows once more, in NumPy: the twin of what the core computes."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NUM_ROUNDS: Final = 8
_WORD: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15


class NaivePermutation:
    """A Feistel network on the smallest power of two that holds `size`, with cycle walking."""

    def __init__(self, size: int, seed: int, epoch: int) -> None:
        self.size = size
        bits = (size - 1).bit_length()
        self._low_bits = np.uint64(bits - bits // 2)
        self._low_mask = np.uint64((1 << (bits - bits // 2)) - 1)
        self._high_mask = np.uint64((1 << (bits // 2)) - 1)
        key = _mix_int(_mix_int(seed & _WORD) ^ _mix_int((epoch + 1) * _GOLDEN & _WORD))
        self._keys = [np.uint64(_mix_int((key + r * _GOLDEN) & _WORD)) for r in range(_NUM_ROUNDS)]

    def __call__(self, index: ArrayLike) -> NDArray[np.int64]:
        indices = np.asarray(index, dtype=np.int64)
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
