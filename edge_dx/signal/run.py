"""What passes from stage to stage: consecutive rows of several streams, and who begins anew where.

Inside the path the time axis is the last one, (streams, leads, rows). Every stage computes each
column from that column alone and each row in one fixed order of operations, so the bits depend
neither on how the rows were cut nor on how many streams go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from edge_dx.signal.events import Array
from edge_dx.signal.state import Arrays
from edge_dx.signal.timing import Timing


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive rows.

    Attributes:
        first: (streams,) number of the first row, on the grid of the stage that gave it. All
            streams stand at the same place of the resampler's round.
        values: (streams, leads, rows) float64, always finite.
        flags: likewise, uint8.
        anew: likewise, bool: from this row on the lead knows nothing of what was before it.
    """

    first: Array
    values: Array
    flags: Array
    anew: Array

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.values.shape[-1])


class Stage(Protocol):
    """One compiled step."""

    @property
    def timings(self) -> tuple[Timing, ...]:
        """What its steps publish, in order."""

    def start(self, leads: int) -> Arrays:
        """Its arrays for one stream, all zeros."""

    def step(self, state: Arrays, run: Run) -> tuple[Arrays, Run]:
        """New arrays and rows; `state` has the streams as first axis and is not written to."""


def pieces(anew: Array) -> Iterator[tuple[int, int, Array]]:
    """(from, to, mask) of the rows between beginnings; mask (streams, leads): who begins at `from`.

    The first piece starts at row 0, with a mask that may be all false.
    """
    rows = anew.shape[-1]
    starts = np.flatnonzero(anew.any(axis=(0, 1)))
    bounds = [0, *(int(row) for row in starts if row > 0), rows]
    for begin, end in pairwise(bounds):
        yield begin, end, anew[..., begin]
