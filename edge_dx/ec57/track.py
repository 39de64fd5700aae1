"""What the comparison reads from an annotator: beats, shutdowns and ventricular fibrillation.

Shutdown is where the signal could not be read. It begins with a `~` whose subtype has bits 4 and 5
set and ends with a `~` that has not. A single one, as the AHA database has it, reaches from one
match window after the beat (or the end of fibrillation) before it to one before the annotation
after it. Beats between `[` and `]` are not read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from edge_dx.ec57.mapping import Mapping
from edge_dx.wfdb import BEATS, Annotation
from edge_dx.wfdb.codes import NOISE, VF_OFF, VF_ON

FOREVER = 2**62
"""Later than every sample: where there is no next beat, or no end."""
UNREADABLE = 0x30


class Interval(NamedTuple):
    """From one sample to another, both included."""

    start: int
    end: int


@dataclass(frozen=True)
class Track:
    """One annotator's view of a record.

    Attributes:
        samples: of the beats, ascending.
        labels: their classes, a letter each.
        periods: samples since the beat before; 0 for the first beat, and where shutdown or
            fibrillation began in between.
        shutdowns: where the signal could not be read.
        fibrillation: from `[` to `]`.
    """

    samples: tuple[int, ...]
    labels: str
    periods: tuple[int, ...]
    shutdowns: tuple[Interval, ...]
    fibrillation: tuple[Interval, ...]


def track(annotations: Iterable[Annotation], mapping: Mapping, window: int) -> Track:
    """Reads a track from annotations.

    Args:
        annotations: of one annotator.
        mapping: symbols to classes.
        window: the match window in samples, see above for single shutdown marks.
    """
    items = sorted(annotations, key=lambda item: item.sample)  # stable: others stay in order
    classes = mapping.table
    samples: list[int] = []
    labels: list[str] = []
    periods: list[int] = []
    began: list[int] = []  # shutdowns and fibrillation since the last beat
    shutdowns: list[Interval] = []
    fibrillation: list[Interval] = []
    at = 0
    while at < len(items):
        item = items[at]
        at += 1
        if item.symbol in BEATS:
            last = samples[-1] if samples else 0
            broken = not last or any(last <= start < item.sample for start in began)
            periods.append(0 if broken else item.sample - last)
            began.clear()
            samples.append(item.sample)
            labels.append(classes[item.symbol])
        elif _shuts_down(item):
            following = items[at] if at < len(items) else None
            paired = following is not None and _resumes(following)
            last = max(samples[-1] if samples else 0,
                       fibrillation[-1].end if fibrillation else 0)  # fmt: skip
            shutdowns.append(_shutdown(item, following, last, window))
            began.append(shutdowns[-1].start)
            at += paired
        elif item.symbol == VF_ON:
            end = next((k for k in range(at, len(items)) if items[k].symbol == VF_OFF), None)
            fibrillation.append(
                Interval(item.sample, FOREVER if end is None else items[end].sample)
            )
            began.append(item.sample)
            at = len(items) if end is None else end + 1
    return Track(
        tuple(samples), "".join(labels), tuple(periods), tuple(shutdowns), tuple(fibrillation)
    )


def _shuts_down(item: Annotation) -> bool:
    return item.symbol == NOISE and item.subtype & UNREADABLE == UNREADABLE


def _resumes(item: Annotation) -> bool:
    return item.symbol == NOISE and item.subtype & UNREADABLE != UNREADABLE


def _shutdown(item: Annotation, following: Annotation | None, last: int, window: int) -> Interval:
    if following is None:
        return Interval(item.sample, FOREVER)
    if _resumes(following):
        return Interval(item.sample, following.sample)
    end = following.sample - window
    return Interval(min(last + window, end), end)


class Cover:
    """Asks quickly whether a sample lies in one of many intervals."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        ordered = sorted(intervals)
        self.starts = [each.start for each in ordered]
        self.reached = list(accumulate((each.end for each in ordered), max))

    def __contains__(self, sample: int) -> bool:
        before = bisect_right(self.starts, sample)
        return before > 0 and sample <= self.reached[before - 1]


def length(intervals: Sequence[Interval], start: int, end: int) -> int:
    """Samples that they cover together between two samples; what overlaps counts once."""
    covered, reached = 0, start
    for each in sorted(intervals):
        first, last = max(each.start, reached), min(each.end, end)
        if first < last:
            covered, reached = covered + last - first, last
    return covered
