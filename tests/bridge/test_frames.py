"""The framers: any split, noise between frames, lost bytes, caps, and what others' codecs say."""

from __future__ import annotations

import binascii
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import BadMessage
from firmware_bridge.frames import (
    CONTROL,
    LOG,
    STREAM,
    CobsFramer,
    ConsoleFramer,
    Frame,
    Framer,
    LineFramer,
    PacketFramer,
    RawFramer,
)
from firmware_bridge.smp import Message, Op

VECTORS = Path(__file__).parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))
    return found


class Toy:
    """A0, seven bytes, C0: as others build packets."""

    start = b"\xa0"
    max_size = 9

    def size(self, head: bytes) -> int | None:
        return 9

    def fits(self, packet: bytes) -> bool:
        return packet[-1] == 0xC0


MAKERS: dict[str, Callable[[], Framer]] = {
    "cobs": lambda: CobsFramer(512),
    "console": lambda: ConsoleFramer(512),
    "raw": lambda: RawFramer(512),
    "packets": lambda: PacketFramer(Toy()),
    "lines": lambda: LineFramer(128),
}

smp_messages = st.binary(max_size=300).map(
    lambda data: Message(Op.WRITE, 0, 0, len(data) % 256, {"d": data}).to_bytes()
)
cobs_frames = st.builds(Frame, st.integers(0, 255), st.binary(max_size=300))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


def fed(framer: Framer, data: bytes, sizes: list[int]) -> list[Frame]:
    return [frame for piece in cut(data, sizes) for frame in framer.feed(piece)]


sizes_of_pieces = st.lists(st.integers(0, 40), max_size=40)


# --- cobs ---


@pytest.mark.parametrize("case", vectors("frames"), ids=lambda case: str(case["name"]))
def test_golden_frames(case: dict[str, Any]) -> None:
    wire, payload = bytes.fromhex(case["wire"]), bytes.fromhex(case["payload"])
    assert CobsFramer().encode(case["channel"], payload) == wire
    assert CobsFramer().feed(wire) == [Frame(case["channel"], payload)]


@settings(deadline=None)
@given(st.lists(cobs_frames, max_size=8), sizes_of_pieces)
def test_frames_survive_any_split(frames: list[Frame], sizes: list[int]) -> None:
    framer = CobsFramer(512)
    wire = b"".join(framer.encode(*frame) for frame in frames)
    assert fed(framer, wire, sizes) == frames
    assert (framer.tally.frames, framer.tally.damaged) == (len(frames), 0)


@settings(deadline=None)
@given(st.lists(st.tuples(cobs_frames, st.binary(max_size=60)), max_size=6), sizes_of_pieces)
def test_noise_between_frames_costs_no_frame_that_a_zero_precedes(
    parts: list[tuple[Frame, bytes]], sizes: list[int]
) -> None:
    framer = CobsFramer(512)
    wire = b"".join(noise + b"\0" + framer.encode(*frame) for frame, noise in parts)
    found = fed(framer, wire, sizes)
    # Noise may hold a frame by itself only by a CRC of 32 bits.
    assert found == [frame for frame, _ in parts]


@settings(deadline=None)
@given(st.lists(cobs_frames, min_size=3, max_size=6), st.data())
def test_a_lost_byte_costs_at_most_two_frames(frames: list[Frame], data: st.DataObject) -> None:
    framer = CobsFramer(512)
    pieces = [framer.encode(*frame) for frame in frames]
    wire = b"".join(pieces)
    lost = data.draw(st.integers(0, len(wire) - 1))
    found = framer.feed(wire[:lost] + wire[lost + 1 :]) + framer.feed(b"\0")
    hit = next(n for n in range(len(pieces)) if lost < len(b"".join(pieces[: n + 1])))
    left = [frame for n, frame in enumerate(frames) if n not in (hit, hit + 1)]
    assert all(frame in found for frame in left)
    assert all(frame in frames for frame in found)
    assert len(found) >= len(frames) - 2


