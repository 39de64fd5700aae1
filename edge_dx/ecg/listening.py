"""What follows the beats of a stream: its rhythm, and alarms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_dx.ecg.alarms import Alarms
from edge_dx.ecg.beating import Told
from edge_dx.ecg.events import Alarm, AlarmKind, Beat, Rhythm, StreamEvent
from edge_dx.ecg.flutter import RATE_HZ, Flutter, Wave
from edge_dx.ecg.judge import Heard
from edge_dx.ecg.networks import Network
from edge_dx.ecg.rhythm import Episodes, RhythmFeatures, Turn
from edge_dx.manifest import RhythmNetwork
from edge_dx.signal import Clockwork
from edge_dx.tensors import Array

Arrays = dict[str, Array]
_FEATURES, _EPISODES = "features.", "episodes."


class RhythmListener:
    """Rhythm features, network and episodes for many streams; the network is asked together."""

    def __init__(
        self, network: Network, told: RhythmNetwork, clock: Clockwork, begins: float, ends: float
    ) -> None:
        self._network, self._clock = network, clock
        self._facts = told.features.tensor if told.features else ""
        self._features, self._episodes = RhythmFeatures(), Episodes(begins, ends)

    def start(self) -> Arrays:
        """No beat has come."""
        return {
            "memory": self._network.start(1)[0],
            **{_FEATURES + name: array for name, array in self._features.start().items()},
            **{_EPISODES + name: array for name, array in self._episodes.start().items()},
        }

    def due(self, state: Arrays, quiet_to: int, row: int) -> bool:
        """Never: it speaks with beats alone."""
        return False

    def step(
        self, states: Sequence[Arrays], heard: Sequence[Heard]
    ) -> tuple[list[Arrays], list[list[StreamEvent]]]:
        """Beginnings and ends of episodes, with the beats of one hop of each stream."""
        after, events = list(states), [list[StreamEvent]() for _ in states]
        for turn in range(max((len(hop.told) for hop in heard), default=0)):
            asked: list[tuple[int, Told, Array]] = []
            for stream, hop in enumerate(heard):
                if turn >= len(hop.told):
                    continue
                beat, state = hop.told[turn], after[stream]
                if beat is None:
                    after[stream], turns = self._broken(state, hop.row)
                    events[stream] += self._told(turns, hop.certain_at)
                    continue
                own, facts = self._features.beat(_of(state, _FEATURES), beat.rr_s)
                after[stream] = {**state, **{_FEATURES + n: a for n, a in own.items()}}
                asked.append((stream, beat, facts))
            if not asked:
                continue
            memory = np.stack([after[stream]["memory"] for stream, _, _ in asked])
            facts = np.stack([facts for _, _, facts in asked])
            logits, kept = self._network({self._facts: facts}, memory)
            for place, (stream, beat, _) in enumerate(asked):
                chance = 1 / (1 + math.exp(-max(min(float(logits[place, 0]), 30.0), -30.0)))
                own, turns = self._episodes.beat(_of(after[stream], _EPISODES), beat.row, chance)
                after[stream] = {
                    **after[stream], "memory": kept[place],
                    **{_EPISODES + n: a for n, a in own.items()},
                }  # fmt: skip
                events[stream] += self._told(turns, heard[stream].certain_at)
        return after, events

    def _broken(self, state: Arrays, row: int) -> tuple[Arrays, list[Turn]]:
        own, turns = self._episodes.broken(_of(state, _EPISODES), row)
        fresh = self._features.reset(_of(state, _FEATURES))
        return {
            "memory": self._network.start(1)[0],
            **{_FEATURES + name: array for name, array in fresh.items()},
            **{_EPISODES + name: array for name, array in own.items()},
        }, turns

    def _told(self, turns: Sequence[Turn], at: int) -> list[Rhythm]:
        return [
            Rhythm(min(max(int(self._clock.when(turn.row)), 0), at), at, "AF", turn.change,
                   turn.probability)
            for turn in turns
        ]  # fmt: skip


class AlarmListener:
    """The rules of `edge_dx.ecg.alarms`, stream by stream, asked where they can have a word."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms

    def start(self) -> Arrays:
        """Nothing is judged yet."""
        return self._alarms.start()

    def due(self, state: Arrays, quiet_to: int, row: int) -> bool:
        """See `Alarms.due`."""
        return quiet_to >= self._alarms.due(state)

    def step(
        self, states: Sequence[Arrays], heard: Sequence[Heard]
    ) -> tuple[list[Arrays], list[list[StreamEvent]]]:
        """Alarms that begin or end with one hop of each stream."""
        after, events = list(states), [list[StreamEvent]() for _ in states]
        for stream, hop in enumerate(heard):
            state = states[stream]
            if hop.began is not None:
                state = after[stream] = self._alarms.begin(state, hop.began)
            if not hop.told and hop.quiet_to < self._alarms.due(state):
                continue
            beats, group = iter(hop.beats), list[Beat]()
            for told in hop.told:
                if told is not None:
                    group.append(next(beats))
                    continue
                # Of the time behind the last beat nothing is known any more.
                quiet = group[-1].sample if group else 0
                state, own = self._alarms.step(state, group, quiet, hop.certain_at)
                state, ended = self._alarms.broken(state, hop.certain_at)
                events[stream] += own + ended
                group = []
            broke = bool(hop.told) and hop.told[-1] is None
            if not broke:
                state, own = self._alarms.step(state, group, hop.quiet_to, hop.certain_at)
                events[stream] += own
            after[stream] = state
        return after, events


