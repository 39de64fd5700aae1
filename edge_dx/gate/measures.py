"""Measures of a picture's quality, each one number with its unit, none of them a judgement.

All look at a grey picture of 8 bits whose long side is at most 512 pixels (`looked_at`), so that a
film gives the same numbers whatever its type and nearly the same whatever its size, at a cost that
hardly grows with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.image import Pixels

Grey = NDArray[np.uint8]

LONG_SIDE_PX = 512
"""Pictures are looked at in this size at most; smaller ones as they are."""
_BLUR_SIDE_PX = 256
"""Sharpness is asked at this long side: what is finer, a reduced export has not, and the models
that are small enough for the devices do not see."""
_FIELD_SIDE_PX = 128
_DARK = 13
"""Grey levels of 255 up to which a pixel is background (5 %); JPEG leaves a few in the black."""
_STROKE = 80
"""Local range of grey levels, in a window of 3 × 3, from which a pixel lies on a stroke."""
_GAP_PX = 9
"""Letters of one line of text stand no further apart than this (at the size looked at)."""
_LINE_HEIGHT_PX = (6, 40)
_LINE_ASPECT = 2.0
_LINE_FILL = (0.45, 0.98)
"""How much of its bounding box a line of closed text covers; a curve or a frame covers less, a
solid bar all of it."""


def looked_at(pixels: Pixels) -> Grey:
    """The picture as the measures take it: grey, 8 bits, the long side at most `LONG_SIDE_PX`.

    Args:
        pixels: `(H, W)` or `(H, W, 3)`; uint8, uint16 (its whole range) or float32 (its own range).
    """
    import cv2

    while max(pixels.shape[:2]) >= 2 * LONG_SIDE_PX:  # by halves first: each is a fast exact mean
        height, width = (max(1, side // 2) for side in pixels.shape[:2])
        even = pixels[: 2 * height, : 2 * width]
        pixels = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    height, width = pixels.shape[:2]
    scale = LONG_SIDE_PX / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # Less than by half, where two neighbours hold nearly all of an area's mean, in a tenth of
        # the time.
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    if pixels.dtype == np.uint16:  # 257 times an 8-bit level gives that level back
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.float32:
        low, high = float(pixels.min()), float(pixels.max())
        return ((pixels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def sharpness(grey: Grey) -> float:
    """Standard deviation of the Laplacian over that of the picture, at a long side of 256 pixels.

    Pech-Pacheco et al. 2000 take the variance of the Laplacian; divided by the picture's own
    variance it does not depend on exposure and gain, and falls with every blur: a blur lowers each
    frequency the more, the higher it is, and the ratio is a mean of the frequencies' fourth power.
    Below about 0.03 it is the rounding to whole grey levels that is measured.
    """
    import cv2

    small = _reduced(grey, _BLUR_SIDE_PX)
    deviation = _deviation(small)
    return _deviation(cv2.Laplacian(small, cv2.CV_16S)) / deviation if deviation else 0.0


def exposure(grey: Grey) -> float:
    """The median grey level of what is brighter than background, 0 (black) to 1 (white).

    Background is left out because black borders say how a film was cut, not how it was exposed.
    """
    import cv2

    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    counts[: _DARK + 1] = 0
    total = np.cumsum(counts)
    return int(np.searchsorted(total, total[-1] / 2)) / 255 if total[-1] else 0.0


def field_share(grey: Grey) -> float:
    """Share of the picture that the largest connected piece brighter than background covers.

    Of an ultrasound scan that is the fan, of a film the patient; text, markers and logos are small
    and lie apart (they are opened away with a square of 3 × 3 at a long side of 128 pixels).
    """
    import cv2

    small = _reduced(grey, _FIELD_SIDE_PX)
    bright = (small > _DARK).astype(np.uint8)
    opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return 0.0
    return float(stats[1:, cv2.CC_STAT_AREA].max()) / small.size


def text_share(grey: Grey, at_least: float = 0.0) -> float:
    """Share of the picture that lies in the boxes of what looks like lines of text.

    A heuristic without a model: strokes are where the local range of grey levels is large (dark on
    bright as well as bright on dark); strokes a letter's gap apart are joined along the row; of the
    pieces those stay that are as high as letters, longer than high, and nearly fill their box.
    It finds printed lines of three letters and more, upright, between 6 and 40 pixels high; it does
    not find handwriting, slanted text, or single letters such as side markers, and it takes some
    dense rulers for text.

    Args:
        grey: the picture.
        at_least: what is certainly not more than this share is told as 0, which spares the time of
            looking for lines in most films.
    """
    import cv2

    strokes = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) >= _STROKE
    joined = cv2.morphologyEx(
        strokes.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, _GAP_PX), np.uint8)
    )
    if cv2.countNonZero(joined) <= at_least * _LINE_FILL[0] * grey.size:
        return 0.0  # a line fills its box to a least share, so the boxes cannot cover more
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    pieces = stats[1:]
    width, height = pieces[:, cv2.CC_STAT_WIDTH], pieces[:, cv2.CC_STAT_HEIGHT]
    boxes = width * height
    fill = pieces[:, cv2.CC_STAT_AREA] / np.maximum(boxes, 1)
    lines = (
        (height >= _LINE_HEIGHT_PX[0])
        & (height <= _LINE_HEIGHT_PX[1])
        & (width >= _LINE_ASPECT * height)
        & (fill >= _LINE_FILL[0])
        & (fill <= _LINE_FILL[1])
    )
    return float(boxes[lines].sum()) / grey.size


def _reduced(grey: Grey, side: int) -> Grey:
    import cv2

    height, width = grey.shape
    scale = side / max(height, width)
    if scale >= 1:
        return grey
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _deviation(values: NDArray[Any]) -> float:
    import cv2

    return float(cv2.meanStdDev(values)[1][0, 0])
