"""Networks over whole recordings, all recordings at once: frames, peaks, logits of beats, rhythm.

The steps are the runtime's own, put together so that thresholds can be chosen afterwards and so
that one network call serves all recordings. That the events are those of a device is checked: see
`export.streams.rollout`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge_dx.ecg.beats import AFTER, BEFORE, BeatFeatures, ReadyBeat
from edge_dx.ecg.detect import Peak, PeakDecoder
from edge_dx.ecg.rhythm import RhythmFeatures
from edge_dx.ecg.rows import INSIDE, Stretch
from edge_dx.manifest import PeakNetwork
from edge_dx.manifest.stream import Answer
from edge_dx.signal import INVALID, WARMUP
from edge_dx.tensors import Array
from export.streams.recordings import Recording


class Asked(Protocol):
    """What is asked about a recording: `edge_dx.ecg.networks.Network`, or what stands before it."""

    width: int

    def start(self, rows: int) -> Array:
        """Memory at a beginning."""

    def __call__(self, feeds: Mapping[str, Array], memory: Array) -> tuple[Array, Array]:
        """The answer and the memory for the next call."""


@dataclass(frozen=True, eq=False)
class Frames:
    """What a detector said of recordings of unequal length.

    Attributes:
        frames: of each recording (hops, frames, 3).
        alive: of each recording (hops,), whether its word counts.
    """

    frames: list[Array] = field(repr=False)
    alive: list[Array] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Peaks:
    """R peaks of one recording.

    Attributes:
        peaks: in their order.
        hops: with which hop each was known.
        breaks: hops with which the signal was lost.
    """

    peaks: list[Peak]
    hops: list[int]
    breaks: list[int]

    @property
    def rows(self) -> Array:
        """Of the peaks."""
        return np.array([peak.row for peak in self.peaks], np.int64)


@dataclass(frozen=True, eq=False)
class Beats:
    """The beats of one recording as a network is asked about them.

    Attributes:
        rows: of the R peaks.
        feeds: (n, …) windows and features.
        anew: (n,) whether memory is zeros in front of it.
    """

    rows: Array
    feeds: dict[str, Array] = field(repr=False)
    anew: Array


def frames_of(network: Asked, told: PeakNetwork, recordings: Sequence[Recording]) -> Frames:
    """Rolls the detector over all recordings, hop by hop, as `edge_dx.ecg.peaks` does."""
    size, count = told.hop_rows, len(recordings)
    lengths = [len(own.rows) // size for own in recordings]
    most = max(lengths)
    signal = np.zeros((most, count, 1, size), np.float32)
    flags, begins = np.full((most, count), INVALID, np.uint8), np.zeros((most, count), np.uint8)
    for n, own in enumerate(recordings):
        hops = own.hops(size)
        signal[: len(hops), n, 0] = own.rows[: len(hops) * size, 0].reshape(-1, size)
        flags[: len(hops), n] = [hop.flags[0] for hop in hops]
        begins[: len(hops), n] = [hop.begins[0] for hop in hops]
    memory = network.start(count)
    anew, since = np.ones(count, np.bool_), np.zeros(count, np.int64)
    frames = np.zeros((most, count, size // told.stride_rows, 3), np.float32)
    alive = np.zeros((most, count), np.bool_)
    for turn in range(most):
        anew = anew | (begins[turn] > 0)
        inside = begins[turn] & INSIDE > 0
        heard = ((flags[turn] & INVALID) == 0) & ~inside
        fresh = anew & heard
        if fresh.any():
            since = np.where(fresh, 0, since)
            memory = np.where(fresh[:, None], np.float32(0), memory)
        since = since + size
        frames[turn], kept = network({told.signal: signal[turn]}, memory)
        memory = kept if heard.all() else np.where(heard[:, None], kept, memory)
        warm = (flags[turn] & WARMUP) == 0
        alive[turn] = heard & (since >= told.receptive_field_rows) & warm
        anew = np.where(heard, False, anew | inside)
    return Frames(
        [frames[:n, place] for place, n in enumerate(lengths)],
        [alive[:n, place] for place, n in enumerate(lengths)],
    )


def peaks_of(told: PeakNetwork, said: Frames, threshold: float) -> list[Peaks]:
    """R peaks of all recordings by one threshold."""
    size, count = told.hop_rows, len(said.frames)
    decoder = PeakDecoder(
        threshold=threshold, delay=told.delay_rows, stride=told.stride_rows,
        frames=size // told.stride_rows,
    )  # fmt: skip
    state = {name: np.stack([a] * count) for name, a in decoder.start().items()}
    found = [Peaks([], [], []) for _ in range(count)]
    most = max(map(len, said.alive)) + 1  # at the end what waits is settled, as by `finish`
    frames = np.zeros((most, count, size // told.stride_rows, 3), np.float32)
    alive = np.zeros((most, count), np.bool_)
    for n, (own, lives) in enumerate(zip(said.frames, said.alive, strict=True)):
        frames[: len(own), n], alive[: len(own), n] = own, lives
    was = np.zeros(count, np.bool_)
    for turn in range(most):
        rows = np.full(count, turn * size, np.int64)
        now = alive[turn]
        state, told_peaks = decoder.step(state, rows, frames[turn], now, now & ~was)
        for n, peaks in enumerate(told_peaks):
            found[n].peaks.extend(peaks)
            found[n].hops.extend([turn] * len(peaks))
        for n in np.flatnonzero(was & ~now).tolist():
            found[n].breaks.append(turn)
        was = now
    return found


class _Follower:
    """One recording's beats on their way."""

    def __init__(self, recording: Recording, peaks: Peaks, told: PeakNetwork) -> None:
        self.stretch = Stretch(recording.rows, 0, 0)
        steps: list[tuple[int, Peak | None]] = [*zip(peaks.hops, peaks.peaks, strict=True)]
        steps += [(hop, None) for hop in peaks.breaks]
        steps.sort(key=lambda one: (one[0], one[1] is None, one[1].row if one[1] else 0))
        self.steps = [*steps, (len(recording.rows) // told.hop_rows, None)]
        self.rows: list[int] = []
        self.windows: list[Array] = []
        self.facts: list[Array] = []
        self.anew: list[bool] = []
        self.fresh = True

    def take(self, ready: Sequence[ReadyBeat]) -> None:
        """Beats that are asked about now."""
        for beat in ready:
            self.rows.append(beat.row)
            self.windows.append(beat.window[0])
            self.facts.append(beat.features[0])
            self.anew.append(self.fresh)
            self.fresh = False

    @property
    def beats(self) -> Beats:
        """All of them."""
        feeds = {
            "window": np.array(self.windows, np.float32),
            "features": np.array(self.facts, np.float32),
        }
        return Beats(np.array(self.rows, np.int64), feeds, np.array(self.anew, np.bool_))


def beats_of(
    recordings: Sequence[Recording], peaks: Sequence[Peaks], answer: Answer, told: PeakNetwork,
    wait: int,
) -> list[Beats]:  # fmt: skip
    """The beats of recordings as `edge_dx.ecg.beating` has them.

    Args:
        recordings: with their rows.
        peaks: of each.
        answer: of the beat network.
        told: the detector.
        wait: rows from a peak to the hop that makes it certain, at most.
    """
    features = BeatFeatures(answer)
    followers = [_Follower(r, own, told) for r, own in zip(recordings, peaks, strict=True)]
    states = [features.start(1) for _ in followers]
    for turn in range(max((len(own.steps) for own in followers), default=0)):
        asked: list[int] = []
        rows: list[int] = []
        arounds: list[Array] = []
        for n, own in enumerate(followers):
            if turn >= len(own.steps):
                continue
            hop, peak = own.steps[turn]
            # The hop before this one: what was known of beats that did not come.
            states[n], ready = features.due(states[n], hop * told.hop_rows - 1 - wait)
            own.take(ready)
            if peak is None:
                states[n], ready = features.reset(states[n])
                own.take(ready)
                own.fresh = True
            else:
                asked.append(n)
                rows.append(peak.row)
                arounds.append(own.stretch.around(peak.row, BEFORE, AFTER))
        after, told_beats = features.step_many([states[n] for n in asked], rows, arounds)
        for n, state, ready in zip(asked, after, told_beats, strict=True):
            states[n] = state
            followers[n].take(ready)
    return [own.beats for own in followers]


def rhythm_beats_of(peaks: Peaks, rate_hz: int) -> Beats:
    """A recording's beats as `edge_dx.ecg.listening` has them."""
    features = RhythmFeatures()
    state, last, breaks = features.start(), -1, list(peaks.breaks)
    rows, facts, anew = [], [], []
    for hop, peak in zip(peaks.hops, peaks.peaks, strict=True):
        fresh = last < 0
        while breaks and breaks[0] < hop:
            breaks.pop(0)
            state, last, fresh = features.reset(state), -1, True
        state, own = features.beat(state, (peak.row - last) / rate_hz if last >= 0 else None)
        rows.append(peak.row)
        facts.append(own)
        anew.append(fresh)
        last = peak.row
    return Beats(np.array(rows, np.int64), {"features": np.array(facts, np.float32)},
                 np.array(anew, np.bool_))  # fmt: skip


def logits_of(
    network: Asked, beats: Sequence[Beats], memories: list[Array] | None = None
) -> list[Array]:
    """What a network says of the beats of all recordings, one beat of each at a time.

    Args:
        network: that is asked.
        beats: of each recording.
        memories: takes the memory after each turn, (recordings, width).
    """
    memory = network.start(len(beats))
    found: list[list[Array]] = [[] for _ in beats]
    for turn in range(max((len(own.rows) for own in beats), default=0)):
        here = [n for n, own in enumerate(beats) if turn < len(own.rows)]
        fresh = np.array([beats[n].anew[turn] for n in here])
        given = np.where(fresh[:, None], np.float32(0), memory[here])
        feeds = {key: np.stack([beats[n].feeds[key][turn] for n in here])
                 for key in beats[here[0]].feeds}  # fmt: skip
        answer, kept = network(feeds, given)
        memory = memory.copy()
        memory[here] = kept
        for place, n in enumerate(here):
            found[n].append(answer[place])
        if memories is not None:
            memories.append(memory)
    return [np.array(own, np.float32) for own in found]


def chance(logit: float) -> float:
    """A logit as a probability, as the runtime has it."""
    return 1 / (1 + math.exp(-max(min(logit, 30.0), -30.0)))
