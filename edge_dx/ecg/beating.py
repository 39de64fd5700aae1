"""From R peaks to beats: features that follow the patient, the beat network, and the rule.

The features of a beat do not depend on what was answered before, so those of all streams are made
first and the network is then asked for many beats at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edge_dx.ecg.beats import (
    AFTER,
    BEFORE,
    FEATURES,
    BeatFeatures,
    BeatRule,
    ReadyBeat,
    log_probabilities,
    unclassifiable,
)
from edge_dx.ecg.beats.features import LONGEST
from edge_dx.ecg.detect import Peak
from edge_dx.ecg.events import Label
from edge_dx.ecg.networks import Network
from edge_dx.ecg.rows import Stretch
from edge_dx.manifest import BeatNetwork
from edge_dx.tensors import Array

Arrays = dict[str, Array]
PATIENCE_ROWS = LONGEST
"""A beat that waits for the next one is told after so many rows all the same."""


class Told(NamedTuple):
    """A beat with its class; `row` is that of its R peak.

    Attributes:
        rr_s: None where what was before lies beyond a break.
    """

    row: int
    label: Label
    probability: float
    rr_s: float | None
    noisy: bool


BREAK = None
"""Stands between beats where nothing is to be joined."""


class Hop(NamedTuple):
    """What the detector found in one hop of one stream.

    Attributes:
        peaks: that are certain now.
        broke: nothing that follows is to be joined with them.
        counts: (leads,) whose word they rest on.
        anew: (leads,) whose networks begin with zeros.
        stretch: the rows around.
        newest: row up to which no further beat can come.
    """

    peaks: Sequence[Peak]
    broke: bool
    counts: Array
    anew: Array
    stretch: Stretch
    newest: int


class Unclassed:
    """Beats of a bundle that finds them and does not tell them apart: all `Q`.

    The probability is the detector's, that there is a beat at all.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz

    def start(self) -> Arrays:
        """No beat has been seen."""
        return {"last": np.array(-1, np.int64)}

    def step(
        self, states: Sequence[Arrays], hops: Sequence[Hop]
    ) -> tuple[list[Arrays], list[list[Told | None]]]:
        """The beats of one hop of each stream."""
        after, told = [], []
        for state, hop in zip(states, hops, strict=True):
            last, own = int(state["last"]), list[Told | None]()
            for peak in hop.peaks:
                rr_s = (peak.row - last) / self._rate_hz if last >= 0 else None
                chance = 1 / (1 + math.exp(-max(min(peak.logit, 30.0), -30.0)))
                own.append(Told(peak.row, "Q", chance, rr_s, peak.noisy))
                last = peak.row
            if hop.broke:
                last = -1
                own.append(BREAK)
            after.append({"last": np.array(last, np.int64)})
            told.append(own)
        return after, told

    def waiting(self, state: Arrays) -> None:
        """None: all are told at once."""


_KNOWN = FEATURES.index("shape_known")


class _Ask(NamedTuple):
    beat: ReadyBeat
    counts: Array
    noisy: bool


