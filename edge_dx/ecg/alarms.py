"""Alarms by stated rules on top of the beats. No rule looks beyond a gap.

| alarm | begins | ends |
| --- | --- | --- |
| asystole | no beat for more than 3 s while the signal is judged | with the next beat |
| ventricular tachycardia | 3 V in a row at more than 100 per minute | with a beat that is not V |
| bradycardia | 5 beats in a row at less than 40 per minute | 5 beats in a row at 40 or more |
| tachycardia | 17 beats in a row at more than 140 per minute | 5 in a row at 140 or less |
| bigeminy | every other beat is V, three times in a row | two beats in a row of one kind |
| couplet | 2 V in a row between others | (at once) |

A pause of more than 3 s is what the 2018 ACC/AHA/HRS guideline on bradycardia calls a sinus pause
worth acting on; three ventricular beats at more than 100 per minute are ventricular tachycardia by
the 2017 AHA/ACC/HRS guideline; rates and numbers of beats for bradycardia and tachycardia are those
of the PhysioNet/CinC Challenge 2015; bigeminy is what the MIT-BIH annotators wrote `(B` for.

Where the signal ends to be judged a running alarm ends too, at the last beat: that is the end of
what is known, not of what ailed the patient. Flutter and fibrillation: `edge_dx.ecg.flutter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.events import Alarm, AlarmKind, Beat

Arrays = dict[str, NDArray[Any]]
_KINDS: tuple[AlarmKind, ...] = (
    "asystole", "ventricular_tachycardia", "bradycardia", "tachycardia", "bigeminy",
)  # fmt: skip
_NEVER = 2**62
_HISTORY = 8
"""Beats whose kind is remembered."""


class AlarmRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits; the sources stand in the module's docstring.

    Attributes:
        pause_s: longer without a beat is asystole.
        ventricular_run: V in a row that are ventricular tachycardia.
        ventricular_per_min: above this rate.
        slow_per_min: below it is bradycardia,
        slow_beats: when so many beats in a row are.
        fast_per_min: above it is tachycardia,
        fast_beats: when so many beats in a row are.
        settled_beats: beats in a row on the other side that end a slow or a fast stretch.
        bigeminy_pairs: V with another beat in front, in a row.
    """

    pause_s: float = 3.0
    ventricular_run: int = 3
    ventricular_per_min: float = 100.0
    slow_per_min: float = 40.0
    slow_beats: int = 5
    fast_per_min: float = 140.0
    fast_beats: int = 17
    settled_beats: int = 5
    bigeminy_pairs: int = 3


