"""A strip as an SVG at the paper's scale: 25 mm a second, 10 mm a millivolt, on a grid of 1 mm."""

from __future__ import annotations

import math

import numpy as np

from edge_dx.ecg.events import Beat
from edge_dx.report.holter.strips import AFTER_S, BEFORE_S, Strip
from edge_dx.report.holter.times import Clock, elapsed
from edge_dx.report.pieces import escaped
from edge_dx.tensors import Array

MM_PER_S, MM_PER_MV = 25.0, 10.0
TOLERANCE_MM = 0.05
"""The line is nowhere further than this from a sample: five microvolts."""
WIDTH_MM = MM_PER_S * (BEFORE_S + AFTER_S)
_LEFT_MM = 7  # room for the mark of calibration
_HEAD_MM, _FOOT_MM, _BETWEEN_MM = 8.0, 4.5, 1.5
_LEAST_MM, _MOST_MM, _BIG_MM = 20, 45, 5
LETTERS = {"N": "n", "S": "s", "V": "v", "F": "f", "Q": "q"}
"""A class of beat to the style of its letter."""


def svg_from_strip(strip: Strip, clock: Clock, leads: tuple[str, ...], *, classes: bool) -> str:
    """The strip.

    Args:
        strip: that has been written.
        clock: of the recording.
        leads: names of its columns; they come from outside.
        classes: beats were told apart; else each has a dot.
    """
    assert strip.mv is not None, "the recording has been closed"
    rate = float(clock.rate_hz)
    parts: list[str] = []
    top = _HEAD_MM
    for column, name in zip(strip.mv.T, leads, strict=False):
        height, middle = _extent(column)
        parts.append(_lead(column, name, rate, top, height, middle))
        top += height + _BETWEEN_MM
    bottom = top - _BETWEEN_MM
    shade = "".join(
        f'<rect class="gone" x="{_x(a - strip.begin, rate):.2f}" y="{_HEAD_MM}" '
        f'width="{(b - a) / rate * MM_PER_S:.2f}" height="{bottom - _HEAD_MM:.1f}"/>'
        f'<text class="why" x="{_x(a - strip.begin, rate) + 1:.2f}" y="{_HEAD_MM + 3}">'
        "not analysed</text>"
        for a, b in strip.unjudged
    )
    width, height_mm = _LEFT_MM + WIDTH_MM, bottom + _FOOT_MM
    said = f"Strip at {elapsed(max(clock.seconds(strip.sample), 0))}, sample {strip.sample}"
    return (
        f'<svg class="strip" role="img" viewBox="0 0 {width:g} {height_mm:g}" '
        f'width="{width:g}mm" height="{height_mm:g}mm" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{said}</title>{shade}{''.join(parts)}"
        f"{_labels(strip, rate, classes=classes)}{_seconds(strip, clock, bottom)}</svg>"
    )


def _lead(column: Array, name: str, rate: float, top: float, height: int, middle: float) -> str:
    base = top + height / 2
    told = f"{name}{_clipped(column, middle, height)}"
    return (
        f'<g transform="translate({_LEFT_MM} {top:g})">{_grid(height)}</g>'
        f'<path class="mark" d="M1 {base + 5:g}h1v-10h5v10"/>'
        f"{_missing(column, rate, top, height)}"
        f'<svg x="{_LEFT_MM}" y="{top:g}" width="{WIDTH_MM:g}" height="{height}" '
        f'viewBox="0 0 {WIDTH_MM * 100:g} {height * 100}">'
        f'<path class="trace" d="{_trace(column, rate, middle, height)}"/></svg>'
        f'<text class="lead" x="{_LEFT_MM + 1}" y="{top + 3.4:g}">{escaped(told)}</text>'
    )


def _extent(column: Array) -> tuple[int, float]:
    """Millimetres that a lead gets, and the millivolts in the middle of them."""
    known = column[np.isfinite(column)]
    if not len(known):
        return _LEAST_MM, 0.0
    low, high = (float(v) for v in np.percentile(known, (0.2, 99.8)))
    need = (high - low) * MM_PER_MV + 4
    height = min(max(math.ceil(need / _BIG_MM) * _BIG_MM, _LEAST_MM), _MOST_MM)
    # Where it does not fit, the place where the line is most of the time is kept in sight.
    middle = (low + high) / 2 if need <= _MOST_MM else float(np.median(known))
    return height, round(middle, 1)


def _clipped(column: Array, middle: float, height: int) -> str:
    with np.errstate(invalid="ignore"):
        beyond = np.abs(column - middle) * MM_PER_MV > height / 2
    return " (cut off at the edge)" if beyond.any() else ""