class BeatTeller:
    """Beat features, network and rule for many streams."""

    def __init__(
        self,
        network: Network,
        told: BeatNetwork,
        thresholds: Mapping[Label, float],
        leads: int,
    ) -> None:
        self._network, self._leads = network, leads
        self._features, self._rule = BeatFeatures(told.answer), BeatRule(thresholds)
        self._late = told.answer == "one_beat_late"
        self._window = told.window.tensor if told.window else None
        self._facts = told.features.tensor if told.features else None

    def start(self) -> Arrays:
        """No beat has been seen."""
        return {
            "memory": self._network.start(self._leads),
            "counts": np.zeros(self._leads, np.bool_),
            "noisy": np.array(0, np.bool_),
            **self._features.start(self._leads),
        }

    def step(
        self, states: Sequence[Arrays], hops: Sequence[Hop]
    ) -> tuple[list[Arrays], list[list[Told | None]]]:
        """The beats of one hop of each stream that are told now.

        Returns:
            New states, and of each stream its beats, with `BREAK` where nothing is to be joined.
        """
        after = list(states)
        asks: list[list[_Ask | None]] = [[] for _ in hops]
        for stream, hop in enumerate(hops):
            if hop.anew.any() and after[stream]["memory"][hop.anew].any():
                memory = np.where(hop.anew[:, None], np.float32(0), after[stream]["memory"])
                after[stream] = {**after[stream], "memory": memory}
        for turn in range(max((len(hop.peaks) for hop in hops), default=0)):
            self._taken(after, hops, turn, asks)
        for stream, hop in enumerate(hops):
            state = after[stream]
            if hop.broke:
                state, ready = self._features.reset(state)
            elif self._late and state["waits"]:
                state, ready = self._features.due(state, hop.newest)
            else:
                continue
            after[stream] = state
            noisy = bool(state["noisy"])
            asks[stream] += [_Ask(beat, state["counts"], noisy) for beat in ready]
            if hop.broke:
                asks[stream].append(BREAK)
        return after, self._told(after, asks)

    def waiting(self, state: Arrays) -> int | None:
        """The row of a beat that was found and is not told yet."""
        return int(state["waiting_row"]) if self._late and state["waits"] else None

    def _taken(
        self, after: list[Arrays], hops: Sequence[Hop], turn: int, asks: list[list[_Ask | None]]
    ) -> None:
        """One peak of each stream that has so many: the beats that are ready with it are asked."""
        which = [stream for stream, hop in enumerate(hops) if turn < len(hop.peaks)]
        peaks = [hops[stream].peaks[turn] for stream in which]
        around = [
            hops[stream].stretch.around(peak.row, BEFORE, AFTER)
            for stream, peak in zip(which, peaks, strict=True)
        ]
        rows, counts = [peak.row for peak in peaks], [hops[stream].counts for stream in which]
        new, ready = self._features.step_many([after[s] for s in which], rows, around, counts)
        for place, stream in enumerate(which):
            before = after[stream]
            for beat in ready[place]:
                if self._late:  # it is told with the leads that it was seen in
                    asks[stream].append(_Ask(beat, before["counts"], bool(before["noisy"])))
                else:
                    asks[stream].append(_Ask(beat, counts[place], peaks[place].noisy))
            noisy = np.array(peaks[place].noisy)
            after[stream] = {**new[place], "counts": counts[place], "noisy": noisy}

    def _told(
        self, states: list[Arrays], asks: Sequence[list[_Ask | None]]
    ) -> list[list[Told | None]]:
        """Asks the network for the first beat of each stream, then for the second, and so on."""
        told: list[list[Told | None]] = [[] for _ in asks]
        for turn in range(max(map(len, asks), default=0)):
            asked: list[tuple[int, _Ask]] = []
            for stream, own in enumerate(asks):
                if turn >= len(own):
                    continue
                ask = own[turn]
                if ask is None:
                    told[stream].append(BREAK)
                    states[stream] = {**states[stream], "memory": self._network.start(self._leads)}
                else:
                    asked.append((stream, ask))
            if asked:
                self._asked(states, asked, told)
        return told

    def _asked(
        self, states: list[Arrays], asked: Sequence[tuple[int, _Ask]],
        told: Sequence[list[Told | None]],
    ) -> None:  # fmt: skip
        # A peak is told of leads that count; were there none, the stream would have been broken.
        feeds: dict[str, Array] = {}
        if self._window is not None:
            feeds[self._window] = np.concatenate([ask.beat.window[ask.counts] for _, ask in asked])
        if self._facts is not None:
            feeds[self._facts] = np.concatenate([ask.beat.features[ask.counts] for _, ask in asked])
        memory = np.concatenate([states[s]["memory"][ask.counts] for s, ask in asked])
        logits, kept = self._network(feeds, memory)
        at = 0
        for stream, ask in asked:
            heard = int(ask.counts.sum())
            own, after = logits[at : at + heard], kept[at : at + heard]
            at += heard
            if heard == self._leads:
                states[stream] = {**states[stream], "memory": after}
            else:
                whole = states[stream]["memory"].copy()
                whole[ask.counts] = after
                states[stream] = {**states[stream], "memory": whole}
            words = log_probabilities(own)
            known = ask.beat.features[ask.counts, _KNOWN].any()
            answer = self._rule(words) if known else unclassifiable(words)
            rr_s = None if math.isnan(ask.beat.rr_s) else ask.beat.rr_s
            told[stream].append(
                Told(ask.beat.row, answer.label, answer.probability, rr_s, ask.noisy)
            )