class Alarms:
    """Follows the beats of one stream; a function from state to state, as all of its neighbours.

    Attributes:
        rules: the limits.
    """

    def __init__(self, rate_hz: Fraction, rules: AlarmRules = AlarmRules()) -> None:  # noqa: B008
        self.rules = rules
        self._rate = float(rate_hz)
        self._pause = int(rules.pause_s * self._rate)

    def start(self) -> Arrays:
        """Nothing is judged yet."""
        return {
            # The last beat (or beginning of what is judged); in a row: V, slow, fast, settled,
            # unlike the one before.
            "counts": np.array([-1, 0, 0, 0, 0, 0], np.int64),
            "kinds": np.zeros(_HISTORY, np.int8),
            "starts": np.full(_HISTORY, -1, np.int64),
            "running": np.zeros(len(_KINDS), np.bool_),
            "beaten": np.array(False),
        }

    def due(self, state: Arrays) -> int:
        """The sample from which on `step` has something to say even if no beat comes."""
        last = int(state["counts"][0])
        if last < 0 or bool(state["running"][0]):
            return _NEVER
        return last + self._pause + 1

    def begin(self, state: Arrays, sample: int) -> Arrays:
        """From this sample on beats are told."""
        fresh = self.start()
        return {**fresh, "counts": np.array([sample, *fresh["counts"][1:]], np.int64)}

    def step(
        self, state: Arrays, beats: Sequence[Beat], quiet_to: int, certain_at: int
    ) -> tuple[Arrays, list[Alarm]]:
        """Takes beats in their order, without a break among them.

        Args:
            state: of the stream.
            beats: those that became certain.
            quiet_to: the sample up to which no further beat can come.
            certain_at: with whose arrival all this was known.
        """
        told: list[Alarm] = []
        for beat in beats:
            state = self._beat(state, beat, certain_at, told)
        last = int(state["counts"][0])
        if last >= 0 and quiet_to - last > self._pause and not state["running"][0]:
            state = self._turned(state, 0, last, certain_at, (quiet_to - last) / self._rate, told)
        return state, told

    def broken(self, state: Arrays, certain_at: int) -> tuple[Arrays, list[Alarm]]:
        """The signal is no longer judged: what runs ends at the last beat."""
        told: list[Alarm] = []
        last = int(state["counts"][0])
        for number in np.flatnonzero(state["running"]).tolist():
            state = self._turned(state, number, last, certain_at, 0.0, told)
        return self.start(), told

    def _beat(self, state: Arrays, beat: Beat, at: int, told: list[Alarm]) -> Arrays:
        rules, counts = self.rules, state["counts"].copy()
        rr = None if not state["beaten"] or counts[0] < 0 else beat.sample - int(counts[0])
        ventricular = beat.label == "V"
        kinds = np.append(state["kinds"][1:], 2 if ventricular else 1).astype(np.int8)
        starts = np.append(state["starts"][1:], beat.sample)
        state = {**state, "kinds": kinds, "starts": starts, "beaten": np.array(True)}
        if state["running"][0]:
            pause = (beat.sample - int(counts[0])) / self._rate
            state = self._turned(state, 0, beat.sample, at, pause, told)
        per_min = 0.0 if not rr else 60 * self._rate / rr
        counts[2] = counts[2] + 1 if rr and per_min < rules.slow_per_min else 0
        counts[3] = counts[3] + 1 if rr and per_min > rules.fast_per_min else 0
        settled = rr and rules.slow_per_min <= per_min <= rules.fast_per_min
        counts[4] = counts[4] + 1 if settled else 0
        if not ventricular and counts[1] == 2:
            told.append(Alarm(int(starts[-3]), at, "couplet", "begins", 2.0, "beats"))
        counts[1] = counts[1] + 1 if ventricular else 0
        other = kinds[-2] not in (0, kinds[-1])
        counts[5] = counts[5] + 1 if other else 0
        counts[0] = beat.sample
        state = {**state, "counts": counts}
        state = self._runs(state, beat, at, told)
        return self._rates(state, beat, at, per_min, told)

    def _runs(self, state: Arrays, beat: Beat, at: int, told: list[Alarm]) -> Arrays:
        """Ventricular tachycardia and bigeminy."""
        rules, counts, starts = self.rules, state["counts"], state["starts"]
        run = int(counts[1])
        if state["running"][1] and not run:
            state = self._turned(state, 1, beat.sample, at, 0.0, told)
        elif run >= rules.ventricular_run and not state["running"][1]:
            # Of a run that begins slowly the rate of its last beats is asked.
            first = int(starts[-rules.ventricular_run])
            per_min = (rules.ventricular_run - 1) * 60 * self._rate / max(beat.sample - first, 1)
            if per_min > rules.ventricular_per_min:
                began = int(starts[-min(run, _HISTORY)])
                state = self._turned(state, 1, began, at, per_min, told)
        turns = 2 * rules.bigeminy_pairs - 1
        if state["running"][4] and not counts[5]:
            state = self._turned(state, 4, int(starts[-1]), at, 0.0, told)
        elif counts[5] >= turns and beat.label == "V" and not state["running"][4]:
            began = int(starts[-min(turns + 1, _HISTORY)])
            state = self._turned(state, 4, began, at, float(rules.bigeminy_pairs), told)
        return state

    def _rates(self, state: Arrays, beat: Beat, at: int, per_min: float,
               told: list[Alarm]) -> Arrays:  # fmt: skip
        """Bradycardia and tachycardia."""
        rules, counts = self.rules, state["counts"]
        for number, run, needed in ((2, int(counts[2]), rules.slow_beats),
                                    (3, int(counts[3]), rules.fast_beats)):  # fmt: skip
            other = int(counts[4]) + int(counts[3 if number == 2 else 2])
            if state["running"][number] and other >= rules.settled_beats:
                state = self._turned(state, number, beat.sample, at, per_min, told)
            elif run >= needed and not state["running"][number]:
                began = int(state["starts"][-min(needed, _HISTORY)])
                state = self._turned(state, number, began, at, per_min, told)
        return state

    def _turned(self, state: Arrays, number: int, sample: int, at: int, value: float,
                told: list[Alarm]) -> Arrays:  # fmt: skip
        """Says that an alarm begins or ends, whichever it does not."""
        running = state["running"].copy()
        running[number] = not running[number]
        unit = ("s", "/min", "/min", "/min", "beats")[number]
        change = "begins" if running[number] else "ends"
        told.append(Alarm(min(sample, at), at, _KINDS[number], change, value, unit))  # type: ignore[arg-type]
        return {**state, "running": running}
