"""Tissue of a drawn chest, seen from the front: how much of it each ray crosses.

Everything is drawn upright, where a curve over the height is one column and a curve over the width
one row, and then turned, shifted and scaled as a whole. Coordinates: `u` from the midline in
picture widths, positive towards the picture's right (the patient's left); `v` from the top in
picture heights. Thickness 1 is that of the abdomen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_dx.phantom.body import Body
from edge_dx.phantom.bones import clavicle, ribs, shoulder, spine
from edge_dx.phantom.dice import Dice
from edge_dx.phantom.shapes import Plane, bump, clouds, step

_MARGIN = 0.08
"""Drawn beyond each edge of the picture, so that turning and shifting brings in no empty corner."""


@dataclass(frozen=True)
class Layers:
    """Path lengths `(N, N)` float32: `tissue` with the lungs solid, `air` that lightens it.

    `lungs` is the bool mask of the aerated lung that neither heart nor diaphragm hides.
    """

    tissue: Plane
    air: Plane
    lungs: Plane


def layers_from_body(body: Body, side: int) -> Layers:
    """Draws the chest on a square of `side` pixels."""
    import cv2

    wide = round(side * (1 + 2 * _MARGIN))
    line = ((np.arange(wide, dtype=np.float32) + 0.5) / side - (wide / side - 1) / 2).astype(
        np.float32
    )
    v, u = line[:, None], line[None, :] - np.float32(0.5)
    halves = [
        _half(body, np.abs(part), v, is_right)
        for part, is_right in ((u[:, u[0] < 0], False), (u[:, u[0] >= 0], True))
    ]
    soft, bone, air, inside = (np.hstack(pair) for pair in zip(*halves, strict=True))
    heart = _heart(body, u, v)
    air = air * (1 - 0.78 * heart)
    bone = bone + spine(body, u, v)
    soft = soft + 0.05 * heart - _airways(u, v) - _gas(body, u, v)
    air = air * (1 - 0.25 * _vessels(body, side, wide))
    mottle = 0.6 * clouds(Dice(body.seed, 2), wide, 14) + clouds(Dice(body.seed, 3), wide, 90)
    soft = soft * (1 + 0.015 * mottle)
    air = air * (1 + 0.045 * mottle)

    # Picture = turned and scaled drawing, about the middle of both.
    middle = (wide - 1) / 2
    turn: Plane = cv2.getRotationMatrix2D((middle, middle), body.angle_deg, body.scale)
    turn[:, 2] += (side - wide) / 2 + side * np.array([body.shift_x, body.shift_y])
    planes = [soft + bone, air, (inside & (heart < 0.2)).astype(np.float32)]
    tissue, air, lungs = (
        cv2.warpAffine(p.astype(np.float32), turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
        for p in planes
    )
    return Layers(tissue * np.float32(body.depth), air * np.float32(body.depth), lungs > 0.5)


def _half(body: Body, a: Plane, v: Plane, is_right: bool) -> tuple[Plane, Plane, Plane, Plane]:
    """Soft tissue, bone, air and the lung's outline of one side; `a` is the distance from the
    midline.
    """
    dome_v = body.dome[is_right]
    t = np.clip((v - body.apex) / (0.87 - body.apex), 0, 1)
    lateral = body.half_width * (1 - (1 - t) ** 4) ** 0.3
    narrow = (1 - np.clip(1 - t / 0.16, 0, 1) ** 2) ** 0.5
    medial = 0.13 - (0.13 - 0.052) * narrow
    if is_right:  # the arch of the aorta, and below it the trunk of the lung artery
        medial = medial + body.knob * bump(v, 0.3, 0.035) + 0.016 * bump(v, 0.41, 0.04)
    else:
        medial = medial + 0.008 * bump(v, 0.33, 0.08) + 0.012 * bump(v, 0.6, 0.1)

    # Lung: an ellipse in cross-section, cut by the dome of the diaphragm.
    half = np.maximum((lateral - medial) / 2, 1e-4)
    across = np.clip((lateral - a) * (a - medial) / half**2, 0, 1) * (lateral > medial)
    fall = (a - 0.135) / (body.half_width - 0.135)
    dome = dome_v + np.where(fall > 0, 0.115 * np.abs(fall) ** 2.6, 0.03 * fall**2)
    above = step((dome - v) / 0.012)
    behind = 0.16 * np.exp(-np.clip(v - dome, 0, None) / 0.035)  # lung behind the dome
    deep = (0.62 + 0.38 * step((v - body.apex) / 0.3)) * narrow**0.5
    air = 0.66 * deep * across**0.42 * np.maximum(above, behind)
    inside = (across > 0.02) & (v < dome) & (t > 0)

    # Skin outline: trunk, shoulder girdle and neck, thick in the middle and thin at the edge.
    flank = body.half_width + body.fat - 0.05 * np.clip((v - 0.45) / 0.55, 0, 1)
    flank = flank + 0.03 * bump(v, 0.4, 0.08)
    trunk = np.clip(1 - (a / flank) ** 3.4, 0, 1) ** 0.5
    trunk = trunk * (0.35 + 0.65 * step((v + 0.02) / 0.5)) * step((v - 0.02) / 0.12)
    top = body.shoulder + 0.14 * np.clip((a - body.neck) / 0.36, -0.3, 1.3)
    fold = 0.43 + 1.3 * np.clip(a - flank, 0, None)  # the armpit
    trunk = trunk * step((v - top) / 0.16)
    girdle = 0.66 * np.clip((v - top) / 0.16, 0, 1) ** 0.42
    girdle = girdle * np.clip((fold - v) / 0.09, 0, 1) ** 0.5
    flare = body.neck * (1 + 1.5 * np.clip((v + 0.08) / 0.2, 0, 1) ** 2)
    neck = 0.66 * np.clip(1 - (a / flare) ** 2, 0, 1) ** 0.5 * (1 - step((v - 0.02) / 0.3))
    soft = np.cbrt(trunk**3 + girdle**3 + neck**3)
    if body.breast:
        b = ((a - 0.2) / 0.15) ** 2 + np.maximum((0.6 - v) / 0.22, (v - 0.6) / 0.13) ** 2
        soft = soft + body.breast * np.clip(1 - b, 0, 1) ** 0.6

    # Bones end under the skin, wherever the build of this body has put it.
    bone = (ribs(body, a, v) + clavicle(body, a, v) + shoulder(a, v)) * step(soft / 0.3)
    # Sheet of muscle and pleura along the inside of the chest wall.
    soft = soft + 0.018 * bump(a, lateral + 0.008, 0.006) * step((v - 0.12) / 0.06)
    return soft, bone, air, inside


def _heart(body: Body, u: Plane, v: Plane) -> Plane:
    """How much of the depth the heart fills, 0..1: the long oval of the left side, lying on the
    diaphragm, and the right atrium.
    """
    c, s = math.cos(body.heart_tilt), math.sin(body.heart_tilt)
    x, y = u - 0.05, v - (body.dome[1] - 0.105)
    left = ((c * x + s * y) / body.heart) ** 2 + ((c * y - s * x) / (0.6 * body.heart)) ** 2
    right = ((u + 0.012) / 0.088) ** 2 + ((v - body.dome[1] + 0.12) / 0.12) ** 2
    stem = (u / 0.075) ** 2 + ((v - 0.42) / 0.16) ** 2  # great vessels
    oval = np.clip(1 - np.minimum(np.minimum(left, right), stem), 0, 1)
    filled: Plane = oval**0.4
    return filled


def _airways(u: Plane, v: Plane) -> Plane:
    """Air in the windpipe and the main bronchi."""
    pipe = np.clip(1 - ((u + 0.004) / 0.021) ** 2, 0, 1) ** 0.5 * step((0.36 - v) / 0.03)
    down = np.clip(v - 0.34, 0, 0.07)
    forks = [np.clip(1 - ((u - k * down - 0.004 * k) / 0.013) ** 2, 0, 1) ** 0.5 for k in (-1, 1.5)]
    fork = np.maximum(*forks) * step((v - 0.33) / 0.02) * step((0.43 - v) / 0.04)
    return 0.17 * np.maximum(pipe, 0.6 * fork)


def _gas(body: Body, u: Plane, v: Plane) -> Plane:
    """The stomach's bubble and some gas of the bowel."""
    dice = Dice(body.seed, 5)
    spots = [(0.16, body.dome[1] + 0.065, dice.uniform(0.03, 0.075), dice.uniform(0.018, 0.03))]
    spots += [
        (dice.uniform(0.0, 0.26), dice.uniform(0.88, 1.0), dice.uniform(0.02, 0.04), 0.02)
        for _ in range(4)
    ]
    total = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.float32)
    for number, (x, y, wide, high) in enumerate(spots):
        oval = np.clip(1 - ((u - x) / wide) ** 2 - ((v - y) / high) ** 2, 0, 1) ** 0.5
        total += (0.3 if number == 0 else 0.09) * oval
    return total


