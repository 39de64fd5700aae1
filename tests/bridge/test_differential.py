"""Our codecs against others' and against the specification written down once more.

Whatever the bytes are, ours and theirs take the same for good and give the same of it: random
bytes, good ones spoilt, and those that lie at the edges of the coding.
"""

from __future__ import annotations

import base64
import random
import zlib
from typing import Any

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import BadMessage
from firmware_bridge.frames import CONTROL, CobsFramer, ConsoleFramer, Frame
from firmware_bridge.smp import Message, Op, decode
from tests.bridge.fuzz_inputs import request, spoilt
from tests.bridge.vectors.make import cobs as cobs_by_the_page

MAX = 512
# Codes and runs at COBS's edges: blocks of 253 to 255, codes that point behind the end, no data.
EDGES = [
    b"\xff" * 254, b"\xff" + b"\x01" * 254, b"\xff" + b"\x01" * 253, b"\xfe" + b"\x02" * 253,
    b"\x01", b"\x01" * 9, b"\x02\x01", b"\x02", b"\xff", b"\x05\x01\x01", b"\x06" + b"\x07" * 5,
    b"\xff" + b"\x09" * 254 + b"\x01", b"\x01\xff" + b"\x09" * 254, b"\x11" * 600,
]  # fmt: skip


def decoded(piece: bytes) -> bytes | None:
    """COBS once more, code by code, as Cheshire and Baker describe it."""
    found, at = bytearray(), 0
    while at < len(piece):
        code = piece[at]
        block = piece[at + 1 : at + code]
        if not code or len(block) != code - 1 or 0 in block:
            return None
        found += block
        at += code
        if code < 255 and at < len(piece):
            found.append(0)
    return bytes(found)


def frames_by_the_page(wire: bytes, max_frame: int) -> tuple[list[Frame], int]:
    """docs/wire.md §2: the frames, and how many pieces are counted as no frame."""
    found, bad = list[Frame](), 0
    for piece in wire.split(b"\0")[:-1]:
        body = decoded(piece) if piece else None
        if not piece:
            continue
        whole = body is not None and 5 <= len(body) <= max_frame
        if body is None or not whole or zlib.crc32(body[:-4]).to_bytes(4, "little") != body[-4:]:
            bad += 1
        else:
            found.append(Frame(body[0], body[1:-4]))
    return found, bad


def wires(seed: int) -> bytes:
    """Good frames, spoilt ones, edges and noise, one behind the other."""
    dice, framer, found = random.Random(seed), CobsFramer(), bytearray()
    for _ in range(dice.randrange(1, 12)):
        size = dice.choice([0, 1, 5, 100, 248, 249, 250, 253, 254, 255, MAX - 6, MAX - 5, MAX - 4])
        fill = dice.choice([dice.randbytes(size), bytes(size), b"\x7f" * size])
        good = framer.encode(dice.randrange(256), fill)
        match dice.randrange(5):
            case 0 | 1:
                found += good
            case 2:
                found += spoilt(dice, [good])
            case 3:
                found += dice.choice(EDGES) + dice.choice([b"", b"\0", b"\0\0"])
            case _:
                found += dice.randbytes(dice.randrange(40))
    return bytes(found)


@settings(deadline=None, max_examples=1000)
@given(st.integers(0, 2**32), st.integers(1, 700))
def test_the_same_frames_as_the_page_says_in_any_pieces(seed: int, size: int) -> None:
    wire = wires(seed)
    framer, found = CobsFramer(MAX), list[Frame]()
    for at in range(0, len(wire), size):
        found += framer.feed(wire[at : at + size])
    frames, bad = frames_by_the_page(wire, MAX)
    assert found == frames
    # What is longer than a frame can be is counted where its cap was passed, zero or no zero.
    unfinished = len(wire) - wire.rfind(b"\0") - 1 > MAX + MAX // 254 + 1
    assert framer.tally.damaged + framer.tally.oversized == bad + unfinished
    assert framer.tally.frames == len(frames)


@settings(deadline=None, max_examples=1000)
@given(st.integers(0, 2**32))
def test_the_package_cobs_takes_what_the_page_does(seed: int) -> None:
    for piece in wires(seed).split(b"\0"):
        try:
            theirs = cobs.decode(piece)
        except cobs.DecodeError:
            theirs = None
        assert theirs == decoded(piece)


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=1100) | st.integers(0, 1100).map(lambda n: b"\x55" * n))
def test_the_same_coding_as_the_package_cobs_and_the_page(data: bytes) -> None:
    wire = CobsFramer().encode(7, data)
    body = b"\x07" + data
    body += zlib.crc32(body).to_bytes(4, "little")
    assert wire == cobs.encode(body) + b"\0" == cobs_by_the_page(body) + b"\0"
    assert decoded(wire[:-1]) == body


