"""Results on their way back to the device, beside the stream and never in its way.

A verdict is a request that the device answers; over a bad cable that takes up to some seconds. So
one thread sends them, and few may wait: where there is no room the oldest that is no alarm goes,
and is counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any

from firmware_bridge.errors import BridgeError

ROOM = 64
Verdict = dict[str, Any]


class Verdicts:
    """Sends what it is given, in order; a context manager that sends what waits at the end.

    Args:
        send: does it; waits for the device's answer.
        wanted: types of verdicts that are sent.

    Attributes:
        wanted: as given.
        sent: taken by the device.
        failed: never answered, or refused.
        dropped: that found no room.
        trouble: what went wrong last.
    """

    def __init__(self, send: Callable[[Verdict], None], wanted: Collection[str]) -> None:
        self.sent = self.failed = self.dropped = 0
        self.trouble: str | None = None
        self._send, self.wanted = send, frozenset(wanted)
        self._waiting: deque[Verdict] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many have not been taken up yet."""
        return len(self._waiting)

    def give(self, verdict: Verdict) -> None:
        """Takes one to be sent; returns at once."""
        if verdict["type"] not in self.wanted:
            return
        with self._changed:
            self._waiting.append(verdict)
            if len(self._waiting) > ROOM:
                self._waiting.remove(
                    next((v for v in self._waiting if v["type"] != "alarm"), self._waiting[0])
                )
                self.dropped += 1
            self._changed.notify()

    def __enter__(self) -> Verdicts:
        if self.wanted:
            self._ended = False
            self._thread = threading.Thread(target=self._run, name="bridge-verdicts", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                verdict = self._waiting.popleft()
            try:
                self._send(verdict)
            except BridgeError as error:
                self.failed += 1
                self.trouble = str(error)
                if self._ended:  # the device is gone: none of the others would get there
                    with self._changed:
                        self.failed += len(self._waiting)
                        self._waiting.clear()
            else:
                self.sent += 1
