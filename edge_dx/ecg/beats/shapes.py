"""The shape of a beat against the patient's own shapes, lead by lead.

A lead remembers up to three shapes as running means. The one that most beats of late had, early
ones counting less, is dominant: the patient's normal beat, whatever it looks like.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

WINDOW = 64
"""Rows of a window: every second row of the signal path, 125 per second."""
PEAK = 40
"""The R peak's place in it: the window begins 320 ms before and ends 184 ms after."""
SLACK = 4
"""Rows of the signal path by which a window may be moved to lie on the dominant shape."""
SHAPES = 3
NAMES = ("shapes", "weights", "seen", "dominant", "last", "usual")
"""Of the arrays of a state, leads first."""

_REGIONS = {"p": (8, 30), "qrs": (29, 53), "t": (53, 64), "all": (0, 64)}
_P, _QRS, _T, _ALL = range(4)
_MASK = np.zeros((len(_REGIONS), WINDOW), np.float32)
for _row, (_first, _end) in enumerate(_REGIONS.values()):
    _MASK[_row, _first:_end] = 1
_COUNT = _MASK.sum(axis=1)
_MEANS = np.ascontiguousarray((_MASK / _COUNT[:, None]).T)
_PLACES = np.arange(2 * SLACK + 1)[:, None] + 2 * np.arange(WINDOW)[None, :]
_FAR = 0.004 * np.abs(np.arange(2 * SLACK + 1) - SLACK).astype(np.float32)
"""What a shift must gain: without it noise would move windows."""

_JOINS = 0.88
_SIZES = (0.6, 1.67)
_FORGETS = 0.995
"""Per beat: the dominant shape is that of the last 200 or so, not of a run of 40 others."""
_TURN = 0.05
_FLOOR = 1e-4
"""mV²: variance below which there is nothing to compare."""
_LIMIT = 8.0

SHAPE = (
    "shape_known", "dominance",
    "p_like", "qrs_like", "t_like", "all_like",
    "p_off", "qrs_off", "t_off", "size", "scale",
    "other_qrs_like", "other_weight", "previous_qrs_like", "previous_p_like", "previous_off",
    "width", "width_ratio", "slope", "slope_ratio", "area", "area_off",
    "p_size", "p_size_off", "peak", "peak_off",
)  # fmt: skip
"""`like`: correlation with the dominant shape. `off`: root mean square of the difference, as the
logarithm of its share of the dominant QRS; `area_off`, `peak_off`: differences."""

NEXT = ("next_p_like", "next_qrs_like", "next_off", "next_size")
"""Of the beat that follows, as `p_like`, `qrs_like`, `qrs_off`, `size`."""
_NEXT_PLACES = [SHAPE.index(name) for name in ("p_like", "qrs_like", "qrs_off", "size")]


def start(leads: int) -> Arrays:
    """Nothing has been seen."""
    return {
        "shapes": np.zeros((leads, SHAPES, WINDOW), np.float32),
        "weights": np.zeros((leads, SHAPES), np.float32),
        "seen": np.zeros((leads, SHAPES), np.float32),
        "dominant": np.zeros(leads, np.int64),
        "last": np.zeros((leads, WINDOW), np.float32),
        "usual": np.zeros(leads, np.bool_),
    }


