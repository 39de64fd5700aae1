"""The C reference: golden vectors, against the Python end byte for byte, and as a whole device."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge import Block, Simulator, cbor
from firmware_bridge.errors import BadMessage, DeviceRefused, NoAnswer
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.frames import CONTROL, LOG, STREAM, CobsFramer, Frame
from firmware_bridge.link import Link
from firmware_bridge.mcuboot import firmware_image
from firmware_bridge.messages import SampleBlock, decode_event, decode_stream
from firmware_bridge.receiver import Receiver
from firmware_bridge.smp import Group, Image, Message, Op, Ours, decode
from tests.bridge.c_device import FIRMWARE, MAX_FRAME, CDevice, build, compiler
from tests.bridge.hearts import heart
from tests.bridge.test_frames import cobs_frames, vectors
from tests.bridge.test_link import LONG_S, blocks_of, check
from tests.bridge.test_messages import maps

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
WIDE = np.random.default_rng(3).integers(-(2**23), 2**23, (4000, 2)).astype(np.int32)

Maker = Callable[..., CDevice]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    directory = tmp_path_factory.mktemp("firmware")
    program = build(directory)
    devices: list[CDevice] = []

    def make(counts: Any = WIDE, **rest: Any) -> CDevice:
        devices.append(CDevice(program, directory, counts, **rest))
        return devices[-1]

    yield make
    for device in devices:
        device.close()


@pytest.fixture(scope="module")
def reference(made: Maker) -> CDevice:
    return made()


# --- byte for byte ---


@pytest.mark.parametrize("case", vectors("frames"), ids=lambda case: str(case["name"]))
def test_golden_frames(reference: CDevice, case: dict[str, Any]) -> None:
    body = bytes([case["channel"]]) + bytes.fromhex(case["payload"])
    assert reference.ask("F", body).hex() == case["wire"]
    assert reference.frames(bytes.fromhex(case["wire"])) == [body]


@settings(deadline=None)
@given(frame=cobs_frames)
def test_the_same_frames_as_the_python_end(reference: CDevice, frame: Frame) -> None:
    wire = CobsFramer(MAX_FRAME).encode(*frame)
    assert reference.ask("F", bytes([frame.channel]) + frame.payload) == wire


@settings(deadline=None, max_examples=200)
@given(
    frames=st.lists(cobs_frames, max_size=4),
    noise=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_the_same_frames_are_found_in_damaged_bytes(
    reference: CDevice, frames: list[Frame], noise: list[tuple[int, int]]
) -> None:
    framer = CobsFramer(MAX_FRAME)
    wire = bytearray(b"".join(framer.encode(*frame) for frame in frames))
    for at, byte in noise:
        if wire:
            wire[at % len(wire)] = byte
    found = [Frame(body[0], body[1:]) for body in reference.frames(bytes(wire))]
    assert found == framer.feed(bytes(wire))


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=60) | maps.map(cbor.dumps))
def test_cbor_that_python_takes_c_takes(reference: CDevice, data: bytes) -> None:
    """C looks at the shape alone: it takes no less."""
    for head in (b"", b"\xbf", b"\xa2\x61a"):
        try:
            cbor.loads(head + data, max_bytes=1000)
        except BadMessage:
            continue
        assert reference.ask("M", head + data) == b"\1"


@pytest.mark.parametrize(
    "data",
    ["", "a161", "a16161", "bf6161", "bf6161ff", "a1ff", "a0a0", "83010203", "a16161c0617a",
     "a16161f7", "a16161f820", "a161611c", "a16161" + "81" * 9 + "01", "a16161" + "9f" * 400,
     "a161619affffffff", "a161615bffffffffffffffff", "bbffffffffffffffff", "a180616101",
     "bf80f6ff", "a161617f4161ff", "7f", "bb8000000000000000"],
)  # fmt: skip
def test_cbor_that_both_refuse(reference: CDevice, data: str) -> None:
    raw = bytes.fromhex(data)
    assert reference.ask("M", raw) == b"\0"
    with pytest.raises(BadMessage):
        cbor.loads(raw, max_bytes=1000)


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])
def test_sha256(reference: CDevice, length: int) -> None:
    data = bytes(n % 251 for n in range(length))
    assert reference.ask("S", data) == hashlib.sha256(data).digest()


# --- requests ---


def asked(device: CDevice, *requests: Message | bytes) -> list[Frame]:
    framer = CobsFramer(MAX_FRAME)
    for request in requests:
        raw = request if isinstance(request, bytes) else request.to_bytes()
        device.receive(framer.encode(CONTROL, raw))
    return framer.feed(device.take())


def test_golden_requests_are_answered(made: Maker) -> None:
    device = made()
    device.take()
    for case in vectors("smp"):
        request = decode(bytes.fromhex(case["message"]))
        if request.op not in (Op.READ, Op.WRITE):
            assert asked(device, request) == []
            continue
        (frame,) = asked(device, request)
        answer = decode(frame.payload)
        assert answer.answers(request)
        if case["name"] == "echo":
            assert answer.body == {"r": "hi"}
        if case["name"] == "ping":
            assert answer.body["t1"] == 2**40


def test_a_write_that_comes_again_is_answered_alike_and_done_once(made: Maker) -> None:
    device = made()
    device.take()
    verdict = Message(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, 9, {"p": 1})
    first, again = asked(device, verdict), asked(device, verdict)
    assert [frame.channel for frame in first] == [LOG, CONTROL]
    assert [frame.channel for frame in again] == [CONTROL]
    assert first[1] == again[0]
    other = Message(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, 10, {"p": 1})
    assert [frame.channel for frame in asked(device, other)] == [LOG, CONTROL]
    asked(device, Message(Op.READ, Group.EDGE_DX, Ours.HELLO, 0))
    assert [frame.channel for frame in asked(device, verdict)] == [LOG, CONTROL]


@settings(deadline=None, max_examples=200)
@given(pieces=st.lists(st.binary(max_size=80) | st.builds(
    lambda group, command, op, body: Message(Op(op), group, command, 1, body).to_bytes(),
    st.sampled_from([0, 1, 0x4544, 64]), st.integers(0, 6), st.sampled_from([0, 2]),
    maps | st.fixed_dictionaries({}, optional={
        "id": st.integers(-1, 2**33), "off": st.integers(-1, 2**33), "data": st.binary(max_size=40),
        "len": st.integers(0, 2**33), "sha": st.binary(min_size=30, max_size=33),
        "hash": st.binary(min_size=32, max_size=32), "confirm": st.booleans(), "d": st.text(),
        "t1": st.integers(0, 2**64 - 1),
    }),
), max_size=6))  # fmt: skip
def test_hostile_requests_are_refused_or_ignored(reference: CDevice, pieces: list[bytes]) -> None:
    """Under sanitizers; each readable request has one answer, unless one waits."""
    framer = CobsFramer(MAX_FRAME)
    for piece in pieces:
        if len(piece) > MAX_FRAME - 5:
            continue
        reference.receive(piece + b"\0" + framer.encode(CONTROL, piece))
        for frame in framer.feed(reference.take()):
            if frame.channel == CONTROL:
                answer = decode(frame.payload)
                assert answer.op in (Op.READ_ANSWER, Op.WRITE_ANSWER)


def test_events_and_samples_are_what_the_python_end_reads(made: Maker) -> None:
    device = made(WIDE, rate_hz=500, per_message=7)
    device.take()
    device.ask("T", (5_000_000).to_bytes(8, "little"))
    device._tell("E", b"\1")
    event = decode_event(CobsFramer().feed(device.take())[0].payload)
    assert (event.kind, event.number, event.t_dev_us, event.told) == (1, 0, 5_000_000, {})
    asked(device, Message(Op.WRITE, Group.EDGE_DX, Ours.START, 1, {"id": 0}))
    device.advance(5_000_000 + 28_000)
    frames = CobsFramer().feed(device.take())
    assert [frame.channel for frame in frames] == [STREAM, STREAM]
    told = [decode_stream(frame.payload) for frame in frames]
    assert all(isinstance(one, SampleBlock) for one in told)
    assert [one.header.first_index for one in told] == [0, 7]
    assert [one.header.t_dev_us for one in told] == [5_000_000, 5_014_000]


# --- as a whole ---


def test_its_record_arrives_as_it_is(made: Maker) -> None:
    counts, _ = heart(30)
    with (
        Simulator(made(counts), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        assert link.hello.device == "edx reference"
        assert link.hello.features == ("image", "verdict")
        assert link.hello.streams[0].leads == ("I",)
        assert link.hello.streams[0].scale == 0.5
        assert link.echo("hällo") == "hällo"
        stream = link.stream("ecg", on_full="block")
        blocks = blocks_of(stream, len(counts))
        stream.close()
        assert check(blocks, counts) == 0
        assert link.counts["ecg"].received == len(counts)
        assert link.counts["ecg"].lost_link == link.counts["ecg"].lost_device == 0


def test_over_a_bad_cable_each_loss_is_counted(made: Maker) -> None:
    plan = Plan(seed=4, to_host=Lane(drop=1e-3, flip=1e-5), to_device=Lane(drop=1e-3))
    with (
        Simulator(made(WIDE), "fast") as simulator,
        Link(bad_opener(simulator.memory(), plan), measure_clock=False) as link,
    ):
        stream = link.stream("ecg", on_full="block")
        blocks: list[Block] = []
        while isinstance(block := stream.get(1.0), Block):
            blocks.append(block)
        stream.close()
        lost = check(blocks, WIDE)
        tail = len(WIDE) - blocks[-1].first_index - len(blocks[-1])
        account = link.counts["ecg"]
        assert account.lost_link == lost + tail > 0
        assert account.received + account.lost_link == len(WIDE)
        assert account.lost_device == 0


def test_what_it_has_no_room_for_is_told(made: Maker) -> None:
    device = made(WIDE)
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        hello = link.hello
    device.take()  # an answer that nobody waited for
    receiver = Receiver(CobsFramer())
    receiver.meet(hello)
    receiver.ledger(0).expect(hello.boot_id, 0, 0)
    asked(device, Message(Op.WRITE, Group.EDGE_DX, Ours.START, 200, {"id": 0}))
    device.advance(60_000_000)
    found = [item for item in receiver.feed(device.take(), 0) if isinstance(item, Block)]
    account = receiver.counts()["ecg"]
    assert account.received + account.lost_device == len(WIDE) // 25 * 25
    assert account.lost_device > account.received
    assert account.lost_link == 0
    assert found[0].gap is not None
    assert found[0].gap.count == found[0].gap.device == account.lost_device
    assert found[0].flags & 0x10
    assert check(found, WIDE) == account.lost_device


def test_it_restarts_and_its_stream_goes_on(made: Maker) -> None:
    counts, _ = heart(60)
    with Simulator(made(counts)) as simulator, firmware_bridge.connect(simulator) as link:
        stream = link.stream("ecg")
        blocks_of(stream, 50)
        link.restart()
        block = stream.get(LONG_S)
        while isinstance(block, Block) and block.run == 0:
            block = stream.get(LONG_S)
        assert isinstance(block, Block)
        assert block.gap is not None
        assert block.gap.restart
        np.testing.assert_array_equal(block.counts, counts[:25])


def uploaded(link: Link, image: bytes, begin: int = 0, until: int | None = None) -> int:
    """Pieces of an upload; the offset that is wanted next."""
    offset, piece = begin, 200
    while offset < (len(image) if until is None else until):
        body: dict[str, Any] = {"off": offset, "data": image[offset : offset + piece]}
        if offset == begin:
            body |= {"off": 0, "len": len(image), "sha": hashlib.sha256(image).digest()}
            body["data"] = image[:piece]
        told = link.ask(Op.WRITE, Group.IMAGE, Image.UPLOAD, body, asked="an upload")
        offset = told["off"]
        begin = -1
    return offset


def states(link: Link) -> list[dict[str, Any]]:
    told = link.ask(Op.READ, Group.IMAGE, Image.STATE, asked="its images")
    images: list[dict[str, Any]] = told["images"]
    return images


@pytest.fixture(params=["c", "python"])
def updated(request: pytest.FixtureRequest, made: Maker) -> Any:
    """Both devices must keep firmware alike."""
    from firmware_bridge.simulator import SimulatedDevice

    return made() if request.param == "c" else SimulatedDevice()


def test_firmware_is_tried_and_taken_back_or_kept(updated: Any) -> None:
    new = firmware_image(bytes(range(256)) * 20, (2, 1, 3, 77))
    digest = hashlib.sha256(new[: 32 + 5120]).digest()
    with Simulator(updated) as simulator, firmware_bridge.connect(simulator) as link:
        assert [one["version"] for one in states(link)] == ["1.0.0.0"]
        assert uploaded(link, new, until=1000) == 1000
        assert uploaded(link, new) == len(new)  # begun again, it goes on where it stopped
        found = states(link)
        assert [one["version"] for one in found] == ["1.0.0.0", "2.1.3.77"]
        assert found[1]["hash"] == digest
        assert (found[0]["confirmed"], found[1]["pending"]) == (True, False)

        def mark(confirm: bool) -> None:
            link.ask(Op.WRITE, Group.IMAGE, Image.STATE, {"hash": digest, "confirm": confirm},
                     asked="to mark it")  # fmt: skip

        def versions_after_restart() -> list[str]:
            boot = link.hello.boot_id
            link.restart()
            stream = None
            while stream is None:  # the link looks again when something is wanted of it
                try:
                    link.look_again()
                    stream = link.hello
                except NoAnswer:
                    continue
            assert link.hello.boot_id == boot + 1
            return [one["version"] for one in states(link)]

        mark(confirm=False)
        assert versions_after_restart() == ["2.1.3.77", "1.0.0.0"]
        assert not states(link)[0]["confirmed"]
        with pytest.raises(DeviceRefused, match="bad state"):
            uploaded(link, new)  # the other slot may have to come back
        assert versions_after_restart() == ["1.0.0.0", "2.1.3.77"]
        mark(confirm=False)
        assert versions_after_restart() == ["2.1.3.77", "1.0.0.0"]
        mark(confirm=True)
        assert versions_after_restart() == ["2.1.3.77", "1.0.0.0"]
        assert states(link)[0]["confirmed"]


def test_firmware_that_is_damaged_is_refused(updated: Any) -> None:
    new = bytearray(firmware_image(bytes(1000), (2, 0, 0, 0)))
    with Simulator(updated) as simulator, firmware_bridge.connect(simulator) as link:
        new[500] ^= 1
        with pytest.raises(DeviceRefused, match="corrupt"):
            uploaded(link, bytes(new))
        with pytest.raises(DeviceRefused, match="corrupt"):
            uploaded(link, bytes(900))
        assert len(states(link)) == 1
        with pytest.raises(DeviceRefused, match="no entry"):
            link.ask(Op.WRITE, Group.IMAGE, Image.STATE, {"hash": bytes(32)}, asked="to mark it")


# --- for the smallest processors ---


def test_it_is_at_most_8_kb_for_a_cortex_m0_plus(tmp_path: Path) -> None:
    cc = shutil.which("arm-none-eabi-gcc")
    if cc is None:
        pytest.skip("needs arm-none-eabi-gcc")
    sizes = []
    for source in sorted(FIRMWARE.glob("edx_*.c")):
        made = tmp_path / f"{source.stem}.o"
        subprocess.run([cc, "-std=c11", "-Os", "-mcpu=cortex-m0plus", "-mthumb", "-c", str(source),
                        "-o", str(made)], check=True, timeout=120)  # fmt: skip
        told = subprocess.run(["arm-none-eabi-size", str(made)], check=True, capture_output=True,
                              text=True, timeout=60).stdout  # fmt: skip
        text, data, bss = (int(word) for word in told.splitlines()[1].split()[:3])
        assert data == bss == 0, "all state is the caller's"
        sizes.append(text)
    assert sum(sizes) <= 8192, sizes
