"""Phantoms: frontal chest films drawn by this code, with opacities of known place and size.

They are nobody's picture, so they may be kept, shown and shipped: golden inputs, demonstrations
and tests use them. They look like chest films to a program; how well a model reads patients'
films, they do not tell.

    >>> film = draw(seed=3, size=256, opacities=random_opacities(seed=3, count=2))
    >>> film.pixels.shape, film.pixels.dtype.name, len(film.opacities)
    ((256, 256), 'uint8', 2)

The anatomy and its variation come from `PCG64` streams; the same arguments give the same bits on
the same machine. Across machines the mathematical functions may differ in their last digit, and so
may a pixel by one level: what must be equal everywhere is stored, not drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np

from edge_dx.phantom import film
from edge_dx.phantom.anatomy import layers_from_body
from edge_dx.phantom.body import body_from_seed
from edge_dx.phantom.dice import Dice
from edge_dx.phantom.files import write_dicom, write_png
from edge_dx.phantom.shapes import Plane

__all__ = ["Kind", "Opacity", "Phantom", "draw", "random_opacities", "write_dicom", "write_png"]

Kind = Literal["nodule", "infiltrate", "cavity"]

MIN_SIDE_PX, MAX_SIDE_PX = 32, 4096
_CANVAS_PX = (256, 768)
"""The drawing's own side is kept in this range; other sizes are resized from it."""


@dataclass(frozen=True)
class Opacity:
    """Something in a lung that takes the place of air.

    Attributes:
        x: centre, share of the picture's width from the left.
        y: centre, share of its height from the top.
        radius: share of its width.
        contrast: share of the brightness between aerated lung and solid tissue that it fills
            at its densest. Where no air lies under it, nothing shows, as on a film.
        kind: `nodule`, round and smooth; `infiltrate`, patchy with no edge; `cavity`, a ring.
    """

    x: float
    y: float
    radius: float
    contrast: float
    kind: Kind = "nodule"

    def __post_init__(self) -> None:
        for field in fields(self)[:4]:
            value = getattr(self, field.name)
            if not 0 <= value <= 1:  # also true for NaN
                raise ValueError(f"opacity: {field.name} is a share from 0 to 1, not {value!r}")
        if self.radius == 0:
            raise ValueError("opacity: radius is more than 0, up to 1")
        if self.kind not in get_args(Kind):
            raise ValueError(f"opacity: kind is one of {get_args(Kind)}, not {self.kind!r}")


@dataclass(frozen=True, eq=False)  # arrays have no single truth to compare by
class Phantom:
    """A drawn film.

    Attributes:
        pixels: `(H, W)`, uint8 for 8 bits and uint16 for more, 0 to 2**bits - 1, air dark;
            read-only.
        opacities: what was put into the lungs.
        lung_mask: `(H, W)` bool, the aerated lung not hidden by heart or diaphragm; read-only.
        seed: of the anatomy.
        bits: significant bits per pixel.
    """

    pixels: Plane
    opacities: tuple[Opacity, ...]
    lung_mask: Plane
    seed: int
    bits: int


def draw(
    seed: int = 0,
    size: int | tuple[int, int] = 384,
    opacities: Sequence[Opacity] | int = (),
    bits: int = 8,
) -> Phantom:
    """Draws a chest film.

    Args:
        seed: of build, posture, exposure, vessels and grain; 0 or more.
        size: side, or (height, width), 32 to 4096 pixels; what is not square is stretched, as
            the public chest sets are.
        opacities: what lies in the lungs, or how many to place by chance (`random_opacities`).
        bits: significant bits per pixel, 8 to 16.

    Raises:
        ValueError: an argument outside its range; says what is allowed.
    """
    import cv2

    _check_seed(seed)
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(shape) != 2 or not all(MIN_SIDE_PX <= side <= MAX_SIDE_PX for side in shape):
        raise ValueError(
            f"size: a side or (height, width) from {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels, "
            f"not {size!r}"
        )
    if not 8 <= bits <= 16:
        raise ValueError(f"bits: 8 to 16, not {bits!r}")
    placed = random_opacities(seed, opacities) if isinstance(opacities, int) else tuple(opacities)

    canvas = int(np.clip(max(shape), *_CANVAS_PX))
    layers = layers_from_body(body_from_seed(seed), canvas)
    share = _share(placed, seed, canvas, shape[1] / shape[0]) if placed else None
    exposure = Dice(seed, 8).uniform(-0.12, 0.12)
    brightness = film.expose(layers.tissue, layers.air, share, exposure)
    levels = film.finish(brightness, seed, shape) * np.float32(2**bits - 1)
    pixels = np.rint(levels).astype(np.uint8 if bits == 8 else np.uint16)
    mask = layers.lungs
    if mask.shape != shape:
        nearest = cv2.INTER_NEAREST_EXACT  # the only nearest whose centres are those of the others
        mask = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=nearest) > 0
    pixels.flags.writeable = False
    mask.flags.writeable = False
    return Phantom(pixels, placed, mask, seed, bits)


