"""Inputs for the fuzzing: good ones spoilt, and odd ones with all their checksums right.

Spoilt bytes alone mostly fail at a checksum; a maker frames odd contents properly, so that what
lies behind the checksums is reached in every second input.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge import cbor, mcuboot
from firmware_bridge.frames import CONTROL, CobsFramer, ConsoleFramer
from firmware_bridge.recording import HEAD, MAGIC
from firmware_bridge.smp import Group, Message, Op
from tests.bridge.cart import INFO

VECTORS = Path(__file__).parent / "vectors"
LONGEST = 600
FRAME = 512
"""Of the framers: less than the longest inputs, so that their caps are met too."""

Dice = random.Random
Maker = Callable[[Dice], bytes]
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 255, 256, 2**16, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 1.5, -0.0,
    float("nan"), float("inf"), "", "ecg", "x" * 300, "\0\x1b[2J\ud7ff", b"", b"\0" * 32,
    b"\xff" * 300, [], {}, [[[]]], [1, 0], [2, 0], {"a": {"b": [None]}}, ["", "", ""],
)  # fmt: skip


def spoilt(dice: Dice, good: list[bytes]) -> bytes:
    """Good bytes cut, joined, repeated and overwritten."""
    data = bytearray(dice.choice(good))
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data[at : at + 1] = dice.randbytes(1)
            case 1:
                del data[at : at + dice.randrange(1, 9)]
            case 2:
                data[at:at] = dice.randbytes(dice.randrange(1, 9))
            case 3:
                data[at:at] = dice.choice(good)
            case 4:
                data[at : at + 4] = dice.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            case _:
                data += data[at:]
    return bytes(data[: 4 * LONGEST])


def twisted(dice: Dice, told: Any) -> Any:
    """A map or list with something odd somewhere in it."""
    if isinstance(told, list) and told:
        at = dice.randrange(len(told))
        return [*told[:at], twisted(dice, told[at]), *told[at + 1 :]]
    if not isinstance(told, dict) or not told:
        return dice.choice(ODD)
    key, found = dice.choice(list(told)), dict(told)
    match dice.randrange(6):
        case 0:
            del found[key]
        case 1:
            found[dice.choice(["", "x", "off", "id", "rc", "err"])] = dice.choice(ODD)
        case _:
            found[key] = twisted(dice, found[key])
    return found


def vectors(file: str, key: str) -> list[bytes]:
    cases = json.loads((VECTORS / f"{file}.json").read_text("utf-8"))
    return [bytes.fromhex(case[key]) for case in cases]


def requests() -> list[Message]:
    """All that a device can be asked."""
    image = mcuboot.firmware_image(bytes(40), (9, 0, 0, 0))
    ours = Group.EDGE_DX
    asked: list[tuple[Op, int, int, dict[str, Any]]] = [
        (Op.WRITE, 0, 0, {"d": "hello"}), (Op.WRITE, 0, 5, {}), (Op.READ, 0, 6, {}),
        (Op.READ, 1, 0, {}), (Op.WRITE, 1, 0, {"hash": bytes(32), "confirm": False}),
        (Op.WRITE, 1, 0, {"confirm": True}), (Op.WRITE, 1, 5, {}),
        (Op.WRITE, 1, 1, {"off": 0, "len": len(image), "sha": bytes(32), "data": image[:100]}),
        (Op.WRITE, 1, 1, {"off": 100, "data": image[100:]}),
        (Op.READ, ours, 0, {}), (Op.READ, ours, 1, {"t1": 2**40}), (Op.WRITE, ours, 2, {"id": 0}),
        (Op.WRITE, ours, 3, {"id": 0}), (Op.WRITE, ours, 2, {"id": INFO.id}),
        (Op.WRITE, ours, 4, {"stream": INFO.id, "boot": 1, "index": 0, "status": "negative"}),
        (Op.READ, ours, 5, {}),
    ]  # fmt: skip
    return [Message(op, group, command, 1, body) for op, group, command, body in asked]


def request(dice: Dice) -> bytes:
    """A request, odd in its body or in its header."""
    asked = dice.choice(REQUESTS)
    body = twisted(dice, asked.body) if dice.random() < 0.6 else asked.body
    body = body if isinstance(body, dict) else {"d": body}
    op = dice.choice(list(Op)) if dice.random() < 0.1 else asked.op
    return Message(op, asked.group, asked.command, dice.randrange(256), body).to_bytes()


REQUESTS = requests()


def framed(framer: CobsFramer, contents: list[tuple[int, bytes]]) -> Maker:
    """Makes several frames of spoilt contents."""

    def make(dice: Dice) -> bytes:
        found = b""
        for _ in range(dice.randrange(1, 4)):
            channel, payload = dice.choice(contents)
            if channel == CONTROL and dice.random() < 0.5:
                payload = request(dice)
            elif dice.random() < 0.5:
                payload = spoilt(dice, [payload])
            found += framer.encode(channel, payload[: FRAME - 5])
        return found

    return make


def on_console(dice: Dice) -> bytes:
    payload = spoilt(dice, [request(dice)])[:FRAME]
    return ConsoleFramer(FRAME).encode(CONTROL, payload) if len(payload) >= 8 else b"> \n"


def recorded(dice: Dice) -> bytes:
    """A recording of odd records with the right checksums."""
    found = MAGIC
    for number in range(dice.randrange(1, 5)):
        kind = HEAD if number == 0 or dice.random() < 0.1 else dice.randrange(256)
        body = cbor.dumps({"dialect": dice.choice(ODD)}) if kind == HEAD else dice.randbytes(30)
        head = struct.pack("<IBQ", len(body), kind, dice.choice([0, 1, 2**63, 2**64 - 1]))
        found += head + body + struct.pack("<I", zlib.crc32(body, zlib.crc32(head[4:])))
    return found[: dice.choice([len(found), dice.randrange(len(found) + 1)])]
