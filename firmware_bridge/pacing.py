"""Writes that wait for the room in a device's receive buffer.

A UART paces its sender by its speed. USB and sockets do not: a message of several lines comes at
once, and a device that has room for two of them drops the others without a word. So bytes go out as
from a bucket that holds what the device's buffer holds, and is emptied as fast as the device surely
empties its own. An answer says that everything before it was taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_WORTH_WAITING = 1e-3  # of a byte: below it rounding would make it wait for ever


@dataclass(frozen=True)
class Intake:
    """What a device takes.

    Attributes:
        room: bytes that it can hold before it looks at them.
        bytes_per_s: how fast it surely takes them out.
    """

    room: int
    bytes_per_s: float

    def __post_init__(self) -> None:
        if self.room < 1 or not self.bytes_per_s > 0:
            raise ValueError("a device takes at least a byte, and some time")


class Pacer:
    """Bytes to one device; threads take turns, and no message is mixed with another.

    Args:
        intake: of the device; None: the port paces enough.
        now: seconds.
        sleep: waits so many of them.
    """

    def __init__(
        self,
        intake: Intake | None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._intake = intake
        self._now, self._sleep = now, sleep
        self._turn = threading.Lock()
        self._held, self._since_s = 0.0, now()

    def emptied(self) -> None:
        """The device has answered: it holds nothing."""
        self._held = 0.0

    def write(self, data: bytes, out: Callable[[bytes], None]) -> None:
        """Gives the bytes to `out`, in as many pieces as there is room for.

        Raises:
            Exception: what `out` raises; the rest is not sent.
        """
        intake = self._intake
        if intake is None:
            out(data)
            return
        with self._turn:
            at = 0
            while at < len(data):
                now_s = self._now()
                self._held = max(self._held - (now_s - self._since_s) * intake.bytes_per_s, 0.0)
                self._since_s = now_s
                wanted = min(len(data) - at, intake.room)
                short = self._held + wanted - intake.room
                if short > _WORTH_WAITING:
                    self._sleep(short / intake.bytes_per_s)
                    continue
                out(data[at : at + wanted])
                self._held += wanted
                at += wanted