# --- SMP ---


@settings(deadline=None, max_examples=1000)
@given(st.integers(0, 2**32))
def test_the_same_headers_as_the_package_smp(seed: int) -> None:
    """Of requests, of spoilt ones and of noise: what we read they read alike."""
    smp_header = pytest.importorskip("smp.header", reason="an oracle: pip install smp")
    dice = random.Random(seed)
    good = request(dice)
    data = dice.choice([good, spoilt(dice, [good]), dice.randbytes(8) + good[8:]])
    theirs: Any = None
    try:
        theirs = smp_header.Header.loads(data[:8])
    except Exception:  # of struct, of enum: theirs has no error of its own
        theirs = None
    try:
        ours = decode(data)
    except BadMessage:
        return  # we look at length and body, too
    if theirs is None:  # of the standard's groups they take the commands alone that they know
        assert ours.group < 64
        return
    assert (int(theirs.op), int(theirs.version), int(theirs.group_id)) == (
        int(ours.op), ours.version, ours.group
    )  # fmt: skip
    assert (theirs.sequence, int(theirs.command_id)) == (ours.sequence, ours.command)
    assert theirs.length == len(data) - 8


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(list(Op)), st.integers(64, 0xFFFF), st.integers(0, 255), st.integers(0, 255),
    st.dictionaries(st.text(max_size=8), st.integers(0, 2**64 - 1) | st.text() | st.binary()),
)  # fmt: skip
def test_they_read_every_header_of_a_group_of_users_that_we_write(
    op: Op, group: int, command: int, sequence: int, body: dict[str, Any]
) -> None:
    smp_header = pytest.importorskip("smp.header", reason="an oracle: pip install smp")
    data = Message(op, group, command, sequence, body).to_bytes()
    theirs = smp_header.Header.loads(data[:8])
    assert (theirs.op, theirs.group_id, theirs.sequence, theirs.length) == (
        op, group, sequence, len(data) - 8
    )  # fmt: skip
    assert int(theirs.command_id) == command
    assert bytes(theirs) == data[:8]


def by_package(lines: list[bytes]) -> bytes | None:
    """What the package makes of the lines of one message; None: it refuses them or wants more."""
    packet = pytest.importorskip("smp.packet", reason="an oracle: pip install smp")
    decoder = packet.decode()
    next(decoder)
    try:
        for line in lines:
            decoder.send(line)
    except StopIteration as done:
        # It does not ask whether more is there than the length says; the console's page does.
        says = int.from_bytes(base64.b64decode(lines[0][2:])[:2], "big")
        return bytes(done.value) if says == len(done.value) + 2 else None
    except Exception:  # of base64, of struct, of its own
        return None
    return None


@settings(deadline=None, max_examples=1000)
@given(st.integers(0, 2**32))
def test_spoilt_console_lines_are_refused_where_the_package_smp_refuses_them(seed: int) -> None:
    """Of one message, with bytes overwritten or lines lost, doubled or swapped."""
    dice = random.Random(seed)
    message = request(dice) + dice.randbytes(dice.randrange(300))
    lines = ConsoleFramer(MAX).encode(CONTROL, message[:MAX]).splitlines(keepends=True)
    for _ in range(dice.randrange(3)):
        at = dice.randrange(len(lines))
        match dice.randrange(4):
            case 0:
                line = bytearray(lines[at])
                line[dice.randrange(2, len(line) - 1)] = dice.choice(b"AZaz09+/")
                lines[at] = bytes(line)
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines.insert(at, lines[at])
            case _:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
    ours = [f.payload for f in ConsoleFramer(MAX).feed(b"".join(lines)) if f.channel == CONTROL]
    begins = [n for n, line in enumerate(lines) if line.startswith(b"\x06\x09")]
    parts = [lines[a:b] for a, b in zip(begins, [*begins[1:], len(lines)], strict=False)]
    theirs = [told for part in parts if (told := by_package(part)) is not None]
    assert ours == [told for told in theirs if len(told) >= 8]
