"""Sums over time in a bounded number of bins, which grow wider as the recording grows longer."""

from __future__ import annotations

import math

import numpy as np

from edge_dx.tensors import Array

MAX_BINS = 1500
_WIDTHS_S = (1, 10, 60, 300, 900, 3600)
"""Up to 25 minutes in seconds, up to 4 hours in tens of them, up to 25 hours in minutes, and so on;
twice as wide then."""


class Timeline:
    """What is counted and summed per bin.

    Attributes:
        width_s: of a bin.
        used: bins up to the last one that holds something.
        beats: (bins, labels) counts.
        intervals: (bins,) number of RR intervals.
        intervals_s: (bins,) their sum.
        lowest: (bins,) of the heart rate; infinite where there was none.
        highest: (bins,) likewise, minus infinite.
        seconds: (bins, lanes) how long a lane's condition held.
    """

    def __init__(self, labels: int, lanes: int) -> None:
        """Makes room; `lanes` is how many conditions are followed."""
        self.width_s, self.used = _WIDTHS_S[0], 0
        self.beats = np.zeros((MAX_BINS, labels), np.int64)
        self.intervals = np.zeros(MAX_BINS, np.int64)
        self.intervals_s = np.zeros(MAX_BINS)
        self.lowest = np.full(MAX_BINS, np.inf)
        self.highest = np.full(MAX_BINS, -np.inf)
        self.seconds = np.zeros((MAX_BINS, lanes))

    def beat(self, time_s: float, label: int) -> None:
        """Counts a beat."""
        place = self._bin(time_s)  # may make new arrays, so it comes first
        self.beats[place, label] += 1

    def interval(self, time_s: float, rr_s: float) -> None:
        """Adds an RR interval, at the beat that ends it."""
        place = self._bin(time_s)
        self.intervals[place] += 1
        self.intervals_s[place] += rr_s

    def rate(self, time_s: float, per_min: float) -> None:
        """Notes a heart rate."""
        place = self._bin(time_s)
        self.lowest[place] = min(self.lowest[place], per_min)
        self.highest[place] = max(self.highest[place], per_min)

    def stretch(self, lane: int, begin_s: float, end_s: float) -> None:
        """Adds the time from `begin_s` to `end_s` to a lane."""
        begin_s = max(begin_s, 0.0)
        if end_s <= begin_s:
            return
        # Makes the bins wider where it must, so it comes first; an end on an edge opens no bin.
        last = self._bin(math.nextafter(end_s, 0.0))
        first = self._bin(begin_s)
        edges = np.arange(first, last + 1) * float(self.width_s)
        held = np.minimum(edges + self.width_s, end_s) - np.maximum(edges, begin_s)
        self.seconds[first : last + 1, lane] += np.maximum(held, 0.0)

    def coarser(self, width_s: float) -> Timeline:
        """The same in bins of about `width_s`, where that is wider."""
        width, groups = self.over(round(width_s))
        wide = Timeline(self.beats.shape[1], self.seconds.shape[1])
        wide.width_s, wide.used = width, len(groups)
        for place, group in enumerate(groups):
            wide.beats[place] = self.beats[group].sum(axis=0)
            wide.intervals[place] = self.intervals[group].sum()
            wide.intervals_s[place] = self.intervals_s[group].sum()
            wide.seconds[place] = self.seconds[group].sum(axis=0)
            wide.lowest[place] = self.lowest[group].min()
            wide.highest[place] = self.highest[group].max()
        return wide

    def over(self, width_s: int) -> tuple[int, list[slice]]:
        """Groups of bins, each about `width_s` wide: their true width, and where they are."""
        each = max(round(width_s / self.width_s), 1)
        groups = [slice(at, at + each) for at in range(0, self.used, each)]
        return each * self.width_s, groups

    def _bin(self, time_s: float) -> int:
        place = max(int(time_s // self.width_s), 0)
        while place >= MAX_BINS:
            self._widen()
            place = int(time_s // self.width_s)
        self.used = max(self.used, place + 1)
        return place

    def _widen(self) -> None:
        wider = next((w for w in _WIDTHS_S if w > self.width_s), 2 * self.width_s)
        each = wider // self.width_s
        self.beats, self.intervals = _summed(self.beats, each), _summed(self.intervals, each)
        self.intervals_s = _summed(self.intervals_s, each)
        self.seconds = _summed(self.seconds, each)
        self.lowest = -_highest(-self.lowest, each)
        self.highest = _highest(self.highest, each)
        self.width_s, self.used = wider, -(-self.used // each)


def _summed(bins: Array, each: int) -> Array:
    wide = np.zeros_like(bins)
    wide[: MAX_BINS // each] = bins.reshape(MAX_BINS // each, each, *bins.shape[1:]).sum(axis=1)
    return wide


def _highest(bins: Array, each: int) -> Array:
    wide = np.full_like(bins, -np.inf)
    wide[: MAX_BINS // each] = bins.reshape(MAX_BINS // each, each).max(axis=1)
    return wide
