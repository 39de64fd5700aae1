"""Where an ultrasound picture shows tissue, seen in the pixels where no header says it.

The scanned field is the largest connected piece of the picture that is not black; text, scales and
logos are small and lie apart. How full its convex hull is, is told as a confidence: a field with
much shadow, or a picture that is no scan, fills it badly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_dx.image import Pixels
from edge_dx.sources.study import Region

_SIDE = 256
"""The picture is looked at in this size (long side)."""
_DARK = 10
"""Grey levels of 255 up to which a pixel is background; JPEG leaves a few in the black."""
_COLOURED = 24
"""Channels that differ by more are colour; a tinted grey map stays below."""
_SMALLEST = 0.05
"""A field covers at least this share of the picture."""


def find(pixels: Pixels) -> Region | None:
    """The bounding box of the scanned field, or None where nothing looks like one.

    Args:
        pixels: `(H, W)` or `(H, W, 3)` RGB, uint8 or uint16.
    """
    found = field(pixels)
    if found is None:
        return None
    mask, confidence = found
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Region(
        top=int(rows[0]),
        left=int(columns[0]),
        height=int(rows[-1] - rows[0] + 1),
        width=int(columns[-1] - columns[0] + 1),
        mm_per_px=None,
        found_by="fan",
        confidence=round(confidence, 3),
    )


def field(pixels: Pixels) -> tuple[NDArray[np.bool_], float] | None:
    """The scanned field as a mask `(H, W)` (its convex hull), and the confidence; or None."""
    import cv2

    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    grey = pixels
    if pixels.ndim == 3:  # bars, scales and flow are coloured, tissue is not
        low, high = pixels.min(axis=2), pixels.max(axis=2)
        grey = np.where(high - low > _COLOURED, np.uint8(0), low)
    height, width = grey.shape
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    bright = (small > _DARK).astype(np.uint8)
    ellipse = cv2.MORPH_ELLIPSE
    # Opened first, so that letters and lines do not bridge to the field; then speckle is closed.
    opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, cv2.getStructuringElement(ellipse, (5, 5)))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, cv2.getStructuringElement(ellipse, (9, 9)))
    solid = cv2.morphologyEx(closed, cv2.MORPH_OPEN, cv2.getStructuringElement(ellipse, (9, 9)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    piece = (labels == largest).astype(np.uint8)
    if int(piece.sum()) < _SMALLEST * piece.size:
        return None
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outlines))
    filled = cv2.fillConvexPoly(np.zeros_like(piece), hull, 1)
    confidence = float(piece.sum() / max(1, int(filled.sum())))
    mask = cv2.resize(filled, (width, height), interpolation=cv2.INTER_NEAREST)
    return mask.astype(bool), confidence
