"""Strips: a few seconds of raw signal around what is worth a look, limited in number."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from edge_dx.ecg.events import Beat
from edge_dx.report.holter.occasions import KINDS, RANK, Kind
from edge_dx.report.holter.ring import HELD_S, Ring
from edge_dx.tensors import Array

BEFORE_S, AFTER_S = 3.0, 4.0
"""Of a strip, around its middle."""
SETTLE_S = 5.0
"""So long after its end it is written, so that the classes of its last beats are known."""
_INNER_S = 2.5
_MOST_BEATS = 1024
_MOST_NOTES = 8


@dataclass
class Strip:
    """A stretch of signal.

    Attributes:
        kind: why it was taken.
        sample: of the occasion.
        begin: first sample of the strip.
        end: the sample after its last.
        notes: kinds and texts of all occasions on it; of more than 8 the first.
        number: which of its kind's occasions it is, from 1.
        strength: see `Finding`.
        mv: (n, leads) millivolts as they came, NaN where nothing came.
        beats: on it.
        unjudged: where nothing was judged, (first, end).
        late: the occasion became known when its own signal was no longer held.
    """

    kind: str
    sample: int
    begin: int
    end: int
    number: int
    strength: float
    notes: list[tuple[str, str]]
    late: bool = False
    mv: Array | None = field(default=None, repr=False)
    beats: tuple[Beat, ...] = ()
    unjudged: tuple[tuple[int, int], ...] = ()


class Strips:
    """Takes occasions, and keeps strips of some.

    Attributes:
        happened: occasions by kind, with those that have no strip.
    """

    def __init__(self, ring: Ring, rate_hz: Fraction) -> None:
        self._ring, self._rate_hz = ring, rate_hz
        self._kept: dict[str, list[Strip]] = {kind.name: [] for kind in KINDS}
        self._stride = dict.fromkeys(self._kept, 1)
        self._beats: deque[Beat] = deque(maxlen=_MOST_BEATS)
        self.happened: Counter[str] = Counter()

    def beat(self, beat: Beat) -> None:
        """A beat, for the labels."""
        self._beats.append(beat)
        oldest = beat.sample - int((HELD_S + SETTLE_S) * self._rate_hz)
        while self._beats[0].sample < oldest:
            self._beats.popleft()

    def offer(self, kind: str, sample: int, centre: int, strength: float, text: str) -> None:
        """An occasion: it joins a strip, gets one, or is counted alone."""
        self.happened[kind] += 1
        place, notes = KINDS[RANK[kind]], [(kind, text)]
        near = [] if place.alone else self._near(centre)
        joined = [strip for strip in near if RANK[strip.kind] <= RANK[kind]]
        if not self._admits(place, strength) and not joined:
            joined = near
        if joined:
            if len(joined[0].notes) < _MOST_NOTES:
                joined[0].notes += notes
            return
        if not self._admits(place, strength):
            return
        for strip in near:
            if strip.mv is None:
                # Not written yet, and of less weight: the weightier one takes it over.
                notes += strip.notes
                self._kept[strip.kind].remove(strip)
        # A recording that begins with the occasion is shown from its beginning.
        begin = max(centre - int(BEFORE_S * self._rate_hz), self._ring.first)
        end = begin + int((BEFORE_S + AFTER_S) * self._rate_hz)
        late = not self._ring.holds(sample)
        self._place(place, Strip(kind, sample, begin, end, self.happened[kind], strength,
                                 notes[:_MOST_NOTES], late))  # fmt: skip

    def ready(self, unjudged: Sequence[tuple[int, int | None]]) -> None:
        """Writes the strips whose following seconds have come."""
        settled = self._ring.following - int(SETTLE_S * self._rate_hz)
        for own in self._kept.values():
            for strip in own:
                if strip.mv is None and strip.end <= settled:
                    self._write(strip, unjudged)

    def close(self, unjudged: Sequence[tuple[int, int | None]]) -> None:
        """Writes all that are left, as far as the recording goes."""
        for own in self._kept.values():
            for strip in own:
                if strip.mv is None:
                    self._write(strip, unjudged)

    def kept(self) -> list[Strip]:
        """By importance, those of one kind in the order of time."""
        return [
            strip
            for kind in KINDS
            for strip in sorted(self._kept[kind.name], key=lambda strip: strip.sample)
        ]

    def _near(self, centre: int) -> list[Strip]:
        inner = int(_INNER_S * self._rate_hz)
        return [
            strip
            for own in self._kept.values()
            for strip in own
            if strip.begin <= centre < strip.end
            and abs(centre - (strip.begin + int(BEFORE_S * self._rate_hz))) <= inner
            and not KINDS[RANK[strip.kind]].alone
        ]

    def _admits(self, kind: Kind, strength: float) -> bool:
        """Whether the newest occasion of a kind gets a strip of its own."""
        if kind.keeps == "spread":
            return (self.happened[kind.name] - 1) % self._stride[kind.name] == 0
        own = self._kept[kind.name]
        return len(own) < kind.quota or strength > min(kept.strength for kept in own)

    def _place(self, kind: Kind, strip: Strip) -> None:
        own = self._kept[kind.name]
        own.append(strip)
        if len(own) <= kind.quota:
            return
        if kind.keeps == "strongest":
            own.remove(min(own, key=lambda kept: (kept.strength, -kept.sample)))
            return
        self._stride[kind.name] *= 2
        stride = self._stride[kind.name]
        own[:] = [kept for kept in own if (kept.number - 1) % stride == 0]

    def _write(self, strip: Strip, unjudged: Sequence[tuple[int, int | None]]) -> None:
        strip.mv = self._ring.read(strip.begin, strip.end)
        strip.beats = tuple(b for b in self._beats if strip.begin <= b.sample < strip.end)
        clipped = ((max(a, strip.begin), min(strip.end if b is None else b, strip.end))
                   for a, b in unjudged)  # fmt: skip
        strip.unjudged = tuple((a, b) for a, b in clipped if a < b)
