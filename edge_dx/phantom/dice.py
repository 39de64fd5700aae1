"""Chance that stays the same: numbers from a seed, on every machine and with every numpy.

Only `PCG64(...).random_raw` is relied on. NumPy keeps the stream of a bit generator fixed (NEP 19),
and does not promise that for the methods of `Generator`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Dice:
    """Draws from the stream that belongs to a seed and a purpose.

    Args:
        key: integers of 0 and more; another purpose has another key, so that what is drawn for
            one never shifts what is drawn for the next.
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * float(self._unit(1)[0])

    def spread(self, count: int) -> NDArray[np.float64]:
        """`(count,)` numbers in [-1, 1)."""
        return self._unit(count) * 2 - 1

    def grain(self, shape: tuple[int, int]) -> NDArray[Any]:
        """float32 noise of mean 0 and variance 1, near normal: the sum of four bytes."""
        count = shape[0] * shape[1]
        raw = self._bits.random_raw((count + 1) // 2).astype("<u8").view(np.uint8)
        total = raw[: 4 * count].reshape(count, 4).sum(axis=1, dtype=np.uint16)
        # Four uniform bytes: mean 510, variance 4 · (256² - 1) / 12.
        noise: NDArray[Any] = total.astype(np.float32).reshape(shape)
        return (noise - np.float32(510)) * np.float32(1 / 147.8)

    def _unit(self, count: int) -> NDArray[np.float64]:
        raw: NDArray[np.uint64] = self._bits.random_raw(count)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
