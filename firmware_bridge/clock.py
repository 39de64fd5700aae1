"""The device's clock in the host's: offset and skew, with an uncertainty that is told.

Each exchange of a ping gives four times: sent and received here, received and answered there. Of a
round of exchanges the one with the shortest round trip is kept (Mills 1991, IEEE Trans. Commun. 39,
1482; as in NTP and in liblsl), because delay beyond the shortest is what makes it wrong. Through
the kept points a line is fitted with exponential forgetting (half-life 90 s), each weighted by how
far its round trip lies above the shortest one known: half of that excess bounds its error.

A restart of the device begins a new epoch, and so does a residual that no cable explains: times
from before are never bent to fit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

PROBES = 8
"""Exchanges in one round."""
INTERVAL_S = 2.0
"""From one round to the next."""
_KEPT = 256  # nearly six half-lives
_FLOOR_S = 1e-4  # what a point is worth at best: time stamps and scheduling
_SKEW = 5e-4  # how far a clock is off before anything is known: crystals 1e-4, RC oscillators 1e-2
_JUMP_S = 0.05


@dataclass(frozen=True)
class Probe:
    """One exchange.

    Attributes:
        sent_ns: host, monotonic.
        device_in_us: device, when the ping came.
        device_out_us: device, when it was answered.
        received_ns: host, monotonic.
    """

    sent_ns: int
    device_in_us: int
    device_out_us: int
    received_ns: int

    @property
    def round_trip_s(self) -> float:
        """On the way, there and back."""
        away = (self.received_ns - self.sent_ns) * 1e-9
        return away - (self.device_out_us - self.device_in_us) * 1e-6


@dataclass(frozen=True)
class Fit:
    """What is known of the device's clock, as a value that does not change.

    Attributes:
        epoch: raised whenever the relation began anew.
        at_dev_us: the device time around which the line runs.
        at_host_ns: the host's at that moment.
        skew: host seconds per device second, minus 1.
        uncertainty_s: of a time near `at_dev_us`: noise and half of the shortest round trip.
        skew_uncertainty: of `skew`, for times further away.
        residual_s: root mean square of the last points around the line.
        points: that the line rests on.
    """

    epoch: int
    at_dev_us: int
    at_host_ns: int
    skew: float
    uncertainty_s: float
    skew_uncertainty: float
    residual_s: float
    points: int

    def host_ns(self, t_dev_us: int) -> int:
        """When, in the host's monotonic time, it was `t_dev_us` at the device."""
        since = t_dev_us - self.at_dev_us
        return self.at_host_ns + since * 1000 + round(since * 1000 * self.skew)

    def uncertainty_at(self, t_dev_us: int) -> float:
        """In seconds; grows with the distance from what was measured."""
        return self.uncertainty_s + abs(t_dev_us - self.at_dev_us) * 1e-6 * self.skew_uncertainty

    @property
    def skew_ppm(self) -> float:
        """How much too slow the device's clock runs, in millionths."""
        return self.skew * 1e6


class _Point(NamedTuple):
    dev_us: int
    host_ns: int
    round_trip_s: float


class Clock:
    """Fits the device's clock from rounds of probes.

    Args:
        half_life_s: after which a point counts half.
    """

    def __init__(self, half_life_s: float = 90.0) -> None:
        self._half_life = half_life_s
        self._epoch = 0
        self._boot: int | None = None
        self._residuals: deque[float] = deque(maxlen=32)
        self._fit: Fit | None = None
        self._clear()

    @property
    def fit(self) -> Fit | None:
        """What is known now; None before the first round of an epoch."""
        return self._fit

    def _clear(self) -> None:
        self._points: deque[_Point] = deque(maxlen=_KEPT)
        self._shortest = math.inf
        self._residuals.clear()
        self._fit = None

    def restart(self, boot_id: int) -> bool:
        """Says which boot of the device it is; whether that began a new epoch."""
        if boot_id == self._boot:
            return False
        again = self._boot is not None
        self._boot = boot_id
        if again:
            self._epoch += 1
            self._clear()
        return again

    def round(self, probes: Sequence[Probe]) -> Fit | None:
        """Takes the answered exchanges of one round; what is known afterwards.

        Exchanges that no device can have sent (a negative round trip, an answer before the ping)
        are ignored.
        """
        sane = [
            probe for probe in probes
            if probe.round_trip_s >= 0 and probe.device_out_us >= probe.device_in_us
        ]  # fmt: skip
        if not sane:
            return self._fit
        best = min(sane, key=lambda probe: probe.round_trip_s)
        dev_us = (best.device_in_us + best.device_out_us) // 2
        host_ns = (best.sent_ns + best.received_ns) // 2
        if self._fit is not None:
            off_s = (host_ns - self._fit.host_ns(dev_us)) * 1e-9
            doubt_s = best.round_trip_s + self._fit.uncertainty_at(dev_us)
            if dev_us < self._points[-1].dev_us or abs(off_s) > max(_JUMP_S, doubt_s):
                self._epoch += 1
                self._clear()
            else:
                self._residuals.append(off_s)
        self._shortest = min(self._shortest, best.round_trip_s)
        self._points.append(_Point(dev_us, host_ns, best.round_trip_s))
        self._fit = self._line()
        return self._fit

    def _line(self) -> Fit:
        # All kept points anew: a shorter round trip changes what the earlier ones are worth.
        last = self._points[-1]
        w = wx = wxx = wy = wxy = 0.0
        for point in self._points:
            x = (point.dev_us - last.dev_us) * 1e-6
            y = (point.host_ns - last.host_ns) * 1e-9 - x
            excess_s = point.round_trip_s - self._shortest
            # An error within ± excess / 2, uniformly, on top of the floor.
            worth = 0.5 ** (-x / self._half_life) / (_FLOOR_S**2 + excess_s**2 / 12.0)
            w, wx, wxx = w + worth, wx + worth * x, wxx + worth * x * x
            wy, wxy = wy + worth * y, wxy + worth * x * y
        spread = wxx - wx * wx / w + 1.0 / _SKEW**2
        skew = (wxy - wx * wy / w) / spread
        noise_s = math.sqrt(1.0 / w + (wx / w) ** 2 / spread)
        found = list(self._residuals)
        return Fit(
            epoch=self._epoch,
            at_dev_us=last.dev_us,
            at_host_ns=last.host_ns + round((wy - skew * wx) / w * 1e9),
            skew=skew,
            uncertainty_s=2.0 * noise_s + self._shortest / 2.0,
            skew_uncertainty=2.0 / math.sqrt(spread),
            residual_s=math.sqrt(sum(r * r for r in found) / len(found)) if found else 0.0,
            points=len(self._points),
        )
