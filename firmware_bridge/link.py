"""A device at the other end of a port that may go away and come back.

One thread reads the port and gives on what came. Another keeps the link: it measures the device's
clock, asks a device that fell silent whether it was restarted, opens the port again after it was
lost, shakes hands anew and goes on with the streams that were wanted. Users see gaps with their
causes and a state, and an error only where nothing can go on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from firmware_bridge.blocks import Block, Picture
from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.clock import INTERVAL_S, Clock, Fit
from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.dialect import Dialect, Native
from firmware_bridge.errors import BridgeError, Ended, Incompatible, LinkLost
from firmware_bridge.frames import CONTROL
from firmware_bridge.loss import Counts
from firmware_bridge.pings import measured
from firmware_bridge.receiver import Happened, LogLine
from firmware_bridge.requests import Requests
from firmware_bridge.ring import OnFull, Ring
from firmware_bridge.smp import Group, Message, Op, Os, Ours
from firmware_bridge.state import State, Status
from firmware_bridge.streaming import Stream

_POLL_S = 0.05
_MISSED_PERIODS = 3
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_QUIET_S = 0.1
_LOOK_AGAIN_S = 1.0
_LOGS, _EVENTS = 1000, 1000

Tap = Callable[[Literal["in", "out"], int, bytes], None]
"""Sees all bytes with the host's monotonic time; for recordings."""


