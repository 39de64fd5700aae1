"""Rows to hops, lead by lead, and the last seconds of them for the windows around beats.

A network sees blocks of one fixed size (`edge_dx.signal.hop` says why). Here the hops of all leads
keep one rhythm, and a lead that begins anew does not end the others: in a hop in whose middle it
began it is not heard, and in front of the next one its network's memory goes back to zeros. Only
where the numbers of the rows jump, all leads begin anew and the hop that was not full is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from edge_dx.signal import Block
from edge_dx.signal.calm import Blocks, Lot
from edge_dx.signal.state import put
from edge_dx.tensors import Array

Arrays = dict[str, Array]
AT_FRONT, INSIDE = 1, 2
"""Where in a hop a lead began anew."""


class Stretch(NamedTuple):
    """Consecutive rows, the remembered ones in front.

    Attributes:
        values: (rows, leads) float32.
        first: number of the first of them.
        begin: number of the first row that was received; those in front of it hold nothing.
    """

    values: Array
    first: int
    begin: int

    def around(self, row: int, before: int, after: int) -> Array:
        """(leads, before + 1 + after) rows around one; in front of the beginning its value.

        The rows must have come already.
        """
        low = max(row - before, self.begin, self.first) - self.first
        found = self.values[low : row + after + 1 - self.first]
        lacking = before + 1 + after - len(found)
        if lacking:
            found = np.concatenate([np.repeat(found[:1], lacking, axis=0), found])
        return np.ascontiguousarray(found.T)


@dataclass(frozen=True, eq=False)
class FullHop:
    """A hop that is full.

    Attributes:
        row: number of its first row.
        flags: (leads,) of its rows together.
        begins: (leads,) `AT_FRONT` and `INSIDE`.
        stretch: the rows that it lies in.
    """

    row: int
    flags: Array
    begins: Array
    stretch: Stretch = field(repr=False)

    def values(self, size: int) -> Array:
        """Its rows, (size, leads)."""
        low = self.row - self.stretch.first
        return self.stretch.values[low : low + size]


@dataclass(frozen=True, eq=False)
class Jump:
    """Rows never came; nothing that was is to be joined with what follows.

    Attributes:
        row: the first one that came again.
        ends: the first one that did not come.
        stretch: the rows in front of it.
    """

    row: int
    ends: int
    stretch: Stretch = field(repr=False)


class HopBatch(NamedTuple):
    """One hop of each of several streams.

    Attributes:
        rows: (streams,) number of the first row.
        values: (streams, hop, leads) float32.
        flags: (streams, leads).
        begins: likewise.
        calm: no flag is set, and no lead begins anew.
        stretches: of each stream, the rows that its hop lies in.
    """

    rows: Array
    values: Array
    flags: Array
    begins: Array
    calm: bool
    stretches: Callable[[int], Stretch]


class Units(NamedTuple):
    """What came for streams side by side.

    Attributes:
        batches: which streams, and one hop of each.
        rest: of every stream the hops and jumps that are in no batch.
    """

    batches: list[tuple[list[int], HopBatch]]
    rest: list[list[FullHop | Jump]]


def batch_of(hops: Sequence[FullHop], size: int) -> HopBatch:
    """Hops of several streams side by side."""
    flags, begins = np.array([hop.flags for hop in hops]), np.array([hop.begins for hop in hops])
    values = np.array([hop.values(size) for hop in hops])
    rows = np.array([hop.row for hop in hops], np.int64)
    calm = not (flags.any() or begins.any())
    return HopBatch(rows, values, flags, begins, calm, lambda place: hops[place].stretch)


class Rows:
    """Takes the blocks of a signal path.

    Attributes:
        hop: rows in each hop.
        kept: rows that are remembered behind the newest.
    """

    def __init__(self, leads: int, hop: int, kept: int) -> None:
        self.hop, self.kept, self._leads = hop, max(kept, hop), leads
        self._none = np.zeros(leads, np.uint8)

    def start(self) -> Arrays:
        """No row has come."""
        return {
            "kept": np.zeros((self.kept, self._leads), np.float32),
            "flags": np.zeros(self._leads, np.uint8),
            "begins": np.zeros(self._leads, np.uint8),
            "segment": np.full(self._leads, -1, np.int64),
            # rows that wait for their hop; number of the next row; of the first one
            "place": np.array([0, -1, 0], np.int64),
        }

    def step(self, state: Arrays, block: Block) -> tuple[Arrays, list[FullHop | Jump]]:
        """New state, and the hops that are full now."""
        rows = len(block.index)
        if not rows:
            return state, []
        waiting, following, begin = state["place"].tolist()
        first, last = int(block.index[0]), int(block.index[-1])
        values = block.values.astype(np.float32)
        before = np.concatenate([state["segment"][None], block.segment[:-1]])
        anew = block.segment != before
        if first == following and last - first == rows - 1:
            bounds = [0, rows]
        else:
            jumps = np.flatnonzero(np.diff(block.index, prepend=following - 1) != 1)
            bounds = [*([] if 0 in jumps else [0]), *jumps.tolist(), rows]
        kept, flags, begins = state["kept"], state["flags"], state["begins"]
        hops: list[FullHop | Jump] = []
        for low, high in pairwise(bounds):
            number = int(block.index[low])
            if number != following or following < 0:
                if following >= 0:
                    gone = Stretch(kept, following - self.kept, begin)
                    hops.append(Jump(number, following, gone))
                waiting, begin = 0, number
                flags = begins = self._none
                anew[low] = True
            stretch = Stretch(np.concatenate([kept, values[low:high]]), number - self.kept, begin)
            found, flags, begins = self._filled(
                waiting, block.flags[low:high], anew[low:high], flags, begins
            )
            for hop, (own_flags, own_begins) in enumerate(found):
                row = number - waiting + hop * self.hop
                hops.append(FullHop(row, own_flags, own_begins, stretch))
            following = number + high - low
            waiting = (waiting + high - low) % self.hop
            kept = stretch.values[-self.kept :]
        return {
            "kept": kept.copy() if rows > self.kept else kept,
            "flags": flags, "begins": begins, "segment": block.segment[-1],
            "place": np.array([waiting, following, begin], np.int64),
        }, hops  # fmt: skip

    def _filled(
        self, waiting: int, flags: Array, anew: Array, told_flags: Array, told_begins: Array
    ) -> tuple[list[tuple[Array, Array]], Array, Array]:
        """(flags, begins) of each hop that is full, and of the one that is not."""
        full, left = divmod(waiting + len(flags), self.hop)
        if not flags.any() and not anew.any() and not told_flags.any() and not told_begins.any():
            return [(self._none, self._none)] * full, self._none, self._none
        where = np.where(np.arange(waiting, waiting + len(flags)) % self.hop == 0, AT_FRONT, INSIDE)
        begins = np.where(anew, where[:, None], 0).astype(np.uint8)
        cuts = [0, *range(self.hop - waiting, len(flags), self.hop)]
        joined = (np.bitwise_or.reduceat(flags, cuts), np.bitwise_or.reduceat(begins, cuts))
        together = list(zip(*joined, strict=True))
        together[0] = (together[0][0] | told_flags, together[0][1] | told_begins)
        if left:
            return together[:-1], *together[-1]
        return together, self._none, self._none

    def step_joined(self, state: Arrays, blocks: Blocks) -> tuple[Arrays, Units]:
        """As `step` of each stream; those that nothing is amiss with go in bulk.

        Args:
            state: as in `start`, streams first.
            blocks: of each stream.
        """
        streams = len(blocks)
        after, units = dict(state), Units([], [[] for _ in range(streams)])
        left = set(range(streams))
        for lot in blocks.lots:
            for which, own, batch in self._calmly(state, lot):
                put(after, state, which, own)
                numbers = which.tolist()
                left.difference_update(numbers)
                if batch is not None:
                    units.batches.append((numbers, batch))
        for stream in left:
            before = {name: array[stream, ...] for name, array in state.items()}
            found, units.rest[stream][:] = self.step(before, blocks[stream])
            one = {name: array[None] for name, array in found.items()}
            put(after, state, np.array([stream]), one)
        return after, units

    def _calmly(self, state: Arrays, lot: Lot) -> Iterator[tuple[Array, Arrays, HopBatch | None]]:
        """Which streams of a lot go in bulk, their new arrays, and the hop of each, if one is full.

        Where hops are that short, or something is still flagged in one that waits, none of them do.
        """
        rows = lot.values.shape[1]
        if not rows:
            yield lot.streams, {}, None
            return
        own = _of(state, lot.streams)
        full = (own["place"][:, 0] + rows) // self.hop
        quiet = ~(own["flags"].any(axis=1) | own["begins"].any(axis=1))
        quiet &= (lot.first == own["place"][:, 1]) & (full <= 1)
        for count in (0, 1):
            who = np.flatnonzero(quiet & (full == count))
            if len(who):
                place = _of(own, who)["place"]
                kept, first = _of(own, who)["kept"], lot.first[who]
                values = np.concatenate([kept, lot.values[who].astype(np.float32)], axis=1)
                waiting = place[:, 0] + rows - count * self.hop
                after = np.stack([waiting, first + rows, place[:, 2]], axis=1)
                new = {"kept": np.ascontiguousarray(values[:, rows:]), "place": after}
                batch = self._batch(values, place, first) if count else None
                yield lot.streams[who], new, batch

    def _batch(self, values: Array, place: Array, first: Array) -> HopBatch:
        """One hop of each stream out of its rows, the remembered ones in front."""
        waiting, begins, starts = place[:, 0], place[:, 2], first - self.kept
        at = (self.kept - waiting)[:, None] + np.arange(self.hop)
        hop = values[np.arange(len(values))[:, None], at]
        quiet = np.zeros((len(values), self._leads), np.uint8)
        return HopBatch(
            first - waiting, hop, quiet, quiet, True,
            lambda which: Stretch(values[which], int(starts[which]), int(begins[which])),
        )  # fmt: skip


def _of(arrays: Arrays, which: Array) -> Arrays:
    """The arrays of some streams."""
    if len(which) == len(arrays["place"]):
        return arrays  # all of them, in their order
    return {name: array[which] for name, array in arrays.items()}