@settings(deadline=None)
@given(cobs_frames, st.data())
def test_a_flipped_bit_is_never_taken(frame: Frame, data: st.DataObject) -> None:
    framer = CobsFramer(512)
    wire = bytearray(framer.encode(*frame))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= 1 << data.draw(st.integers(0, 7))
    assert framer.feed(bytes(wire) + b"\0") == []


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_the_same_coding_as_the_package_cobs(data: bytes) -> None:
    wire = CobsFramer().encode(data[0] if data else 0, data[1:])
    body = bytes([data[0] if data else 0]) + data[1:]
    assert wire == cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


def test_what_is_too_long_is_dropped_and_never_held() -> None:
    framer = CobsFramer(300)
    for _ in range(1000):
        assert framer.feed(b"\x55" * 999) == []
        assert len(framer._left) <= 302
    assert framer.tally.oversized == 1
    assert framer.feed(b"\x55\0" + framer.encode(CONTROL, b"after")) == [Frame(CONTROL, b"after")]
    assert framer.feed(b"\x55" * 4000 + b"\0" + framer.encode(LOG, b"x")) == [Frame(LOG, b"x")]
    assert framer.tally.oversized == 2


def test_the_longest_frame_goes_both_ways_and_no_longer_one() -> None:
    framer = CobsFramer(512)
    for fill in (b"\0", b"\1"):
        assert framer.feed(framer.encode(2, fill * 507)) == [Frame(2, fill * 507)]
    with pytest.raises(BadMessage, match="in pieces"):
        framer.encode(2, b"\1" * 508)


# --- console ---


@pytest.mark.parametrize("case", vectors("smp"), ids=lambda case: str(case["name"]))
def test_golden_console_lines(case: dict[str, Any]) -> None:
    message, lines = bytes.fromhex(case["message"]), bytes.fromhex(case["console"])
    assert ConsoleFramer().encode(CONTROL, message) == lines
    assert ConsoleFramer().feed(lines) == [Frame(CONTROL, message)]
    assert CobsFramer().encode(CONTROL, message) == bytes.fromhex(case["framed"])


@settings(deadline=None)
@given(st.lists(smp_messages, max_size=4), sizes_of_pieces)
def test_console_messages_survive_logs_in_between(wanted: list[bytes], sizes: list[int]) -> None:
    framer = ConsoleFramer(512)
    wire = b"".join(b"[00:01] <inf> x: y\r\n" + framer.encode(CONTROL, one) for one in wanted)
    found = fed(framer, wire, sizes)
    assert [f.payload for f in found if f.channel == CONTROL] == wanted
    assert [f.payload for f in found if f.channel == LOG] == [b"[00:01] <inf> x: y"] * len(wanted)


@settings(deadline=None)
@given(smp_messages, smp_messages, st.data())
def test_a_damaged_line_costs_its_message_alone(
    one: bytes, other: bytes, data: st.DataObject
) -> None:
    framer = ConsoleFramer(512)
    wire = bytearray(framer.encode(CONTROL, one))
    at = data.draw(st.integers(0, len(wire) - 2))
    wire[at] ^= data.draw(st.integers(1, 255))
    found = framer.feed(bytes(wire) + framer.encode(CONTROL, other))
    # The last figure of base64 has bits that mean nothing: there the message is still what it was.
    assert [f.payload for f in found if f.channel == CONTROL] in ([other], [one, other])


def test_a_prompt_in_front_of_a_message_is_text() -> None:
    framer = ConsoleFramer()
    message = Message(Op.READ, 0, 6, 3).to_bytes()
    found = framer.feed(b"uart:~$ " + framer.encode(CONTROL, message))
    assert found == [Frame(LOG, b"uart:~$ "), Frame(CONTROL, message)]


