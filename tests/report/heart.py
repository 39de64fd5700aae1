"""A made-up recording whose every figure is known: samples that tell their index, and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edge_dx.ecg.events import (
    Alarm,
    AlarmKind,
    Beat,
    Change,
    Judging,
    Label,
    Noise,
    Rhythm,
    StreamEvent,
    certain_at,
)
from edge_dx.report.holter import About, Holter
from edge_dx.signal import Samples, Warmup
from edge_dx.tensors import Array

RATE = 100
LEADS = ("II", "V1")
KNOWN = 30
"""Samples after which a beat is known."""
ABOUT = About(
    name="night.hea", leads=LEADS, facts=(("bundle", "tiny 0.0.1"), ("engine", "none")),
    tells_classes=True, looks_for_af=True,
    alarms=("asystole", "ventricular_tachycardia", "bradycardia", "tachycardia", "bigeminy",
            "couplet"), made="today",
)  # fmt: skip


@dataclass
class Heart:
    """Beats one after another, and whatever else is said.

    Attributes:
        rate: samples per second.
        events: so far.
        at: sample of the last beat.
    """

    rate: int = RATE
    events: list[StreamEvent] = field(default_factory=list)
    at: int = 0
    _known: bool = False

    def begin(self, sample: int = 0, leads: Sequence[str] = LEADS) -> Heart:
        """Filters are ready and the network judges from `sample` on."""
        self.events += [Warmup(0, 0, lead, ready=False) for lead in leads]
        self.events += [Warmup(sample, sample, lead, ready=True) for lead in leads]
        return self.judge(sample, "begins")

    def judge(self, sample: int, change: Change) -> Heart:
        """Judging begins or ends; no interval reaches over it."""
        self.events.append(Judging(sample, sample, change))
        self.at, self._known = sample, False
        return self

    def beat(self, label: Label = "N", rr_s: float = 0.8, *, noisy: bool = False) -> Heart:
        """The next beat."""
        self.at += round(rr_s * self.rate)
        own = rr_s if self._known else None
        self.events.append(Beat(self.at, self.at + KNOWN, label, 0.9, own, noisy))
        self._known = True
        return self

    def beats(self, labels: str, rr_s: float = 0.8) -> Heart:
        """Some in a row, by their letters."""
        for label in labels:
            self.beat(label, rr_s)  # type: ignore[arg-type]
        return self

    def af(self, sample: int, change: Change, known: int) -> Heart:
        """An episode begins or ends."""
        self.events.append(Rhythm(sample, known, "AF", change, 0.9))
        return self

    def alarm(self, sample: int, kind: AlarmKind, change: Change, value: float) -> Heart:
        """An alarm begins or ends."""
        unit = "s" if kind == "asystole" else "beats" if kind == "bigeminy" else "/min"
        self.events.append(Alarm(sample, sample + KNOWN, kind, change, value, unit))
        return self

    def noise(self, begin: int, end: int) -> Heart:
        """Too noisy for classes."""
        self.events += [Noise(begin, begin + 10, "begins"), Noise(end, end + 10, "ends")]
        return self

    def told(self) -> list[StreamEvent]:
        """In the order in which they became known."""
        return sorted(self.events, key=certain_at)


def mv_of(index: Array) -> Array:
    """(n, 2) millivolts that tell the sample's index: the first lead modulo 2 mV."""
    return np.stack([(index % 2000) / 1000.0 - 1.0, np.sin(index / 20.0)], axis=1)


def recorded(
    events: Iterable[StreamEvent], samples: int, *, chunk: int = 137, first: int = 0,
    gaps: Sequence[tuple[int, int]] = (), rate: int = RATE,
) -> Holter:  # fmt: skip
    """A recording of so many samples, those within `gaps` missing."""
    holter, waiting = Holter(rate, LEADS), list(events)
    waiting.reverse()
    edges = sorted({first, samples, *(edge for gap in gaps for edge in gap)})
    for begin, end in pairwise(edges):
        if any(a <= begin < b for a, b in gaps):
            continue
        for at in range(begin, end, chunk):
            index = np.arange(at, min(at + chunk, end))
            holter.samples(Samples(mv_of(index), at))
            due = []
            while waiting and certain_at(waiting[-1]) <= index[-1]:
                due.append(waiting.pop())
            holter.events(due)
    holter.events(reversed(waiting))
    holter.close(samples - 1)
    return holter
