"""A signal path: the steps of a manifest, compiled for one device's rate and leads.

`step` is a function from state and samples to state and rows. However the samples are cut, and
however many streams go together, the rows and events are the same to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec
import numpy as np

from edge_dx.errors import TensorMismatch, UnsupportedInput
from edge_dx.signal import steps as vocabulary
from edge_dx.signal.calm import Blocks, Calm, Lot, calm_block
from edge_dx.signal.events import Array, Block, Samples
from edge_dx.signal.filters import Filters, Scaling, sections, told_at
from edge_dx.signal.quality import Rules, Watch
from edge_dx.signal.resample import Resampler
from edge_dx.signal.run import Stage
from edge_dx.signal.state import (
    STATE_VERSION,
    Arrays,
    Joined,
    State,
    put,
    restored,
    stacked,
    unstacked,
)
from edge_dx.signal.thorough import Thorough
from edge_dx.signal.timing import Clockwork, Rate, exact_rate

MAX_LEADS = 64


class SignalPath:
    """Compiled steps.

    Attributes:
        rate_hz: of the device.
        leads: their names, in the order of the columns.
        timings: what each stage publishes, in order.
        clock: device index ↔ row, with all delays.
    """

    def __init__(
        self,
        steps: Sequence[vocabulary.AnySignalStep],
        *,
        rate_hz: Rate,
        leads: Sequence[str],
        mains_hz: vocabulary.Mains | None = None,
        rules: Rules = Rules(),  # noqa: B008 – frozen
    ) -> None:
        """Compiles.

        Args:
            steps: from the manifest, in order.
            rate_hz: of the device.
            leads: names of the columns.
            mains_hz: of the region; needed where a notch is among the steps.
            rules: what counts as missing, flat, saturated.

        Raises:
            UnsupportedInput: the device's rate cannot be brought to these steps.
            MissingExtra: scipy is not installed.
        """
        self.rate_hz, self.leads = exact_rate(rate_hz), tuple(leads)
        if not 1 <= len(set(self.leads)) == len(self.leads) <= MAX_LEADS:
            raise UnsupportedInput(
                f"1 to {MAX_LEADS} leads of different names, not {list(self.leads)}", "format"
            )
        self._stages: list[Stage] = []
        rate, resampled = self.rate_hz, False
        for step in steps:
            if isinstance(step, vocabulary.Resample):
                if resampled:
                    raise UnsupportedInput("a signal path resamples once", "format")
                if rate == step.to_hz:
                    continue
                resampler = Resampler(rate, step.to_hz)
                rate, resampled = Fraction(step.to_hz), True
                self._stages.append(resampler)
            elif isinstance(step, vocabulary.Scale):
                self._stages.append(Scaling(step, rate))
            else:
                if not self._stages or not isinstance(self._stages[-1], Filters):
                    self._stages.append(Filters(rate))
                cascade = self._stages[-1]
                assert isinstance(cascade, Filters), "it was put there"
                name = type(step).__name__.lower()
                cascade.add(name, sections(step, rate, mains_hz), told_at(step))
        self.timings = tuple(timing for stage in self._stages for timing in stage.timings)
        self.clock = Clockwork(self.rate_hz, rate, self.timings)
        settling = self.clock.receptive_field - 1
        self._watch = Watch(rules, self.rate_hz, self.leads, warms_up=settling > 0)
        self._calm = Calm(self._stages, self._watch, len(self.leads), settling)
        self._thorough = Thorough(self._stages, self._watch, self._calm, self.clock, self.leads)
        told = [STATE_VERSION, str(self.rate_hz), self.leads, list(steps), mains_hz, rules]
        self._digest = hashlib.sha256(msgspec.json.encode(told)).digest()[:16]

    @property
    def out_hz(self) -> Fraction:
        """Rows per second."""
        return self.clock.out_hz

    def start(self) -> State:
        """The state before the first sample: zeros, and nothing is known of any lead."""
        arrays: Arrays = {
            "next": np.array(-1, np.int64),
            "segment": np.zeros(len(self.leads), np.int64),
            "since": np.zeros(len(self.leads), np.int64),
            **self._watch.start(),
        }
        for number, stage in enumerate(self._stages):
            for name, array in stage.start(len(self.leads)).items():
                arrays[f"{number}.{name}"] = array
        return State(self._digest, arrays)

    def resume(self, arrays: Mapping[str, Array]) -> State:
        """The state that was saved with `State.to_arrays`.

        Raises:
            TensorMismatch: saved by another version or path, or damaged.
        """
        return restored(arrays, self.start())

    def step(self, state: State, samples: Samples | Array) -> tuple[State, Block]:
        """Takes what arrived, 0 or more samples, and gives the rows that leave with it.

        Raises:
            TensorMismatch: not (n, leads) numbers, an impossible index, or another path's state.
            OutOfOrder: samples whose index has passed. The state given is still good.
        """
        if state.calm and state.made_by == self._digest:
            mv = self._calm.plain(int(state.arrays["next"]), samples)
            if mv is not None:
                moving = {name: state.arrays[name][None] for name in self._calm.moving}
                passed = self._calm.step(moving, mv[None])
                if isinstance(passed, tuple):
                    after, first, values = passed
                    arrays = {**state.arrays, **{n: a[0, ...] for n, a in after.items()}}
                    block = calm_block(int(first[0]), values[0], arrays["segment"])
                    return State(self._digest, arrays, calm=True), block
        states, blocks = self.step_many([state], [samples])
        return states[0], blocks[0]

    def step_many(
        self, states: Sequence[State], samples: Sequence[Samples | Array]
    ) -> tuple[list[State], list[Block]]:
        """One step of many streams, each with what arrived for it.

        Streams that stand at the same place of the resampler's round and got equally many samples
        go through the filters together.

        Raises:
            TensorMismatch: as `step`, for any of them; nothing has been done then.
            OutOfOrder: likewise.
        """
        if len(states) != len(samples):
            raise TensorMismatch(f"{len(states)} states for {len(samples)} arrivals")
        if any(state.made_by != self._digest for state in states):
            raise TensorMismatch("the state is that of another signal path; use its own")
        expected = [int(state.arrays["next"]) for state in states]
        alike, plain = self._calm.lots([state.calm for state in states], expected, samples)
        lots: list[Lot] = []
        after = list(states)
        for streams in alike:
            arrays = stacked([states[stream] for stream in streams], self._calm.moving)
            passed = self._calmly(streams, arrays, plain)
            if passed is not None:
                lot, moved = passed
                lots.append(lot)
                own = unstacked(moved, len(lot.streams))
                for stream, new in zip(lot.streams.tolist(), own, strict=True):
                    held = {**states[stream].arrays, **new}
                    after[stream] = State(self._digest, held, calm=True)
        gone = {stream for lot in lots for stream in lot.streams.tolist()}
        rest = [stream for stream in range(len(states)) if stream not in gone]
        if not rest and states:
            segment = np.array([state.arrays["segment"] for state in states])
            return after, list(Blocks(lots, {}, segment))
        found, blocks = self._thorough.step([states[n] for n in rest], [samples[n] for n in rest])
        for stream, state in zip(rest, found, strict=True):
            after[stream] = state
        if not lots:
            return after, blocks
        segment = np.array([state.arrays["segment"] for state in after])
        return after, list(Blocks(lots, dict(zip(rest, blocks, strict=True)), segment))

    def join(self, states: Sequence[State]) -> Joined:
        """States side by side, for `step_joined`; the states stay good.

        Raises:
            TensorMismatch: one of another path, or none at all.
        """
        if not states or any(state.made_by != self._digest for state in states):
            raise TensorMismatch("states of this very path are joined, at least one")
        return Joined(
            self._digest,
            stacked(states, states[0].arrays),
            [state.calm for state in states],
        )

    def split(self, joined: Joined) -> list[State]:
        """The states again."""
        found = unstacked(joined.arrays, joined.streams)
        return [
            State(self._digest, arrays, calm)
            for arrays, calm in zip(found, joined.calm, strict=True)
        ]

    def step_joined(
        self, joined: Joined, samples: Sequence[Samples | Array]
    ) -> tuple[Joined, Blocks]:
        """As `step_many`, to the bit; but states that nothing is amiss with stay side by side.

        Raises what `step_many` raises; nothing has been done then.
        """
        if joined.made_by != self._digest:
            raise TensorMismatch("the states are those of another signal path; use its own")
        if len(samples) != joined.streams:
            raise TensorMismatch(f"{joined.streams} streams, and {len(samples)} arrivals")
        alike, plain = self._calm.lots(joined.calm, joined.arrays["next"].tolist(), samples)
        lots: list[Lot] = []
        after: Arrays = dict(joined.arrays)
        everyone = range(joined.streams)
        for streams in alike:
            all_of_them = len(streams) == len(everyone)
            arrays = {
                name: joined.arrays[name] if all_of_them else joined.arrays[name][streams]
                for name in self._calm.moving
            }
            passed = self._calmly(streams, arrays, plain)
            if passed is not None:
                lot, moved = passed
                lots.append(lot)
                put(after, joined.arrays, lot.streams, moved)
        calm, blocks = list(joined.calm), dict[int, Block]()
        rest = sorted({*everyone}.difference(*(lot.streams.tolist() for lot in lots)))
        if rest:
            before = {name: array[rest] for name, array in joined.arrays.items()}
            states = [State(self._digest, own) for own in unstacked(before, len(rest))]
            states, found = self._thorough.step(states, [samples[stream] for stream in rest])
            put(after, joined.arrays, np.array(rest), stacked(states, after))
            for stream, state, block in zip(rest, states, found, strict=True):
                calm[stream], blocks[stream] = state.calm, block
        return Joined(self._digest, after, calm), Blocks(lots, blocks, after["segment"])

    def _calmly(
        self, streams: list[int], arrays: Arrays, plain: Sequence[Array | None]
    ) -> tuple[Lot, Arrays] | None:
        """Those of these streams that can go the short way, and their moving arrays after it."""
        mv = np.array([plain[stream] for stream in streams])
        who = np.array(streams)
        passed = self._calm.step(arrays, mv)
        if not isinstance(passed, tuple):
            who = who[passed]
            if not len(who):
                return None
            passed = self._calm.step({name: a[passed] for name, a in arrays.items()}, mv[passed])
            assert isinstance(passed, tuple), "they had been asked"
        after, first, values = passed
        return Lot(who, first, values), after
