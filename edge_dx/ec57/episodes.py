"""Episode by episode: atrial and ventricular fibrillation (ANSI/AAMI EC57, program epicmp).

An episode of atrial fibrillation lasts from a rhythm annotation `(AFIB` to the next other rhythm,
one of ventricular fibrillation from `[` to `]`. One that has no end lasts to the end of the test
period. An episode is found where the other annotator has one that overlaps it, however little;
durations tell how much. What the test calls AF while the reference has atrial flutter (`(AFL`)
counts neither for nor against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.track import FOREVER, Interval, length
from edge_dx.wfdb import Annotation
from edge_dx.wfdb.codes import RHYTHM, VF_OFF, VF_ON

ATRIAL, FLUTTER, VENTRICULAR = "(AFIB", "(AFL", "VF"


def episodes(annotations: Iterable[Annotation], kind: str) -> tuple[Interval, ...]:
    """Where an annotator has episodes of one kind (`ATRIAL`, `FLUTTER`, `VENTRICULAR`)."""
    found: list[Interval] = []
    since: int | None = None
    for item in sorted(annotations, key=lambda one: one.sample):
        if kind == VENTRICULAR:
            begins, ends = item.symbol == VF_ON, item.symbol == VF_OFF
        else:
            begins = item.symbol == RHYTHM and item.note.startswith(kind)
            ends = item.symbol == RHYTHM and not begins
        if begins and since is None:
            since = item.sample
        elif ends and since is not None:
            found.append(Interval(since, item.sample))
            since = None
    if since is not None:
        found.append(Interval(since, FOREVER))
    return tuple(found)


def compare_episodes(
    reference: Sequence[Interval],
    test: Sequence[Interval],
    excluded: Sequence[Interval] = (),
    *,
    start: int,
    end: int,
    shortest: int = 0,
) -> NDArray[np.float64]:
    """Counts episodes and measures how they overlap, within the test period.

    Args:
        reference: its episodes.
        test: its episodes.
        excluded: where the test's episodes are not judged.
        start: first sample of the test period.
        end: last sample.
        shortest: samples; shorter episodes are not asked for.

    Returns:
        (8,): found and missed episodes of the reference, samples of them that the test has, and
        all of them; true and false episodes of the test, samples of them that the reference has,
        and all of them.
    """
    asked = _within([[each] for each in reference], start, end, shortest)
    claimed = _within([_without(each, excluded) for each in test], start, end, shortest)
    return np.array([*_told(asked, test), *_told(claimed, reference)], np.float64)


def _within(
    each: Sequence[Sequence[Interval]], start: int, end: int, shortest: int
) -> list[list[Interval]]:
    """Episodes (in pieces) cut to the test period, without the empty and the short ones."""
    found = []
    for pieces in each:
        cut = [Interval(max(one.start, start), min(one.end, end)) for one in pieces]
        kept = [one for one in cut if one.start < one.end]
        if kept and sum(one.end - one.start for one in kept) >= shortest:
            found.append(kept)
    return found


def _without(episode: Interval, excluded: Sequence[Interval]) -> list[Interval]:
    """The pieces of an episode that lie outside."""
    pieces, at = [], episode.start
    for each in sorted(excluded):
        pieces.append(Interval(at, min(each.start, episode.end)))
        at = max(at, each.end)
    return [*pieces, Interval(at, episode.end)]


def _told(own: Sequence[Sequence[Interval]], other: Sequence[Interval]) -> tuple[float, ...]:
    shared = [sum(length(other, one.start, one.end) for one in pieces) for pieces in own]
    found = sum(overlap > 0 for overlap in shared)
    lasted = sum(one.end - one.start for pieces in own for one in pieces)
    return found, len(own) - found, sum(shared), lasted
