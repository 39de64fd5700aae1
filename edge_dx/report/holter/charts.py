"""Charts over the whole recording, as SVGs that stand alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from edge_dx.report.holter.lanes import GOOD, HELD, INVALID, LOST, SETTLING
from edge_dx.report.holter.recorder import AF, JUDGED, LEADS, NOISY, STATES, Holter
from edge_dx.report.holter.timeline import Timeline
from edge_dx.report.holter.times import Clock, elapsed
from edge_dx.report.holter.values import About, Findings, Histogram
from edge_dx.report.pieces import escaped
from edge_dx.tensors import Array

_WIDE, _LEFT, _RIGHT = 1000, 92, 12
_HIGH, _TOP = 220, 14
_LANE, _STEP = 14, 20
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600,
            43200, 86400)  # fmt: skip
_LABELS = "NSVFQ"
_MOST_SHOWN, _BEATS_IN_S = 600, 10.0


def trend(holter: Holter, told: Findings, about: About) -> str:
    """The heart rate over time, and below it what was found and what could be seen."""
    scale = _Scale(told.duration_s)
    line = shown(holter, told)
    used, width_s = line.used, line.width_s
    rows = _rows(line, holter.leads, told, about, scale)
    height = _TOP + _HIGH + 10 + _STEP * len(rows) + (38 if about.begun else 24)
    bottom = _TOP + _HIGH
    parts = [
        f'<svg class="chart" role="img" viewBox="0 0 {_WIDE} {height}" '
        'xmlns="http://www.w3.org/2000/svg"><title>Heart rate over time</title>',
        f'<rect class="plot" x="{_LEFT}" y="{_TOP}" width="{scale.width}" height="{_HIGH}"/>',
    ]
    lasts = np.minimum(width_s, told.duration_s - np.arange(used) * width_s)
    lasts = np.maximum(lasts, 1e-9)
    parts += _shades(line.seconds[:used, AF] / lasts, scale, width_s, "af")
    parts += _shades(1 - line.seconds[:used, JUDGED] / lasts, scale, width_s, "gone")
    parts += _rate(line, scale)
    at = bottom + 10
    for name, drawn, side in rows:
        parts.append(
            f'<text class="name" x="{_LEFT - 8}" y="{at + 11}">{name}</text>'
            f'<g transform="translate(0 {at})"><title>{side}</title>{drawn}</g>'
        )
        at += _STEP
    parts.append(_axis(scale, holter.clock, at, about))
    parts.append("</svg>")
    return "".join(parts)


def shown(holter: Holter, told: Findings) -> Timeline:
    """The bins that are drawn: of a short recording wider ones, so that each has some beats."""
    least_s = min(max(told.duration_s / 10, 2.0), _BEATS_IN_S)
    return holter.timeline.coarser(max(least_s, told.duration_s / _MOST_SHOWN))


def histogram(told: Histogram, *, classes: bool) -> str:
    """RR intervals by length, normal to normal apart from the others where beats are told apart."""
    high = max((a + b for a, b in zip(told.normal, told.other, strict=True)), default=0)
    if not high:
        return ""
    wide, tall, left = 640, 200, 56
    each = (wide - left - 12) / len(told.normal)
    top = _nice(high)
    parts = [
        f'<svg class="chart small" role="img" viewBox="0 0 {wide} {tall + 62}" '
        'xmlns="http://www.w3.org/2000/svg"><title>RR intervals by length</title>'
        f'<rect class="plot" x="{left}" y="10" width="{wide - left - 12}" height="{tall}"/>'
    ]
    for part in range(5):
        y = 10 + tall * (1 - part / 4)
        parts.append(
            f'<path class="line" d="M{left} {y:g}H{wide - 12}"/>'
            f'<text class="name" x="{left - 6}" y="{y + 4:g}">{top * part / 4:g}</text>'
        )
    for n, (normal, other) in enumerate(zip(told.normal, told.other, strict=True)):
        x, base = left + n * each, 10.0 + tall
        for count, style in ((normal, "n"), (other, "v" if classes else "n")):
            h = tall * count / top
            if count:
                parts.append(
                    f'<rect class="bar {style}" x="{x:.1f}" y="{base - h:.1f}" '
                    f'width="{each - 0.6:.1f}" height="{h:.1f}"/>'
                )
            base -= h
    for tenth in range(2, 21, 2):
        x = left + (tenth / 10 - told.first_s) / told.width_s * each
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{tall + 26}">{tenth / 10:g}</text>'
            f'<path class="line" d="M{x:.1f} {tall + 10}v4"/>'
        )
    middle = (left + wide - 12) / 2
    parts.append(f'<text class="tick" x="{middle:g}" y="{tall + 46}">RR interval, seconds</text>')
    return "".join([*parts, "</svg>"])


class _Scale:
    """Seconds to places."""

    def __init__(self, duration_s: float) -> None:
        self.duration_s = max(duration_s, 1.0)
        self.width = _WIDE - _LEFT - _RIGHT

    def x(self, time_s: float) -> float:
        return _LEFT + self.width * min(max(time_s / self.duration_s, 0.0), 1.0)

    @property
    def step_s(self) -> int:
        """Between two ticks."""
        return next((s for s in _STEPS_S if self.duration_s / s <= 9),
                    86400 * math.ceil(self.duration_s / 86400 / 9))  # fmt: skip


def _rate(line: Timeline, scale: _Scale) -> list[str]:
    used, width_s = line.used, line.width_s
    low, high = line.lowest[:used], line.highest[:used]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = 60 * line.intervals[:used] / line.intervals_s[:used]
    known = np.concatenate(
        [mean[np.isfinite(mean)], low[np.isfinite(low)], high[np.isfinite(high)]]
    )
    bottom_rate, top_rate = 40.0, 120.0
    if len(known):
        bottom_rate = max(math.floor((float(known.min()) - 4) / 20) * 20, 0)
        top_rate = max(math.ceil((float(known.max()) + 4) / 20) * 20, bottom_rate + 40)

    def y(rate: float) -> float:
        return _TOP + _HIGH * (1 - (rate - bottom_rate) / (top_rate - bottom_rate))

    step = 20 if top_rate - bottom_rate <= 160 else 40
    parts = []
    for rate in range(int(bottom_rate), int(top_rate) + 1, step):
        parts.append(
            f'<path class="line" d="M{_LEFT} {y(rate):.1f}H{_WIDE - _RIGHT}"/>'
            f'<text class="name" x="{_LEFT - 8}" y="{y(rate) + 4:.1f}">{rate}</text>'
        )
    parts.append(
        f'<text class="name" transform="translate(16 {_TOP + _HIGH / 2}) rotate(-90)" '
        'style="text-anchor:middle">beats per minute</text>'
    )
    x = [scale.x((n + 0.5) * width_s) for n in range(used)]
    for a, b in _pieces(np.isfinite(low) & np.isfinite(high)):
        over = [f"{x[n]:.1f} {y(high[n]):.1f}" for n in range(a, b)]
        under = [f"{x[n]:.1f} {y(low[n]):.1f}" for n in reversed(range(a, b))]
        half = max(scale.width * width_s / scale.duration_s / 2, 1.0)
        if b - a == 1:  # a single bin is as wide as it is
            over = [f"{x[a] - half:.1f} {y(high[a]):.1f}", f"{x[a] + half:.1f} {y(high[a]):.1f}"]
            under = [f"{x[a] + half:.1f} {y(low[a]):.1f}", f"{x[a] - half:.1f} {y(low[a]):.1f}"]
        parts.append(f'<path class="range" d="M{"L".join(over)}L{"L".join(under)}Z"/>')
    for a, b in _pieces(np.isfinite(mean)):
        points = "L".join(f"{x[n]:.1f} {y(mean[n]):.1f}" for n in range(a, b))
        parts.append(f'<path class="mean" d="M{points}{"h1" if b - a == 1 else ""}"/>')
    return parts


def _rows(
    line: Timeline, leads: tuple[str, ...], told: Findings, about: About, scale: _Scale
) -> list[tuple[str, str, str]]:
    used, width_s = line.used, line.width_s
    seconds = line.seconds[:used]
    lasts = np.maximum(np.minimum(width_s, told.duration_s - np.arange(used) * width_s), 1e-9)
    share = seconds / lasts[:, None]
    rows = []
    if about.alarms:
        marks = "".join(f'<path class="alarm" d="M{scale.x(a.time_s):.1f} 0v{_LANE}"/>'
                        for a in told.alarms)  # fmt: skip
        rows.append(("alarms", _frame(scale) + marks, "alarms"))
    if about.looks_for_af:
        drawn = _bars([(share[:, AF], "af")], scale, width_s)
        rows.append(("AF", _frame(scale) + drawn, "atrial fibrillation"))
    if about.tells_classes:
        for label in ("V", "S"):
            counts = line.beats[:used, _LABELS.index(label)]
            drawn = _peaks(counts, scale, width_s, label.lower())
            most = f"most {counts.max() if used else 0} in {width_s} s"
            rows.append((f"{label} beats", _frame(scale) + drawn, most))
    gone = 1 - share[:, JUDGED]
    drawn = _bars([(share[:, JUDGED], "good"), (gone, "gone")], scale, width_s)
    rows.append(("analysed", _frame(scale) + drawn, "analysed"))
    rows.append(("noisy", _frame(scale) + _bars([(share[:, NOISY], "noisy")], scale, width_s),
                 "too noisy for classes"))  # fmt: skip
    for number, name in enumerate(leads):
        lanes = LEADS + STATES * number
        styles = ((GOOD, "good"), (HELD, "held"), (SETTLING, "settling"), (INVALID, "invalid"),
                  (LOST, "lost"))  # fmt: skip
        drawn = _bars([(share[:, lanes + n], style) for n, style in styles], scale, width_s)
        rows.append((f"lead {escaped(name[:8])}", _frame(scale) + drawn, "quality of the lead"))
    return rows


def _frame(scale: _Scale) -> str:
    return f'<rect class="lane" x="{_LEFT}" y="0" width="{scale.width}" height="{_LANE}"/>'


def _bars(parts: Iterable[tuple[Array, str]], scale: _Scale, width_s: int) -> str:
    """Shares of each bin stacked from below, in sixths, equal neighbours as one."""
    told, base = [], None
    for share, style in parts:
        base = np.zeros(len(share)) if base is None else base
        top = np.clip(base + np.clip(share, 0, 1), 0, 1)
        heights = np.round(np.stack([base, top], axis=1) * 6).astype(int)
        # What is there at all is seen.
        heights[:, 1] = np.where(share > 1e-6, np.maximum(heights[:, 1], heights[:, 0] + 1),
                                 heights[:, 0])  # fmt: skip
        heights = np.clip(heights, 0, 7)
        for a, b in _equal(heights):
            low, high = heights[a] / 6
            if high > low:
                x, end = scale.x(a * width_s), scale.x(b * width_s)
                y = _LANE * (1 - min(high, 1.0))
                told.append(
                    f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{max(end - x, 0.6):.1f}"'
                    f' height="{_LANE * (high - low):.1f}"/>'
                )
        base = top
    return "".join(told)


def _peaks(counts: Array, scale: _Scale, width_s: int, style: str) -> str:
    most = max(int(counts.max()), 1) if len(counts) else 1
    told = []
    for a, b in _equal(counts[:, None]):
        if counts[a]:
            x, end = scale.x(a * width_s), scale.x(b * width_s)
            h = max(_LANE * float(counts[a]) / most, 2.0)
            told.append(
                f'<rect class="bar {style}" x="{x:.1f}" y="{_LANE - h:.1f}" '
                f'width="{max(end - x, 0.8):.1f}" height="{h:.1f}"/>'
            )
    return "".join(told)


def _shades(share: Array, scale: _Scale, width_s: int, style: str) -> list[str]:
    """Full-height shades, as strong as the share of the bin."""
    sixths = np.round(np.clip(share, 0, 1) * 6).astype(int)
    return [
        f'<rect class="{style}" x="{scale.x(a * width_s):.1f}" y="{_TOP}" '
        f'width="{scale.x(b * width_s) - scale.x(a * width_s):.1f}" height="{_HIGH}" '
        f'opacity="{0.45 * int(sixths[a]) / 6:.2f}"/>'
        for a, b in _equal(sixths[:, None])
        if sixths[a]
    ]


def _axis(scale: _Scale, clock: Clock, at: float, about: About) -> str:
    told, step = [], scale.step_s
    for n in range(int(scale.duration_s // step) + 1):
        x = scale.x(n * step)
        text = elapsed(n * step)
        if x < _WIDE - 30:
            told.append(
                f'<path class="line" d="M{x:.1f} {_TOP}V{at}"/>'
                f'<text class="tick" x="{x:.1f}" y="{at + 14}">{text}</text>'
            )
            if about.begun:
                day = Clock(clock.first, clock.rate_hz, about.begun).of_day(n * step)
                told.append(f'<text class="tick" x="{x:.1f}" y="{at + 29}">{day}</text>')
    return "".join(told)


def _pieces(good: Array) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], good.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _equal(rows: Array) -> list[tuple[int, int]]:
    """Stretches of equal rows."""
    if not len(rows):
        return []
    turns = np.flatnonzero((np.diff(rows, axis=0) != 0).any(axis=1)) + 1
    edges = [0, *turns.tolist(), len(rows)]
    return list(pairwise(edges))


def _nice(most: int) -> float:
    power: int = 10 ** math.floor(math.log10(most))
    return next(power * n for n in (1, 2, 4, 8, 10, 20) if power * n >= most)