def _vessels(body: Body, side: int, wide: int) -> Plane:
    """Vessel trees that spread from both hila, 0..1, in the upright drawing `(wide, wide)`."""
    import cv2

    rng = Dice(body.seed, 4)
    canvas = np.zeros((wide, wide), np.uint8)
    strokes = []
    for sign, hilum in ((-1.0, 0.43), (1.0, 0.41)):
        roots = 10
        heading = np.linspace(-1.3, 1.5, roots) + 0.35 * rng.spread(roots)
        at = np.stack(
            [np.full(roots, sign * 0.068), hilum + 0.06 * np.linspace(-1, 1, roots)], axis=1
        )
        length, width = 0.06 + 0.03 * rng.spread(roots), 0.0056
        for _ in range(6):
            bend = heading + 0.35 * rng.spread(len(heading))
            path = [at]
            for turned in (heading, bend):
                way = np.stack([sign * np.cos(turned), np.sin(turned)], axis=1)
                path.append(path[-1] + way * (length / 2)[:, None])
            strokes.append((width, np.stack(path, axis=1)))
            at = np.repeat(path[-1], 2, axis=0)
            fork = np.tile([-0.3, 0.3], len(heading)) + 0.3 * rng.spread(2 * len(heading))
            heading = np.repeat(bend, 2) + fork
            length = np.repeat(length, 2) * (0.86 + 0.2 * rng.spread(2 * len(bend)))
            width *= 0.7
    offset = (wide - side) / 2
    for width, paths in sorted(strokes, key=lambda stroke: stroke[0]):
        points = (paths + np.array([0.5, 0.0])) * side + offset
        # A line is at least a pixel thick; a thinner one is a fainter one.
        shade = 255 * min(1.0, 0.2 + width / 0.009) * min(1.0, width * side)
        fixed = np.rint(points * 16).astype(np.int32)
        cv2.polylines(
            canvas, list(fixed), False, shade, max(1, round(width * side)), cv2.LINE_AA, 4
        )
    trees: Plane = cv2.GaussianBlur(canvas, (0, 0), 0.002 * side).astype(np.float32)
    return trees / np.float32(255)
