"""The last samples of a recording, so that a strip can show what was before its event."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from edge_dx.signal import Samples
from edge_dx.tensors import Array

HELD_S = 120
"""An episode of atrial fibrillation is known many beats after its first one."""
DRAWN_LEADS = 3
"""More leads are judged as well, but these fit a strip."""


class Ring:
    """A ring buffer on the device's index.

    Attributes:
        first: index of the first sample ever, -1 before it.
        following: index after the newest sample.
        samples: how many came.
    """

    def __init__(self, rate_hz: Fraction, leads: int) -> None:
        self._held = np.full(
            (math.ceil(HELD_S * rate_hz), min(leads, DRAWN_LEADS)), np.nan, np.float32
        )
        self.first, self.following, self.samples = -1, 0, 0

    def write(self, samples: Samples, start: int | None) -> None:
        """Takes samples that follow, or lie beyond a gap; what is older than the newest is left."""
        mv = np.asarray(samples.mv)
        if not len(mv):
            return
        told = samples.start if samples.start is not None else start
        at = self.following if told is None else told
        if self.first < 0:
            self.first = self.following = at
        mv = mv[max(self.following - at, 0) :]
        at = max(at, self.following)
        self.samples += len(mv)
        size = len(self._held)
        gap = min(at - self.following, size)
        self._held[np.arange(at - gap, at) % size] = np.nan
        part = mv[-size:, : self._held.shape[1]]
        end = at + len(mv)
        self._held[np.arange(end - len(part), end) % size] = part
        self.following = end

    def read(self, begin: int, end: int) -> Array:
        """(end - begin, leads) millivolts, NaN where nothing came or it is no longer held."""
        found = np.full((end - begin, self._held.shape[1]), np.nan, np.float32)
        size = len(self._held)
        low = max(begin, self.following - size, self.first, 0)
        high = min(end, self.following)
        if low < high:
            found[low - begin : high - begin] = self._held[np.arange(low, high) % size]
        return found

    def holds(self, sample: int) -> bool:
        """Whether a sample of this index can still be read."""
        return max(self.following - len(self._held), self.first) <= sample < self.following
