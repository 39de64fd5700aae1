"""A signal path: the steps of a manifest, compiled for one device's rate and leads.

`step` is a function from state and samples to state and rows. However the samples are cut, and
however many streams go together, the rows and events are the same to the bit.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec
import numpy as np

from edge_dx.errors import TensorMismatch, UnsupportedInput
from edge_dx.signal import steps as vocabulary
from edge_dx.signal.events import INVALID, WARMUP, Array, Block, Event, Samples, Warmup, in_order
from edge_dx.signal.filters import Filter, Scaling, sections, told_at
from edge_dx.signal.gaps import Arrival, arrival
from edge_dx.signal.quality import Rules, Watch
from edge_dx.signal.resample import Resampler
from edge_dx.signal.run import Run, Stage
from edge_dx.signal.state import STATE_VERSION, Arrays, State, restored, stacked, unstacked
from edge_dx.signal.timing import Clockwork, Rate, exact_rate

_AT_ONCE = 2048
"""Longer arrivals are worked off in parts, so that memory does not grow with them."""
_TOGETHER = 64
"""Streams that go through the filters in one call; with more the rows no longer fit the cache."""
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
        self._round, rate = 1, self.rate_hz
        for step in steps:
            if isinstance(step, vocabulary.Resample):
                if self._round > 1 or rate != self.rate_hz:
                    raise UnsupportedInput("a signal path resamples once", "format")
                if rate == step.to_hz:
                    continue
                resampler = Resampler(rate, step.to_hz)
                self._round, rate = resampler.down, Fraction(step.to_hz)
                self._stages.append(resampler)
            elif isinstance(step, vocabulary.Scale):
                self._stages.append(Scaling(step, rate))
            else:
                name, sos = type(step).__name__.lower(), sections(step, rate, mains_hz)
                self._stages.append(Filter(name, sos, rate, told_at(step)))
        self.timings = tuple(stage.timing for stage in self._stages)
        self.clock = Clockwork(self.rate_hz, rate, self.timings)
        self._settling = self.clock.receptive_field - 1
        self._watch = Watch(rules, self.rate_hz, self.leads, warms_up=self._settling > 0)
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
        arrivals = [
            arrival(arrived, int(state.arrays["next"]), len(self.leads), self._watch.conceal)
            for state, arrived in zip(states, samples, strict=True)
        ]
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        after, blocks = list(states), [self._nothing()] * len(states)
        for number, came in enumerate(arrivals):
            if came is not None:
                key = (came.mv.shape[1], came.first % self._round, came.lost, came.jump,
                       came.lead_off is None)  # fmt: skip
                together[key].append(number)
        lots = [
            alike[begin : begin + _TOGETHER]
            for alike in together.values()
            for begin in range(0, len(alike), _TOGETHER)
        ]
        for numbers in lots:
            came_together = [found for n in numbers if (found := arrivals[n]) is not None]
            arrays, found_blocks = self._advance(stacked([states[n] for n in numbers]),
                                                 came_together)  # fmt: skip
            new = unstacked(arrays, self._digest, len(numbers))
            for n, state, block in zip(numbers, new, found_blocks, strict=True):
                after[n], blocks[n] = state, block
        return after, blocks

    def _nothing(self) -> Block:
        empty = np.zeros((0, len(self.leads)))
        return Block(
            np.zeros(0, np.int64), empty, empty.astype(np.uint8), empty.astype(np.int64), ()
        )

    def _advance(self, arrays: Arrays, came: list[Arrival]) -> tuple[Arrays, list[Block]]:
        """All samples of streams of one kind, in parts of bounded size."""
        first = np.array([found.first for found in came], np.int64)
        mv = np.stack([found.mv for found in came])
        off = None
        if came[0].lead_off is not None:
            off = np.stack([found.lead_off for found in came if found.lead_off is not None])
        parts: list[tuple[Run, Array]] = []
        events: list[list[Event]] = [[found.gap] if found.gap else [] for found in came]
        at_once = max(256, _AT_ONCE // len(came))
        for begin in range(0, mv.shape[-1], at_once):
            end = begin + at_once
            arrays, run, said = self._watch_and_filter(
                arrays,
                first + begin,
                mv[..., begin:end],
                None if off is None else off[..., begin:end],
                lost=came[0].lost if not begin else 0,
                jump=came[0].jump and not begin,
            )
            arrays, run, segment, ready = self._settle(arrays, run)
            parts.append((run, segment))
            for stream, (front, back) in enumerate(zip(said, ready, strict=True)):
                events[stream] += front + back
        arrays = {**arrays, "next": first + mv.shape[-1]}
        blocks = [self._block(stream, parts, events[stream]) for stream in range(len(came))]
        return arrays, blocks

    def _watch_and_filter(
        self, arrays: Arrays, first: Array, mv: Array, off: Array | None, *, lost: int, jump: bool
    ) -> tuple[Arrays, Run, list[list[Event]]]:
        watched, run, events = self._watch.step(arrays, first, mv, off, lost=lost, jump=jump)
        arrays = {**arrays, **watched}
        for number, stage in enumerate(self._stages):
            mark = f"{number}."
            own = {n[len(mark) :]: a for n, a in arrays.items() if n.startswith(mark)}
            own, run = stage.step(own, run)
            arrays.update({mark + name: array for name, array in own.items()})
        return arrays, run, events

    def _settle(self, arrays: Arrays, run: Run) -> tuple[Arrays, Run, Array, list[list[Event]]]:
        """Counts segments and rows since the last beginning, and flags those that warm up."""
        events: list[list[Event]] = [[] for _ in run.first]
        segment = arrays["segment"][..., None] + np.cumsum(run.anew, axis=-1)
        if not run.rows:
            return arrays, run, segment, events
        # Rows since the lead began anew, or had no signal; those themselves are row 0.
        broken = run.anew | (run.flags & INVALID > 0)
        rows = np.arange(run.rows)
        last = np.maximum.accumulate(np.where(broken, rows, -1), axis=-1)
        since = np.where(last >= 0, rows - last, arrays["since"][..., None] + 1 + rows)
        flags = run.flags
        if self._settling:
            flags = flags | np.where(since < self._settling, WARMUP, 0).astype(np.uint8)
            for stream, lead, row in np.argwhere(since == self._settling).tolist():
                at = self.clock.arrives(int(run.first[stream]) + row)
                events[stream].append(Warmup(at, at, self.leads[lead], ready=True))
        after = {**arrays, "segment": segment[..., -1], "since": since[..., -1]}
        return after, Run(run.first, run.values, flags, run.anew), segment, events

    def _block(self, stream: int, parts: list[tuple[Run, Array]], events: list[Event]) -> Block:
        def rows(pieces: list[Array]) -> Array:
            return np.ascontiguousarray(np.concatenate([p[stream] for p in pieces], axis=-1).T)

        return Block(
            index=np.concatenate([int(r.first[stream]) + np.arange(r.rows) for r, _ in parts]),
            values=rows([run.values for run, _ in parts]),
            flags=rows([run.flags for run, _ in parts]),
            segment=rows([segment for _, segment in parts]),
            events=in_order(events, self.leads),
        )
