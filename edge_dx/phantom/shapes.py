"""Soft shapes that everything is drawn with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.phantom.dice import Dice

Plane = NDArray[Any]
"""float32 `(N, N)`, or one column `(N, 1)` or row `(1, N)` of it; some are bool."""


def step(x: Plane) -> Plane:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    smooth: Plane = x * x * (3 - 2 * x)
    return smooth


def bump(x: Plane, centre: Any, width: float) -> Plane:
    """1 at the centre, a Gaussian fall on both sides."""
    bump: Plane = np.exp(-(((x - centre) / width) ** 2))
    return bump


def tube(away: Plane, radius: Any) -> Plane:
    """Path through a bone of tube shape: its shell, and a part of that for the marrow."""
    r2 = (away / radius) ** 2
    shell: Plane = 1.4 * np.sqrt(np.clip(1 - r2, 0, 1)) - 0.77 * np.sqrt(np.clip(0.62 - r2, 0, 1))
    return shell


def clouds(dice: Dice, side: int, cells: int) -> Plane:
    """Smooth noise of about unit size, `(side, side)`."""
    import cv2

    coarse = dice.spread(cells * cells).reshape(cells, cells).astype(np.float32)
    smooth: Plane = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return smooth
