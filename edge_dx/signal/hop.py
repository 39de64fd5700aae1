"""Rows to hops: a network sees blocks of one fixed size, however the rows arrived.

With blocks of another size a matrix product adds in another order and the last bits of its answer
change with the link's mood. So rows wait until a hop is full. Where the numbers of the rows jump,
or a lead begins anew, the hop that was not full is dropped, and the next one says `reset`: the
network's own state goes back to zeros, and its output is not to be believed until it is `warm`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from edge_dx.errors import TensorMismatch
from edge_dx.signal.events import WARMUP, Array, Block
from edge_dx.signal.path import SignalPath
from edge_dx.signal.state import State, restored


@dataclass(frozen=True, eq=False)
class Hop:
    """What a network takes at once.

    Attributes:
        row: number of its first row; `SignalPath.clock` tells what time that is.
        values: (hop, leads) float32.
        flags: (leads,) all flags of its rows together.
        reset: the network's state must be zeros in front of this hop.
        warm: the stages and the network have seen all that they look back to; before that its
            output is suppressed.
    """

    row: int
    values: Array = field(repr=False)
    flags: Array
    reset: bool
    warm: bool


class Hops:
    """Blocks of `hop` rows for one network.

    Attributes:
        hop: rows in each.
        receptive_field: rows that the network looks back to, those of the hop included.
        delay: rows by which the network's output is late, measured as that of the stages.
    """

    def __init__(
        self, path: SignalPath, hop: int, *, receptive_field: int = 1, delay: int = 0
    ) -> None:
        """Prepares hops for the rows of `path`.

        Raises:
            ValueError: sizes that make no sense.
        """
        if hop < 1 or receptive_field < 1 or delay < 0:
            raise ValueError("hop and receptive field are at least 1 row, a delay at least 0")
        self.hop, self.receptive_field, self.delay = hop, receptive_field, delay
        self._path, self._leads = path, len(path.leads)
        told = f"{path.start().made_by.hex()} {hop} {receptive_field} {delay}"
        self._digest = hashlib.sha256(told.encode()).digest()[:16]

    @property
    def delay_s(self) -> float:
        """By how much an event of the network is late, its stages included; to be subtracted."""
        return self._path.clock.delay_s + float(self.delay / self._path.out_hz)

    @property
    def latency_s(self) -> float:
        """How long after it happened the network's word on an event comes, at most."""
        return self.delay_s + float((self.hop - 1) / self._path.out_hz)

    def when(self, row: int) -> int:
        """Device index of an event that the network puts at this row; all delays subtracted."""
        return int(self._path.clock.when(row - self.delay))

    def start(self) -> State:
        """No rows wait, and none came before."""
        return State(
            self._digest,
            {
                "values": np.zeros((self.hop, self._leads)),
                "flags": np.zeros((self.hop, self._leads), np.uint8),
                "waiting": np.array(0, np.int64),
                "since": np.array(0, np.int64),
                "next": np.array(-1, np.int64),
                "segment": np.full(self._leads, -1, np.int64),
            },
        )

    def resume(self, arrays: Mapping[str, Array]) -> State:
        """The state that was saved with `State.to_arrays`.

        Raises:
            TensorMismatch: of another path, hop or version, or damaged.
        """
        found = restored(arrays, self.start())
        if not 0 <= int(found.arrays["waiting"]) < self.hop:
            raise TensorMismatch("the state has more rows waiting than a hop; start afresh")
        return found

    def step(self, state: State, block: Block) -> tuple[State, list[Hop]]:
        """Takes rows, and gives the hops that are full now.

        Raises:
            TensorMismatch: the state is that of others.
        """
        if state.made_by != self._digest:
            raise TensorMismatch("the state is that of other hops; use its own")
        if not len(block.index):
            return state, []
        held = state.arrays
        waiting, since = int(held["waiting"]), int(held["since"])
        values, flags = held["values"][:waiting], held["flags"][:waiting]
        begins = np.append(int(held["next"]), block.index[:-1] + 1) != block.index
        before = np.concatenate([held["segment"][None], block.segment[:-1]])
        begins |= (block.segment != before).any(axis=1)
        bounds = [0, *(int(r) for r in np.flatnonzero(begins) if r), len(begins)]
        hops: list[Hop] = []
        for begin, end in pairwise(bounds):
            if begins[begin]:
                values, flags, since = values[:0], flags[:0], 0
            values = np.concatenate([values, block.values[begin:end]])
            flags = np.concatenate([flags, block.flags[begin:end]])
            row = int(block.index[end - 1]) + 1 - len(values)
            full = len(values) // self.hop
            for number in range(full):
                part = slice(number * self.hop, (number + 1) * self.hop)
                reset, since = since == 0, since + self.hop
                together = np.bitwise_or.reduce(flags[part], axis=0)
                warm = since >= self.receptive_field and not (together & WARMUP).any()
                taken = values[part].astype(np.float32)
                hops.append(Hop(row + part.start, taken, together, reset, warm))
            values, flags = values[full * self.hop :], flags[full * self.hop :]
        kept = {
            "values": np.zeros((self.hop, self._leads)),
            "flags": np.zeros((self.hop, self._leads), np.uint8),
            "waiting": np.array(len(values), np.int64),
            "since": np.array(since, np.int64),
            "next": np.array(int(block.index[-1]) + 1, np.int64),
            "segment": block.segment[-1].copy(),
        }
        kept["values"][: len(values)], kept["flags"][: len(values)] = values, flags
        return State(self._digest, kept), hops
