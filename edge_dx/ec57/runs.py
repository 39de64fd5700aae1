"""Run by run: couplets, short and long runs of ectopic beats (ANSI/AAMI EC57, program rxr).

A run is a row of ventricular beats (V, F) or of supraventricular ones (S, and within atrial
fibrillation or flutter every N). N, Q, shutdown and the other kind end it. Fibrillation counts as
a run of the longest kind. Sensitivity takes the reference's runs and looks in the test for the
longest one within the run and 150 ms around it; positive predictivity the other way round. Runs
that no beat ends before the record does are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.mapping import Mapping
from edge_dx.ec57.track import FOREVER, UNREADABLE
from edge_dx.wfdb import BEATS, Annotation
from edge_dx.wfdb.codes import NOISE, RHYTHM, VF_OFF, VF_ON

LONGEST = 6
"""Longer runs count as this long."""
_OWN = {"ventricular": "VF", "supraventricular": "S"}
_OTHER = {"ventricular": "S", "supraventricular": "VF"}
_BEGIN = {"ventricular": "[", "supraventricular": "{"}
_END = {"ventricular": "]", "supraventricular": "}"}
_STOP = {"ventricular": "]{U", "supraventricular": "}[U"}


class Mark(NamedTuple):
    """A beat's class, or what begins and ends: `[ ]` VF, `{ }` AF, `U C` shutdown."""

    sample: int
    label: str


def marks(annotations: Iterable[Annotation], mapping: Mapping) -> tuple[Mark, ...]:
    """What matters to runs, in the order of time."""
    classes = mapping.table
    atrial = ventricular = unreadable = False
    found: list[Mark] = []
    for item in sorted(annotations, key=lambda one: one.sample):
        label = "O"
        if item.symbol in BEATS:
            label = classes[item.symbol]
            if atrial and label == "N":
                label = "S"
        elif item.symbol == NOISE:
            shut = item.subtype & UNREADABLE == UNREADABLE
            label = "U" if shut and not unreadable else "C" if unreadable and not shut else "O"
            unreadable = shut
        elif item.symbol == VF_ON or (item.symbol == RHYTHM and item.note.startswith("(VF")):
            label = "O" if ventricular else "["
            atrial, ventricular = atrial and ventricular, True
        elif item.symbol == RHYTHM and item.note.startswith("(AF"):
            label = "O" if atrial else "{"
            atrial, ventricular = True, ventricular and atrial
        elif item.symbol == VF_OFF:
            label, ventricular = "]" if ventricular else "O", False
        elif item.symbol == RHYTHM:
            label = "}" if atrial else "]" if ventricular else "O"
            if atrial:
                atrial = False
            else:
                ventricular = False
        if label != "O":
            found.append(Mark(item.sample, label))
    return tuple(found)


def compare_runs(
    reference: Sequence[Mark],
    test: Sequence[Mark],
    kind: str,
    *,
    start: int,
    end: int | None,
    window: int,
) -> NDArray[np.int64]:
    """Counts runs by their length in the reference and in the test.

    Args:
        reference: its marks.
        test: its marks.
        kind: `ventricular` or `supraventricular`.
        start: first sample of the test period.
        end: last sample, or None.
        window: the match window in samples.

    Returns:
        (2, 7, 7): for sensitivity and for positive predictivity, the length in the reference by
        row and in the test by column, 6 for 6 and more.
    """
    counts = np.zeros((2, 7, 7), np.int64)
    for way, (own, other) in enumerate([(reference, test), (test, reference)]):
        search = _Search(other, kind)
        for length, first, last in _runs(own, kind, start, end, window):
            found = search.longest(first, last)
            row, column = (length, found) if way == 0 else (found, length)
            counts[way, row, column] += 1
    return counts


def _runs(
    own: Sequence[Mark], kind: str, start: int, end: int | None, window: int
) -> list[tuple[int, int, int]]:
    """Length, and the borders within which its like is looked for, of each run."""
    found: list[tuple[int, int, int]] = []
    length, first, last = 0, 0, 0
    for mark in own:
        if mark.sample < start:
            if mark.label == _BEGIN[kind]:
                length, first, last = LONGEST, start - window, start + window
            elif mark.label in "]}":
                length = 0
            continue
        if end is not None and mark.sample > end:
            break
        if mark.label in _OWN[kind]:
            if not length:
                first = mark.sample - window
            length, last = min(length + 1, LONGEST), mark.sample + window
        elif length and mark.label in "NQU" + _OTHER[kind]:
            found.append((length, first, last))
            length = 0
        elif length and mark.label == _END[kind]:
            last = mark.sample + window
        elif not length and mark.label == _BEGIN[kind]:
            length, first, last = LONGEST, mark.sample - window, mark.sample + window
    return found


class _Search:
    """Looks forward through one annotator's marks; what was looked at is not looked at again."""

    def __init__(self, marks: Sequence[Mark], kind: str) -> None:
        self.marks, self.kind = marks, kind
        self.at = 0
        self.fibrillating_until = -1

    def longest(self, first: int, last: int) -> int:
        """The longest run between two samples."""
        if self.fibrillating_until > first:
            return LONGEST
        while self.at < len(self.marks) and self.marks[self.at].sample < first:
            if self.marks[self.at].label == _BEGIN[self.kind]:
                self.skip_episode()
                if self.fibrillating_until > first:
                    return LONGEST
            else:
                self.at += 1
        best = length = 0
        while self.at < len(self.marks) and self.marks[self.at].sample <= last:
            label = self.marks[self.at].label
            if label == _BEGIN[self.kind]:
                self.skip_episode()
                return LONGEST
            if label in _OWN[self.kind]:
                length = min(length + 1, LONGEST)
            elif label in "NQU[{" + _OTHER[self.kind]:
                best, length = max(best, length), 0
            self.at += 1
        return max(best, length)

    def skip_episode(self) -> None:
        """To the mark that ends the fibrillation that begins here."""
        self.at += 1
        while self.at < len(self.marks) and self.marks[self.at].label not in _STOP[self.kind]:
            self.at += 1
        ended = self.at < len(self.marks)
        self.fibrillating_until = self.marks[self.at].sample if ended else FOREVER
