"""Notices that a stream goes on and its picture does not.

A grabber whose signal froze, and a machine that was set to "freeze", deliver the same picture over
and over, on time. A living picture from a sensor is never the same twice, so pictures that are
equal to the last bit are counted as one, and how long it stands is told with each frame.
"""

from __future__ import annotations

import numpy as np

from edge_dx.image import Pixels


class Stillness:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self._picture: Pixels | None = None
        self._since_s: float | None = None

    def of(self, pixels: Pixels, at_s: float | None) -> float:
        """For how long the picture has been exactly this one, in seconds.

        Args:
            pixels: the frame.
            at_s: when it was seen, on one clock for all frames; None where nothing says it, and
                then the frame adds no time.
        """
        same = self._picture is not None and np.array_equal(self._picture, pixels)
        self._picture = pixels
        if not same:
            self._since_s = at_s
            return 0.0
        if at_s is None:
            return 0.0
        if self._since_s is None:
            self._since_s = at_s
        return max(0.0, at_s - self._since_s)
