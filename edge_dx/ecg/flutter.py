"""Ventricular flutter and fibrillation, seen in the signal itself: the leakage of a narrow filter.

A signal that goes up and down evenly all but vanishes when it is added to itself half a period
later; one with QRS complexes does not (Kuo and Dillman 1978, Computers in Cardiology, 347; the
form and window of Amann, Tratnig and Unterkofler 2005, Biomed. Eng. Online 4, 60). With x around
its mean, N = π Σ|x| / Σ|Δx| is half the mean period, and

    leakage = Σ |x(i) + x(i - N)| / Σ (|x(i)| + |x(i - N)|)

Over the last 4 s, once a second. The limits were chosen on DS1 of the MIT-BIH database, where one
patient alone has ventricular flutter: what it does on others, and on fine fibrillation, is not
known.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.events import Change

Array = NDArray[Any]
Arrays = dict[str, Array]

RATE_HZ = 250
EVERY = 2
SIZE = 4 * RATE_HZ // EVERY
BEGINS, ENDS = 0.55, 0.65
"""Leakage below which it may begin, and above which it may end; two seconds in a row."""
SHORTEST, LONGEST = 6, 30
"""Half a period in samples of the window: 48 to 240 ms, 125 to 625 per minute."""
LEAST_MV = 0.15
"""Largest deflection of the window; less is no coarse fibrillation, and may be anything."""
_AGREE = 2


class Wave(NamedTuple):
    """Flutter begins or ends.

    Attributes:
        row: where; of a beginning, the window's own.
        change: which of the two.
        per_min: rate of the wave at that time.
    """

    row: int
    change: Change
    per_min: float


class Flutter:
    """Follows one lead of one stream."""

    def start(self) -> Arrays:
        """No row has come."""
        return {
            "ring": np.zeros(SIZE, np.float32),
            # samples in the ring, rows since the last look, looks in a row that disagree, the row
            # at which it ended last
            "counts": np.array([0, 0, 0, -1], np.int64),
            "within": np.array(False),
        }

    def step(self, state: Arrays, rows: Array, last_row: int) -> tuple[Arrays, list[Wave]]:
        """Takes the rows of a hop of at most a second.

        Args:
            state: of the lead.
            rows: (n,) millivolts.
            last_row: number of the last of them.
        """
        # Rows are taken by their number, so that the cutting does not matter.
        first = last_row + 1 - len(rows)
        taken = rows[first % EVERY :: EVERY]
        ring = np.empty(SIZE, np.float32)
        ring[: SIZE - len(taken)] = state["ring"][len(taken) :]
        ring[SIZE - len(taken) :] = taken
        filled, since, against, ended = state["counts"].tolist()
        filled, since = min(filled + len(taken), SIZE), since + len(rows)
        within = bool(state["within"])
        told: list[Wave] = []
        if since >= RATE_HZ:
            since -= RATE_HZ
            if filled == SIZE:
                leaks, half = leakage(ring)
                even = SHORTEST <= half <= LONGEST and float(np.abs(ring).max()) >= LEAST_MV
                turns = leaks > ENDS or not even if within else leaks < BEGINS and even
                against = against + 1 if turns else 0
                if against >= _AGREE:
                    within, against = not within, 0
                    per_min = 60 * RATE_HZ / EVERY / (2 * max(half, 1))
                    if within:
                        began = max(last_row - 5 * RATE_HZ + 1, ended)
                        told.append(Wave(began, "begins", per_min))
                    else:
                        ended = last_row - RATE_HZ
                        told.append(Wave(ended, "ends", per_min))
        counts = np.array([filled, since, against, ended], np.int64)
        return {"ring": ring, "counts": counts, "within": np.array(within)}, told

    def broken(self, state: Arrays, row: int) -> tuple[Arrays, list[Wave]]:
        """The lead is no longer judged: what runs ends, for nothing is known behind."""
        told = [Wave(row, "ends", 0.0)] if state["within"] else []
        return self.start(), told


def leakage(window: Array) -> tuple[float, int]:
    """(leakage, half the mean period in samples) of a window; (1, 0) of one that does not move."""
    x = window - window.mean(dtype=np.float64)
    steps = float(np.abs(np.diff(x)).sum())
    if steps <= 0:
        return 1.0, 0
    half = math.floor(math.pi * float(np.abs(x).sum()) / steps + 0.5)
    if not 1 <= half < len(x) // 2:
        return 1.0, half
    now, before = x[half:], x[:-half]
    size = float((np.abs(now) + np.abs(before)).sum())
    return (float(np.abs(now + before).sum()) / size if size > 0 else 1.0), half
