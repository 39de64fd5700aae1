"""From what arrived to consecutive samples: the device's own index says what never came.

A few lost samples (up to 40 ms) are put back as missing ones, which the next room holds and marks.
After more of them nothing that was before may touch what follows: all filters begin anew, and no
RR interval is measured across (docs/signal-path.md). Samples are never joined across a loss as if
nothing had happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_dx.errors import OutOfOrder, TensorMismatch
from edge_dx.signal.events import Array, Gap, Samples

MAX_INDEX = 2**53
"""Larger device indices are damage: a recorder at 1000 Hz needs 285,000 years to get there."""


@dataclass(frozen=True, eq=False)
class Arrival:
    """Consecutive samples of one stream, checked.

    Attributes:
        first: device index of the first row.
        mv: (leads, rows) float64.
        lead_off: likewise bool, or None. Of rows that were lost it says nothing.
        lost: how many rows at the front never came; they hold NaN.
        jump: nothing in front of it is known, or too far away.
        gap: what to say about it.
    """

    first: int
    mv: Array
    lead_off: Array | None
    lost: int
    jump: bool
    gap: Gap | None


def arrival(samples: Samples | Array, expected: int, leads: int, conceal: int) -> Arrival | None:
    """Checks what arrived against the index expected (-1: nothing came before).

    Args:
        samples: an array (n, leads) follows what came before, without a word on electrodes.
        expected: the device index that follows the last sample.
        leads: of the path.
        conceal: how many lost samples are put back.

    Returns:
        None where no sample is in it.

    Raises:
        TensorMismatch: not (n, leads) numbers, or an index that no device has.
        OutOfOrder: the index has passed already.
    """
    told = samples if isinstance(samples, Samples) else Samples(samples)
    mv = _numbers(told.mv, leads)
    off = None if told.lead_off is None else np.asarray(told.lead_off)
    if off is not None and (off.shape != mv.shape or off.dtype != np.bool_):
        raise TensorMismatch(f"lead_off must be bool{mv.shape}, not {off.dtype}{off.shape}")
    if not len(mv):
        return None
    start = max(expected, 0) if told.start is None else int(told.start)
    if not 0 <= start <= MAX_INDEX - len(mv):
        raise TensorMismatch(f"a sample index lies between 0 and 2**53, not at {start}")
    if start < expected:
        raise OutOfOrder(
            f"samples from index {start} on came after those up to {expected - 1}; drop what has "
            "been seen, or start a new state where the device was restarted"
        )
    missing = start - expected if expected >= 0 else 0
    put_back = missing if missing <= conceal else 0
    gap = Gap(expected, start, missing, put_back > 0) if missing else None
    if put_back:
        mv = np.concatenate([np.full((put_back, leads), np.nan), mv])
        if off is not None:
            off = np.concatenate([np.zeros((put_back, leads), np.bool_), off])
    return Arrival(
        first=start - put_back,
        mv=np.ascontiguousarray(mv.T),
        lead_off=None if off is None else np.ascontiguousarray(off.T),
        lost=put_back,
        jump=expected < 0 or missing > put_back,
        gap=gap,
    )


def _numbers(values: Array, leads: int) -> Array:
    found = np.asarray(values)
    if found.ndim != 2 or found.shape[1] != leads:
        raise TensorMismatch(f"samples are (n, {leads} leads), not {found.shape}")
    if found.dtype.kind not in "iuf":
        raise TensorMismatch(f"samples are numbers in millivolts, not {found.dtype}")
    return found.astype(np.float64)
