"""The long way through a path: every sample is asked what it is worth, every row who began anew.

It is taken while a lead warms up and wherever something is amiss; `edge_dx.signal.calm` is the
short one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from edge_dx.signal.calm import Calm
from edge_dx.signal.events import INVALID, WARMUP, Array, Block, Event, Samples, Warmup, in_order
from edge_dx.signal.gaps import Arrival, arrival
from edge_dx.signal.quality import Watch
from edge_dx.signal.run import Run, Stage
from edge_dx.signal.state import Arrays, State, stacked, unstacked
from edge_dx.signal.timing import Clockwork

_AT_ONCE = 2048
"""Longer arrivals are worked off in parts, so that memory does not grow with them."""
_TOGETHER = 64
"""Streams that go through the filters in one call; with more the rows no longer fit the cache."""


class Thorough:
    """The stages of a path, for streams of any kind."""

    def __init__(
        self, stages: Sequence[Stage], watch: Watch, calm: Calm, clock: Clockwork,
        leads: tuple[str, ...],
    ) -> None:  # fmt: skip
        self._stages, self._watch, self._calm, self._clock = stages, watch, calm, clock
        self._leads, self._settling = leads, clock.receptive_field - 1

    def step(
        self, states: Sequence[State], samples: Sequence[Samples | Array]
    ) -> tuple[list[State], list[Block]]:
        """One step of streams of one path, each with what arrived for it.

        Raises:
            TensorMismatch: as `SignalPath.step`.
            OutOfOrder: likewise.
        """
        arrivals = [
            arrival(arrived, int(state.arrays["next"]), len(self._leads), self._watch.conceal)
            for state, arrived in zip(states, samples, strict=True)
        ]
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        after, blocks = list(states), [self._nothing()] * len(states)
        for number, came in enumerate(arrivals):
            if came is not None:
                key = (came.mv.shape[1], came.first % self._calm.round, came.lost, came.jump,
                       came.lead_off is None)  # fmt: skip
                together[key].append(number)
        lots = [
            alike[begin : begin + _TOGETHER]
            for alike in together.values()
            for begin in range(0, len(alike), _TOGETHER)
        ]
        for numbers in lots:
            came_together = [found for n in numbers if (found := arrivals[n]) is not None]
            arrays = stacked([states[n] for n in numbers], states[0].arrays)
            arrays, made = self._advance(arrays, came_together)
            calm, own = self._calm.holds(arrays), unstacked(arrays, len(numbers))
            for place, n in enumerate(numbers):
                after[n] = State(states[n].made_by, own[place], calm[place])
                blocks[n] = made[place]
        return after, blocks

    def _nothing(self) -> Block:
        empty = np.zeros((0, len(self._leads)))
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
                at = self._clock.arrives(int(run.first[stream]) + row)
                events[stream].append(Warmup(at, at, self._leads[lead], ready=True))
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
            events=in_order(events, self._leads),
        )
