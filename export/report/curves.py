"""Drawings of the record, as SVG that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_dx import metrics
from edge_dx.report.pieces import escaped

_SIDE, _LEFT, _TOP = 300, 46, 10
_COLOURS = ("#16202a", "#0b4f7d", "#a33b00", "#1c6b3c", "#6d2e8f", "#8a5a00", "#3d6a7a")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 3", "3 2 1 2")
"""Lines differ in dash as well as in colour: the page is printed in grey, too."""


class Curve(NamedTuple):
    """One file's scores with its threshold."""

    name: str
    scores: np.ndarray[Any, Any]
    threshold: float


def roc(truth: np.ndarray[Any, np.dtype[np.bool_]], curves: Sequence[Curve]) -> str:
    """ROC curves in one frame, each with its operating point."""
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    parts = [
        f'<svg class="roc" role="img" viewBox="0 0 {right + 190} {bottom + 44}" '
        f'width="{right + 190}" height="{bottom + 44}" xmlns="http://www.w3.org/2000/svg">',
        f"<title>ROC curves of {len(curves)} files on {len(truth)} studies</title>",
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="#fff" '
        'stroke="#8a949e"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<path d="M{_x(tick):.1f} {_TOP}V{bottom}M{_LEFT} {_y(tick):.1f}H{right}" '
            'stroke="#e3e7eb" fill="none"/>'
            f'<text x="{_x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
            f'<text x="{_LEFT - 6}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for k, curve in enumerate(curves):
        colour, dash = _COLOURS[k % len(_COLOURS)], _DASHES[k % len(_DASHES)]
        false, true, _ = metrics.roc(truth, curve.scores)
        points = " ".join(f"{_x(f):.1f},{_y(t):.1f}" for f, t in zip(false, true, strict=True))
        at_f = 1 - metrics.specificity(truth, curve.scores, curve.threshold)
        at_t = metrics.sensitivity(truth, curve.scores, curve.threshold)
        y = _TOP + 14 + 20 * k
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6" '
            f'stroke-dasharray="{dash}"/>',
            f'<circle cx="{_x(at_f):.1f}" cy="{_y(at_t):.1f}" r="4" fill="{colour}" '
            'stroke="#fff"/>',
            f'<path d="M{right + 14} {y - 4}h30" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>',
            f'<text x="{right + 50}" y="{y}">{escaped(curve.name)}</text>',
        ]
    parts += [
        f'<text x="{_LEFT + _SIDE / 2}" y="{bottom + 36}" text-anchor="middle">'
        "false-positive rate (1 − specificity)</text>",
        f'<text transform="translate(12 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">'
        "sensitivity</text>",
        "</svg>",
    ]
    return "".join(parts)


def bars(title: str, rows: Sequence[tuple[str, float, bool]], limit: float, unit: str) -> str:
    """Horizontal bars; a row is (name, value, whether it is marked), `limit` is a line."""
    wide, high, left = 300, 18, 300
    top = max([value for _, value, _ in rows] + [limit]) * 1.12 or 1.0
    height = high * len(rows) + 26
    parts = [
        f'<svg class="roc" role="img" viewBox="0 0 {left + wide + 60} {height}" '
        f'width="{left + wide + 60}" height="{height}" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escaped(title)}</title>",
    ]
    for k, (name, value, marked) in enumerate(rows):
        y = high * k
        length = max(0.0, value / top) * wide
        fill = "#c9ced4" if marked else "#0b4f7d"
        parts.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escaped(name)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="{high - 6}" '
            f'fill="{fill}"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 13}">{value:.1f}</text>'
        )
    at = left + limit / top * wide
    bottom = high * len(rows)
    parts.append(
        f'<path d="M{at:.1f} 0V{bottom + 4}" stroke="#a33b00" stroke-dasharray="4 3"/>'
        f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">'
        f"asked: {limit:g} {escaped(unit)}</text></svg>"
    )
    return "".join(parts)


def _x(rate: float) -> float:
    return _LEFT + _SIDE * rate


def _y(rate: float) -> float:
    return _TOP + _SIDE * (1 - rate)
