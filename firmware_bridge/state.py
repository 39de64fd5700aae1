"""How a link is, and waiting for it to become otherwise."""

from __future__ import annotations

import threading
from enum import Enum


class State(Enum):
    """How a link is."""

    CONNECTING = "connecting"
    """The port is open, and the device has not said yet what it is."""
    READY = "ready"
    """Nothing streams."""
    STREAMING = "streaming"
    """All wanted streams come."""
    STALLED = "stalled"
    """A wanted stream has missed three of its periods."""
    LOST = "lost"
    """The port is gone."""
    CLOSED = "closed"
    """It was let go of."""


class Status:
    """A link's state between its threads; once closed it stays so."""

    def __init__(self) -> None:
        self._state = State.CONNECTING
        self._changed = threading.Condition()

    @property
    def now(self) -> State:
        """What it is."""
        return self._state

    def set(self, state: State) -> None:
        """What it becomes."""
        with self._changed:
            if self._state is not state and self._state is not State.CLOSED:
                self._state = state
                self._changed.notify_all()

    def wait_for(self, *states: State, timeout_s: float) -> bool:
        """Waits until it is one of these; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state in states, timeout_s)
