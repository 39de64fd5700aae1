"""What a device speaks: how to greet it, start its streams and read its bytes.

`Native` is docs/wire.md. The devices of others in `firmware_bridge/devices/` are further ones, so
that a link, a recording and a replay treat all devices alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from firmware_bridge import smp
from firmware_bridge.capabilities import Hello, StreamInfo, read_hello
from firmware_bridge.clock import Fit
from firmware_bridge.errors import BadMessage, DeviceRefused, Incompatible
from firmware_bridge.frames import CONTROL, MAX_FRAME, CobsFramer, Framer, Tally
from firmware_bridge.loss import Counts
from firmware_bridge.pacing import Intake
from firmware_bridge.receiver import Item, Receiver
from firmware_bridge.smp import Group, Message, Op, Ours

HELLO_TIMEOUT_S = 0.5
"""For the first try of the handshake."""


class Line(Protocol):
    """What a dialect may do while it greets, starts and stops."""

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""

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
        """An SMP request."""


class Dialect(Protocol):
    """One way to talk to devices. Bytes are fed by one thread, the others come from another."""

    has_clock: bool
    intake: Intake | None
    """What a device of this kind takes at once; None: the port paces enough."""

    @property
    def tally(self) -> Tally:
        """What the framer threw away."""

    @property
    def unreadable(self) -> int:
        """Whole frames that make no sense."""

    def greet(self, line: Line) -> Hello:
        """Asks what is there.

        Raises:
            NoAnswer: nothing answers.
            Incompatible: something else does.
        """

    def start(self, line: Line, info: StreamInfo) -> None:
        """Starts a stream, or goes on with it."""

    def stop(self, line: Line, info: StreamInfo) -> None:
        """Stops it."""

    def forget(self, info: StreamInfo) -> None:
        """Begins its account anew."""

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete; never raises, whatever they are."""

    def idle(self, now_ns: int) -> Iterator[Item]:
        """What was held back and is complete because the line is silent."""

    def reset(self) -> None:
        """Forgets what has begun, as after the port was opened again."""

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The bytes of a frame."""

    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""

    def set_fit(self, fit: Fit | None) -> None:
        """Takes what is known of the device's clock."""


class Native:
    """docs/wire.md.

    Args:
        framer: None for the framing of its §2.
    """

    has_clock = True
    intake: Intake | None = None

    def __init__(self, framer: Framer | None = None) -> None:
        self._receiver = Receiver(framer or CobsFramer(MAX_FRAME))
        self._outward = CobsFramer(MAX_FRAME)

    @property
    def tally(self) -> Tally:
        """What the framer threw away."""
        return self._receiver.framer.tally

    @property
    def unreadable(self) -> int:
        """Whole frames that break the specification."""
        return self._receiver.unreadable

    def greet(self, line: Line) -> Hello:
        """The handshake of §6.1."""
        met: list[Hello] = []
        try:
            line.ask(
                Op.READ, Group.EDGE_DX, Ours.HELLO, asked="the hello", timeout_s=HELLO_TIMEOUT_S,
                then=lambda answer: met.append(self.meet(answer)),
            )  # fmt: skip
        except DeviceRefused as error:
            raise Incompatible(
                f"the device speaks SMP and not the protocol of docs/wire.md ({error})"
            ) from error
        return met[0]

    def meet(self, answer: Message) -> Hello:
        """Takes an answer to hello; called where it arrives, so that what follows is understood.

        Raises:
            Incompatible: it is none, or of another major version.
        """
        hello = read_hello(answer.body)
        self._receiver.meet(hello)
        return hello

    def start(self, line: Line, info: StreamInfo) -> None:
        """Starts a stream, or goes on with it."""
        line.ask(Op.WRITE, Group.EDGE_DX, Ours.START, {"id": info.id},
                 asked=f"to start {info.name!r}",
                 then=lambda answer: self.told_place(info.id, answer, begins=True))  # fmt: skip

    def stop(self, line: Line, info: StreamInfo) -> None:
        """Stops a stream; the answer tells what was lost at its end."""
        line.ask(Op.WRITE, Group.EDGE_DX, Ours.STOP, {"id": info.id},
                 asked=f"to stop {info.name!r}",
                 then=lambda answer: self.told_place(info.id, answer, begins=False))  # fmt: skip

    def told_place(self, stream: int, answer: Message, *, begins: bool) -> None:
        """Takes an answer to start or stop into the stream's account.

        Raises:
            Incompatible: it does not say what it must.
        """
        boot, index, dropped = _place(answer.body)
        ledger = self._receiver.ledger(stream)
        if begins:
            ledger.expect(boot, index, dropped)
        else:
            ledger.settle(index, dropped)

    def requests_in(self, data: bytes) -> list[Message]:
        """Requests to a device in bytes that went to it; for recordings."""
        found = []
        for frame in self._outward.feed(data):
            if frame.channel == CONTROL:
                with contextlib.suppress(BadMessage):
                    found.append(smp.decode(frame.payload))
        return found

    def forget(self, info: StreamInfo) -> None:
        """Begins a stream's account anew."""
        self._receiver.forget(info.id)

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete."""
        return self._receiver.feed(data, arrived_ns)

    def idle(self, now_ns: int) -> Iterator[Item]:
        """Nothing: a frame ends with its zero byte."""
        return iter(())

    def reset(self) -> None:
        """Forgets what has begun."""
        self._receiver.framer.reset()

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The bytes of a frame."""
        return self._receiver.framer.encode(channel, payload)

    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return self._receiver.counts()

    def set_fit(self, fit: Fit | None) -> None:
        """Takes what is known of the device's clock."""
        self._receiver.fit = fit


def _place(told: dict[str, Any]) -> tuple[int, int, int]:
    """Boot id, next index and dropped in all.

    Raises:
        Incompatible: the answer does not say them.
    """
    found = [told.get(name) for name in ("boot", "next", "dropped")]
    if not all(isinstance(value, int) and 0 <= value < 2**32 for value in found):
        raise Incompatible(f"the answer to start or stop says {str(told)[:200]}")
    boot, index, dropped = (int(value or 0) for value in found)
    return boot, index, dropped
