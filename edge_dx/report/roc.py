"""The ROC curve as an SVG that stands alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_dx import metrics
from edge_dx.report.rows import Row

_SIDE, _LEFT, _TOP = 260, 46, 10


def svg_from_rows(rows: Sequence[Row], threshold: float) -> str:
    """The curve of the films that have a truth and a score; empty where a class is absent.

    Args:
        rows: judged films.
        threshold: of the operating point, which is marked on the curve.
    """
    scored = [
        (row.truth.positive, row.score) for row in rows if row.truth and row.score is not None
    ]
    truth = np.array([positive for positive, _ in scored], bool)
    scores = np.array([score for _, score in scored], np.float64)
    if not truth.any() or truth.all():
        return ""
    false, true, _ = metrics.roc(truth, scores)
    curve = " ".join(f"{_x(f):.1f},{_y(t):.1f}" for f, t in zip(false, true, strict=True))
    at_f = 1 - metrics.specificity(truth, scores, threshold)
    at_t = metrics.sensitivity(truth, scores, threshold)
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    parts = [
        f'<svg class="roc" role="img" viewBox="0 0 {right + 14} {bottom + 44}" '
        f'width="{right + 14}" height="{bottom + 44}" xmlns="http://www.w3.org/2000/svg">',
        f"<title>ROC curve of {len(scored)} films</title>",
        f"<desc>At the operating point sensitivity is {at_t:.3f} and the false-positive rate "
        f"{at_f:.3f}.</desc>",
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="#fff" '
        'stroke="#8a949e"/>',
    ]
    for tick in ticks:
        parts.append(
            f'<path d="M{_x(tick):.1f} {_TOP}V{bottom}M{_LEFT} {_y(tick):.1f}H{right}" '
            'stroke="#e3e7eb" fill="none"/>'
            f'<text x="{_x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
            f'<text x="{_LEFT - 6}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    parts += [
        f'<path d="M{_LEFT} {bottom}L{right} {_TOP}" stroke="#8a949e" stroke-dasharray="4 4"/>',
        f'<polyline points="{curve}" fill="none" stroke="#0b4f7d" stroke-width="2"/>',
        f'<circle cx="{_x(at_f):.1f}" cy="{_y(at_t):.1f}" r="5" fill="#a33b00" stroke="#fff"/>',
        f'<text x="{_LEFT + _SIDE / 2}" y="{bottom + 36}" text-anchor="middle">'
        "false-positive rate (1 − specificity)</text>",
        f'<text transform="translate(12 {_TOP + _SIDE / 2}) rotate(-90)" text-anchor="middle">'
        "sensitivity</text>",
        "</svg>",
    ]
    return "".join(parts)


def _x(rate: float) -> float:
    return _LEFT + _SIDE * rate


def _y(rate: float) -> float:
    return _TOP + _SIDE * (1 - rate)
