"""The thread that reads one port until it is gone or let go of.

It has a loop of its own that waits in the port, takes all that is there at once, and gives on what
the bytes complete. What it finds out goes to the `Heard` that it was given, on its own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

from firmware_bridge.descriptor import Port
from firmware_bridge.dialect import Dialect
from firmware_bridge.errors import BridgeError
from firmware_bridge.receiver import Item

_POLL_S = 0.05
_QUIET_S = 0.1

Tap = Callable[[Literal["in", "out"], int, bytes], None]
"""Sees all bytes with the host's monotonic time; for recordings."""


class Heard(Protocol):
    """Who is told; nothing here may wait for an answer of the same device."""

    def give(self, item: Item, now_ns: int) -> None:
        """Something came whole."""

    def judge(self, now_ns: int | None = None) -> None:
        """A moment has passed, with or without anything."""

    def lose(self, port: Port, error: BridgeError) -> None:
        """The port is gone, or a tap failed; no more is read."""


class Reader:
    """One thread, one port; begins at once.

    Args:
        port: to be read; closed by whoever has it.
        dialect: what the bytes mean.
        heard: is told.
        tap: sees all bytes first, so that a recording has what led to what follows.
        now_ns: when what was just read was read.

    Attributes:
        arrived_ns: when the bytes that are being looked at were read.
    """

    def __init__(
        self,
        port: Port,
        dialect: Dialect,
        heard: Heard,
        tap: Tap | None,
        now_ns: Callable[[], int],
    ) -> None:
        self._port, self._dialect, self._heard = port, dialect, heard
        self._tap, self._now_ns = tap, now_ns
        self._stop = False
        self.arrived_ns = 0
        self._thread = threading.Thread(target=self._read, name="bridge-reader", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Says that no more is wanted."""
        self._stop = True

    def join(self) -> None:
        """Waits for its end, which comes when the port is closed."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _read(self) -> None:
        try:
            self._read_on()
        except BridgeError as error:
            self._heard.lose(self._port, error)

    def _read_on(self) -> None:
        heard_ns, quiet = self._now_ns(), False
        while not self._stop:
            data = self._port.read(_POLL_S)
            now_ns = self._now_ns()
            if data:
                heard_ns, quiet = now_ns, False
                self.arrived_ns = now_ns
                if self._tap is not None:
                    self._tap("in", now_ns, data)
                for item in self._dialect.feed(data, now_ns):
                    self._heard.give(item, now_ns)
            elif not quiet and now_ns - heard_ns > _QUIET_S * 1e9:
                quiet = True
                for item in self._dialect.idle(now_ns):
                    self._heard.give(item, now_ns)
            self._heard.judge(now_ns)
