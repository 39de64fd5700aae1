"""The answers of a device: SMP groups OS and IMAGE as the standard has them, and our own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from firmware_bridge import smp
from firmware_bridge.capabilities import Hello, to_map
from firmware_bridge.errors import BadMessage, ImageRefused
from firmware_bridge.simulator.slots import NotNow, Slots
from firmware_bridge.smp import Group, Image, Message, Op, Os, Ours, Rc

_REMEMBERED = 4
"""Writes whose answers are kept: a request that comes again is answered again, and done once."""


class _Refusal(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class Machine(Protocol):
    """What the answers need of the device."""

    slots: Slots
    verdicts: list[dict[str, Any]]

    def hello(self) -> Hello:
        """What it says about itself."""

    def time_us(self) -> int:
        """Its clock."""

    def start(self, stream: int) -> bool:
        """Starts a stream; whether there is one of that number."""

    def stop(self, stream: int) -> bool:
        """Stops it; likewise."""

    def told_of(self, stream: int) -> dict[str, Any]:
        """Boot id, next index and dropped in all; asked when the answer leaves."""

    def counters(self) -> dict[str, Any]:
        """What it received and dropped."""

    def restart_soon(self) -> None:
        """Restarts once the answer has left."""


class Answer:
    """Made when it leaves, so that indices and times in it are those of that moment; and once.

    Args:
        make: the bytes.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._made: bytes | None = None

    def __call__(self) -> bytes:
        """The same bytes each time."""
        if self._made is None:
            self._made = self._make()
        return self._made


class Server:
    """Turns requests into answers.

    Args:
        machine: the device.
        max_body: longest CBOR body that it takes.
    """

    def __init__(self, machine: Machine, max_body: int) -> None:
        self._machine = machine
        self._max_body = max_body
        self._done: OrderedDict[bytes, Answer] = OrderedDict()
        self.unreadable = 0
        self.repeated = 0

    def take(self, data: bytes) -> Answer | None:
        """The answer to a request; None where it is none."""
        try:
            request = smp.decode(data, max_body=self._max_body)
        except BadMessage:
            self.unreadable += 1
            return None
        if request.op not in (Op.READ, Op.WRITE):
            self.unreadable += 1
            return None
        if request.op is Op.WRITE and data in self._done:
            self.repeated += 1
            return self._done[data]
        try:
            try:
                body = self._act(request)
            except NotNow as why:
                raise _Refusal(Rc.BAD_STATE) from why
        except _Refusal as refusal:
            answer = Answer(request.refusal(refusal.code).to_bytes)
        else:
            answer = Answer(lambda: request.answer(body()).to_bytes())
        if request.op is Op.WRITE:
            self._done[data] = answer
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        return answer

    def _act(self, request: Message) -> Callable[[], dict[str, Any]]:
        body, machine = request.body, self._machine
        match (request.group, request.command, request.op):
            case (Group.OS, Os.ECHO, Op.WRITE):
                text = body.get("d")
                if not isinstance(text, str):
                    raise _Refusal(Rc.INVALID)
                return lambda: {"r": text}
            case (Group.OS, Os.PARAMETERS, Op.READ):
                hello = machine.hello()
                return lambda: {"buf_size": hello.max_frame, "buf_count": hello.buffers}
            case (Group.OS, Os.RESET, Op.WRITE):
                machine.restart_soon()
                return dict
            case (Group.IMAGE, Image.STATE, Op.READ):
                return machine.slots.state
            case (Group.IMAGE, Image.STATE, Op.WRITE):
                return self._mark(body)
            case (Group.IMAGE, Image.UPLOAD, Op.WRITE):
                return self._upload(body)
            case (Group.IMAGE, Image.ERASE, Op.WRITE):
                machine.slots.erase()
                return dict
            case (Group.EDGE_DX, Ours.HELLO, Op.READ):
                self._done.clear()  # a host begins anew, and may use its numbers again
                return lambda: to_map(machine.hello())
            case (Group.EDGE_DX, Ours.PING, Op.READ):
                came = machine.time_us()
                t1 = body.get("t1")
                if not isinstance(t1, int):
                    raise _Refusal(Rc.INVALID)
                return lambda: {"t1": t1, "t2": came, "t3": machine.time_us()}
            case (Group.EDGE_DX, Ours.START | Ours.STOP, Op.WRITE):
                return self._stream(request.command, body)
            case (Group.EDGE_DX, Ours.VERDICT, Op.WRITE):
                machine.verdicts.append(body)
                return dict
            case (Group.EDGE_DX, Ours.COUNTERS, Op.READ):
                return machine.counters
            case _:
                raise _Refusal(Rc.NOT_SUPPORTED)

    def _stream(self, command: int, body: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        number = body.get("id")
        if not isinstance(number, int):
            raise _Refusal(Rc.INVALID)
        act = self._machine.start if command == Ours.START else self._machine.stop
        if not act(number):
            raise _Refusal(Rc.NO_ENTRY)
        return lambda: self._machine.told_of(number)

    def _mark(self, body: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        digest, confirm = body.get("hash"), body.get("confirm", False)
        if not isinstance(digest, bytes | None) or not isinstance(confirm, bool):
            raise _Refusal(Rc.INVALID)
        if not self._machine.slots.mark(digest, confirm):
            raise _Refusal(Rc.NO_ENTRY)
        return self._machine.slots.state

    def _upload(self, body: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        offset, data = body.get("off"), body.get("data", b"")
        length, digest = body.get("len"), body.get("sha")
        if (
            not isinstance(offset, int) or not isinstance(data, bytes)
            or not isinstance(length, int | None) or not isinstance(digest, bytes | None)
            or (offset == 0 and length is None)
        ):  # fmt: skip
            raise _Refusal(Rc.INVALID)
        try:
            wanted = self._machine.slots.upload(offset, data, length, digest)
        except ImageRefused as refused:
            raise _Refusal(Rc.CORRUPT) from refused
        return lambda: {"off": wanted}
