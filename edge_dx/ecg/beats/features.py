"""Beat by beat: the network's inputs out of the rows around each R peak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.beats import shapes
from edge_dx.ecg.beats.intervals import HISTORY, INTERVALS, LATER, interval_features, later_features

Arrays = dict[str, NDArray[Any]]
When = Literal["at_once", "one_beat_late"]

RATE_HZ = 250
BEFORE = 2 * shapes.PEAK + shapes.SLACK
"""Rows of the signal path before the R peak that are needed: 336 ms."""
AFTER = 2 * (shapes.WINDOW - 1 - shapes.PEAK) + shapes.SLACK
"""And after it: 200 ms."""
LONGEST = 2 * RATE_HZ
"""Rows after which the late answer no longer waits for the next beat."""
FEATURES = INTERVALS + shapes.SHAPE + LATER + shapes.NEXT
"""Names of the features in their order. Those of `LATER` and `NEXT` are 0 in the answer at once."""
_NOW = len(INTERVALS) + len(shapes.SHAPE)
_EARLY, _EARLY_WEIGHT = 0.85, 0.3
_ALIKE = 0.8


class ReadyBeat(NamedTuple):
    """What the network is asked about one beat.

    Attributes:
        row: of the R peak, as it was given.
        window: (leads, 2, 64) float32, the beat and the dominant shape.
        features: (leads, F) float32, `FEATURES`.
        rr_s: interval from the beat before in seconds; NaN where that lies beyond a gap.
    """

    row: int
    window: NDArray[np.float32]
    features: NDArray[np.float32]
    rr_s: float


class BeatFeatures:
    """Follows the beats of one stream; of its leads each has its own shapes.

    Attributes:
        answer: `at_once`: a beat is ready when it is given. `one_beat_late`: when the next is, or
            when `due` finds that none came for 2 s.
    """

    def __init__(self, answer: When = "at_once") -> None:
        """Prepares to follow.

        Raises:
            ValueError: no such answer.
        """
        if answer not in ("at_once", "one_beat_late"):
            raise ValueError(f"answer is at_once or one_beat_late, not {answer!r}")
        self.answer = answer
        self._late = answer == "one_beat_late"

    def start(self, leads: int = 1) -> Arrays:
        """Before the first beat."""
        return {
            **shapes.start(leads),
            "intervals": np.zeros(HISTORY, np.float64),
            "clean": np.zeros(HISTORY, np.bool_),
            "n_intervals": np.array(0, np.int64),
            "peak": np.array(-1, np.int64),
            "waits": np.array(False),
            "waiting_row": np.array(0, np.int64),
            "waiting_rr": np.array(np.nan, np.float64),
            "waiting_window": np.zeros((leads, 2, shapes.WINDOW), np.float32),
            "waiting_features": np.zeros((leads, len(FEATURES)), np.float32),
        }

    def step(
        self,
        state: Arrays,
        row: int,
        around: NDArray[np.float32],
        valid: NDArray[np.bool_] | None = None,
    ) -> tuple[Arrays, list[ReadyBeat]]:
        """One R peak, later than all before it.

        Args:
            state: as in `start`.
            row: its number.
            around: (leads, BEFORE + 1 + AFTER) the rows from `row - BEFORE` on; where there was no
                signal, the value that was held.
            valid: (leads,) which leads have a signal; None for all. The others learn nothing.

        Returns:
            New state, and the beats that are ready, oldest first.
        """
        states, ready = self.step_many([state], [row], [around], [valid])
        return states[0], ready[0]

    def step_many(
        self,
        states: Sequence[Arrays],
        rows: Sequence[int],
        arounds: Sequence[NDArray[np.float32]],
        valids: Sequence[NDArray[np.bool_] | None] | None = None,
    ) -> tuple[list[Arrays], list[list[ReadyBeat]]]:
        """One R peak of each of several streams, to the bit what `step` gives of each alone."""
        if not states:
            return [], []
        leads = [len(each) for each in arounds]
        known = [
            np.ones(n, np.bool_) if v is None else v
            for n, v in zip(leads, valids or [None] * len(leads), strict=True)
        ]
        history = [_history(state) for state in states]
        early = [
            _weight(state, row, own[0])
            for state, row, own in zip(states, rows, history, strict=True)
        ]
        learned, window, shape, alike, shift = shapes.step(
            {name: np.concatenate([s[name] for s in states]) for name in shapes.NAMES},
            np.concatenate([np.asarray(each, np.float32) for each in arounds]),
            np.repeat(np.array(early, np.float32), leads),
            np.concatenate(known),
        )
        features = np.zeros((len(window), len(FEATURES)), np.float32)
        features[:, len(INTERVALS) : _NOW] = shape
        found, ready = [], []
        first = 0
        for number, state in enumerate(states):
            part = slice(first, first + leads[number])
            first = part.stop
            best = first - leads[number] + int(np.argmax(alike[part]))
            moved = int(shift[best]) if alike[best] > _ALIKE else 0
            own = {name: array[part] for name, array in learned.items()}
            new, told = self._one(state, rows[number], moved, history[number],
                                  own, window[part], features[part])  # fmt: skip
            found.append(new)
            ready.append(told)
        return found, ready

    def _one(
        self,
        state: Arrays,
        row: int,
        moved: int,
        told: tuple[list[float], list[bool]],
        learned: Arrays,
        window: NDArray[np.float32],
        features: NDArray[np.float32],
    ) -> tuple[Arrays, list[ReadyBeat]]:
        history, clean = told
        last = int(state["peak"])
        # The shape says by how many rows the detector's place is off.
        peak = max(row + moved, last + 1)
        rr = (peak - last) / RATE_HZ if last >= 0 else None
        features[:, : len(INTERVALS)] = interval_features(history, clean, rr)
        ready: list[ReadyBeat] = []
        new = state | learned | {"peak": np.array(peak, np.int64)}
        if self._late:
            if state["waits"] and rr is not None:
                following = shapes.following(features[:, len(INTERVALS) : _NOW])
                ready.append(self._completed(state, rr, following))
            new |= _wait(row, rr, window, features)
        else:
            ready.append(ReadyBeat(row, window, features, np.nan if rr is None else rr))
        if rr is not None:
            new["intervals"] = np.append(state["intervals"][1:], rr)
            # Leads may disagree on a shape: half of them are enough.
            both = 2 * state["usual"].sum() >= len(window) <= 2 * learned["usual"].sum()
            new["clean"] = np.append(state["clean"][1:], both)
            new["n_intervals"] = np.array(min(len(history) + 1, HISTORY), np.int64)
        return new, ready

    def due(self, state: Arrays, row: int) -> tuple[Arrays, list[ReadyBeat]]:
        """The beat that waited for longer than 2 s, if there is one.

        Args:
            state: as in `start`.
            row: the newest row of which it is known that no beat lies at or before it.
        """
        if not state["waits"] or row - int(state["waiting_row"]) < LONGEST:
            return state, []
        # What is known of the interval is that it is not shorter.
        return self._released(state, self._completed(state, LONGEST / RATE_HZ, None))

    def reset(self, state: Arrays) -> tuple[Arrays, list[ReadyBeat]]:
        """A gap: no interval reaches across. Shapes stay, it is the same patient.

        Returns:
            New state, and the beat that waited, if there is one; it will not know the next.
        """
        ready: list[ReadyBeat] = []
        if state["waits"]:
            state, ready = self._released(state, _waiting(state, state["waiting_features"]))
        return state | {
            "intervals": np.zeros(HISTORY, np.float64),
            "clean": np.zeros(HISTORY, np.bool_),
            "n_intervals": np.array(0, np.int64),
            "peak": np.array(-1, np.int64),
        }, ready

    def _released(self, state: Arrays, beat: ReadyBeat) -> tuple[Arrays, list[ReadyBeat]]:
        return state | {"waits": np.array(False)}, [beat]

    def _completed(
        self,
        state: Arrays,
        post: float,
        following: NDArray[np.float32] | None,
    ) -> ReadyBeat:
        """The beat that waited, with what came after it."""
        history, clean = _history(state)
        rr = float(state["waiting_rr"])
        own = None if np.isnan(rr) else rr
        features = state["waiting_features"].copy()
        features[:, _NOW : _NOW + len(LATER)] = later_features(history[:-1], clean[:-1], own, post)
        if following is not None:
            features[:, _NOW + len(LATER) :] = following
        return _waiting(state, features)


def _weight(state: Arrays, row: int, history: list[float]) -> float:
    """Of a beat in the choice of the dominant shape."""
    last = int(state["peak"])
    if last < 0 or not history:
        return 1.0
    recent = sorted(history[-32:])
    early = (row - last) / RATE_HZ < _EARLY * recent[len(recent) // 2]
    return _EARLY_WEIGHT if early else 1.0


def _history(state: Arrays) -> tuple[list[float], list[bool]]:
    """The intervals, oldest first, and which of them are clean."""
    known = HISTORY - int(state["n_intervals"])
    return state["intervals"][known:].tolist(), state["clean"][known:].tolist()


def _wait(
    row: int, rr: float | None, window: NDArray[np.float32], features: NDArray[np.float32]
) -> Arrays:
    return {
        "waits": np.array(True),
        "waiting_row": np.array(row, np.int64),
        "waiting_rr": np.array(np.nan if rr is None else rr, np.float64),
        "waiting_window": window,
        "waiting_features": features,
    }


def _waiting(state: Arrays, features: NDArray[np.float32]) -> ReadyBeat:
    return ReadyBeat(
        int(state["waiting_row"]), state["waiting_window"], features, float(state["waiting_rr"])
    )
