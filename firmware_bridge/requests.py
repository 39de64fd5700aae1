"""Requests and their answers: one at a time, sent again with the same number, late ones dropped.

A request that is sent again is the same bytes, so that the device can tell it from a new one and do
it once (docs/wire.md §6.2). An answer is taken only if operation, group, command and number fit the
request that waits; everything else is late and is counted. One request at a time stays below what
the smallest device can hold.

Numbers have 8 bits and come round. A new write must not be byte for byte one whose answer the
device still keeps: it would be taken for that one, answered and not done. It takes the next number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from firmware_bridge.errors import BadMessage, BridgeError, LinkLost, NoAnswer, PortError
from firmware_bridge.smp import Message, Op, check

TIMEOUT_S = 0.5
TRIES = 4
_BACKOFF = 1.5
_AROUND = 5  # bytes of a message in any framing: channel and CRC-32, or length and CRC-16
_REMEMBERED = 4  # writes whose answers a device keeps


class Requests:
    """The control plane's host side.

    Args:
        send: hands the bytes of one message to the framer and the port.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._one_at_a_time = threading.Lock()
        self._changed = threading.Condition()
        self._sequence = time.monotonic_ns() & 0xFF
        self._writes: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._waits: Message | None = None
        self._then: Callable[[Message], None] | None = None
        self._answer: Message | None = None
        self._error: BridgeError | None = None
        self._problem: BridgeError | None = None
        self.late = 0
        self.repeated = 0

    def ask(
        self,
        op: Op,
        group: int,
        command: int,
        body: dict[str, Any],
        *,
        asked: str,
        timeout_s: float = TIMEOUT_S,
        tries: int = TRIES,
        version: int = 1,
        then: Callable[[Message], None] | None = None,
    ) -> dict[str, Any]:
        """Asks, and gives the answer's body.

        Args:
            op: READ or WRITE.
            group: as in `smp`.
            command: likewise.
            body: the map.
            asked: what is asked, in words, for messages.
            timeout_s: for the first try; each further one waits half as long again.
            tries: how often it is sent at most.
            version: of SMP.
            then: called with a good answer, by the thread that reads, before anything that came
                after the answer is looked at.

        Raises:
            NoAnswer: none of the tries was answered.
            DeviceRefused: the answer is an error.
            LinkLost: the device went away.
        """
        with self._one_at_a_time:
            with self._changed:
                request, data = self._numbered(Message(op, group, command, 0, body, version))
                self._waits, self._then, self._answer = request, then, None
                self._problem = None
            wait_s = timeout_s
            try:
                for number in range(tries):
                    self.repeated += number > 0
                    answer = self._try(data, wait_s)
                    if answer is not None:
                        if self._problem is not None:
                            raise self._problem
                        return check(answer, asked)
                    wait_s *= _BACKOFF
            finally:
                with self._changed:
                    self._waits = self._then = None
            raise NoAnswer(
                f"the device did not answer {asked}, asked {tries} times within "
                f"{timeout_s * (_BACKOFF**tries - 1) / (_BACKOFF - 1):.1f} s; is it the right "
                "device and speed?"
            )

    def _numbered(self, asked: Message) -> tuple[Message, bytes]:
        while True:
            self._sequence = (self._sequence + 1) & 0xFF
            request = replace(asked, sequence=self._sequence)
            data = request.to_bytes()
            if data not in self._writes:
                break
        if request.op is Op.WRITE:
            self._writes.append(data)
        return request, data

    def _try(self, data: bytes, wait_s: float) -> Message | None:
        self._raise_if_lost()
        try:
            self._send(data)
        except LinkLost:
            raise
        except PortError:  # it takes no bytes now; it may later
            pass
        with self._changed:
            self._changed.wait_for(lambda: self._answer or self._error, wait_s)
            answer = self._answer
        if answer is None:
            self._raise_if_lost()
        return answer

    def _raise_if_lost(self) -> None:
        if self._error is not None:
            raise LinkLost(str(self._error)) from self._error

    def expects(self, message: Message) -> bool:
        """Whether it is the answer that is waited for."""
        with self._changed:
            waits = self._waits
            return waits is not None and self._answer is None and message.answers(waits)

    def offer(self, message: Message) -> None:
        """Takes a message from the device; called by the thread that reads."""
        with self._changed:
            waits, then = self._waits, self._then
            if waits is None or self._answer is not None or not message.answers(waits):
                self.late += 1
                return
            if then is not None and "err" not in message.body and not message.body.get("rc"):
                try:
                    then(message)
                except BridgeError as error:  # it belongs to whoever asked
                    self._problem = error
            self._answer = message
            self._changed.notify_all()

    def lost(self, error: BridgeError) -> None:
        """The port is gone: whoever waits is told, and so is whoever asks."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def found(self) -> None:
        """The port is back."""
        with self._changed:
            self._error = None


def fits_in(message: bytes, max_frame: int) -> None:
    """Checks that the device can hold a request.

    Raises:
        BadMessage: it cannot.
    """
    if len(message) + _AROUND > max_frame:
        raise BadMessage(
            f"a request of {len(message)} bytes is more than the device can hold ({max_frame} with "
            "what is around it); ask in smaller pieces"
        )


def behind_a_full_stream(asked: str, stream: str) -> NoAnswer:
    """Why no answer was read."""
    return NoAnswer(
        f"{asked} was not answered, because stream {stream!r} is full and waits to be read "
        "(on_full='block'); read on, or ask from another thread than the one that reads"
    )
