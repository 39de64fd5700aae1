"""A signal drawn with characters: dots of Braille, or stars where the terminal has none."""

from __future__ import annotations

import numpy as np

from edge_dx.tensors import Array

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of U+2800 by row and column of the eight dots."""
_LEAST_MV = 0.5
"""Height of the picture at least, so that a quiet line looks quiet."""


def drawn(mv: Array, wide: int, high: int, *, braille: bool) -> list[str]:
    """A picture of `high` lines of `wide` characters.

    Args:
        mv: (n,) millivolts, NaN where there is none: nothing is drawn there.
        wide: characters.
        high: lines.
        braille: the terminal can show U+2800 to U+28FF.
    """
    across, down = (2, 4) if braille else (1, 1)
    columns, rows = wide * across, high * down
    dots = np.zeros((rows, columns), np.bool_)
    known = mv[np.isfinite(mv)]
    if len(known) and columns > 1:
        low, high_mv = float(known.min()), float(known.max())
        middle, half = (low + high_mv) / 2, max(high_mv - low, _LEAST_MV) / 2
        level = (middle + half - mv) / (2 * half) * (rows - 1)
        _fill(dots, level)
    if not braille:
        return ["".join("*" if dot else " " for dot in row) for row in dots]
    cells = np.zeros((high, wide), np.int64)
    for row, bits in enumerate(_DOTS):
        for column, bit in enumerate(bits):
            cells |= np.where(dots[row::4, column::2], bit, 0)
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in cells.tolist()]


def _fill(dots: Array, level: Array) -> None:
    """Dots from the lowest to the highest value of each column, joined with the one before."""
    columns = dots.shape[1]
    edges = np.linspace(0, len(level), columns + 1).astype(int)
    before: tuple[int, int] | None = None
    for column in range(columns):
        part = level[edges[column] : max(edges[column + 1], edges[column] + 1)]
        part = part[np.isfinite(part)]
        if not len(part):
            before = None
            continue
        top, bottom = round(float(part.min())), round(float(part.max()))
        own = top, bottom
        if before is not None:  # no hole between neighbours
            top, bottom = min(top, before[1] + 1), max(bottom, before[0] - 1)
        dots[max(top, 0) : bottom + 1, column] = True
        before = own
