"""One device behind a port that may go away and come back: what happens inside a link.

It runs on three threads: the user's, the reader's (`reading.py`), the keeper's (`keeping.py`). The
port may vanish at any line; who notices first says so with `lose`, the others get a `LinkLost`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from firmware_bridge.blocks import Block, Picture
from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.clock import Clock
from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.dialect import Dialect
from firmware_bridge.errors import BridgeError, Ended, Incompatible, LinkLost, NoAnswer
from firmware_bridge.frames import CONTROL
from firmware_bridge.keeping import Keeper
from firmware_bridge.pacing import Pacer
from firmware_bridge.pings import measured
from firmware_bridge.reading import Reader, Tap
from firmware_bridge.receiver import Happened, Item, LogLine
from firmware_bridge.requests import Requests, behind_a_full_stream, fits_in
from firmware_bridge.ring import Ring
from firmware_bridge.smp import Message, Op
from firmware_bridge.state import State, Status
from firmware_bridge.streaming import Stream

_MISSED_PERIODS = 3
_LOGS, _EVENTS = 1000, 1000


class Session:
    """The inside of a `Link`; its arguments are described there.

    Attributes:
        dialect: what the device speaks.
        seeking: whether a lost port is looked for.
        has_clock: whether the device's clock is measured.
        requests: the control plane.
        clock: of the device.
        streams: that are wanted, by their ids.
        logs: lines that the device wrote.
        events: that it told.
        status: how it is now.
        hello: what the device said last; None before the first handshake.
        port: as long as it is there.
        reconnects: how often it came back.
        closing: no more is wanted.
    """

    def __init__(
        self,
        opener: Opener,
        dialect: Dialect,
        *,
        reconnect: bool,
        measure_clock: bool,
        tap: Tap | None,
        now_ns: Callable[[], int],
    ) -> None:
        self.dialect = dialect
        self.seeking = reconnect
        self.has_clock = measure_clock and dialect.has_clock
        self.requests = Requests(self._send_control)
        self.clock = Clock()
        self.streams: dict[int, Stream] = {}
        self.logs: Ring[LogLine] = Ring(_LOGS, "drop")
        self.events: Ring[Happened] = Ring(_EVENTS, "drop")
        self.status = Status()
        self.hello: Hello | None = None
        self.port: Port | None = None
        self.reconnects = 0
        self.closing = False
        self._opener, self._tap, self._now_ns = opener, tap, now_ns
        self._pacer = Pacer(dialect.intake)
        self._ready = False
        self._handshaking = threading.Lock()
        self._reader: Reader | None = None
        self._keeper = Keeper(self)

    def open(self) -> None:
        """Opens the port, shakes hands, and keeps it from then on.

        Raises:
            BridgeError: the port cannot be opened, or nothing answers that can be understood.
        """
        self._connect()
        self._keeper.start()

    def close(self) -> None:
        """Lets go of the port and ends the threads."""
        self.closing = True
        self.requests.lost(LinkLost("the link was closed"))
        self._keeper.wake()
        if self.port is not None:
            self.port.close()
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()
        self._keeper.join()
        self.logs.end()
        self.events.end()
        self.status.set(State.CLOSED)

    # --- streams ---

    def begin(self, stream: Stream) -> None:
        """Wants a stream.

        Raises:
            LinkLost: the device is gone and is not looked for.
        """
        info = stream.info
        self.dialect.forget(info)
        stream.since_ns = self._now_ns()
        with self._handshaking:
            self.streams[info.id] = stream
            try:
                if self.port is None and not self.seeking:
                    raise LinkLost("the device is gone, and is not looked for")
                stream.touch(self._now_ns())
                self.dialect.start(self, info)
            except BaseException:
                self.streams.pop(info.id, None)
                raise
        self.judge()

    def end(self, info: StreamInfo) -> None:
        """Wants it no longer."""
        if self.streams.get(info.id) is None:
            return
        try:
            if self.status.now not in (State.LOST, State.CLOSED):
                self.dialect.stop(self, info)
        finally:
            self.streams.pop(info.id, None)
            self.judge()

    # --- what a dialect needs ---

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        port = self.port
        if port is None:
            raise LinkLost("the device is gone")
        if self._tap is not None:
            self._tap("out", time.monotonic_ns(), data)
        self._pacer.write(data, port.write)

    def ask(
        self,
        op: Op,
        group: int,
        command: int,
        body: dict[str, Any] | None = None,
        *,
        asked: str,
        timeout_s: float = 0.5,
        tries: int = 4,
        then: Callable[[Message], None] | None = None,
    ) -> dict[str, Any]:
        """An SMP request; see `Requests.ask`."""
        try:
            return self.requests.ask(
                op, group, command, body or {}, asked=asked, timeout_s=timeout_s, tries=tries,
                then=then,
            )  # fmt: skip
        except NoAnswer as error:
            full = next((s.info.name for s in list(self.streams.values()) if s.waits), None)
            if full is None:
                raise
            raise behind_a_full_stream(asked, full) from error

    def _send_control(self, message: bytes) -> None:
        if self.hello is not None:
            fits_in(message, self.hello.max_frame)
        self.write(self.dialect.encode(CONTROL, message))

    # --- connecting ---

    def _connect(self) -> None:
        self._ready = False
        port = self._opener()
        self.status.set(State.CONNECTING)
        self.dialect.reset()
        self.port = port
        self._pacer.emptied()
        self.requests.found()
        self._reader = Reader(port, self.dialect, self, self._tap, self._now_ns)
        self._reader.start()
        with self._handshaking:
            self._resume(self.dialect.greet(self))

    def look_again(self) -> None:
        """Asks anew what is there: a device may have been restarted behind an open port.

        Raises:
            NoAnswer: nothing answers.
        """
        with self._handshaking:
            hello = self.dialect.greet(self)
            if self.hello is None or hello.boot_id != self.hello.boot_id:
                self._resume(hello)

    def _resume(self, hello: Hello) -> None:
        self.hello = hello
        self.clock.restart(hello.boot_id)
        self.dialect.set_fit(self.clock.fit)
        for number, stream in list(self.streams.items()):
            if stream.info not in hello.streams:
                self.streams.pop(number)
                stream.end(Incompatible(
                    f"the device that came back has no stream {stream.info.name!r} like before"
                ))  # fmt: skip
                continue
            self.dialect.start(self, stream.info)
            stream.touch(self._now_ns())
        self._ready = True
        self.judge()

    # --- what the reader tells ---

    def give(self, item: Item, now_ns: int) -> None:
        """Something came whole; it goes to whoever waits for it."""
        if isinstance(item, Block | Picture):
            stream = self.streams.get(item.stream.id)
            if stream is not None and now_ns >= stream.since_ns:
                stream.touch(now_ns)
                stream.put(item)
        elif isinstance(item, Message):
            if self.requests.expects(item):
                self._pacer.emptied()
            self.requests.offer(item)
        elif isinstance(item, Happened):
            self.events.put(item)
        elif isinstance(item, LogLine):
            self.logs.put(item)

    def judge(self, now_ns: int | None = None) -> None:
        """What state it is in at this moment."""
        if self.port is None or not self._ready:
            return
        now_ns = self._now_ns() if now_ns is None else now_ns
        streams = list(self.streams.values())
        if not streams:
            self.status.set(State.READY)
        elif any(now_ns - s.heard_ns > _MISSED_PERIODS * s.period_ns for s in streams):
            self.status.set(State.STALLED)
            self._keeper.wake()
        else:
            self.status.set(State.STREAMING)

    def lose(self, port: Port, error: BridgeError) -> None:
        """The port is gone, or a tap failed: it has room on no disk, for example."""
        if not isinstance(error, LinkLost):
            self.seeking = False  # no silent end
        port.close()
        if self.closing or port is not self.port:
            return
        self.port = None
        self.status.set(State.LOST)
        self.requests.lost(error)
        if not self.seeking:
            for stream in list(self.streams.values()):
                stream.end(None if isinstance(error, Ended) else error)
        self._keeper.wake()

    # --- what the keeper asks and does ---

    @property
    def plugged(self) -> bool:
        """The port is there."""
        return self.port is not None

    @property
    def silent(self) -> bool:
        """A wanted stream does not come."""
        return self.status.now is State.STALLED

    def connect_again(self) -> bool:
        """One attempt; whether the device is back."""
        try:
            self._connect()
        except BridgeError:
            port, self.port = self.port, None
            if port is not None:
                port.close()
            if self._reader is not None:
                self._reader.join()
            self.status.set(State.LOST)
            return False
        self.reconnects += 1
        return True

    def measure(self) -> None:
        """A round of pings."""
        probes = measured(self.ask, lambda: self._reader.arrived_ns if self._reader else 0)
        self.dialect.set_fit(self.clock.round(probes))
