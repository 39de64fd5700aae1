"""A bad cable, on purpose and by a plan with a seed: for the demonstration and for the tests.

    seed = 7
    [to_host]            # and, or instead, [to_device]
    flip = 1e-5          # of each bit
    drop = 0.001         # of each byte
    duplicate = 0.0      # likewise
    insert = 0.0         # a byte that nobody sent, in front of each byte
    chop = 16            # bytes come in pieces of 1 to 16
    bytes_per_s = 11520  # no faster than this
    stall_every_s = 5.0  # every so often, nothing comes …
    stall_s = 0.5        # … for so long; it comes afterwards
    disconnect_after_bytes = 100000   # then the cable is out, once for each connection

What happens to which byte depends on the seed and the byte's number alone, not on the pieces in
which bytes come.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.errors import BadPlan, LinkLost, MissingExtra

_Chance = Annotated[float, Meta(ge=0.0, le=0.5)]
_Time = Annotated[float, Meta(ge=0.0, le=3600.0)]
_KINDS = ("drop", "duplicate", "insert", "flip")


class Lane(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens in one direction; see above."""

    flip: _Chance = 0.0
    drop: _Chance = 0.0
    duplicate: _Chance = 0.0
    insert: _Chance = 0.0
    chop: Annotated[int, Meta(ge=0, le=65536)] = 0
    bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    stall_every_s: _Time = 0.0
    stall_s: _Time = 0.0
    disconnect_after_bytes: Annotated[int, Meta(ge=0)] = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bad cable.

    Attributes:
        seed: of everything random.
        to_host: from the device.
        to_device: from the host.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    to_host: Lane = Lane()
    to_device: Lane = Lane()


def read_plan(path: str | Path) -> Plan:
    """A plan from its TOML file.

    Raises:
        BadPlan: not there, no TOML, or a word or number that no plan has.
    """
    try:
        told = _toml(Path(path).read_text("utf-8"))
        return msgspec.convert(told, Plan)
    except OSError as error:
        raise BadPlan(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of msgspec
        raise BadPlan(f"{path}: no plan of faults: {error}") from error


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingExtra("tomli", "reading a plan of faults") from error
    return tomllib.loads(text)


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


class BadPort:
    """A port behind a bad cable.

    Args:
        port: the good one.
        plan: what happens.
        turned: whether the port is the device's end, so that what is read goes to the device.

    Attributes:
        inward: what happened to the bytes that are read.
        outward: to those that are written.
    """

    def __init__(self, port: Port, plan: Plan, *, turned: bool = False) -> None:
        lanes = (plan.to_host, plan.to_device)
        seeds = (2 * plan.seed, 2 * plan.seed + 1)
        one, other = (1, 0) if turned else (0, 1)
        self._port = port
        self.inward = _Pipe(lanes[one], seeds[one])
        self.outward = _Pipe(lanes[other], seeds[other])

    @property
    def name(self) -> str:
        """Of the port."""
        return self._port.name

    def read(self, timeout_s: float) -> bytes:
        """What comes through; see `Port.read`."""
        until = time.monotonic() + timeout_s
        while True:
            found = self.inward.out(time.monotonic())
            if found:
                return found
            if self.inward.cut:
                self._port.close()
                raise LinkLost(f"{self.name}: the cable was pulled, as planned")
            left = until - time.monotonic()
            if left <= 0:
                return b""
            wait_s = min(left, self.inward.wait_s(time.monotonic()))
            if self.inward.waiting:  # no more is taken in than goes out
                time.sleep(wait_s)
                continue
            self.inward.feed(self._port.read(left))

    def write(self, data: bytes) -> None:
        """What the other end sees of it; see `Port.write`. Waits while the plan does."""
        self.outward.feed(data)
        while self.outward.waiting:
            found = self.outward.out(time.monotonic())
            if found:
                self._port.write(found)
            elif not self.outward.cut:
                time.sleep(self.outward.wait_s(time.monotonic()))
            if self.outward.cut and not self.outward.waiting:
                self._port.close()
                raise LinkLost(f"{self.name}: the cable was pulled, as planned")

    def close(self) -> None:
        """Closes the port."""
        self._port.close()


class _Pipe:
    """One direction with its times."""

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
        return len(self._held)

    def feed(self, data: bytes) -> None:
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


def bad_opener(opener: Opener, plan: Plan) -> Opener:
    """Opens the same port behind a bad cable; each time the plan begins anew."""
    return lambda: BadPort(opener(), plan)


class Proxy:
    """A bad cable between two ports; a context manager that takes it away.

    Args:
        host: where the host is.
        device: where the device is.
        plan: what happens in between.
    """

    def __init__(self, host: Port, device: Port, plan: Plan) -> None:
        self._host, self._device = host, BadPort(device, plan)
        self._threads = [
            threading.Thread(target=self._pump, args=ends, daemon=True)
            for ends in ((self._device, self._host), (self._host, self._device))
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, source: Port, sink: Port) -> None:
        try:
            while True:
                data = source.read(0.1)
                if data:
                    sink.write(data)
        except LinkLost:
            self.close()

    @property
    def done(self) -> dict[str, Counter[str]]:
        """Which faults were injected, each way."""
        return {"to_host": self._device.inward.mangler.done,
                "to_device": self._device.outward.mangler.done}  # fmt: skip

    def close(self) -> None:
        """Hangs up on both."""
        self._host.close()
        self._device.close()

    def join(self, timeout_s: float) -> bool:
        """Waits until one of the two has gone; whether that was within the time."""
        for thread in self._threads:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)