class FlutterListener:
    """`edge_dx.ecg.flutter` on the first lead, asked once a second while that lead counts.

    What counts has had a signal for longer than a second, so the rows of that second are good.
    """

    def __init__(self, clock: Clockwork) -> None:
        self._flutter, self._clock = Flutter(), clock

    def start(self) -> Arrays:
        """Nothing is judged yet."""
        return {**self._flutter.start(), "taken": np.array(-1, np.int64)}

    def due(self, state: Arrays, quiet_to: int, row: int) -> bool:
        """Whether a second of rows has come since it was asked last."""
        taken = int(state["taken"])
        return taken >= 0 and row - taken >= RATE_HZ

    def step(
        self, states: Sequence[Arrays], heard: Sequence[Heard]
    ) -> tuple[list[Arrays], list[list[StreamEvent]]]:
        """Beginnings and ends, of streams some of which are due."""
        after, events = list(states), [list[StreamEvent]() for _ in states]
        for stream, hop in enumerate(heard):
            state, waves = states[stream], list[Wave]()
            broke = bool(hop.told) and hop.told[-1] is None
            counts = bool(hop.counts[0]) and not broke
            taken = int(state["taken"])
            if taken >= 0 and (not counts or hop.began is not None):
                own, waves = self._flutter.broken(_flutters(state), max(taken, 0))
                state = {**own, "taken": np.array(-1, np.int64)}
            if counts and int(state["taken"]) < 0:
                state = {**state, "taken": np.array(hop.row, np.int64)}
            elif counts and hop.row - taken >= RATE_HZ:
                rows = hop.stretch.around(hop.row, hop.row - taken - 1, 0)[0]
                own, waves = self._flutter.step(_flutters(state), rows[-RATE_HZ:], hop.row)
                state = {**own, "taken": np.array(hop.row, np.int64)}
            after[stream] = state
            events[stream] += [self._told(wave, hop.certain_at) for wave in waves]
        return after, events

    def _told(self, wave: Wave, at: int) -> Alarm:
        sample = min(max(int(self._clock.when(wave.row)), 0), at)
        kind: AlarmKind = "ventricular_fibrillation"
        return Alarm(sample, at, kind, wave.change, wave.per_min, "/min")


def _flutters(state: Arrays) -> Arrays:
    return {name: array for name, array in state.items() if name != "taken"}


def _of(state: Arrays, room: str) -> Arrays:
    return {name[len(room) :]: array for name, array in state.items() if name.startswith(room)}
