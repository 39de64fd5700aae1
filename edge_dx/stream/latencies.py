"""Percentiles of any number of durations in a few kilobytes, to within one in a hundred."""

from __future__ import annotations

import math

import numpy as np

_LOW_MS = 0.01
_STEP = 1.01
"""Each bin is one hundredth wider than the one before it."""
_BINS = math.ceil(math.log(1e9) / math.log(_STEP))  # up to almost three hours


class Latencies:
    """A histogram with logarithmic bins; a stream may run for days."""

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS + 1, np.int64)
        self.count = 0
        self.worst_ms = 0.0

    def add(self, duration_ms: float) -> None:
        """Counts one."""
        place = math.log(max(duration_ms, _LOW_MS) / _LOW_MS) / math.log(_STEP)
        self._bins[min(_BINS, math.ceil(place))] += 1
        self.count += 1
        self.worst_ms = max(self.worst_ms, duration_ms)

    def percentile(self, percent: float) -> float | None:
        """The duration in ms that this share did not exceed; None where nothing was counted.

        It is the upper end of its bin, so never too small, and never above the worst.
        """
        if not self.count:
            return None
        rank = max(1, math.ceil(percent / 100 * self.count))
        place = int(np.searchsorted(np.cumsum(self._bins), rank))
        return min(_LOW_MS * _STEP**place, self.worst_ms)

    def to_dict(self) -> dict[str, float | None]:
        """p50, p90, p99 and the worst, in ms, for JSON."""
        told = {f"p{p}_ms": self.percentile(p) for p in (50, 90, 99)}
        told["worst_ms"] = self.worst_ms if self.count else None
        return {name: None if ms is None else round(ms, 3) for name, ms in told.items()}
