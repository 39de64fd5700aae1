"""Writes that fit a small receive buffer: one that tells when it runs over, in simulated time."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import Link, session
from firmware_bridge.devices.smp_server import SmpConsole, SmpRaw
from firmware_bridge.dialect import Dialect, Native
from firmware_bridge.errors import BadMessage, LinkLost, NoAnswer
from firmware_bridge.frames import CobsFramer, ConsoleFramer, Framer, RawFramer
from firmware_bridge.mcuboot import firmware_image, read_image
from firmware_bridge.pacing import Intake, Pacer
from firmware_bridge.simulator import SimulatedDevice
from firmware_bridge.smp import Group, Op, Ours
from firmware_bridge.update import images, upload
from tests.bridge.test_link import LONG_S

ZEPHYR = Intake(256, 11_520.0)


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Buffer:
    """A receive buffer, emptied at a rate; what finds no room is dropped and counted."""

    def __init__(self, intake: Intake, clock: Clock) -> None:
        self._intake, self._clock = intake, clock
        self._since_s = clock.now()
        self._held = bytearray()
        self._credit = 0.0
        self.overflowed = 0

    def put(self, data: bytes) -> bytes:
        """What it gave on before these bytes came."""
        taken = self.take()
        room = self._intake.room - len(self._held)
        self._held += data[:room]
        self.overflowed += max(len(data) - room, 0)
        return taken

    def take(self) -> bytes:
        now_s = self._clock.now()
        self._credit += (now_s - self._since_s) * self._intake.bytes_per_s
        self._since_s = now_s
        n = min(round(self._credit), len(self._held))
        self._credit = self._credit - n if n < len(self._held) else 0.0
        taken = bytes(self._held[:n])
        del self._held[:n]
        return taken


class SmallPort:
    """A device behind a small buffer; time passes also while the host reads."""

    name = "small"

    def __init__(self, device: SimulatedDevice, intake: Intake, clock: Clock) -> None:
        self._device, self._clock = device, clock
        self.buffer = Buffer(intake, clock)
        self._lock = threading.Lock()
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        with self._lock:
            if self._closed:
                raise LinkLost("small: closed")
            self._clock.sleep(timeout_s)
            self._device.receive(self.buffer.take())
            self._device.advance(int(self._clock.now() * 1e6))
            found = self._device.take()
        if not found:
            time.sleep(0.001)
        return found

    def write(self, data: bytes) -> None:
        with self._lock:
            self._device.receive(self.buffer.put(data))

    def close(self) -> None:
        self._closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    paced = functools.partial(Pacer, now=found.now, sleep=found.sleep)
    monkeypatch.setattr(session, "Pacer", paced)
    return found


KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "console": (SmpConsole, ConsoleFramer), "raw": (SmpRaw, RawFramer)
}  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_long_request_overruns_a_small_buffer_unless_it_is_paced(kind: str, clock: Clock) -> None:
    speaks, framing = KINDS[kind]
    for room, arrives in ((100_000, False), (256, True)):
        framer: Framer = framing()
        device = SimulatedDevice(framer=framer)
        device._out.clear()  # raw SMP has no room for a log
        port = SmallPort(device, ZEPHYR, clock)
        dialect: Dialect = speaks(room=room)
        with Link(lambda port=port: port, dialect, reconnect=False) as link:  # type: ignore[misc]
            assert link.echo("short") == "short"
            text = "x" * 700
            if arrives:
                assert link.echo(text) == text
                assert port.buffer.overflowed == 0
            else:
                with pytest.raises(NoAnswer):
                    link.ask(Op.WRITE, Group.OS, 0, {"d": text}, asked="an echo", timeout_s=0.1,
                             tries=1)  # fmt: skip
                assert port.buffer.overflowed > 100


def test_an_upload_to_a_device_with_two_lines_of_room(clock: Clock) -> None:
    """As Zephyr's console is by default; its buffer never runs over."""
    new = read_image(firmware_image(bytes(range(256)) * 20, (2, 0, 0, 0)))
    port = SmallPort(SimulatedDevice(framer=ConsoleFramer()), ZEPHYR, clock)
    with Link(lambda: port, SmpConsole(), reconnect=False) as link:
        upload(link, new.data, patience_s=LONG_S)
        assert [one["version"] for one in images(link)] == ["1.0.0.0", "2.0.0.0"]
        assert link.troubles["repeated_requests"] == 0
    assert port.buffer.overflowed == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 0.5)), max_size=20),
    st.integers(1, 600), st.floats(100, 1e6),
)  # fmt: skip
def test_no_buffer_runs_over_and_every_byte_arrives(
    writes: list[tuple[int, float]], room: int, rate: float
) -> None:
    clock, intake = Clock(), Intake(room, rate)
    pacer, buffer = Pacer(intake, clock.now, clock.sleep), Buffer(Intake(room + 1, rate), clock)
    got, sent = bytearray(), bytearray()

    def out(data: bytes) -> None:
        got.extend(buffer.put(data))

    for length, pause_s in writes:
        data = bytes(n % 256 for n in range(length))
        sent += data
        pacer.write(data, out)
        clock.sleep(pause_s)
    clock.sleep(1e6)
    got += buffer.take()
    assert buffer.overflowed == 0
    assert got == sent


def test_what_was_answered_is_no_longer_in_the_way() -> None:
    clock, pieces = Clock(), []
    pacer = Pacer(ZEPHYR, clock.now, clock.sleep)
    pacer.write(bytes(256), pieces.append)
    pacer.emptied()
    pacer.write(bytes(256), pieces.append)
    assert clock.now() == 0.0
    pacer.write(bytes(256), pieces.append)
    assert clock.now() == pytest.approx(256 / 11_520)
    assert b"".join(pieces) == bytes(768)


def test_a_request_that_the_device_cannot_hold_is_refused_here(clock: Clock) -> None:
    port = SmallPort(SimulatedDevice(max_frame=256), Intake(10**6, 1e6), clock)
    with Link(lambda: port, Native(CobsFramer()), measure_clock=False) as link:
        link.ask(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, {"d": "x" * 200}, asked="a verdict")
        with pytest.raises(BadMessage, match=r"more than the device can hold \(256 .* smaller"):
            link.verdict({"d": "x" * 250})


def test_a_buffer_of_nothing_is_none() -> None:
    for room, rate in ((0, 1.0), (1, 0.0)):
        with pytest.raises(ValueError, match="at least a byte"):
            Intake(room, rate)
