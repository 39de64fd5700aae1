"""A device at the other end of a port that may go away and come back; what a user asks of it.

Users see gaps with their causes and a state, and an error only where nothing can go on. How the
link is kept is in `session.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from firmware_bridge.capabilities import Hello
from firmware_bridge.clock import Fit
from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.dialect import Dialect, Native
from firmware_bridge.errors import BridgeError, Incompatible
from firmware_bridge.loss import Counts
from firmware_bridge.reading import Tap
from firmware_bridge.receiver import Happened, LogLine
from firmware_bridge.ring import OnFull, Ring
from firmware_bridge.session import Session
from firmware_bridge.smp import Group, Message, Op, Os, Ours
from firmware_bridge.state import State
from firmware_bridge.streaming import Stream

__all__ = ["Link", "Tap"]


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
        self._on_full = on_full
        self._session = Session(
            opener, dialect or Native(), reconnect=reconnect, measure_clock=measure_clock, tap=tap,
            now_ns=now_ns,
        )  # fmt: skip
        self._closed = False
        try:
            self._session.open()
        except BaseException:
            self.close()
            raise

    @property
    def hello(self) -> Hello:
        """What the device said about itself, most recently."""
        assert self._session.hello is not None
        return self._session.hello

    @property
    def state(self) -> State:
        """How the link is now."""
        return self._session.status.now

    @property
    def has_clock(self) -> bool:
        """Whether the device has a clock that is measured."""
        return self._session.has_clock

    @property
    def ended(self) -> bool:
        """The device is gone and is not looked for, or a recording is over."""
        return self.state is State.CLOSED or (
            self.state is State.LOST and not self._session.seeking
        )

    @property
    def fit(self) -> Fit | None:
        """What is known of the device's clock."""
        return self._session.clock.fit

    @property
    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return self._session.dialect.counts()

    @property
    def troubles(self) -> dict[str, int]:
        """What went wrong on the way so far, as numbers by name."""
        dialect, requests = self._session.dialect, self._session.requests
        return {
            "damaged_frames": dialect.tally.damaged, "oversized_frames": dialect.tally.oversized,
            "skipped_bytes": dialect.tally.skipped_bytes, "unreadable_messages": dialect.unreadable,
            "late_answers": requests.late, "repeated_requests": requests.repeated,
            "reconnects": self.reconnects,
        }  # fmt: skip

    @property
    def logs(self) -> Ring[LogLine]:
        """Lines that the device wrote for a person; the last 1,000."""
        return self._session.logs

    @property
    def events(self) -> Ring[Happened]:
        """What happened at the device; the last 1,000."""
        return self._session.events

    @property
    def reconnects(self) -> int:
        """How often the device was lost and came back."""
        return self._session.reconnects

    def wait_for(self, *states: State, timeout_s: float) -> bool:
        """Waits until the link is in one of these states; whether it came to that."""
        return self._session.status.wait_for(*states, timeout_s=timeout_s)

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
        if info.id in self._session.streams:
            raise Incompatible(f"stream {name!r} is being read already; close that one first")
        stream = Stream(info, on_full or self._on_full, room, self._session.end)
        self._session.begin(stream)
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
        return self._session.ask(
            op, group, command, body, asked=asked, timeout_s=timeout_s, tries=tries, then=then
        )

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

    def write(self, data: bytes) -> None:
        """Sends bytes as they are, for devices without requests.

        Raises:
            LinkLost: the device is gone.
        """
        self._session.write(data)

    def look_again(self) -> None:
        """Asks anew what is there: a device may have been restarted behind an open port.

        Raises:
            NoAnswer: nothing answers.
        """
        self._session.look_again()

    def close(self) -> None:
        """Stops the streams and lets go of the port; more than once does no harm."""
        if self._closed:
            return
        for stream in list(self._session.streams.values()):
            with contextlib.suppress(BridgeError):
                stream.close()
        self._closed = True
        self._session.close()

    @property
    def _port(self) -> Port | None:
        return self._session.port  # for tests that pull the cable

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
