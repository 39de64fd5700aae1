"""What dialects of others' devices share: their account, their blocks, and the doubles' world.

These devices have no clock that can be asked and no boot id. A block's device time is its place at
the nominal rate; its host time comes from when samples arrived (`arrivals.py`), once two seconds
were heard. What was lost is counted where the device numbers its packets; else a stretch of bytes
that made no sense is a gap of unknown length, and times begin anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from firmware_bridge.arrivals import Arrivals
from firmware_bridge.blocks import Array, Block, Moment
from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.clock import Fit
from firmware_bridge.dialect import Line
from firmware_bridge.errors import BadMessage
from firmware_bridge.frames import Framer, Tally
from firmware_bridge.loss import Counts, Gap, joined
from firmware_bridge.pacing import Intake
from firmware_bridge.receiver import Item

_MAX_TEXT = 4096


class Account:
    """One stream of a device that numbers its packets with few bits, or not at all.

    Args:
        info: of the stream.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self._us = 1_000_000 * info.rate[1], info.rate[0]
        self._begin()

    def _begin(self) -> None:
        self.counts = Counts()
        self.next = 0
        self._gap: Gap | None = None
        self._arrivals = Arrivals(self.info.rate_hz)
        self._anew = False

    def forget(self) -> None:
        """Begins anew with the next block; the thread that reads may be at one just now."""
        self._anew = True

    @property
    def so_far(self) -> Counts:
        """What came and what did not."""
        return Counts() if self._anew else self.counts

    def missing(self, samples: int | None, *, restart: bool = False) -> None:
        """So many samples did not come; None: nobody knows how many."""
        if samples == 0:
            return
        self._gap = joined(self._gap, Gap(self.next, samples, restart=restart))
        if samples is None:
            self.counts.restarts += restart
            self.counts.unknown += not restart
            self._arrivals.restart()
        else:
            self.counts.lost_link += samples
            self.next += samples

    def block(self, counts: Array, arrived_ns: int) -> Block:
        """Samples that follow."""
        if self._anew:
            self._begin()
        first, self.next = self.next, self.next + len(counts)
        self.counts.received += len(counts)
        gap, self._gap = self._gap, None
        t_dev_us = first * self._us[0] // self._us[1]
        self._arrivals.heard(self.next - 1, arrived_ns)
        found = self._arrivals.at(first)
        if found is None:
            at = Moment(t_dev_us, arrived_ns, epoch=self._arrivals.epoch)
        else:
            at = Moment(t_dev_us, arrived_ns, *found)
        return Block(self.info, counts, first, self.counts.restarts, at, gap)


class Foreign:
    """A dialect without our handshake.

    Args:
        name: of the device.
        infos: its streams.
        framer: of its bytes.
    """

    has_clock = False
    intake: Intake | None = None

    def __init__(self, name: str, infos: tuple[StreamInfo, ...], framer: Framer) -> None:
        self._name, self._infos, self._framer = name, infos, framer
        self._accounts = {info.id: Account(info) for info in infos}
        self._greeted = 0
        self.unreadable = 0

    @property
    def tally(self) -> Tally:
        """What the framer threw away."""
        return self._framer.tally

    def greet(self, line: Line) -> Hello:
        """Takes the device for what the caller says it is."""
        return self._hello("")

    def _hello(self, firmware: str) -> Hello:
        if self._greeted:  # whatever it counted, it may have begun anew
            for account in self._accounts.values():
                account.missing(None, restart=True)
        self._greeted += 1
        return Hello(
            proto=(1, 0), device=self._name, firmware=firmware[:64],
            boot_id=self._greeted & 0xFFFF, streams=self._infos,
        )  # fmt: skip

    def start(self, line: Line, info: StreamInfo) -> None:
        """Nothing: it streams by itself."""

    def stop(self, line: Line, info: StreamInfo) -> None:
        """Nothing: it cannot be stopped."""

    def forget(self, info: StreamInfo) -> None:
        """Begins a stream's account anew."""
        self._accounts[info.id].forget()

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete."""
        raise NotImplementedError

    def idle(self, now_ns: int) -> Iterator[Item]:
        """What was held back."""
        return iter(())

    def reset(self) -> None:
        """Forgets what has begun."""
        self._framer.reset()

    def encode(self, channel: int, payload: bytes) -> bytes:
        """Refuses: these devices have no control channel.

        Raises:
            BadMessage: always.
        """
        raise BadMessage(f"{self._name} takes no requests")

    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return {account.info.name: account.so_far for account in self._accounts.values()}

    def set_fit(self, fit: Fit | None) -> None:
        """Nothing: it has no clock."""


class Text:
    """Text that a device sends before it streams; waited for by another thread than the reader's.

    It keeps the last 4,096 bytes.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._changed = threading.Condition()

    def add(self, data: bytes) -> None:
        """More of it."""
        with self._changed:
            self._held += data
            del self._held[:-_MAX_TEXT]
            self._changed.notify_all()

    def clear(self) -> None:
        """Forgets all."""
        with self._changed:
            self._held.clear()

    def until(self, end: bytes, timeout_s: float) -> str | None:
        """The text in front of `end`; None where it does not come in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: end in self._held, timeout_s):
                return None
            return self._held.partition(end)[0].decode("ascii", "replace")


class Double:
    """The world of a double: packets at a rate, in whatever time it is told.

    Args:
        samples: (n, columns) whole numbers; played again from the beginning at the end.
        rate_hz: packets per second.
        limit: how many packets there are in all; None for no end.
    """

    def __init__(self, samples: Any, rate_hz: float, limit: int | None = None) -> None:
        self._samples = np.asarray(samples)
        self._rate_hz, self._limit = rate_hz, limit
        self._on = False
        self._sent = 0
        self._began_us = self._now_us = 0
        self._sent_before = 0
        self._out = bytearray()

    def packet(self, number: int, row: Any) -> bytes:
        """The bytes of one packet."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""

    def begin(self) -> None:
        """Starts the packets."""
        if not self._on:
            self._on, self._began_us, self._sent_before = True, self._now_us, self._sent

    def end(self) -> None:
        """Stops them."""
        self._on = False

    def say(self, data: bytes) -> None:
        """Sends bytes that are no packet."""
        self._out += data

    @property
    def next_due_us(self) -> int | None:
        """When the next packet is due."""
        if not self._on or self._over:
            return None
        number = self._sent - self._sent_before + 1
        return self._began_us + int(number * 1e6 / self._rate_hz) + 1

    @property
    def _over(self) -> bool:
        return self._limit is not None and self._sent >= self._limit

    def advance(self, now_us: int) -> None:
        """Lets its world reach a moment."""
        self._now_us = max(now_us, self._now_us)
        while self._on and not self._over:
            number = self._sent - self._sent_before + 1
            if self._began_us + number * 1e6 / self._rate_hz > self._now_us:
                break
            self._out += self.packet(self._sent, self._samples[self._sent % len(self._samples)])
            self._sent += 1

    def take(self, at_most: int | None = None) -> bytes:
        """What leaves now."""
        found = bytes(self._out[:at_most])
        del self._out[: len(found)]
        return found