def random_opacities(seed: int, count: int) -> tuple[Opacity, ...]:
    """Opacities inside the lungs of the chest with this seed, the upper zones more often.

    Active tuberculosis of adults favours the upper zones, where the oxygen tension is highest;
    three of four opacities are drawn to lie there.

    Args:
        seed: the one that `draw` is given.
        count: how many, 0 to 64.

    Raises:
        ValueError: an argument outside its range; says what is allowed.
    """
    import cv2

    _check_seed(seed)
    if not 0 <= count <= 64:
        raise ValueError(f"count: 0 to 64 opacities, not {count!r}")
    side = 96
    lungs = layers_from_body(body_from_seed(seed), side).lungs
    reach = cv2.distanceTransform(lungs.astype(np.uint8), cv2.DIST_L2, 5) / side
    rows = np.flatnonzero(lungs.any(axis=1))
    middle = (rows[0] + rows[-1]) / 2
    dice = Dice(seed, 9)
    found = []
    for _ in range(count):
        kind: Kind = get_args(Kind)[int(dice.uniform(0, 3))]
        low, high = {"nodule": (0.012, 0.04), "infiltrate": (0.05, 0.11), "cavity": (0.03, 0.06)}[
            kind
        ]
        radius = dice.uniform(low, high)
        inside = reach > 0.6 * min(radius, 0.07)
        upper = inside & (np.arange(side)[:, None] < middle)
        ys, xs = np.nonzero(upper if dice.uniform(0, 1) < 0.75 and upper.any() else inside)
        pick = int(dice.uniform(0, len(xs)))
        x, y = (float(xs[pick]) + 0.5) / side, (float(ys[pick]) + 0.5) / side
        found.append(Opacity(x, y, radius, dice.uniform(0.35, 0.85), kind))
    return tuple(found)


def _share(opacities: Sequence[Opacity], seed: int, side: int, aspect: float) -> Plane:
    """How much of the lost brightness is given back, `(side, side)` in 0..1.

    Args:
        aspect: width by height of the final picture, in which a nodule shall be round.
    """
    import cv2

    line = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    air_left = np.ones((side, side), np.float32)
    for number, spot in enumerate(opacities):
        dx = (line[None, :] - np.float32(spot.x)) / np.float32(spot.radius)
        dy = (line[:, None] - np.float32(spot.y)) / np.float32(spot.radius * aspect)
        r2 = dx * dx + dy * dy
        dense = np.clip(1 - r2, 0, 1)
        if spot.kind == "nodule":
            dense = np.sqrt(dense)  # the path through a ball
        elif spot.kind == "cavity":
            wall = np.clip(1 - r2 / np.float32(0.45), 0, 1)
            dense = np.clip(np.sqrt(dense) - np.float32(0.7) * np.sqrt(wall), 0, 1)
            dense *= np.float32(1 / 0.742)  # its densest place, where the hollow begins
        else:
            # Clots of about a third of its radius, in a field that covers it at any size.
            cells = int(np.clip(3 / spot.radius, 4, side // 2))
            noise = Dice(seed, 10, number).spread(cells * cells).reshape(cells, cells)
            clots = cv2.resize(
                noise.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
            )
            dense = dense * np.clip(np.float32(0.6) + np.float32(0.55) * clots, 0, 1)
        air_left *= 1 - np.float32(spot.contrast) * dense
    return 1 - air_left


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"seed: a whole number of 0 or more, not {seed!r}")
