"""Sheets of ECG, drawn from records: paper with a grid, or a monitor's dark screen.

A sheet of a record is what a file picker offers next to a film. The signal is read from the WFDB
format 212 that the MIT-BIH records come in (two channels of 12 bits in three bytes; PhysioNet,
https://physionet.org/physiotools/wag/signal-5.htm).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Sheet = NDArray[np.uint8]
_RATE_HZ = 360
_SIDE_PX = 512


def sheet(record: Path, dice: np.random.Generator) -> Sheet:
    """A picture `(H, W)` uint8 of some seconds of a record, in four rows.

    Args:
        record: its `.dat` file.
        dice: draws the place in the record, the colours and the amplitude.

    Raises:
        OSError: it cannot be read.
    """
    import cv2

    seconds = float(dice.uniform(2, 6))
    samples = int(seconds * _RATE_HZ)
    raw = np.frombuffer(record.read_bytes(), np.uint8)
    first = int(dice.integers(0, len(raw) // 3 - 4 * samples))
    signal = _format_212(raw[3 * first : 3 * (first + 4 * samples)])
    paper = dice.random() < 0.5
    ground, grid, ink = (245, 205, 20) if paper else (8, 40, 230)
    picture = np.full((_SIDE_PX, _SIDE_PX), ground, np.uint8)
    step = int(dice.integers(12, 26))
    if paper or dice.random() < 0.5:
        picture[::step] = grid
        picture[:, ::step] = grid
    px_per_unit = float(dice.uniform(0.12, 0.3))
    x = np.linspace(8, _SIDE_PX - 8, samples)
    for row in range(4):
        one = signal[row * samples : (row + 1) * samples, row % 2].astype(np.float64)
        middle = (row + 0.5) * _SIDE_PX / 4
        y = middle - (one - np.median(one)) * px_per_unit
        points = np.rint(np.stack([x, y], 1)).astype(np.int32)[:, None]
        cv2.polylines(picture, [points], False, ink, 1 + row % 2, cv2.LINE_AA)
        cv2.putText(picture, ("I", "II")[row % 2], (10, int(middle) - 30),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA)  # fmt: skip
    cv2.putText(picture, f"ID {int(dice.integers(10**6)):06d}  25 mm/s  10 mm/mV", (60, 16),
                cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)  # fmt: skip
    return picture


def _format_212(raw: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(n, 2) samples of two channels: 12-bit two's complement, the high nibbles share a byte."""
    low, middle, high = raw.reshape(-1, 3).astype(np.int16).T
    both = np.stack([low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4], 1)
    result: NDArray[np.int16] = (both ^ 0x800) - 0x800
    return result
