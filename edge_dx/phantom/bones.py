"""Bones of a drawn chest, in the coordinates of `anatomy`; `a` is the distance from the midline."""

from __future__ import annotations

import numpy as np

from edge_dx.phantom.body import Body
from edge_dx.phantom.dice import Dice
from edge_dx.phantom.shapes import Plane, bump, step, tube


def ribs(body: Body, a: Plane, v: Plane) -> Plane:
    """Rib rings, all at once: height along the ring makes them one periodic pattern."""
    t = np.clip((v - body.apex + 0.03) / (0.87 - body.apex), 0.003, 1)
    wall = (body.half_width + 0.012) * (1 - (1 - t) ** 4) ** 0.3
    bow = np.sqrt(np.clip(1 - (a / wall) ** 2, 0, 1))
    total = np.zeros_like(bow)
    on_wall = step((wall - a) / 0.008)
    slope = body.rib_drop * a / (wall**2 * np.maximum(bow, 0.16))
    cosine = 1 / np.sqrt(1 + slope**2)
    for back, count, start, strength in ((1.0, 11, 0.035, 0.12), (-1.0, 7, 0.13, 0.06)):
        drop = body.rib_drop * (1 - back * bow) * (1.0 if back > 0 else 1.12)
        number = (v - drop - body.rib_first) / body.rib_gap
        nearest = np.rint(number)
        uneven = (0.1 * Dice(body.seed, 1).spread(count + 1)).astype(np.float32)
        place = nearest + uneven[np.clip(nearest, 0, count).astype(np.intp)]
        away = np.abs(number - place) * (body.rib_gap * cosine)
        width = (0.0125 if back > 0 else 0.0145) * (1 - np.float32(0.25) * (nearest < 1))
        ends = start + (0.008 * nearest if back < 0 else 0.0)
        shown = step((a - ends) / 0.03) * ((nearest >= 0) & (nearest < count))
        total += strength * shown * tube(away, width) * on_wall
    # Seen edge-on where it turns, the rib cage is a bright line.
    rim = bump(a, wall - 0.005, 0.006) * step((v - 0.14) / 0.08) * step((0.95 - v) / 0.2)
    return total + 0.022 * rim


def clavicle(body: Body, a: Plane, v: Plane) -> Plane:
    """The collar bone, an S from the breastbone up to the shoulder."""
    along = (a - 0.03) / 0.4
    mid = 0.2 + body.clavicle - 0.085 * along + 0.02 * np.sin(along * 6.0)
    slope = (-0.085 + 0.12 * np.cos(along * 6.0)) / 0.4
    away = np.abs(v - mid) / np.sqrt(1 + slope**2)
    width = 0.0145 + 0.007 * bump(along, 0.0, 0.12) + 0.004 * bump(along, 1.0, 0.15)
    return 0.15 * tube(away, width) * step(along / 0.03) * step((1.05 - along) / 0.1)


def shoulder(a: Plane, v: Plane) -> Plane:
    """Head and shaft of the upper arm, and the blade with its spine."""
    head = np.clip(1 - ((a - 0.46) ** 2 + (v - 0.19) ** 2) / 0.05**2, 0, 1) ** 0.5
    shaft = tube(np.abs(a - 0.475 - 0.25 * (v - 0.2)), 0.03) * step((v - 0.2) / 0.03)
    inner = 0.335 + 0.1 * (v - 0.3)
    blade = step((a - inner) / 0.006) * step((0.43 - 0.25 * (v - 0.2) - a) / 0.02)
    blade = blade * step((v - 0.16) / 0.05) * step((0.44 - v) / 0.06)
    ridge = tube(np.abs(v - 0.155 - 0.12 * (0.43 - a)), 0.012) * step((a - 0.33) / 0.06)
    return 0.16 * head + 0.12 * shaft + 0.05 * blade + 0.07 * ridge


def spine(body: Body, u: Plane, v: Plane) -> Plane:
    """Vertebrae with discs between, and on them the spinous process and the two pedicles."""
    a = np.abs(u)
    phase = (v - body.rib_first) / (body.rib_gap * 0.86)
    disc = bump(phase - np.rint(phase), 0.0, 0.11)
    half = (0.034 + 0.012 * np.clip(v, 0, 1)) * (0.95 + 0.09 * disc)
    column = np.clip(1 - (a / half) ** 3, 0, 1) ** 0.5 * (0.19 - 0.08 * disc)
    edge = 0.03 * bump(a, half - 0.003, 0.004)
    away = phase - np.floor(phase) - 0.5
    process = 0.08 * np.clip(1 - (u / 0.008) ** 2 - (away / 0.22) ** 2, 0, 1) ** 0.5
    stalk = 0.055 * np.clip(1 - ((a - 0.023) / 0.007) ** 2 - (away / 0.2) ** 2, 0, 1) ** 0.5
    return column + edge + process + stalk
