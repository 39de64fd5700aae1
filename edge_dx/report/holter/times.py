"""Samples to times, and times to words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction


@dataclass(frozen=True)
class Clock:
    """Samples to times.

    Attributes:
        first: index of the first sample.
        rate_hz: samples per second.
        begun: time of day of the first sample.
    """

    first: int
    rate_hz: Fraction
    begun: datetime | None = None

    def seconds(self, sample: int) -> float:
        """From the first sample on."""
        return float((sample - self.first) / self.rate_hz)

    def of_day(self, time_s: float) -> str:
        """`14:03:22`, or nothing where the beginning is not known."""
        if self.begun is None:
            return ""
        return f"{self.begun + timedelta(seconds=int(time_s)):%H:%M:%S}"


def elapsed(time_s: float) -> str:
    """`h:mm:ss`, a part of a second cut off."""
    whole = int(time_s)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def lasting(seconds: float) -> str:
    """A duration for a person: `3.4 s`, `12 min 5 s`, `23 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


def rounded(seconds: float) -> float:
    """To a tenth of a millisecond, as events are told."""
    return round(seconds, 4)