def step(
    state: Arrays,
    around: NDArray[np.float32],
    early: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> tuple[
    Arrays, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]
]:
    """One beat of each lead; leads of many streams may stand together, none knows of another.

    Args:
        state: as in `start`.
        around: (leads, rows) around the peak.
        early: (leads,) weight in the choice of the dominant shape, 1 unless the beat came early.
        valid: (leads,) whether there was a signal; what there was not is not learned.

    Returns:
        New state, windows (leads, 2, WINDOW), `SHAPE` (leads, n), and how well the window lies on
        the dominant shape (leads,) with how many rows it was moved for that (leads,).
    """
    leads = np.arange(len(around))
    dominant, weights = state["dominant"], state["weights"]
    shape = state["shapes"][leads, dominant]
    known = weights[leads, dominant] > 0
    x, alike, shift = _aligned(around, shape, known)
    every = np.concatenate([state["shapes"], state["last"][:, None]], axis=1)
    beat = x[:, None]
    moments = np.concatenate([beat, beat * beat, every, every * every, every * beat], axis=1)
    mean = moments @ _MEANS  # (leads, 2 + 3 * 4, regions)
    n = SHAPES + 1
    vx = np.maximum(mean[:, 1] - mean[:, 0] ** 2, 0)[:, None]
    vs = np.maximum(mean[:, 2 + n : 2 + 2 * n] - mean[:, 2 : 2 + n] ** 2, 0)
    cov = mean[:, 2 + 2 * n :] - mean[:, :1] * mean[:, 2 : 2 + n]
    like = cov / np.sqrt((vx + _FLOOR) * (vs + _FLOOR))
    own_v = vs[leads, dominant, _QRS]
    unit = np.sqrt(np.where(known, own_v, vx[:, 0, _QRS]) + _FLOOR)
    off = np.log(np.sqrt(np.maximum(vx - 2 * cov + vs, 0)) / unit[:, None, None] + 0.05)
    found = _features(state, x, shape, known, like, off, unit, vx[:, 0, _QRS], own_v)
    scale = 1 / (2.5 * unit[:, None])
    windows = np.stack([x * scale, shape * scale * known[:, None]], axis=1)
    kept = _learned(state, x, like[:, :SHAPES, _QRS], vx[:, 0, _QRS], vs[:, :SHAPES, _QRS], early)
    if not valid.all():
        kept = {
            name: np.where(valid.reshape(-1, *[1] * (array.ndim - 1)), array, state[name])
            for name, array in kept.items()
        }
    return kept, np.clip(windows, -_LIMIT, _LIMIT), found, np.where(valid, alike, -1.0), shift


