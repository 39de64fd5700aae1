"""The thread that keeps a link: the port again after it was lost, the clock, a look at silence."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Protocol

from firmware_bridge.clock import INTERVAL_S
from firmware_bridge.errors import BridgeError

_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_LOOK_AGAIN_S = 1.0
_LONGEST_S = 0.25


class Kept(Protocol):
    """What a keeper does with a link."""

    @property
    def closing(self) -> bool:
        """No more is wanted."""

    @property
    def plugged(self) -> bool:
        """The port is there."""

    @property
    def seeking(self) -> bool:
        """A lost port is looked for."""

    @property
    def silent(self) -> bool:
        """A wanted stream does not come."""

    @property
    def has_clock(self) -> bool:
        """Its clock is measured."""

    def connect_again(self) -> bool:
        """One attempt; whether the device is back."""

    def look_again(self) -> None:
        """Asks whether it was restarted behind an open port."""

    def measure(self) -> None:
        """A round of pings."""


class Keeper:
    """The thread; begins at once.

    Args:
        link: to be kept.
    """

    def __init__(self, link: Kept) -> None:
        self._link = link
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="bridge-keeper", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def wake(self) -> None:
        """Something has changed."""
        self._wake.set()

    def join(self) -> None:
        """Waits for its end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _keep(self) -> None:
        link, attempt, due_s, look_s = self._link, 0, time.monotonic(), 0.0
        while not link.closing:
            self._wake.clear()
            if not link.plugged:
                if not link.seeking:
                    return
                if link.connect_again():
                    attempt, due_s = 0, time.monotonic()
                    continue
                self._wake.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
                continue
            if link.silent and time.monotonic() >= look_s:
                with contextlib.suppress(BridgeError):
                    link.look_again()
                look_s = time.monotonic() + _LOOK_AGAIN_S
            wait_s = _LONGEST_S
            if link.has_clock:
                if time.monotonic() >= due_s:
                    with contextlib.suppress(BridgeError):
                        link.measure()
                    due_s = time.monotonic() + INTERVAL_S
                wait_s = min(max(due_s - time.monotonic(), 0.01), _LONGEST_S)
            self._wake.wait(wait_s)
