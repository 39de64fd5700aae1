"""When samples were taken at a device without a clock: by when they arrived, and their number.

A sample cannot arrive before it was taken, only later, and by how much later changes all the time.
So of every two seconds the arrival with the shortest delay is kept, and a line is laid under the
kept ones: the lower edge of their convex hull, where it carries the middle of them (the line below
all points whose distances add up to the least; as Moon, Skelly & Towsley 1999, INFOCOM 227, do for
one-way delays). Its slope is the device's true rate.

What is the same for all samples cannot be seen in this way: the shortest time from the converter to
here (packing, radio, a bridge chip's timer). Times are late by that, and `uncertainty_s` does not
hold it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import NamedTuple

BUCKET_S = 2.0
_KEPT = 60  # two minutes: crystals drift with temperature
_FLOOR_S = 2e-4  # time stamps and scheduling, at best
_DRIFT = 1e-4  # how far a rate may be off that has not been seen yet
_JUMP_S = 0.25  # further off the line than this, the numbers have gone wrong


class Estimate(NamedTuple):
    """When a sample was taken.

    Attributes:
        t_host_ns: in the host's monotonic time.
        uncertainty_s: of it, without what is the same for all samples.
        epoch: raised whenever the line began anew.
    """

    t_host_ns: int
    uncertainty_s: float
    epoch: int


class _Point(NamedTuple):
    nominal_s: float  # by its number and the nominal rate
    late_s: float  # how much later than that it arrived


class Arrivals:
    """The line under the arrivals of one stream.

    Args:
        rate_hz: nominal.

    Attributes:
        epoch: raised whenever the line began anew.
    """

    def __init__(self, rate_hz: Fraction) -> None:
        self._rate_hz = float(rate_hz)
        self.epoch = 0
        self._clear()

    def _clear(self) -> None:
        self._zero: tuple[int, int] | None = None  # number and time that the others are told from
        self._points: deque[_Point] = deque(maxlen=_KEPT)
        self._least: _Point | None = None
        self._most_s = 0.0
        self._bucket_ends_s = BUCKET_S
        self._off = 0
        self._slope = self._noise_s = 0.0
        self._middle: _Point | None = None

    def restart(self) -> None:
        """The numbers no longer go on from those before."""
        if self._zero is not None:
            self.epoch += 1
            self._clear()

    def heard(self, index: int, arrived_ns: int) -> None:
        """The sample of that number was there at that time, with none after it."""
        if self._zero is None:
            self._zero = index, arrived_ns
        nominal_s = (index - self._zero[0]) / self._rate_hz
        point = _Point(nominal_s, (arrived_ns - self._zero[1]) * 1e-9 - nominal_s)
        if self._middle is not None and point.late_s < self._line(nominal_s) - _JUMP_S:
            self.restart()  # far too early: samples before it were counted twice
            self.heard(index, arrived_ns)
            return
        if nominal_s >= self._bucket_ends_s:
            self._close_bucket(nominal_s)
        if self._least is None or point.late_s < self._least.late_s:
            self._least = point
            if self._middle is not None and point.late_s < self._line(nominal_s):
                self._fit([*self._points, point])  # nothing arrives before it was taken
        self._most_s = max(self._most_s, point.late_s)

    def at(self, index: int) -> Estimate | None:
        """When the sample of that number was taken; None in the first two seconds."""
        if self._middle is None or self._zero is None:
            return None
        nominal_s = (index - self._zero[0]) / self._rate_hz
        since_s = nominal_s + self._line(nominal_s)
        span_s = self._points[-1].nominal_s - self._points[0].nominal_s
        away_s = abs(nominal_s - self._middle.nominal_s)
        slope = min(_DRIFT, 2.0 * self._noise_s / span_s if span_s else _DRIFT)
        doubt_s = _FLOOR_S + 2.0 * self._noise_s + slope * away_s
        return Estimate(self._zero[1] + round(since_s * 1e9), doubt_s, self.epoch)

    def _line(self, nominal_s: float) -> float:
        assert self._middle is not None
        return self._middle.late_s + self._slope * (nominal_s - self._middle.nominal_s)

    def _close_bucket(self, nominal_s: float) -> None:
        least = self._least
        self._bucket_ends_s = nominal_s + BUCKET_S
        if least is None:
            return
        late_s = least.late_s - self._line(least.nominal_s) if self._middle is not None else 0.0
        self._off = self._off + 1 if late_s > _JUMP_S else 0
        if self._off >= 2:  # not one of them in time: samples are missing that nobody counted
            zero = self._zero
            self.restart()
            self._zero, self._bucket_ends_s = zero, nominal_s + BUCKET_S
            self._points.append(least)
        elif not self._off:
            self._points.append(least)
        if self._points:
            self._fit(list(self._points), self._most_s - least.late_s)
        self._least, self._most_s = None, -1e9

    def _fit(self, points: Sequence[_Point], spread_s: float = 0.0) -> None:
        middle_s = sum(point.nominal_s for point in points) / len(points)
        left, right = _edge(points, middle_s)
        if right.nominal_s > left.nominal_s:
            self._slope = (right.late_s - left.late_s) / (right.nominal_s - left.nominal_s)
        at_s = left.late_s + self._slope * (middle_s - left.nominal_s)
        self._middle = _Point(middle_s, at_s)
        if len(points) < 3:  # how much the least ones differ is not known yet
            self._noise_s = max(spread_s, self._noise_s)
        else:
            self._noise_s = median(p.late_s - self._line(p.nominal_s) for p in points)


def _edge(points: Sequence[_Point], middle_s: float) -> tuple[_Point, _Point]:
    """The edge of the lower convex hull over `middle_s`; points come in the order of time."""
    hull: list[_Point] = []
    for point in points:
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    for left, right in pairwise(hull):
        if right.nominal_s >= middle_s:
            return left, right
    return hull[-1], hull[-1]


def _turns_down(a: _Point, b: _Point, c: _Point) -> bool:
    return (b.late_s - a.late_s) * (c.nominal_s - a.nominal_s) >= (c.late_s - a.late_s) * (
        b.nominal_s - a.nominal_s
    )
