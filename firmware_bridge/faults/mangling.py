"""What a bad cable does to bytes, without I/O: which bytes, by the dice, and at which times."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np

from firmware_bridge.faults.plan import Lane

_KINDS = ("drop", "duplicate", "insert", "flip")


class Mangler:
    """Bytes through one direction of a bad cable, without I/O.

    Args:
        lane: what happens.
        seed: of the dice.

    Attributes:
        done: how often each fault was injected.
        hit: numbers of the bytes that were touched, where `keep` is set.
    """

    def __init__(self, lane: Lane, seed: int, *, keep: bool = False) -> None:
        self.done: Counter[str] = Counter()
        self.hit: list[int] = []
        self._keep = keep
        self._at = 0
        rates = {"flip": lane.flip, "drop": lane.drop, "duplicate": lane.duplicate,
                 "insert": lane.insert}  # fmt: skip
        self._dice = {
            kind: _Dice(rates[kind], np.random.default_rng([seed, number]),
                        8 if kind == "flip" else 1)
            for number, kind in enumerate(_KINDS)
        }  # fmt: skip
        self._noise = np.random.default_rng([seed, len(_KINDS)])

    def apply(self, data: bytes) -> bytes:
        """What arrives of these bytes."""
        end = self._at + len(data)
        hits: dict[int, list[tuple[str, int]]] = {}
        for kind, dice in self._dice.items():
            for place in dice.below(end):
                at, bit = divmod(place, dice.per_byte)
                hits.setdefault(at - self._at, []).append((kind, bit))
                self.done[kind] += 1
        found, taken = bytearray(), 0
        for at in sorted(hits):
            found += data[taken:at]
            taken = at + 1
            found += self._through(data[at], hits[at])
            if self._keep:
                self.hit.append(self._at + at)
        found += data[taken:]
        self._at = end
        return bytes(found)

    def _through(self, byte: int, hits: list[tuple[str, int]]) -> bytes:
        copies, before = 1, b""
        for kind, bit in hits:  # in the order of _KINDS
            if kind == "drop":
                copies = 0
            elif kind == "duplicate":
                copies *= 2
            elif kind == "insert":
                before = self._noise.integers(0, 256, 1, np.uint8).tobytes()
            else:
                byte ^= 1 << bit
        return before + bytes([byte]) * copies


class _Dice:
    """At which places something happens, by the gaps between them."""

    def __init__(self, chance: float, rng: np.random.Generator, per_byte: int) -> None:
        self.per_byte = per_byte
        self._chance, self._rng = chance, rng
        self._next = self._gap() - 1 if chance else None

    def _gap(self) -> int:
        return int(self._rng.geometric(self._chance))

    def below(self, end: int) -> list[int]:
        found = []
        while self._next is not None and self._next < end * self.per_byte:
            found.append(self._next)
            self._next += self._gap()
        return found


class Pipe:
    """One direction with its times.

    Args:
        lane: what happens.
        seed: of the dice.

    Attributes:
        mangler: of its bytes.
        cut: the cable is out; what is waiting still comes.
    """

    def __init__(self, lane: Lane, seed: int) -> None:
        self.mangler = Mangler(lane, seed)
        self._lane = lane
        self._pieces = random.Random(seed)
        self._held = bytearray()
        self._since: float | None = None
        self._sent = 0
        self._left = lane.disconnect_after_bytes
        self.cut = False

    @property
    def waiting(self) -> int:
        """Bytes that are on the way."""
        return len(self._held)

    def feed(self, data: bytes) -> None:
        """Bytes go in."""
        if self._lane.disconnect_after_bytes:
            data = data[: self._left]
            self._left -= len(data)
        self._held += self.mangler.apply(data)
        self.cut = bool(self._lane.disconnect_after_bytes) and not self._left

    def out(self, now_s: float) -> bytes:
        """What may go out at this moment."""
        lane = self._lane
        if self._since is None:
            self._since = now_s
        passed = now_s - self._since
        if lane.stall_every_s and passed % (lane.stall_every_s + lane.stall_s) > lane.stall_every_s:
            return b""
        n = len(self._held)
        if lane.bytes_per_s:
            n = min(n, max(int(passed * lane.bytes_per_s) - self._sent, 0))
        if lane.chop and n:
            n = min(n, self._pieces.randint(1, lane.chop))
        found = bytes(self._held[:n])
        del self._held[:n]
        self._sent += n
        return found

    def wait_s(self, now_s: float) -> float:
        """A while after which it is worth to look again."""
        return 1.0 / self._lane.bytes_per_s if self._lane.bytes_per_s > 1000 else 0.001