def test_a_message_that_stops_is_given_up() -> None:
    framer = ConsoleFramer()
    message = Message(Op.WRITE, 0, 0, 3, {"d": b"x" * 300}).to_bytes()
    first, *rest = framer.encode(CONTROL, message).splitlines(keepends=True)
    assert framer.feed(first) == framer.idle() == []
    assert framer.feed(b"".join(rest)) == []
    assert framer.tally.damaged == 1 + len(rest)
    assert framer.feed(first + b"".join(rest)) == [Frame(CONTROL, message)]


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=500))
def test_the_same_console_lines_as_the_package_smp(message: bytes) -> None:
    packet = pytest.importorskip("smp.packet", reason="an oracle: pip install smp")
    ours = ConsoleFramer(512).encode(CONTROL, message)
    assert ours == b"".join(packet.encode(message))
    decoder = packet.decode()
    next(decoder)
    *first, last = ours.splitlines(keepends=True)
    for line in first:
        decoder.send(line)
    with pytest.raises(StopIteration) as done:
        decoder.send(last)
    assert done.value.value == message


def test_the_crc_is_xmodem() -> None:
    assert binascii.crc_hqx(b"123456789", 0) == 0x31C3


# --- raw ---


@settings(deadline=None)
@given(st.lists(smp_messages, max_size=4), sizes_of_pieces)
def test_raw_messages_survive_any_split(wanted: list[bytes], sizes: list[int]) -> None:
    framer = RawFramer(512)
    assert [f.payload for f in fed(framer, b"".join(wanted), sizes)] == wanted


def test_raw_finds_its_way_back_after_a_silence() -> None:
    framer, message = RawFramer(), Message(Op.READ, 0, 6, 3).to_bytes()
    assert framer.feed(b"\xff\xff" + message) == [Frame(CONTROL, message)]
    assert framer.feed(message[:5]) == framer.idle() == []
    assert framer.feed(message) == [Frame(CONTROL, message)]
    assert (framer.tally.skipped_bytes, framer.tally.damaged) == (7, 1)


# --- packets of others ---

packets = st.binary(min_size=7, max_size=7).map(lambda body: b"\xa0" + body + b"\xc0")


@settings(deadline=None)
@given(st.lists(packets, max_size=12), sizes_of_pieces)
def test_packets_survive_any_split(wanted: list[bytes], sizes: list[int]) -> None:
    framer = PacketFramer(Toy())
    found = fed(framer, b"".join(wanted), sizes) + framer.idle()
    assert [f.payload for f in found] == wanted


@settings(deadline=None)
@given(st.integers(0, 8), st.integers(2, 5))
def test_in_step_a_lost_byte_costs_one_packet(lost: int, before: int) -> None:
    wanted = [b"\xa0" + bytes([n] * 7) + b"\xc0" for n in range(10)]
    wire = bytearray(b"".join(wanted))
    del wire[before * 9 + lost]
    framer = PacketFramer(Toy())
    found = [f.payload for f in framer.feed(bytes(wire)) + framer.idle()]
    assert found == [packet for n, packet in enumerate(wanted) if n != before]


def test_a_start_byte_within_data_is_no_start() -> None:
    """Joining in the middle of packets full of start and end bytes finds the real ones."""
    wanted = [b"\xa0" + bytes([n, 0xA0, n, 0xC0, n, n, n]) + b"\xc0" for n in range(1, 12)]
    framer = PacketFramer(Toy())
    found = framer.feed(b"".join(wanted)[5:]) + framer.idle()
    assert [f.payload for f in found] == wanted[1:]


# --- all of them ---


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=400), max_size=20))
def test_random_bytes_never_raise_and_are_not_kept(name: str, pieces: list[bytes]) -> None:
    framer = MAKERS[name]()
    for piece in pieces:
        for frame in framer.feed(piece):
            assert len(frame.payload) <= 512
        held = framer.__dict__.get("_left", b"") or framer.__dict__.get("_message", b"")
        assert len(held) <= 1024
    framer.idle()


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)
@given(data=st.binary(max_size=400), sizes=sizes_of_pieces)
def test_any_split_gives_the_same(name: str, data: bytes, sizes: list[int]) -> None:
    whole, split = MAKERS[name](), MAKERS[name]()
    assert whole.feed(data) == fed(split, data, sizes)
    assert whole.tally.frames == split.tally.frames


@pytest.mark.parametrize("name", ["console", "raw", "packets", "lines"])
def test_framings_without_channels_refuse_others(name: str) -> None:
    with pytest.raises(BadMessage):
        MAKERS[name]().encode(STREAM if name != "packets" else CONTROL, b"12345678")
