"""Beats to figures: counts, RR intervals, heart rate, pauses, and how ectopic beats come."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge_dx.ecg.events import LABELS, Beat, Label
from edge_dx.report.holter.values import PAUSE_S, RATE_BEATS

HISTOGRAM_FIRST_S, HISTOGRAM_WIDTH_S, HISTOGRAM_BINS = 0.2, 0.02, 90
KEPT_RUNS = 24
RUN_BEATS = 3

Found = Literal[
    "pause", "ventricular_run", "supraventricular_run", "couplet", "ventricular",
    "supraventricular", "fusion", "fastest", "slowest", "usual",
]  # fmt: skip
_RUNS: dict[Label, Found] = {"V": "ventricular_run", "S": "supraventricular_run"}
_SINGLE: dict[Label, Found] = {"V": "ventricular", "S": "supraventricular"}
_USUAL_BEATS = 5


@dataclass(frozen=True)
class Finding:
    """Something among the beats that is worth a strip.

    Attributes:
        kind: what.
        sample: where.
        centre: what the strip should show best.
        strength: the larger, the more telling among those of its kind.
        text: for a person.
    """

    kind: Found
    sample: int
    centre: int
    strength: float
    text: str


@dataclass(frozen=True, order=True)
class KeptRun:
    """A run; the longest sorts last, of equals the first."""

    beats: int
    before: int  # the sample, negative
    label: Label
    rate_per_min: float


@dataclass
class Ectopic:
    """How beats of one class come."""

    single: int = 0
    couplets: int = 0
    runs: int = 0
    longest: int = 0


@dataclass(frozen=True)
class Value:
    """A value at a sample."""

    value: float
    sample: int


@dataclass
class _Streak:
    label: Label
    first: int
    last: int
    beats: int = 1
    rr_s: float = 0.0


@dataclass
class BeatCounts:
    """What the beats so far come to.

    Attributes:
        counts: by class.
        noisy: of all, those in noise.
        intervals: RR intervals that count.
        intervals_s: their sum.
        left_out: intervals beside a beat in noise.
        pauses: intervals of `PAUSE_S` and more.
        longest: RR interval.
        lowest: mean heart rate of `RATE_BEATS` intervals.
        highest: likewise.
        ectopic: of V and S.
        histogram: (2, bins) of intervals between two normal beats, and of all others.
        shorter: intervals shorter than the first bin.
        longer: longer than the last one.
    """

    counts: dict[Label, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))
    noisy: int = 0
    intervals: int = 0
    intervals_s: float = 0.0
    left_out: int = 0
    pauses: int = 0
    longest: Value | None = None
    lowest: Value | None = None
    highest: Value | None = None
    ectopic: dict[Label, Ectopic] = field(default_factory=lambda: {"V": Ectopic(), "S": Ectopic()})
    histogram: np.ndarray = field(default_factory=lambda: np.zeros((2, HISTOGRAM_BINS), np.int64))
    shorter: int = 0
    longer: int = 0
    _runs: list[KeptRun] = field(default_factory=list)
    _before: Beat | None = None
    _streak: _Streak | None = None
    _last_rr: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_BEATS))
    _usual: int = 0

    @property
    def rate_now(self) -> float | None:
        """The mean of the last `RATE_BEATS` intervals, per minute; None where there are fewer."""
        if len(self._last_rr) < RATE_BEATS:
            return None
        return 60.0 * RATE_BEATS / sum(self._last_rr)

    def runs(self) -> list[KeptRun]:
        """The longest runs, in the order of time."""
        return sorted(self._runs, key=lambda run: -run.before)

    def beat(self, beat: Beat) -> tuple[list[Finding], float | None]:
        """Takes a beat.

        Returns:
            What was found with it, and its RR interval where that counts.
        """
        before, self._before = self._before, beat
        self.counts[beat.label] += 1
        self.noisy += beat.noisy
        found = self._follow(beat)
        if beat.rr_s is None or before is None:
            self._last_rr.clear()
            self._usual = 0
            return found, None
        if beat.noisy or before.noisy:
            self.left_out += 1
            self._last_rr.clear()
            self._usual = 0
            return found, None
        self._interval(beat, before, beat.rr_s, found)
        self._usual = self._usual + 1 if beat.label == "N" else 0
        if self._usual == _USUAL_BEATS:
            found.append(Finding("usual", before.sample, before.sample, 0.0, "usual beats"))
        return found, beat.rr_s

    def close(self) -> list[Finding]:
        """The end: what was running is over."""
        found = self._ended()
        self._streak = None
        return found

    def _interval(self, beat: Beat, before: Beat, rr_s: float, found: list[Finding]) -> None:
        self.intervals += 1
        self.intervals_s += rr_s
        place = int((rr_s - HISTOGRAM_FIRST_S) / HISTOGRAM_WIDTH_S + 1e-9)
        if rr_s < HISTOGRAM_FIRST_S:
            self.shorter += 1
        elif place >= HISTOGRAM_BINS:
            self.longer += 1
        else:
            self.histogram[0 if before.label == beat.label == "N" else 1, place] += 1
        if self.longest is None or rr_s > self.longest.value:
            self.longest = Value(rr_s, beat.sample)
        if rr_s >= PAUSE_S:
            self.pauses += 1
            # Of a pause longer than a strip the beginning is shown.
            centre = before.sample + int((beat.sample - before.sample) * min(0.5, 2.0 / rr_s))
            found.append(Finding("pause", before.sample, centre, rr_s, f"pause of {rr_s:.2f} s"))
        self._last_rr.append(rr_s)
        rate = self.rate_now
        if rate is None:
            return
        middle = beat.sample - (beat.sample - before.sample) * RATE_BEATS // 2
        if self.lowest is None or rate < self.lowest.value:
            self.lowest = Value(rate, beat.sample)
            found.append(
                Finding(
                    "slowest", middle, middle, -rate, f"lowest heart rate, {rate:.0f} per minute"
                )
            )
        if self.highest is None or rate > self.highest.value:
            self.highest = Value(rate, beat.sample)
            found.append(
                Finding(
                    "fastest", middle, middle, rate, f"highest heart rate, {rate:.0f} per minute"
                )
            )

    def _follow(self, beat: Beat) -> list[Finding]:
        streak = self._streak
        if streak is not None and beat.label == streak.label and beat.rr_s is not None:
            streak.beats += 1
            streak.last = beat.sample
            streak.rr_s += beat.rr_s
            return []
        found = self._ended()
        self._streak = None
        if beat.label in _SINGLE:
            self._streak = _Streak(beat.label, beat.sample, beat.sample)
        elif beat.label == "F":
            found.append(Finding("fusion", beat.sample, beat.sample, 0.0, "fusion beat"))
        return found

    def _ended(self) -> list[Finding]:
        streak = self._streak
        if streak is None:
            return []
        own, label, at = self.ectopic[streak.label], streak.label, streak.first
        own.longest = max(own.longest, streak.beats)
        if streak.beats == 1:
            own.single += 1
            return [Finding(_SINGLE[label], at, at, 0.0, f"single {label}")]
        if streak.beats < RUN_BEATS:
            own.couplets += 1
            if label == "S":
                return []
            return [Finding("couplet", at, (at + streak.last) // 2, 0.0, "V couplet")]
        own.runs += 1
        rate = 60.0 * (streak.beats - 1) / streak.rr_s
        heapq.heappush(self._runs, KeptRun(streak.beats, -at, label, rate))
        if len(self._runs) > KEPT_RUNS:
            heapq.heappop(self._runs)
        # Of a run longer than a strip the beginning is shown.
        each = (streak.last - at) // (streak.beats - 1)
        centre = min((at + streak.last) // 2, at + 4 * each)
        text = f"{streak.beats} {label} in a row, {rate:.0f} per minute"
        return [Finding(_RUNS[label], at, centre, streak.beats, text)]
