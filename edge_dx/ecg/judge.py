"""Hops in, events out, for many streams at once: detector, beats, rhythm and alarms in a row.

What all streams need in every hop is done for all at once; what a stream needs when it has a beat
is done for those that have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from edge_dx.ecg.beating import PATIENCE_ROWS, Hop, Told
from edge_dx.ecg.events import Beat, Change, Judging, Noise, StreamEvent
from edge_dx.ecg.peaks import Found, PeakFinder
from edge_dx.ecg.rows import FullHop, HopBatch, Jump, Stretch, Units, batch_of
from edge_dx.signal import Clockwork
from edge_dx.tensors import Array

Arrays = dict[str, Array]
Parts = dict[str, Arrays]
"""Room to arrays: what the rooms behind the detector remember of one stream."""
Events = list[list[StreamEvent]]


class Teller(Protocol):
    """Beats out of peaks."""

    def start(self) -> Arrays:
        """Before the first beat."""

    def step(
        self, states: Sequence[Arrays], hops: Sequence[Hop]
    ) -> tuple[list[Arrays], list[list[Told | None]]]:
        """The beats of one hop of each stream; None: nothing is to be joined here."""

    def waiting(self, state: Arrays) -> int | None:
        """The row of a beat that was found and is not told yet."""


class Heard(NamedTuple):
    """What a listener is told of one hop of one stream.

    Attributes:
        told: beats, and None where nothing is to be joined.
        beats: the same as events, without the breaks.
        row: with which all this was known.
        certain_at: its sample.
        quiet_to: the sample up to which no further beat can come.
        began: the sample from which on beats are told, where that was silent before.
        counts: (leads,) whose word counts.
        stretch: the rows around.
    """

    told: list[Told | None]
    beats: list[Beat]
    row: int
    certain_at: int
    quiet_to: int
    began: int | None
    counts: Array
    stretch: Stretch


class Listener(Protocol):
    """What follows the beats: rhythm, alarms."""

    def start(self) -> Arrays:
        """Before the first beat."""

    def due(self, state: Arrays, quiet_to: int, row: int) -> bool:
        """Whether it wants to be asked though no beat came; see `Heard`."""

    def step(
        self, states: Sequence[Arrays], heard: Sequence[Heard]
    ) -> tuple[list[Arrays], list[list[StreamEvent]]]:
        """What is to be said of one hop of each stream."""


class _Known(NamedTuple):
    """When something is known of each stream, by rows.

    Attributes:
        last: the row with which it is.
        ends: the row at which what came before it ends.
    """

    last: Array
    ends: Array


class Judge:
    """The rooms behind the rows, in their order.

    Attributes:
        wait: rows that may pass between a peak and its being certain.
    """

    def __init__(
        self,
        clock: Clockwork,
        finder: PeakFinder,
        teller: Teller,
        listeners: dict[str, Listener],
        *,
        hop: int,
        delay: int,
        wait: int,
    ) -> None:
        self._clock, self._finder, self._teller = clock, finder, teller
        self._listeners, self._hop, self._delay, self.wait = listeners, hop, delay, wait

    def start(self) -> tuple[Arrays, Parts]:
        """Before the first hop: the finder's arrays, and the other rooms."""
        rooms = {name: listener.start() for name, listener in self._listeners.items()}
        return self._finder.start(), {"beats": self._teller.start(), **rooms}

    def step(
        self,
        peaks: Arrays,
        parts: Sequence[Parts],
        units: Units,
    ) -> tuple[Arrays, list[Parts], Events]:
        """All hops and jumps that came for each stream, one of each stream at a time.

        Args:
            peaks: the finder's arrays, streams first.
            parts: the other rooms, of each stream.
            units: that came for them.
        """
        after, events = list(parts), Events([] for _ in parts)
        for which, batch in units.batches:
            peaks = self._hops(peaks, after, which, batch, events)
        for turn in range(max(map(len, units.rest), default=0)):
            hops, jumps = list[tuple[int, FullHop]](), list[tuple[int, Jump]]()
            for stream, own in enumerate(units.rest):
                unit = own[turn] if turn < len(own) else None
                if isinstance(unit, FullHop):
                    hops.append((stream, unit))
                elif unit is not None:
                    jumps.append((stream, unit))
            if hops:
                which = [stream for stream, _ in hops]
                batch = batch_of([hop for _, hop in hops], self._hop)
                peaks = self._hops(peaks, after, which, batch, events)
            if jumps:
                which = [stream for stream, _ in jumps]
                own_peaks, found = self._finder.broken(_of(peaks, which, len(after)))
                peaks = _back(peaks, which, own_peaks, len(after))
                rows = [np.array([getattr(jump, side) for _, jump in jumps], np.int64)
                        for side in ("row", "ends")]  # fmt: skip
                self._say(after, which, found, _Known(rows[0], rows[1]),
                          [jump.stretch for _, jump in jumps].__getitem__, events)  # fmt: skip
        return peaks, after, events

    def _hops(
        self, peaks: Arrays, after: list[Parts], which: list[int], batch: HopBatch, events: Events
    ) -> Arrays:
        """One hop of each of the streams `which`; the finder's arrays of all."""
        own, found = self._finder.step(_of(peaks, which, len(after)), batch)
        known = _Known(batch.rows + self._hop - 1, batch.rows)
        self._say(after, which, found, known, batch.stretches, events)
        return _back(peaks, which, own, len(after))

    def finish(self, peaks: Arrays, parts: Parts, row: int) -> list[StreamEvent]:
        """What waits, as if the rows jumped after this one."""
        nothing = Stretch(np.zeros((0, 1), np.float32), row, row)
        return self.step(peaks, [parts], Units([], [[Jump(row, row, nothing)]]))[2][0]

    def _say(
        self,
        after: list[Parts],
        which: Sequence[int],
        found: Found,
        known: _Known,
        stretches: Callable[[int], Stretch],
        events: Events,
    ) -> None:
        """From peaks to events, of the streams `which`; `after` gets their new states."""
        newest = known.last - self.wait
        quiet = self._clock.when(np.maximum(newest, 0)).tolist()
        rows, last = newest.tolist(), known.last.tolist()
        busy = found.busy()
        for place, stream in enumerate(which):
            waiting = self._teller.waiting(after[stream]["beats"])
            if waiting is not None:
                quiet[place] = min(quiet[place], int(self._clock.when(max(waiting - 1, 0))))
                if rows[place] - waiting >= PATIENCE_ROWS:
                    busy.add(place)
            for name, listener in self._listeners.items():
                if listener.due(after[stream][name], quiet[place], last[place]):
                    busy.add(place)
        if not busy:
            return
        places = sorted(busy)
        hops = [
            Hop(found.peaks[p], bool(found.broke[p]), found.counts[p], found.anew[p],
                stretches(p), rows[p])
            for p in places
        ]  # fmt: skip
        states, told = self._teller.step([after[which[p]]["beats"] for p in places], hops)
        heard = []
        for place, hop, state, own in zip(places, hops, states, told, strict=True):
            stream = which[place]
            after[stream] = {**after[stream], "beats": state}
            heard.append(self._heard(place, hop, own, found, known, quiet[place], events[stream]))
        for name, listener in self._listeners.items():
            kept, said = listener.step([after[which[p]][name] for p in places], heard)
            for number, place in enumerate(places):
                after[which[place]][name] = kept[number]
                events[which[place]] += said[number]

    def _heard(
        self, place: int, hop: Hop, told: list[Told | None], found: Found, known: _Known,
        quiet_to: int, events: list[StreamEvent],
    ) -> Heard:  # fmt: skip
        """Says what one stream's detector and beats have to say, and tells the listeners."""
        row = int(known.last[place])
        at, ends, began = self._clock.arrives(row), int(known.ends[place]), None
        if found.turned[place]:
            change: Change = "begins" if found.noisy[place] else "ends"
            events.append(Noise(self._shown(ends, at), at, change))
        if found.began[place]:
            began = self._shown(ends, at)
            events.append(Judging(began, at, "begins"))
        beats = [self._beat(beat, at) for beat in told if beat is not None]
        events += beats
        if found.broke[place]:
            events.append(Judging(self._shown(ends - 1, at), at, "ends"))
        return Heard(told, beats, row, at, quiet_to, began, hop.counts, hop.stretch)

    def _shown(self, row: int, at: int) -> int:
        """The sample of which the detector speaks when it has seen this row."""
        return min(max(int(self._clock.when(row - self._delay)), 0), at)

    def _beat(self, told: Told, at: int) -> Beat:
        sample = min(max(int(self._clock.when(told.row)), 0), at)
        return Beat(sample, at, told.label, told.probability, told.rr_s, told.noisy)


def _of(arrays: Arrays, which: Sequence[int], streams: int) -> Arrays:
    """The arrays of some of the streams."""
    if len(which) == streams:
        return arrays
    return {name: array[which] for name, array in arrays.items()}


def _back(arrays: Arrays, which: Sequence[int], own: Arrays, streams: int) -> Arrays:
    """All arrays, with those of some streams in their places."""
    if len(which) == streams:
        return own
    after = {name: array.copy() for name, array in arrays.items()}
    for name, array in own.items():
        after[name][which] = array
    return after
