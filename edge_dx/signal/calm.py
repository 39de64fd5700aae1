"""The short way through a path: nothing is missing, nothing begins, nothing is flagged.

That is how nearly all samples arrive. What the long way would compute, this one does to the bit,
with the same operations in the same order and without asking what cannot be: no gap, no electrode,
no warm-up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from edge_dx.signal.events import Array, Block, Samples
from edge_dx.signal.filters import Filters, Scaling
from edge_dx.signal.gaps import MAX_INDEX
from edge_dx.signal.quality import Watch
from edge_dx.signal.resample import Resampler
from edge_dx.signal.run import Stage
from edge_dx.signal.state import Arrays

_MOST = 2048
"""Longer arrivals take the long way, which works them off in parts."""


class Calm:
    """The stages of a path once more, for streams that are calm.

    Attributes:
        moving: names of the arrays that a calm step changes.
        round: samples after which the resampler's places repeat.
    """

    def __init__(self, stages: Sequence[Stage], watch: Watch, leads: int, settling: int) -> None:
        self._watch, self._leads, self._settling = watch, leads, settling
        self._steps: list[tuple[str, Any]] = []
        self._flags: list[str] = []
        self.round = 1
        self.moving: tuple[str, ...] = ("next", "since", *watch.moving)
        for number, stage in enumerate(stages):
            name = ""
            if isinstance(stage, Resampler):
                name, self.round = f"{number}.history", stage.down
                self._flags += [f"{number}.flags", f"{number}.anew"]
            elif isinstance(stage, Filters):
                name = f"{number}.memory"
            else:
                assert isinstance(stage, Scaling), "the vocabulary is closed"
            self._steps.append((name, stage))
            self.moving += (name,) if name else ()

    def holds(self, arrays: Mapping[str, Array]) -> list[bool]:
        """Of each stream, whether the short way is open; streams first in all arrays."""
        leads = self._watch.sound(arrays) & (arrays["since"] > self._settling)
        for name in self._flags:
            array = arrays[name]
            leads &= ~(array.any(axis=-1) if array.ndim > leads.ndim else array)
        return [bool(calm) for calm in np.all(leads, axis=-1)]

    def plain(self, expected: int, samples: Samples | Array) -> Array | None:
        """What arrived, (n, leads), if nothing but its values is to be looked at; else None."""
        mv: Any = samples
        if isinstance(samples, Samples):
            mv, off = samples.mv, samples.lead_off
            if samples.start is not None and samples.start != expected:
                return None
            if off is not None and not (
                isinstance(off, np.ndarray) and off.dtype == np.bool_ and isinstance(mv, np.ndarray)
                and off.shape == mv.shape and not off.any()
            ):  # fmt: skip
                return None
        good = (
            isinstance(mv, np.ndarray) and mv.ndim == 2 and mv.shape[1] == self._leads
            and mv.dtype.kind in "iuf" and 0 < len(mv) <= min(_MOST, MAX_INDEX - expected)
        )  # fmt: skip
        return mv if good else None

    def lots(
        self, calm: Sequence[bool], expected: Sequence[int], samples: Sequence[Samples | Array]
    ) -> tuple[list[list[int]], list[Array | None]]:
        """Streams that may go together, and what arrived for each that may go this way at all."""
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        found: list[Array | None] = []
        for stream, quiet in enumerate(calm):
            mv = self.plain(expected[stream], samples[stream]) if quiet else None
            found.append(mv)
            if mv is not None:
                alike[len(mv), expected[stream] % self.round].append(stream)
        return list(alike.values()), found

    def step(self, arrays: Mapping[str, Array], mv: Array) -> tuple[Arrays, Array, Array] | Array:
        """One step of streams at one place of the resampler's round.

        Args:
            arrays: at least the moving ones, streams first.
            mv: (streams, n, leads), as `plain` lets through.

        Returns:
            The moving arrays after it, (streams,) numbers of the first rows, and the rows'
            (streams, rows, leads) values. Or, where a sample is amiss or a line stood still for too
            long, (streams,) who may go on; of the others the long way knows how to tell it.
        """
        values = np.array(mv.transpose(0, 2, 1), np.float64, order="C")  # never the caller's own
        watched = self._watch.calmly(arrays, values)
        if not isinstance(watched, dict):
            return watched
        first, n = arrays["next"], values.shape[-1]
        after: Arrays = {"next": first + n, **watched}
        for name, stage in self._steps:
            if isinstance(stage, Filters):
                after[name], values = stage.calmly(arrays[name], values)
            elif isinstance(stage, Resampler):
                after[name], values = stage.calmly(arrays[name], values, int(first[0]))
                first = stage.first_rows(first)
            else:
                values = stage.scaled(values)
        after["since"] = arrays["since"] + values.shape[-1]
        return after, first, np.ascontiguousarray(values.transpose(0, 2, 1))


@dataclass(frozen=True, eq=False)
class Lot:
    """Rows of streams that went the short way together: no flags, no events, no new segment.

    Attributes:
        streams: (k,) which ones.
        first: (k,) number of each one's first row; the others follow it.
        values: (k, rows, leads).
    """

    streams: Array
    first: Array
    values: Array = field(repr=False)


class Blocks(Sequence[Block]):
    """The blocks of streams side by side, each made when it is asked for.

    Attributes:
        lots: of most streams, in bulk, for those who work on in bulk.
    """

    def __init__(self, lots: Sequence[Lot], rest: Mapping[int, Block], segment: Array) -> None:
        """Takes them.

        Args:
            lots: of the short way.
            rest: the other streams' blocks.
            segment: (streams, leads).
        """
        self.lots, self._made, self._segment = tuple(lots), dict(rest), segment
        self._place = {
            stream: (lot, k) for lot in lots for k, stream in enumerate(lot.streams.tolist())
        }

    def __len__(self) -> int:
        """How many streams."""
        return len(self._segment)

    @overload
    def __getitem__(self, stream: int) -> Block: ...
    @overload
    def __getitem__(self, stream: slice) -> list[Block]: ...
    def __getitem__(self, stream: int | slice) -> Block | list[Block]:
        """One stream's block."""
        if isinstance(stream, slice):
            return [self[which] for which in range(*stream.indices(len(self)))]
        which = range(len(self))[stream]
        if which not in self._made:
            lot, k = self._place[which]
            self._made[which] = calm_block(int(lot.first[k]), lot.values[k], self._segment[which])
        return self._made[which]


def calm_block(first: int, values: Array, segment: Array) -> Block:
    """Rows with which nothing is the matter."""
    rows = len(values)
    return Block(
        index=np.arange(first, first + rows),
        values=values,
        flags=np.zeros(values.shape, np.uint8),
        segment=segment[None].repeat(rows, axis=0),
        events=(),
    )
