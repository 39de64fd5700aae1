"""Beat by beat: which test beat belongs to which reference beat (ANSI/AAMI EC57, program bxb).

Both rows of beats are walked from the earliest on. With T, T' the current and the next reference
beat and t, t' those of the test, the earlier of T and t is paired with the other where they are at
most the match window (150 ms) apart and either

- they are closer to each other than the later one is to the next beat of the earlier one's row, or
- the two next beats are closer to each other than that (amended in 2002: ref 96, 160 and test
  128, 185 with a window of 37 give two pairs, and gave a missed and an extra beat before).

Otherwise it stays alone. A reference beat without partner is paired with O, or X within the test's
shutdown; a test beat without partner with O, X within the reference's shutdown, and is not counted
within the reference's ventricular fibrillation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.mapping import LABELS
from edge_dx.ec57.track import FOREVER, Cover, Track

WINDOW_S = 0.15
LEARNING_S = 300.0
_IN_FIBRILLATION = "*"


class Pair(NamedTuple):
    """A pair of beats, or a beat alone.

    Attributes:
        reference: sample, or None where the test beat is extra.
        test: sample, or None where the reference beat was missed.
        labels: two letters of `LABELS`, reference and test.
    """

    reference: int | None
    test: int | None
    labels: str


@dataclass(frozen=True)
class Match:
    """The outcome for one record.

    Attributes:
        pairs: in the order of time.
        matrix: (7, 7) counts, reference by row and test by column, in the order of `LABELS`.
        rr: (2, 2) sum of squared errors of the heart period, in samples², and their number: as
            bxb takes it, at every step of its walk; and for matched beats whose two beats before
            were matched to each other.
    """

    pairs: tuple[Pair, ...]
    matrix: NDArray[np.int64] = field(repr=False)
    rr: NDArray[np.float64] = field(repr=False)

    def offsets(self) -> NDArray[np.int64]:
        """Test minus reference in samples, for all pairs."""
        found = [
            pair.test - pair.reference
            for pair in self.pairs
            if pair.test is not None and pair.reference is not None
        ]
        return np.array(found, np.int64)


def in_samples(seconds: float, rate_hz: float) -> int:
    """Rounded half up, as WFDB's `strtim` does: 150 ms are 38 samples at 250 Hz."""
    return math.floor(seconds * rate_hz + 0.5)


def match(reference: Track, test: Track, *, start: int, end: int | None, window: int) -> Match:
    """Pairs the beats of the test period.

    Args:
        reference: what the experts say.
        test: what is judged.
        start: first sample of the test period; what comes before is for learning.
        end: last sample, or None: the comparison ends with the last reference beat.
        window: the match window in samples.
    """
    walk = _Walk(reference, test, window)
    walk.begin(start)
    if end is None:
        while walk.reference_at(0) != FOREVER:
            walk.step()
    else:
        while walk.reference_at(0) <= end or walk.test_at(0) <= end:
            walk.step()
    return walk.outcome()


class _Walk:
    """Two fingers, one on each row of beats."""

    def __init__(self, reference: Track, test: Track, window: int) -> None:
        self.tracks = reference, test
        self.window = window
        self.times = [[*each.samples, FOREVER, FOREVER] for each in self.tracks]
        self.periods = [[*each.periods, 0, 0] for each in self.tracks]
        self.fibrillation = Cover(reference.fibrillation)
        self.shutdowns = [Cover(each.shutdowns) for each in self.tracks]
        self.i = self.j = 0
        self.pairs: list[Pair] = []
        self.last_pair = (-1, -1)
        self.rr = np.zeros((2, 2))

    def reference_at(self, ahead: int) -> int:
        return self.times[0][min(self.i + ahead, len(self.times[0]) - 1)]

    def test_at(self, ahead: int) -> int:
        return self.times[1][min(self.j + ahead, len(self.times[1]) - 1)]

    def begin(self, start: int) -> None:
        """To the first beats of the test period, and a pair across its border."""
        first = [int(np.searchsorted(each.samples, start)) for each in self.tracks]
        self.i, self.j = first
        when = self.reference_at(0)
        if self.j:
            early = self.tracks[1].samples[self.j - 1]
            if when - early < abs(when - self.test_at(0)) and when - early <= self.window:
                self.j -= 1
                self.pair()
                return
        # Close to the border a test beat without partner belongs to a reference beat before it.
        now, following = self.test_at(0), self.test_at(1)
        if start and now - start <= self.window and abs(when - following) < abs(when - now):
            self.j += 1

    def step(self) -> None:
        """One pair, or one beat alone."""
        ref, ref_next = self.reference_at(0), self.reference_at(1)
        test, test_next = self.test_at(0), self.test_at(1)
        if test < ref:
            rival = abs(ref - test_next)
            if ref - test <= self.window and (
                ref - test < rival or abs(ref_next - test_next) < rival
            ):
                self.pair()
            else:
                self.extra()
        else:
            rival = abs(test - ref_next)
            if test - ref <= self.window and (
                test - ref < rival or abs(test_next - ref_next) < rival
            ):
                self.pair()
            else:
                self.missed()

    def pair(self) -> None:
        self.measure()
        labels = self.tracks[0].labels[self.i] + self.tracks[1].labels[self.j]
        self.pairs.append(Pair(self.reference_at(0), self.test_at(0), labels))
        if self.last_pair == (self.i - 1, self.j - 1):
            self.tally(1)
        self.last_pair = (self.i, self.j)
        self.i, self.j = self.i + 1, self.j + 1

    def extra(self) -> None:
        self.measure()
        when = self.test_at(0)
        if when in self.fibrillation:
            told = _IN_FIBRILLATION
        else:
            told = "X" if when in self.shutdowns[0] else "O"
        self.pairs.append(Pair(None, when, told + self.tracks[1].labels[self.j]))
        self.j += 1

    def missed(self) -> None:
        self.measure()
        when = self.reference_at(0)
        told = "X" if when in self.shutdowns[1] else "O"
        self.pairs.append(Pair(when, None, self.tracks[0].labels[self.i] + told))
        self.i += 1

    def measure(self) -> None:
        # bxb compares the periods that end at both fingers at every step, alone or not.
        self.tally(0)

    def tally(self, row: int) -> None:
        reference, test = self.periods[0][self.i], self.periods[1][self.j]
        if reference > 0 and test > 0:
            self.rr[row] += float(reference - test) ** 2, 1

    def outcome(self) -> Match:
        matrix = np.zeros((7, 7), np.int64)
        counted = []
        for pair in self.pairs:
            if pair.labels[0] == _IN_FIBRILLATION:
                continue
            counted.append(pair)
            row, column = (LABELS.index(label) for label in pair.labels)
            if row < 5 or column < 5:  # a `!` alone is no beat
                matrix[row, column] += 1
        matrix.flags.writeable = False
        return Match(tuple(counted), matrix, self.rr)
