"""Alarms by stated rules on top of the beats. No rule looks beyond a gap.

| alarm | begins | ends |
| --- | --- | --- |
| asystole | no beat for more than 3 s while the signal is judged | with the next beat |
| ventricular tachycardia | 3 V in a row at more than 100 per minute | with a beat that is not V |
| bradycardia | 5 beats in a row at less than 40 per minute | 5 beats in a row at 40 or more |
| tachycardia | 17 beats in a row at more than 140 per minute | 5 in a row at 140 or less |
| bigeminy | every other beat is V, three times in a row | two beats in a row of one kind |
| couplet | 2 V in a row between others, the beat in front known | (at once) |

A pause of more than 3 s is what the 2018 ACC/AHA/HRS guideline on bradycardia calls a sinus pause
worth acting on; three ventricular beats at more than 100 per minute are ventricular tachycardia by
the 2017 AHA/ACC/HRS guideline; rates and numbers of beats for bradycardia and tachycardia are those
of the PhysioNet/CinC Challenge 2015; bigeminy is what the MIT-BIH annotators wrote `(B` for.

An alarm is dated at the first beat that counted towards it. Where the signal ends to be judged a
running alarm ends too, at the last beat (asystole: where it was last known that none came): that
is the end of what is known, not of what ailed the patient. Flutter and fibrillation:
`edge_dx.ecg.flutter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.events import Alarm, AlarmKind, Beat, Change

Arrays = dict[str, NDArray[Any]]
_KINDS: tuple[AlarmKind, ...] = (
    "asystole", "ventricular_tachycardia", "bradycardia", "tachycardia", "bigeminy",
)  # fmt: skip
_UNITS: tuple[Literal["s", "/min", "beats"], ...] = ("s", "/min", "/min", "/min", "beats")
_ASYSTOLE, _VT, _SLOW, _FAST, _BIGEMINY = range(5)
_NEVER = 2**62
# In a row: V; beats that are slow, and that are not; that are fast, and that are not; beats unlike
# the one before.
_RUN, _IS_SLOW, _NOT_SLOW, _IS_FAST, _NOT_FAST, _CHANGES = range(6)
_UNKNOWN, _OTHER, _V = range(3)
"""Kinds of remembered beats."""


class AlarmRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits; the sources stand in the module's docstring.

    Attributes:
        pause_s: longer without a beat is asystole.
        ventricular_run: V in a row that are ventricular tachycardia, 2 or more.
        ventricular_per_min: above this rate.
        slow_per_min: below it is bradycardia,
        slow_beats: when so many beats in a row are.
        fast_per_min: above it is tachycardia; more than `slow_per_min`,
        fast_beats: when so many beats in a row are.
        settled_beats: beats in a row that are not slow (not fast) end a slow (fast) stretch.
        bigeminy_pairs: V with another beat in front, in a row.

    Raises:
        ValueError: a limit that no heart can be held to.
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

    def __post_init__(self) -> None:
        for name, least in (
            ("slow_beats", 1), ("fast_beats", 1), ("settled_beats", 1), ("bigeminy_pairs", 1),
            ("ventricular_run", 2),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} is {getattr(self, name)}: give {least} to 1000")
        for name in ("pause_s", "ventricular_per_min", "slow_per_min", "fast_per_min"):
            if not 0 < getattr(self, name) <= 1000:  # nor NaN
                raise ValueError(f"{name} is {getattr(self, name)}: give more than 0, to 1000")
        if self.slow_per_min >= self.fast_per_min:
            raise ValueError(
                f"slow_per_min is {self.slow_per_min}, fast_per_min {self.fast_per_min}: a beat "
                "cannot be both; give a slow limit below the fast one"
            )


class Alarms:
    """Follows the beats of one stream; a function from state to state, as all of its neighbours.

    Attributes:
        rules: the limits.
    """

    def __init__(self, rate_hz: Fraction, rules: AlarmRules = AlarmRules()) -> None:  # noqa: B008
        self.rules = rules
        self._rate = float(rate_hz)
        self._pause = int(rules.pause_s * self._rate)
        self._history = max(4, rules.ventricular_run, 2 * rules.bigeminy_pairs)

    def start(self) -> Arrays:
        """Nothing is judged yet."""
        return {
            "last": np.array(-1, np.int64),  # beat, or where judging begins
            "quiet": np.array(-1, np.int64),  # while asystole runs: up to here no beat came
            "beaten": np.array(False),
            "counts": np.zeros(6, np.int64),
            "kinds": np.zeros(self._history, np.int8),
            "samples": np.full(self._history, -1, np.int64),
            "since": np.full(2, -1, np.int64),  # the first beat of the slow, of the fast ones
            "running": np.zeros(len(_KINDS), np.bool_),
        }

    def due(self, state: Arrays) -> int:
        """The sample from which on `step` has something to say or to note even if no beat comes."""
        last = int(state["last"])
        if last < 0:
            return _NEVER
        return 0 if state["running"][_ASYSTOLE] else last + self._pause + 1

    def begin(self, state: Arrays, sample: int) -> Arrays:
        """From this sample on beats are told."""
        return {**self.start(), "last": np.array(sample, np.int64)}

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
        last = int(state["last"])
        if last >= 0 and quiet_to - last > self._pause:
            if not state["running"][_ASYSTOLE]:
                pause_s = (quiet_to - last) / self._rate
                state = self._turned(state, _ASYSTOLE, last, certain_at, pause_s, told)
            quiet = max(int(state["quiet"]), quiet_to)
            state = {**state, "quiet": np.array(quiet, np.int64)}
        return state, told

    def broken(self, state: Arrays, certain_at: int) -> tuple[Arrays, list[Alarm]]:
        """The signal is no longer judged: what runs ends where it was last known to."""
        told: list[Alarm] = []
        last = int(state["last"])
        for number in np.flatnonzero(state["running"]).tolist():
            end, value = last, 0.0
            if number == _ASYSTOLE:
                end = int(state["quiet"])
                value = (end - last) / self._rate
            state = self._turned(state, number, end, certain_at, value, told)
        return self.start(), told

    def _beat(self, state: Arrays, beat: Beat, at: int, told: list[Alarm]) -> Arrays:
        last = int(state["last"])
        rr = beat.sample - last if state["beaten"] and last >= 0 else 0
        kind = _V if beat.label == "V" else _OTHER
        kinds = np.append(state["kinds"][1:], kind).astype(np.int8)
        samples = np.append(state["samples"][1:], beat.sample)
        if state["running"][_ASYSTOLE]:
            pause_s = (beat.sample - last) / self._rate
            state = self._turned(state, _ASYSTOLE, beat.sample, at, pause_s, told)
        if kinds[-4:].tolist() == [_OTHER, _V, _V, _OTHER]:
            told.append(Alarm(int(samples[-3]), at, "couplet", "begins", 2.0, "beats"))
        per_min = 60 * self._rate / rr if rr > 0 else None
        counts, since = self._counted(state, kinds, beat.sample, per_min)
        state = {
            **state, "kinds": kinds, "samples": samples, "counts": counts, "since": since,
            "last": np.array(beat.sample, np.int64), "quiet": np.array(-1, np.int64),
            "beaten": np.array(True),
        }  # fmt: skip
        state = self._runs(state, beat, at, told)
        return state if per_min is None else self._rates(state, beat, at, per_min, told)

    def _counted(
        self, state: Arrays, kinds: NDArray[np.int8], sample: int, per_min: float | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many beats in a row are so, and which was the first that was slow, or fast."""
        since = state["since"].copy()
        goes_on = [
            kinds[-1] == _V,
            False,
            False,
            False,
            False,
            kinds[-2] not in (_UNKNOWN, kinds[-1]),
        ]
        if per_min is not None:
            slow, fast = per_min < self.rules.slow_per_min, per_min > self.rules.fast_per_min
            goes_on[_IS_SLOW : _NOT_FAST + 1] = [slow, not slow, fast, not fast]
        counts = np.where(goes_on, state["counts"] + 1, 0)
        for place, number in enumerate((_IS_SLOW, _IS_FAST)):
            if counts[number] == 1:
                since[place] = sample
        return counts, since

    def _runs(self, state: Arrays, beat: Beat, at: int, told: list[Alarm]) -> Arrays:
        """Ventricular tachycardia and bigeminy."""
        rules, counts, samples = self.rules, state["counts"], state["samples"]
        if state["running"][_VT] and not counts[_RUN]:
            state = self._turned(state, _VT, beat.sample, at, 0.0, told)
        elif counts[_RUN] >= rules.ventricular_run and not state["running"][_VT]:
            # Of a run that begins slowly the rate of its last beats is asked, and it dates from
            # the first of them.
            first = int(samples[-rules.ventricular_run])
            per_min = (rules.ventricular_run - 1) * 60 * self._rate / max(beat.sample - first, 1)
            if per_min > rules.ventricular_per_min:
                state = self._turned(state, _VT, first, at, per_min, told)
        turns = 2 * rules.bigeminy_pairs - 1
        if state["running"][_BIGEMINY] and not counts[_CHANGES]:
            state = self._turned(state, _BIGEMINY, beat.sample, at, 0.0, told)
        elif counts[_CHANGES] >= turns and beat.label == "V" and not state["running"][_BIGEMINY]:
            began, pairs = int(samples[-turns - 1]), float(rules.bigeminy_pairs)
            state = self._turned(state, _BIGEMINY, began, at, pairs, told)
        return state

    def _rates(self, state: Arrays, beat: Beat, at: int, per_min: float,
               told: list[Alarm]) -> Arrays:  # fmt: skip
        """Bradycardia and tachycardia."""
        rules, counts = self.rules, state["counts"]
        for number, place, is_so, is_not, needed in (
            (_SLOW, 0, _IS_SLOW, _NOT_SLOW, rules.slow_beats),
            (_FAST, 1, _IS_FAST, _NOT_FAST, rules.fast_beats),
        ):
            if state["running"][number]:
                if counts[is_not] >= rules.settled_beats:
                    state = self._turned(state, number, beat.sample, at, per_min, told)
            elif counts[is_so] >= needed:
                began = int(state["since"][place])
                state = self._turned(state, number, began, at, per_min, told)
        return state

    def _turned(self, state: Arrays, number: int, sample: int, at: int, value: float,
                told: list[Alarm]) -> Arrays:  # fmt: skip
        """Says that an alarm begins or ends, whichever it does not."""
        running = state["running"].copy()
        running[number] = not running[number]
        change: Change = "begins" if running[number] else "ends"
        told.append(Alarm(min(sample, at), at, _KINDS[number], change, value, _UNITS[number]))
        return {**state, "running": running}