def _grid(height: int) -> str:
    wide = int(WIDTH_MM)
    fine = "".join(f"M{x} 0v{height}" for x in range(wide + 1) if x % _BIG_MM)
    fine += "".join(f"M0 {y}h{wide}" for y in range(height + 1) if y % _BIG_MM)
    big = "".join(f"M{x} 0v{height}" for x in range(0, wide + 1, _BIG_MM))
    big += "".join(f"M0 {y}h{wide}" for y in range(0, height + 1, _BIG_MM))
    return f'<path class="fine" d="{fine}"/><path class="big" d="{big}"/>'


def _missing(column: Array, rate: float, top: float, height: int) -> str:
    """Grey where no sample came."""
    gone = np.concatenate(([False], ~np.isfinite(column), [False]))
    edges = np.flatnonzero(np.diff(gone.astype(np.int8)))
    return "".join(
        f'<rect class="none" x="{_x(a, rate):.2f}" y="{top:g}" '
        f'width="{(b - a) / rate * MM_PER_S:.2f}" height="{height}"/>'
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    )


def _trace(column: Array, rate: float, middle: float, height: int) -> str:
    """A path in hundredths of a millimetre, without the points that a straight line passes."""
    x = np.arange(len(column)) * (MM_PER_S * 100 / rate)
    y = 100 * (height / 2 - (column.astype(np.float64) - middle) * MM_PER_MV)
    y = np.clip(y, -1e5, 1e5)
    told = []
    good = np.concatenate(([False], np.isfinite(y), [False]))
    edges = np.flatnonzero(np.diff(good.astype(np.int8)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        kept = _kept(x[a:b], y[a:b], TOLERANCE_MM * 100)
        points = np.round(np.stack([x[a:b][kept], y[a:b][kept]], axis=1)).astype(np.int64)
        steps = np.diff(points, axis=0)
        told.append(f"M{points[0, 0]} {points[0, 1]}l" if len(steps) else
                    f"M{points[0, 0]} {points[0, 1]}h1")  # fmt: skip
        told.append(" ".join(f"{dx} {dy}" for dx, dy in steps.tolist()))
    return "".join(told)


def _kept(x: Array, y: Array, tolerance: float) -> list[int]:
    """Points between which a straight line leaves no other by more than the tolerance."""
    kept, last = [0], len(x) - 1
    xs, ys = x.tolist(), y.tolist()
    at, low, high = 0, -math.inf, math.inf
    for n in range(1, last + 1):
        run = xs[n] - xs[at]
        slope = (ys[n] - ys[at]) / run
        if low <= slope <= high:
            low = max(low, slope - tolerance / run)
            high = min(high, slope + tolerance / run)
            continue
        at = n - 1
        kept.append(at)
        run = xs[n] - xs[at]
        slope = (ys[n] - ys[at]) / run
        low, high = slope - tolerance / run, slope + tolerance / run
    if last > 0:
        kept.append(last)
    return kept


def _labels(strip: Strip, rate: float, *, classes: bool) -> str:
    told, before = [], None
    for beat in strip.beats:
        x = _x(beat.sample - strip.begin, rate)
        letter = (beat.label if classes else "•") + ("~" if beat.noisy else "")
        style = LETTERS[beat.label] if classes else "n"
        told.append(
            f'<text class="beat {style}" x="{x:.2f}" y="{_HEAD_MM - 1.2:g}">{letter}</text>'
        )
        if before is not None and beat.rr_s is not None:
            told.append(_interval(before, beat, strip, rate, beat.rr_s))
        before = beat
    return "".join(told)


def _interval(before: Beat, beat: Beat, strip: Strip, rate: float, rr_s: float) -> str:
    middle = (before.sample + beat.sample) / 2 - strip.begin
    return (
        f'<text class="rr" x="{_x(middle, rate):.2f}" y="{_HEAD_MM - 5:g}">{rr_s * 1000:.0f}</text>'
    )


def _seconds(strip: Strip, clock: Clock, bottom: float) -> str:
    """A tick at each full second, the first one with its whole time."""
    begin_s = clock.seconds(strip.begin)
    told, whole = [], math.ceil(begin_s - 1e-9)
    first = True
    while (x := (whole - begin_s) * MM_PER_S) <= WIDTH_MM + 1e-6:
        if whole >= 0:
            text = elapsed(whole) if first else f":{whole % 60:02d}"
            anchor = "start" if first and x < 6 else "middle"
            if x <= WIDTH_MM - 3:
                told.append(
                    f'<text class="tick" text-anchor="{anchor}" x="{_LEFT_MM + x:.2f}" '
                    f'y="{bottom + 3.6:g}">{text}</text>'
                )
            told.append(f'<path class="big" d="M{_LEFT_MM + x:.2f} {bottom:g}v1"/>')
            first = False
        whole += 1
    return "".join(told)


def _x(samples: float, rate: float) -> float:
    return _LEFT_MM + samples / rate * MM_PER_S