class Link:
    """One device; a context manager that lets go of it.

    Args:
        opener: opens the port, also again.
        dialect: what the device speaks; None for docs/wire.md.
        reconnect: whether a lost port is opened again; else it is the end, as `LinkLost`.
        measure_clock: whether the device's clock is measured, where the dialect can.
        tap: sees all bytes.
        now_ns: when what was just read was read; a recording knows better than the clock.
        on_full: of streams that do not say it.

    Raises:
        BridgeError: the port cannot be opened, or nothing answers that can be understood.
    """

    def __init__(
        self,
        opener: Opener,
        dialect: Dialect | None = None,
        *,
        reconnect: bool = True,
        measure_clock: bool = True,
        tap: Tap | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
        on_full: OnFull = "drop",
    ) -> None:
        self._opener = opener
        self._dialect = dialect or Native()
        self._reconnect = reconnect
        self._tap = tap
        self._measure = measure_clock and self._dialect.has_clock
        self._now_ns = now_ns
        self._on_full = on_full
        self._requests = Requests(self._send_control)
        self._clock = Clock()
        self._streams: dict[int, Stream] = {}
        self.logs: Ring[LogLine] = Ring(_LOGS, "drop")
        self.events: Ring[Happened] = Ring(_EVENTS, "drop")
        self.reconnects = 0
        self._hello: Hello | None = None
        self._port: Port | None = None
        self._status = Status()
        self._wake = threading.Event()
        self._closing = self._ready = False
        self._reader: threading.Thread | None = None
        self._arrived_ns = 0
        self._handshaking = threading.Lock()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        self._keeper = threading.Thread(target=self._keep, name="bridge-keeper", daemon=True)
        self._keeper.start()

    # --- what a user asks ---

    @property
    def hello(self) -> Hello:
        """What the device said about itself, most recently."""
        assert self._hello is not None
        return self._hello

    @property
    def state(self) -> State:
        """How the link is now."""
        return self._status.now

    @property
    def has_clock(self) -> bool:
        """Whether the device has a clock that is measured."""
        return self._measure

    @property
    def ended(self) -> bool:
        """The device is gone and is not looked for, or a recording is over."""
        return self._status.now is State.CLOSED or (
            self._status.now is State.LOST and not self._reconnect
        )

    @property
    def fit(self) -> Fit | None:
        """What is known of the device's clock."""
        return self._clock.fit

    @property
    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return self._dialect.counts()

    @property
    def troubles(self) -> dict[str, int]:
        """What went wrong on the way so far, as numbers by name."""
        tally = self._dialect.tally
        return {
            "damaged_frames": tally.damaged, "oversized_frames": tally.oversized,
            "skipped_bytes": tally.skipped_bytes, "unreadable_messages": self._dialect.unreadable,
            "late_answers": self._requests.late, "repeated_requests": self._requests.repeated,
            "reconnects": self.reconnects,
        }  # fmt: skip

    def wait_for(self, *states: State, timeout_s: float) -> bool:
        """Waits until the link is in one of these states; whether it came to that."""
        return self._status.wait_for(*states, timeout_s=timeout_s)

    def stream(self, name: str, *, on_full: OnFull | None = None, room: int = 256) -> Stream:
        """Starts a stream; an iterator of its blocks or pictures, to be closed.

        Args:
            name: as in the hello.
            on_full: where you are slower than the device: `drop` the oldest and tell the gap, or
                `block` the port's reader, and through it the device. None: as the link is set,
                for a device `drop`.
            room: blocks that may wait for you.

        Raises:
            Incompatible: the device has no such stream, or it is being read already.
        """
        info = self.hello.stream(name)
        if info.id in self._streams:
            raise Incompatible(f"stream {name!r} is being read already; close that one first")
        stream = Stream(info, on_full or self._on_full, room, self._stop_stream)
        self._dialect.forget(info)
        with self._handshaking:
            self._streams[info.id] = stream
            try:
                if self._port is None and not self._reconnect:
                    raise LinkLost("the device is gone, and is not looked for")
                stream.touch(self._now_ns())
                self._dialect.start(self, info)
            except BaseException:
                self._streams.pop(info.id, None)
                raise
        self._judge()
        return stream

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
        return self._requests.ask(
            op, group, command, body or {}, asked=asked, timeout_s=timeout_s, tries=tries,
            then=then,
        )  # fmt: skip

    def echo(self, text: str) -> str:
        """What the device makes of a text; the same one, if all is well."""
        found = self.ask(Op.WRITE, Group.OS, Os.ECHO, {"d": text}, asked="an echo")
        return str(found.get("r"))

    def verdict(self, told: dict[str, Any]) -> None:
        """Sends a result back to the device."""
        self.ask(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, told, asked="a verdict")

    def restart(self) -> None:
        """Restarts the device; streams go on once it is back."""
        self.ask(Op.WRITE, Group.OS, Os.RESET, asked="a reset")

    def close(self) -> None:
        """Stops the streams and lets go of the port; more than once does no harm."""
        if self._closing:
            return
        for stream in list(self._streams.values()):
            with contextlib.suppress(BridgeError):
                stream.close()
        self._closing = True
        self._requests.lost(LinkLost("the link was closed"))
        self._wake.set()
        if self._port is not None:
            self._port.close()
        for thread in (self._reader, getattr(self, "_keeper", None)):
            if thread is not None and thread is not threading.current_thread():
                thread.join()
        for ring in (self.logs, self.events):
            ring.end()
        self._status.set(State.CLOSED)

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- what a dialect needs ---

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        port = self._port
        if port is None:
            raise LinkLost("the device is gone")
        if self._tap is not None:
            self._tap("out", time.monotonic_ns(), data)
        port.write(data)

    def _send_control(self, message: bytes) -> None:
        self.write(self._dialect.encode(CONTROL, message))

    # --- connecting ---

    def _connect(self) -> None:
        self._ready = False
        port = self._opener()
        self._status.set(State.CONNECTING)
        self._dialect.reset()
        self._port = port
        self._requests.found()
        self._reader = threading.Thread(
            target=self._read, args=(port,), name="bridge-reader", daemon=True
        )
        self._reader.start()
        self._shake_hands()

    def _shake_hands(self) -> None:
        """Asks what is there, and goes on with the streams that were wanted."""
        with self._handshaking:
            self._resume(self._dialect.greet(self))

    def look_again(self) -> None:
        """Asks anew what is there: a device may have been restarted behind an open port.

        Raises:
            NoAnswer: nothing answers.
        """
        with self._handshaking:
            hello = self._dialect.greet(self)
            if hello.boot_id != self.hello.boot_id:
                self._resume(hello)

    def _resume(self, hello: Hello) -> None:
        self._hello = hello
        self._clock.restart(hello.boot_id)
        self._dialect.set_fit(self._clock.fit)
        for number, stream in list(self._streams.items()):
            if stream.info not in hello.streams:
                self._streams.pop(number)
                stream.end(Incompatible(
                    f"the device that came back has no stream {stream.info.name!r} like before"
                ))  # fmt: skip
                continue
            self._dialect.start(self, stream.info)
            stream.touch(self._now_ns())
        self._ready = True
        self._judge()

    def _stop_stream(self, info: StreamInfo) -> None:
        if self._streams.get(info.id) is None:
            return
        try:
            if self._status.now not in (State.LOST, State.CLOSED):
                self._dialect.stop(self, info)
        finally:
            self._streams.pop(info.id, None)
            self._judge()

    # --- the thread that reads ---

    def _read(self, port: Port) -> None:
        try:
            self._read_on(port)
        except LinkLost as error:
            self._lose(port, error)
        except BridgeError as error:  # of a tap, for example no room on the disk: no silent end
            self._reconnect = False
            self._lose(port, error)

    def _read_on(self, port: Port) -> None:
        heard_ns = self._now_ns()
        quiet = False
        while not self._closing:
            data = port.read(_POLL_S)
            now_ns = self._now_ns()
            if data:
                heard_ns, quiet = now_ns, False
                self._arrived_ns = now_ns
                if self._tap is not None:
                    self._tap("in", now_ns, data)
                for item in self._dialect.feed(data, now_ns):
                    self._give(item, now_ns)
            elif not quiet and now_ns - heard_ns > _QUIET_S * 1e9:
                quiet = True
                for item in self._dialect.idle(now_ns):
                    self._give(item, now_ns)
            self._judge(now_ns)

    def _give(self, item: object, now_ns: int) -> None:
        if isinstance(item, Block | Picture):
            stream = self._streams.get(item.stream.id)
            if stream is not None:
                stream.touch(now_ns)
                stream.put(item)
        elif isinstance(item, Message):
            self._requests.offer(item)
        elif isinstance(item, Happened):
            self.events.put(item)
        elif isinstance(item, LogLine):
            self.logs.put(item)

    def _lose(self, port: Port, error: BridgeError) -> None:
        port.close()
        if self._closing or port is not self._port:
            return
        self._port = None
        self._status.set(State.LOST)
        self._requests.lost(error)
        if not self._reconnect:
            for stream in list(self._streams.values()):
                stream.end(None if isinstance(error, Ended) else error)
        self._wake.set()

    # --- the thread that keeps ---

    def _keep(self) -> None:
        attempt, due_s, look_s = 0, time.monotonic(), 0.0
        while not self._closing:
            self._wake.clear()
            if self._port is None:
                if not self._reconnect:
                    return
                if self._again():
                    attempt, due_s = 0, time.monotonic()
                    continue
                self._wake.wait(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
                attempt += 1
                continue
            if self._status.now is State.STALLED and time.monotonic() >= look_s:
                with contextlib.suppress(BridgeError):
                    self.look_again()
                look_s = time.monotonic() + _LOOK_AGAIN_S
            if self._measure and time.monotonic() >= due_s:
                with contextlib.suppress(BridgeError):
                    self._round()
                due_s = time.monotonic() + INTERVAL_S
            self._wake.wait(min(max(due_s - time.monotonic(), 0.01), 0.25) if self._measure
                            else 0.25)  # fmt: skip

    def _again(self) -> bool:
        try:
            self._connect()
        except BridgeError:
            port, self._port = self._port, None
            if port is not None:
                port.close()
            if self._reader is not None:
                self._reader.join()
            self._status.set(State.LOST)
            return False
        self.reconnects += 1
        return True

    def _round(self) -> None:
        probes = measured(self.ask, lambda: self._arrived_ns)
        self._dialect.set_fit(self._clock.round(probes))

    # --- the state ---

    def _judge(self, now_ns: int | None = None) -> None:
        if self._port is None or not self._ready:
            return
        now_ns = self._now_ns() if now_ns is None else now_ns
        streams = list(self._streams.values())
        if not streams:
            self._status.set(State.READY)
        elif any(now_ns - s.heard_ns > _MISSED_PERIODS * s.period_ns for s in streams):
            self._status.set(State.STALLED)
            self._wake.set()
        else:
            self._status.set(State.STREAMING)
