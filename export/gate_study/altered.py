"""Right films made wrong, by code: what a gate meets when a film is exported or photographed badly.

Each alteration takes a film `(H, W)` uint8 and a generator, and gives a picture of the same type.
They are simulations: the photographed film in particular is drawn after what such photographs show
(perspective, vignetting, glare, moiré, a camera's blur), and is no photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]
Alteration = Callable[[Film, np.random.Generator], Film]


def inverted(film: Film, _: np.random.Generator) -> Film:
    """Black and white exchanged: MONOCHROME1 exported without saying so."""
    return 255 - film


def turned_90(film: Film, dice: np.random.Generator) -> Film:
    """A quarter turn, either way."""
    return np.ascontiguousarray(np.rot90(film, 1 if dice.random() < 0.5 else 3))


def turned_180(film: Film, _: np.random.Generator) -> Film:
    """Upside down."""
    return np.ascontiguousarray(film[::-1, ::-1])


def quarter(film: Film, dice: np.random.Generator) -> Film:
    """A quarter of the film's area, from anywhere on it, at the film's number of pixels."""
    import cv2

    height, width = film.shape
    top, left = (int(dice.integers(0, side // 2 + 1)) for side in (height, width))
    part = film[top : top + height // 2, left : left + width // 2]
    whole = cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)
    return whole.astype(np.uint8, copy=False)


def blurred(film: Film, _: np.random.Generator) -> Film:
    """A Gaussian blur with a standard deviation of 1.5 % of the width: nothing fine is left."""
    import cv2

    soft = cv2.GaussianBlur(film, (0, 0), 0.015 * film.shape[1])
    return soft.astype(np.uint8, copy=False)


def under_exposed(film: Film, dice: np.random.Generator) -> Film:
    """A fifth of the exposure: dark, and noisy as few quanta are."""
    quanta: NDArray[np.int64] = dice.poisson(film.astype(np.float64) * 0.8)
    result: Film = np.minimum((quanta + 2) // 4, 255).astype(np.uint8)
    return result


def over_exposed(film: Film, _: np.random.Generator) -> Film:
    """Two and a half times as bright: the mediastinum and what is dense is cut off."""
    brighter = film.astype(np.uint16) * 5 // 2
    return np.minimum(brighter, 255).astype(np.uint8)


def photographed(film: Film, dice: np.random.Generator) -> Film:
    """A photograph of the film on a light box or screen, simulated.

    The film takes 70 to 90 % of a grey picture, seen from an angle (corners move by up to 8 %);
    vignetting takes up to a third of the light off the corners, a lamp's reflection burns a spot
    of 5 to 15 % of the width, the pixel grids of screen and camera beat (moiré of 2 to 5 % in
    contrast), and lens and hand blur by 0.3 % of the width.
    """
    import cv2

    height, width = film.shape
    size = float(dice.uniform(0.7, 0.9))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    seen = 0.5 + (corners - 0.5) * size + dice.uniform(-0.08, 0.08, (4, 2)).astype(np.float32)
    scale = np.array([width, height], np.float32)
    onto = cv2.getPerspectiveTransform(corners * scale, np.clip(seen, 0, 1).astype("f4") * scale)
    wall = float(dice.uniform(20, 200))
    picture = cv2.warpPerspective(
        film.astype(np.float32), onto, (width, height),
        flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=wall,
    ).astype(np.float64)  # fmt: skip
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    frequency, angle = dice.uniform(20, 60), dice.uniform(0, np.pi)
    beat = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))
    picture *= 1 + float(dice.uniform(0.02, 0.05)) * beat
    middle = np.hypot(x - x.max() / 2, y - y.max() / 2)
    picture *= 1 - float(dice.uniform(0.1, 0.35)) * (middle / middle.max()) ** 2
    spot = np.hypot(x - dice.uniform(0.2, 0.8), y - dice.uniform(0.2, 0.8))
    picture += float(dice.uniform(60, 160)) * np.exp(-((spot / dice.uniform(0.05, 0.15)) ** 2))
    picture = cv2.GaussianBlur(picture, (0, 0), 0.003 * width).astype(np.float64)
    noisy: NDArray[np.float64] = picture + dice.normal(0, 2, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


ALTERATIONS: dict[str, Alteration] = {
    "inverted": inverted,
    "turned by 90°": turned_90,
    "upside down": turned_180,
    "cropped to a quarter": quarter,
    "photographed (simulated)": photographed,
    "blurred": blurred,
    "under-exposed": under_exposed,
    "over-exposed": over_exposed,
}


def grey(pixels: NDArray[Any]) -> Film:
    """A film as the alterations take it: `(H, W)` uint8."""
    from edge_dx.gate import measures

    return measures.looked_at(pixels)
