"""The Simple Management Protocol, version 2: header, bodies and errors, without any I/O.

    version, op u8 | flags u8 | length u16 | group u16 | sequence u8 | command u8 | CBOR map

Numbers are big endian. The protocol is Zephyr's and Mynewt's (MCUmgr). A request's sequence number
comes back in its answer, and tells it from one that is late. Requests of groups 0 and 1 are those
of the standard; ours live in a group of their own, docs/wire.md §6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from firmware_bridge import cbor
from firmware_bridge.errors import BadMessage, DeviceRefused

HEADER = struct.Struct("!BBHHBB")
MAX_BODY = 8192


class Op(IntEnum):
    """Reading changes nothing; an answer's number is its request's plus one."""

    READ = 0
    READ_ANSWER = 1
    WRITE = 2
    WRITE_ANSWER = 3


class Group(IntEnum):
    """The groups spoken here; `EDGE_DX` is 0x4544, `ED`, far above where others begin (64)."""

    OS = 0
    IMAGE = 1
    EDGE_DX = 0x4544


class Os(IntEnum):
    """Commands of the group OS."""

    ECHO = 0
    RESET = 5
    PARAMETERS = 6


class Image(IntEnum):
    """Commands of the group IMAGE."""

    STATE = 0
    UPLOAD = 1
    ERASE = 5


class Ours(IntEnum):
    """Commands of the group EDGE_DX."""

    HELLO = 0
    PING = 1
    START = 2
    STOP = 3
    VERDICT = 4
    COUNTERS = 5


class Rc(IntEnum):
    """Error codes that all groups share (`mcumgr_err_t`)."""

    OK = 0
    UNKNOWN = 1
    NO_MEMORY = 2
    INVALID = 3
    TIMEOUT = 4
    NO_ENTRY = 5
    BAD_STATE = 6
    TOO_LARGE = 7
    NOT_SUPPORTED = 8
    CORRUPT = 9
    BUSY = 10
    DENIED = 11


@dataclass(frozen=True)
class Message:
    """One request or answer.

    Attributes:
        op: what kind.
        group: number of the group; any u16.
        command: number within the group.
        sequence: 0 to 255.
        body: the map.
        version: 1 for SMP version 2, 0 for the version before.
    """

    op: Op
    group: int
    command: int
    sequence: int
    body: dict[str, Any] = field(default_factory=dict)
    version: int = 1

    def to_bytes(self) -> bytes:
        """Header and body.

        Raises:
            BadMessage: the body is too large.
        """
        body = cbor.dumps(self.body)
        if len(body) > MAX_BODY:
            raise BadMessage(f"an SMP body of {len(body)} bytes; up to {MAX_BODY} are sent")
        head = HEADER.pack(
            self.version << 3 | self.op, 0, len(body), self.group, self.sequence, self.command
        )
        return head + body

    def answers(self, request: Message) -> bool:
        """Whether this is the answer to that request, and to no other."""
        return (self.op, self.group, self.command, self.sequence) == (
            request.op + 1, request.group, request.command, request.sequence
        )  # fmt: skip

    def answer(self, body: dict[str, Any]) -> Message:
        """The answer to this request."""
        return Message(Op(self.op + 1), self.group, self.command, self.sequence, body, self.version)

    def refusal(self, code: int) -> Message:
        """The answer that says no, in the words of the request's version."""
        if self.version == 0:
            return self.answer({"rc": code})
        return self.answer({"err": {"group": self.group, "rc": code}})


def decode(data: bytes, *, max_body: int = MAX_BODY) -> Message:
    """The message that these bytes are.

    Raises:
        BadMessage: no SMP message, or one that is too large.
    """
    if len(data) < HEADER.size:
        raise BadMessage(f"an SMP message has at least 8 bytes, not {len(data)}")
    told, _, length, group, sequence, command = HEADER.unpack_from(data)
    op, version = told & 7, told >> 3 & 3
    if op > 3 or version > 1:
        raise BadMessage(f"an SMP message of operation {op}, version {version}")
    if length != len(data) - HEADER.size:
        raise BadMessage(f"an SMP body of {len(data) - HEADER.size} bytes that says {length}")
    body = cbor.loads(data[HEADER.size :], max_bytes=max_body)
    return Message(Op(op), group, command, sequence, body, version)


def check(answer: Message, asked: str) -> dict[str, Any]:
    """The answer's body.

    Args:
        answer: as the device sent it.
        asked: what was asked, in words, for the message.

    Raises:
        DeviceRefused: the answer is an error.
    """
    body = answer.body
    err, rc = body.get("err"), body.get("rc", 0)
    if isinstance(err, dict):
        group, code = err.get("group", answer.group), err.get("rc", Rc.UNKNOWN)
    elif rc:
        group, code = answer.group, rc
    else:
        return body
    if not isinstance(group, int) or not isinstance(code, int):
        group, code = answer.group, int(Rc.UNKNOWN)
    known = code in set(Rc)
    told = Rc(code).name.lower().replace("_", " ") if known else "a code of its own"
    why = body.get("rsn")
    raise DeviceRefused(
        f"the device refused {asked}: {told} (group {group}, code {code})"
        + (f", {why[:200]!r}" if isinstance(why, str) else ""),
        group, code,
    )  # fmt: skip
