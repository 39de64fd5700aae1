"""Ventricular beats lent by one patient to another.

What makes a beat ventricular is that it is unlike the patient's own; so other patients' beats,
turned, stretched and scaled, stand in for many more patients than there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DONOR_ROWS, DONOR_PEAK = 130, 40
"""Of a donor's beat: 160 ms before R to 360 ms after."""


def transplanted(
    random: np.random.Generator,
    rows: NDArray[np.float32],
    beats: NDArray[np.int64],
    foreign: NDArray[np.bool_],
    donors: list[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Rows with a donor's beat in place of each foreign one.

    Args:
        random: generator.
        rows: (n, leads).
        beats: rows of the R peaks.
        foreign: which are replaced.
        donors: of each lead (k, DONOR_ROWS) beats of one patient, R peak at DONOR_PEAK, in shares
            of the height of his own QRS.
    """
    found = rows.copy()
    axis = np.arange(DONOR_ROWS) - DONOR_PEAK
    soft = np.clip((axis + 30) / 10, 0, 1) * np.clip((DONOR_ROWS - DONOR_PEAK - axis) / 25, 0, 1)
    soft = np.where(axis < -30, 0, soft)
    size = np.percentile(np.abs(rows), 99, axis=0)
    places = np.flatnonzero(foreign)
    number = len(donors[0])
    focus = int(random.integers(number))
    gain, turn, width = 1.0, 1.0, 1.0
    for count, place in enumerate(places):
        if count % 40 == 0 or random.random() < 0.02:  # another focus
            focus = int(random.integers(number))
            gain = 10 ** random.uniform(-0.15, 0.25)
            turn = random.choice([-1.0, 1.0])
            width = random.uniform(0.85, 1.2)
        own = min(max(focus + int(random.integers(-3, 4)), 0), number - 1)
        first = int(beats[place]) - DONOR_PEAK
        if first < 0 or first + DONOR_ROWS > len(rows):
            continue
        part = slice(first, first + DONOR_ROWS)
        for lead, each in enumerate(donors):
            shape = np.interp(axis / width, axis, each[own]) * gain * turn * size[lead]
            rest = np.interp(axis, [axis[0], axis[-1]],
                             [rows[first, lead], rows[first + DONOR_ROWS - 1, lead]])  # fmt: skip
            found[part, lead] = (1 - soft) * found[part, lead] + soft * (shape + rest)
    return found