def following(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """`NEXT` (leads, n) out of the next beat's `SHAPE`."""
    return found[:, _NEXT_PLACES]


def _aligned(
    around: NDArray[np.float32], shape: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Windows on the dominant shape, their likeness, and by how many rows they were moved."""
    leads = np.arange(len(around))
    every = around[:, _PLACES]  # (leads, shifts, WINDOW)
    first, end = _REGIONS["qrs"]
    part = every[:, :, first:end]
    part = part - part.mean(axis=2, keepdims=True)
    own = shape[:, first:end]
    own = own - own.mean(axis=1, keepdims=True)
    power = (own * own).sum(axis=1) + 0.01
    size = np.sqrt(((part * part).sum(axis=2) + 0.01) * power[:, None])
    like = (part @ own[:, :, None])[:, :, 0] / size
    place = np.where(known, np.argmax(like - _FAR, axis=1), SLACK)
    x = every[leads, place]
    x = x - x.mean(axis=1, keepdims=True)
    return x, np.where(known, like[leads, place], -1.0), place - SLACK


def _features(
    state: Arrays,
    x: NDArray[np.float32],
    shape: NDArray[np.float32],
    known: NDArray[np.bool_],
    like: NDArray[np.float32],
    off: NDArray[np.float32],
    unit: NDArray[np.float32],
    vx: NDArray[np.float32],
    own_v: NDArray[np.float32],
) -> NDArray[np.float32]:
    leads = np.arange(len(x))
    dominant, weights = state["dominant"], state["weights"]
    others = like[:, :SHAPES, _QRS].copy()
    others[weights <= 0] = -1
    others[leads, dominant] = -1
    other = np.argmax(others, axis=1)
    total = weights.sum(axis=1) + 1e-3
    both = np.stack([x, shape], axis=1)  # (leads, 2, WINDOW)
    first, end = _REGIONS["qrs"]
    part = both[:, :, first:end]
    size = np.abs(part)
    area = size.sum(axis=2)
    height = size.max(axis=2) + 0.01
    width = np.log(area / height + 0.5)
    slope = np.log(np.abs(np.diff(part, axis=2)).max(axis=2) / height + 0.02)
    signed = part.mean(axis=2) / unit[:, None]
    first, end = _REGIONS["p"]
    p = both[:, :, first:end]
    p_size = (p.max(axis=2) - p.min(axis=2)) / unit[:, None]
    peak = both[:, :, PEAK - 2 : PEAK + 3].mean(axis=2) / unit[:, None]
    own = like[leads, dominant]
    own_off = off[leads, dominant]
    found = np.stack([
        np.minimum(state["seen"][leads, dominant], 8) / 8, weights[leads, dominant] / total,
        own[:, _P], own[:, _QRS], own[:, _T], own[:, _ALL],
        own_off[:, _P], own_off[:, _QRS], own_off[:, _T],
        0.5 * np.log((vx + _FLOOR) / (own_v + _FLOOR)), np.log(unit * 2),
        others[leads, other], weights[leads, other] / total,
        like[:, SHAPES, _QRS], like[:, SHAPES, _P], off[:, SHAPES, _QRS],
        width[:, 0], width[:, 0] - width[:, 1], slope[:, 0], slope[:, 0] - slope[:, 1],
        signed[:, 0], signed[:, 0] - signed[:, 1],
        p_size[:, 0], p_size[:, 0] - p_size[:, 1], peak[:, 0], peak[:, 0] - peak[:, 1],
    ], axis=1)  # fmt: skip
    found = np.clip(found, -3, 3).astype(np.float32)
    # Nothing to compare with yet: what is relative says nothing.
    return np.where(known[:, None] | _ABSOLUTE, found, np.float32(0))


_ABSOLUTE = np.array([name in {"scale", "width", "slope", "area", "p_size", "peak"}
                      for name in SHAPE])  # fmt: skip


def _learned(
    state: Arrays,
    x: NDArray[np.float32],
    like: NDArray[np.float32],
    vx: NDArray[np.float32],
    vs: NDArray[np.float32],
    early: NDArray[np.float32],
) -> Arrays:
    """The state after the beat joined the shape it is most like, or took the lightest's place."""
    leads = np.arange(len(x))
    ratio = np.sqrt((vx[:, None] + _FLOOR) / (vs + _FLOOR))
    joins = (like > _JOINS) & (ratio > _SIZES[0]) & (ratio < _SIZES[1]) & (state["weights"] > 0)
    rating = np.where(joins, like, -1)
    best = np.argmax(rating, axis=1)
    fits = rating[leads, best] > 0
    light = state["weights"].copy()
    light[leads, state["dominant"]] = np.inf
    # The first of all takes place 0, which is dominant.
    lightest = np.where(state["weights"].max(axis=1) > 0, np.argmin(light, axis=1), 0)
    place = np.where(fits, best, lightest)
    shapes, seen = state["shapes"].copy(), state["seen"].copy()
    weights = state["weights"] * np.float32(_FORGETS)
    count = np.where(fits, seen[leads, place], 0) + 1
    turn = np.maximum(_TURN, 1 / count)[:, None]
    before = shapes[leads, place]
    shapes[leads, place] = np.where(fits[:, None], before + turn * (x - before), x)
    seen[leads, place] = np.minimum(count, 1000)
    weights[leads, place] = np.where(fits, weights[leads, place], 0) + early
    heaviest = np.argmax(weights, axis=1)
    changes = weights[leads, heaviest] > 1.2 * weights[leads, state["dominant"]]
    return {
        "shapes": shapes,
        "weights": weights.astype(np.float32),
        "seen": seen.astype(np.float32),
        "dominant": np.where(changes, heaviest, state["dominant"]).astype(np.int64),
        "last": x.astype(np.float32),
        "usual": place == state["dominant"],
    }
