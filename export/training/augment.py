"""What may differ between two films of the same chest: geometry, tone, sharpness, foreign objects.

The point is the other hospital. Its films differ in exposure curve, sharpening, collimation,
markers and positioning, and a network that has seen few sites must be taught that none of these
mean anything. The preparation's own steps run afterwards, so what is learned on is what the
device computes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Rng = np.random.Generator


def augment(film: Grey, side_px: int, rng: Rng, strength: float = 1.0) -> Grey:
    """A different film of the same chest.

    Args:
        film: `(H, W)` uint8 without its dark border.
        side_px: height and width of the result.
        rng: decides everything.
        strength: 1 is the full range of every change.

    Returns:
        `(side_px, side_px)` uint8, before the intensity steps of the preparation.
    """
    image = _placed(film, side_px, rng, strength)
    if rng.random() < 0.9:
        image = cv2.LUT(image, _tone(rng, strength)).astype(np.uint8)
    if rng.random() < 0.4 * strength:
        image = _shaded(image, rng)
    if rng.random() < 0.7 * strength:
        image = _resharpened(image, rng)
    if rng.random() < 0.3 * strength:
        image = _collimated(image, rng)
    if rng.random() < 0.35 * strength:
        image = _marked(image, rng)
    if rng.random() < 0.3 * strength:
        image = _covered(image, rng)
    if rng.random() < 0.3 * strength:
        image = _compressed(image, rng)
    return image


def _placed(film: Grey, side_px: int, rng: Rng, strength: float) -> Grey:
    """Turn, scale, squeeze, shear, shift, mirror; resampled once."""
    height, width = film.shape
    angle = np.deg2rad(rng.normal(0, 5 * strength))
    scale = np.exp(rng.normal(0, 0.08 * strength)) * side_px
    squeeze = np.exp(rng.normal(0, 0.07 * strength))
    shear = rng.normal(0, 0.03 * strength)
    mirror = -1 if rng.random() < 0.5 else 1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    form = np.array([[scale * squeeze * mirror, scale * shear], [0, scale / squeeze]])
    linear = turn @ form @ np.diag([1 / width, 1 / height])
    centre = np.array([width - 1, height - 1]) / 2
    target = (side_px - 1) / 2 + rng.normal(0, 0.035 * strength * side_px, 2)
    matrix = np.column_stack([linear, target - linear @ centre])
    fill = cv2.BORDER_CONSTANT if rng.random() < 0.6 else cv2.BORDER_REPLICATE
    return cv2.warpAffine(
        film, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=fill
    ).astype(np.uint8)


def _tone(rng: Rng, strength: float) -> Grey:
    """A rising curve over 0..255: gamma, a random bend, clipped ends."""
    levels = np.linspace(0, 1, 256)
    low, high = rng.uniform(0, 0.1 * strength), 1 - rng.uniform(0, 0.15 * strength)
    levels = np.clip((levels - low) / (high - low), 0, 1)
    levels = levels ** np.exp(rng.normal(0, 0.4 * strength))
    steps = np.exp(rng.normal(0, 0.45 * strength, 6))
    knots = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    levels = np.interp(levels, np.linspace(0, 1, len(knots)), knots)
    curve: Grey = np.rint(levels * 255).astype(np.uint8)
    return curve


def _shaded(image: Grey, rng: Rng) -> Grey:
    """A slow change of brightness over the film: heel effect, scatter, uneven development."""
    grid = rng.normal(0, 0.12, (3, 3)).astype(np.float32)
    field = cv2.resize(grid, image.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return _as_uint8(image * (1 + field))


def _resharpened(image: Grey, rng: Rng) -> Grey:
    """Blur, unsharp mask, coarse resampling or grain: what detectors and vendors do."""
    kind = rng.integers(4)
    if kind == 0:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2)).astype(np.uint8)
    if kind == 1:
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 8))
        gain = rng.uniform(0.2, 1.0)
        return cv2.addWeighted(image, 1 + gain, soft, -gain, 0).astype(np.uint8)
    if kind == 2:
        inner = int(image.shape[0] * rng.uniform(0.5, 0.95))
        small = cv2.resize(image, (inner, inner), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, image.shape[::-1]).astype(np.uint8)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return _as_uint8(image + grain * np.float32(rng.uniform(0.5, 3)))


def _collimated(image: Grey, rng: Rng) -> Grey:
    """Black along one or two sides, slightly tilted."""
    image = image.copy()
    side = image.shape[0]
    for _ in range(int(rng.integers(1, 3))):
        near, far = rng.uniform(0.0, 0.14) * side + rng.normal(0, 0.015 * side, 2)
        wedge = np.array([[-9, -9], [-9, near], [side + 9, far], [side + 9, -9]], np.int32)
        edge = int(rng.integers(4))
        if edge % 2:
            wedge = wedge[:, ::-1]
        if edge >= 2:
            wedge = side - 1 - wedge
        cv2.fillPoly(image, [np.ascontiguousarray(wedge)], [int(rng.integers(0, 25))])
    return image


def _marked(image: Grey, rng: Rng) -> Grey:
    """Side letters, name blocks, lead markers near the upper or lower edge."""
    image = image.copy()
    side = image.shape[0]
    words = ("R", "L", "PA", "AP", "ERECT", "PORTABLE", "PA ERECT", "SUPINE", "12")
    for _ in range(int(rng.integers(1, 4))):
        x = int(rng.choice([rng.uniform(0.01, 0.2), rng.uniform(0.7, 0.92)]) * side)
        y = int(rng.choice([rng.uniform(0.04, 0.2), rng.uniform(0.85, 0.98)]) * side)
        word = str(rng.choice(words))
        scale = float(rng.uniform(0.25, 0.9 if len(word) < 3 else 0.45))
        ink = int(rng.integers(200, 256))
        if rng.random() < 0.3:
            (w, h), below = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
            cv2.rectangle(image, (x - 2, y - h - 2), (x + w + 2, y + below), [ink], -1)
            ink = 0
        cv2.putText(image, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, [ink],
                    int(rng.integers(1, 3)))  # fmt: skip
    return image


def _covered(image: Grey, rng: Rng) -> Grey:
    """One patch hidden under its own mean (DeVries and Taylor 2017, arXiv:1708.04552)."""
    image = image.copy()
    side = image.shape[0]
    h, w = (int(n) for n in rng.uniform(0.08, 0.3, 2) * side)
    y, x = int(rng.integers(0, side - h)), int(rng.integers(0, side - w))
    image[y : y + h, x : x + w] = int(image[y : y + h, x : x + w].mean())
    return image


def _compressed(image: Grey, rng: Rng) -> Grey:
    """Through JPEG and back."""
    quality = int(rng.integers(35, 95))
    _, raw = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE), np.uint8)


def _as_uint8(image: NDArray[np.floating]) -> Grey:
    clipped: Grey = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return clipped
