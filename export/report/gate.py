"""The gate's figures on the page: what it refuses, and abstention against error."""

from __future__ import annotations

from collections.abc import Callable

from edge_dx.report.pieces import escaped, table
from export.gate_study.record import GateStudy, Point
from export.gate_study.table import NOTES, percent
from export.report.record import Report
from export.report.tables import code

_WIDE, _HIGH, _LEFT, _TOP = 420, 260, 46, 10
_LINES: tuple[tuple[str, str, str, Callable[[Point], float | None]], ...] = (
    ("right films refused", "#0b4f7d", "", lambda p: p.right_refused),
    ("wrong among the answers", "#1c6b3c", "9 3 2 3", lambda p: p.error),
    ("strangers answered", "#a33b00", "7 3", lambda p: p.strangers_answered),
    ("altered films answered", "#6d2e8f", "2 3", lambda p: p.altered_answered),
)
_KINDS = {"stranger": "another kind", "right": "right", "elsewhere": "right, another source",
          "altered": "made wrong"}  # fmt: skip


def section(report: Report) -> str:
    """Empty where the gate was not tried."""
    if not report.gate:
        return ""
    parts = ["<h2>Gate</h2>", *(f'<p class="note">{escaped(note)}</p>' for note in NOTES)]
    for study in report.gate:
        lines = [
            (escaped(_KINDS[each.kind]), escaped(each.name), str(each.pictures),
             str(each.refused.n), escaped(percent(each.refused)),
             escaped(", ".join(f"{why} {n}" for why, n in each.reasons.items()) or "–"))
            for each in study.classes
        ]  # fmt: skip
        heads = ("", "pictures", "n", "groups", "refused", "reasons")
        parts += [f"<h3>{code(study.variant)}</h3>", table(heads, lines, (2, 3)), drawn(study)]
    return "".join(parts)


def drawn(study: GateStudy) -> str:
    """Shares against the limit of the distance, with the limit that was chosen."""
    if not study.curve or study.max_distance is None:
        return ""
    ends = study.curve[0].max_distance, study.curve[-1].max_distance
    right, bottom = _LEFT + _WIDE, _TOP + _HIGH

    def at(limit: float) -> float:
        return _LEFT + _WIDE * (limit - ends[0]) / (ends[1] - ends[0])

    parts = [
        f'<svg class="roc" role="img" viewBox="0 0 {right + 220} {bottom + 44}" '
        f'width="{right + 220}" height="{bottom + 44}" xmlns="http://www.w3.org/2000/svg">',
        f"<title>Abstention against error of {escaped(study.variant)}</title>",
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDE}" height="{_HIGH}" fill="#fff" '
        'stroke="#8a949e"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, limit = _height(tick), ends[0] + tick * (ends[1] - ends[0])
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{right}M{at(limit):.1f} {_TOP}V{bottom}" stroke="#e3e7eb" '
            f'fill="none"/><text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.0%}'
            f'</text><text x="{at(limit):.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{limit:.2f}</text>"
        )
    for k, (name, colour, dash, value) in enumerate(_LINES):
        points = " ".join(
            f"{at(point.max_distance):.1f},{_height(found):.1f}"
            for point in study.curve
            if (found := value(point)) is not None
        )
        y = _TOP + 14 + 20 * k
        style = f'stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"'
        parts += [
            f'<polyline points="{points}" fill="none" {style}/>',
            f'<path d="M{right + 14} {y - 4}h30" {style}/>',
            f'<text x="{right + 50}" y="{y}">{escaped(name)}</text>',
        ]
    chosen = at(study.max_distance)
    parts.append(
        f'<path d="M{chosen:.1f} {_TOP}V{bottom}" stroke="#16202a" stroke-dasharray="4 3"/>'
        f'<text x="{chosen + 5:.1f}" y="{_TOP + 14}">limit {study.max_distance:.2f}</text>'
        f'<text x="{_LEFT + _WIDE / 2}" y="{bottom + 36}" text-anchor="middle">'
        "limit of the distance from the training films</text></svg>"
    )
    return "".join(parts)


def _height(share: float) -> float:
    return _TOP + _HIGH * (1 - share)
