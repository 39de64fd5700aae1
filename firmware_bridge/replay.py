"""A recording as a device: the same link, streams, gaps and times as when it was made.

Everything comes from the recorded bytes: what the device is from its answer to the hello, the
places of the streams from its answers to start and stop, its clock from the recorded pings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.clock import PROBES, Clock, Fit, Probe
from firmware_bridge.dialect import Dialect, Line, Native
from firmware_bridge.errors import BadRecording, BridgeError, Ended, LinkLost
from firmware_bridge.frames import Tally
from firmware_bridge.loss import Counts
from firmware_bridge.pacing import Intake
from firmware_bridge.receiver import Item
from firmware_bridge.recording import IN, OUT, Record, Recording
from firmware_bridge.smp import Group, Message, Op, Ours


class Replay:
    """Both the port and the dialect of a recorded link.

    Args:
        path: of the recording.
        dialect: what the device spoke; None for docs/wire.md.
        pace: `fast`, or `real` for the times at which the bytes came.
    """

    has_clock = False  # it is taken from what was recorded
    intake: Intake | None = None

    def __init__(
        self,
        path: str | Path,
        dialect: Dialect | None = None,
        pace: Literal["fast", "real"] = "fast",
    ) -> None:
        self._recording = Recording(path)
        self._inner = dialect or Native()
        self._real = pace == "real"
        self._records = self._recording.records()
        self._clock = Clock()
        self._probes: list[Probe] = []
        self._asked: dict[int, int] = {}
        self._hello: Hello | None = None
        self._met, self._wanted, self._closed = (threading.Event() for _ in range(3))
        self._next: Record | None = None
        self._began: tuple[float, int] | None = None
        self._t_ns = 0

    @property
    def told(self) -> dict[str, object]:
        """What the recording says about itself."""
        return dict(self._recording.told)

    def now_ns(self) -> int:
        """When what is being read was read."""
        return self._t_ns

    # --- as a port ---

    @property
    def name(self) -> str:
        """Of the file."""
        return str(self._recording.path)

    def read(self, timeout_s: float) -> bytes:
        """The next recorded bytes from the device; after the hello, once a stream is wanted."""
        if self._closed.is_set():
            raise LinkLost(f"{self.name}: closed")
        if self._met.is_set() and not self._wanted.wait(timeout_s):
            return b""
        try:
            record = self._next or next(self._records, None)
        except BadRecording as error:
            raise LinkLost(str(error)) from error
        if record is None:
            self._met.set()
            raise Ended(f"{self.name}: the recording is over")
        self._next = record
        if self._real and self._wanted.is_set():
            if self._began is None:
                self._began = time.monotonic(), record.t_ns
            due = self._began[0] + (record.t_ns - self._began[1]) * 1e-9 - time.monotonic()
            if due > 0:
                time.sleep(min(due, timeout_s))
                if due > timeout_s:
                    return b""
        self._next, self._t_ns = None, record.t_ns
        if record.kind == OUT:
            self._look_at_request(record.body)
        return record.body if record.kind == IN else b""

    def write(self, data: bytes) -> None:
        """Nobody is there to read it."""

    def close(self) -> None:
        """Ends the replay."""
        self._closed.set()

    # --- as a dialect ---

    @property
    def tally(self) -> Tally:
        """What the framer threw away."""
        return self._inner.tally

    @property
    def unreadable(self) -> int:
        """Whole frames that break the specification."""
        return self._inner.unreadable

    def greet(self, line: Line) -> Hello:
        """What the device said when it was recorded."""
        if isinstance(self._inner, Native):
            self._met.wait()
        else:
            self._hello = self._inner.greet(line)
            self._met.set()
        if self._hello is None:
            raise BadRecording(f"{self.name}: no handshake was recorded")
        return self._hello

    def start(self, line: Line, info: StreamInfo) -> None:
        """Lets the recording run."""
        self._wanted.set()

    def stop(self, line: Line, info: StreamInfo) -> None:
        """Nothing: what was recorded says when it stopped."""

    def forget(self, info: StreamInfo) -> None:
        """Nothing: the account is the recorded one."""

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete."""
        for item in self._inner.feed(data, arrived_ns):
            if isinstance(item, Message):
                self._look_at_answer(item, arrived_ns)
            else:
                yield item

    def idle(self, now_ns: int) -> Iterator[Item]:
        """What was held back."""
        return self._inner.idle(now_ns)

    def reset(self) -> None:
        """Forgets what has begun."""
        self._inner.reset()

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The bytes of a frame."""
        return self._inner.encode(channel, payload)

    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return self._inner.counts()

    def set_fit(self, fit: Fit | None) -> None:
        """Nothing: the clock is that of the recording."""

    # --- what the recorded requests and answers say ---

    def _look_at_request(self, data: bytes) -> None:
        if isinstance(self._inner, Native):
            for request in self._inner.requests_in(data):
                stream = request.body.get("id")
                if request.command in (Ours.START, Ours.STOP) and isinstance(stream, int):
                    self._asked[request.sequence] = stream

    def _look_at_answer(self, answer: Message, arrived_ns: int) -> None:
        native = self._inner
        if answer.group != Group.EDGE_DX or not isinstance(native, Native):
            return
        try:
            if answer.command == Ours.HELLO and answer.op is Op.READ_ANSWER:
                self._hello = native.meet(answer)
                if self._clock.restart(self._hello.boot_id):
                    self._probes.clear()
                native.set_fit(self._clock.fit)
                self._met.set()
            elif answer.command in (Ours.START, Ours.STOP):
                stream = self._asked.pop(answer.sequence, None)
                if stream is not None and self._hello is not None and "err" not in answer.body:
                    native.told_place(stream, answer, begins=answer.command == Ours.START)
            elif answer.command == Ours.PING:
                self._ping(answer, arrived_ns)
        except BridgeError:
            return  # as when it was recorded, where it was somebody's error

    def _ping(self, answer: Message, arrived_ns: int) -> None:
        sent, came, left = (answer.body.get(name) for name in ("t1", "t2", "t3"))
        if isinstance(sent, int) and isinstance(came, int) and isinstance(left, int):
            self._probes.append(Probe(sent, came, left, arrived_ns))
        if len(self._probes) == PROBES:
            self._inner.set_fit(self._clock.round(self._probes))
            self._probes.clear()
