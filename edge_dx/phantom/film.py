"""From path lengths to what a film shows: attenuation, scatter, tone and grain.

Beer–Lambert gives the primary rays, a wide blur of them stands for scatter, the logarithm of the
sum is what a detector reports, and a saturating curve with some edge lift is how it is displayed:
air black, bone white.
"""

from __future__ import annotations

import numpy as np

from edge_dx.phantom.dice import Dice
from edge_dx.phantom.shapes import Plane

_SOLID, _AIR = 3.1, 3.4
"""Attenuation (natural logarithm) of thickness 1, and what thickness 1 of air takes off it."""

_SCATTER = 0.07
_COARSE_PX = 64
"""Side on which blurs wider than the picture's detail are computed: they hold nothing finer."""


def expose(tissue: Plane, air: Plane, share: Plane | None, exposure: float) -> Plane:
    """Brightness `(N, N)` float32 in 0..1, before grain.

    Args:
        tissue: path length with the lungs solid.
        air: path length of air in them.
        share: of the brightness that the air takes away, how much opacities give back, 0..1.
        exposure: added to the logarithm; positive is brighter.
    """
    aerated = np.exp(-np.maximum(_SOLID * tissue - _AIR * air, 0))
    # Scatter and edge lift are those of the clear chest, so that an opacity is seen at its place
    # and nowhere else.
    veil = _SCATTER * _blur(aerated, 6.0) + 0.004
    clear = -np.log(aerated + veil)
    around = _blur(clear, 2.4)
    seen = _tone(clear, around, exposure)
    if share is None:
        return seen
    solid: Plane = _tone(-np.log(np.exp(-np.maximum(_SOLID * tissue, 0)) + veil), around, exposure)
    shown: Plane = seen + share * np.maximum(solid - seen, 0)
    return shown


def finish(brightness: Plane, seed: int, shape: tuple[int, int]) -> Plane:
    """Brings brightness to `shape`, and adds grain and the collimator's edge."""
    import cv2

    height, width = shape
    if brightness.shape != shape:
        shrinks = height * width < brightness.size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        brightness = cv2.resize(brightness, (width, height), interpolation=how)
    grain = cv2.GaussianBlur(Dice(seed, 6).grain(shape), (3, 3), 0.7)
    # Fewer quanta reach the film where the body is dense, but the tone curve flattens there.
    film = brightness + grain * (0.006 + 0.012 * brightness * (1 - brightness))
    dice = Dice(seed, 7)
    cuts = [max(0.0, dice.uniform(-0.03, 0.02)) for _ in range(4)]
    top, bottom = round(cuts[0] * height), height - round(cuts[1] * height)
    left, right = round(cuts[2] * width), width - round(cuts[3] * width)
    framed = np.full_like(film, 0.01)
    framed[top:bottom, left:right] = film[top:bottom, left:right]
    clipped: Plane = np.clip(framed, 0, 1)
    return clipped


def _tone(density: Plane, around: Plane, exposure: float) -> Plane:
    lifted = np.maximum(density + 0.5 * (density - around) + exposure, 0)
    shown: Plane = np.float32(0.075) + np.float32(0.825) * np.tanh(lifted / np.float32(1.8))
    return shown


def _blur(plane: Plane, sigma: float) -> Plane:
    import cv2

    coarse = cv2.resize(plane, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(coarse, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    wide: Plane = cv2.resize(soft, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return wide
