"""Every parser of the bridge, with good inputs to be spoilt and a maker of odd ones that fit."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_bridge import cbor, mcuboot, messages, smp
from firmware_bridge.capabilities import read_hello, to_map
from firmware_bridge.devices.csv import Csv
from firmware_bridge.devices.cyton import Cyton
from firmware_bridge.devices.heartypatch import HeartyPatch
from firmware_bridge.devices.openview import OpenView
from firmware_bridge.errors import BadMessage, LinkLost
from firmware_bridge.frames import CONTROL, EVENT, LOG, STREAM, CobsFramer, ConsoleFramer, RawFramer
from firmware_bridge.messages import encode_picture
from firmware_bridge.mlperf_tiny import Dut, Runner
from firmware_bridge.receiver import Receiver
from firmware_bridge.recording import Recording
from firmware_bridge.simulator import PictureStream, SimulatedDevice
from firmware_bridge.simulator.streams import made_up_heart, record_of
from tests.bridge.cart import INFO, MM, drawn
from tests.bridge.fuzz_inputs import (
    FRAME,
    REQUESTS,
    Maker,
    framed,
    on_console,
    recorded,
    request,
    twisted,
    vectors,
)


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        take: gives it bytes; how many things it accepted as whole and good. Raises errors of ours
            alone. What has a state keeps it from one input to the next.
        good: inputs to be spoilt.
        made: odd ones with all their checksums right; None where there are none.
    """

    take: Callable[[bytes], int]
    good: list[bytes]
    made: Maker | None = None


def targets() -> dict[str, Target]:
    """Name → parser."""
    record = record_of("ecg", 250, ["II"], made_up_heart(250))
    pictures = PictureStream(INFO, [drawn(2)], MM)
    device = SimulatedDevice([record, pictures], max_frame=FRAME)
    receiver = Receiver(CobsFramer(FRAME))
    receiver.meet(device.hello())
    now, listens = [0], CobsFramer(FRAME)

    def simulated(data: bytes) -> int:
        now[0] += 1000
        device.receive(data)
        device.advance(now[0])
        answers = [f for f in listens.feed(device.take()) if f.channel == CONTROL]
        device.results(INFO.id)
        device.verdicts.clear()
        bodies = [smp.decode(frame.payload).body for frame in answers]
        return sum("rc" not in body and "err" not in body for body in bodies)

    def dut(data: bytes) -> int:
        safe = data.replace(b"infer", b"inter") if len(data) > 40 else data
        return Dut(_Model()).receive(safe[:40]).count(b"m-ready")

    def runner(data: bytes) -> int:
        found = 0
        for ask in (Runner.name, Runner.model, Runner.loaded, lambda one: one.infer(1)):
            try:
                ask(Runner(_Says(data)))
                found += 1
            except (BadMessage, LinkLost):
                continue
        return found

    def read(data: bytes) -> int:
        path.write_bytes(data)
        return sum(1 for _ in Recording(path).records()) + 1

    def feeding(one: Any) -> Callable[[bytes], int]:
        def feed(data: bytes) -> int:
            now[0] += 1_000_000
            return len([*one.feed(data, now[0]), *one.idle(now[0])])

        return feed

    def framing(one: Any) -> Callable[[bytes], int]:
        return lambda data: len(one.feed(data))

    kept = tempfile.NamedTemporaryFile(suffix=".edxr")  # noqa: SIM115 (as long as the targets)
    path = Path(kept.name)
    closing.append(kept)
    big = CobsFramer()
    stream = vectors("samples", "payload") + vectors("pictures", "payload")
    stream += record.messages(_header(device, 0), FRAME - 5)
    stream += encode_picture(_header(device, INFO.id), drawn(2), MM, 400)
    contents = [
        *((STREAM, one) for one in stream), *((EVENT, one) for one in vectors("events", "payload")),
        *((CONTROL, one) for one in vectors("smp", "message")), (LOG, "boot: \u2713".encode()),
    ]  # fmt: skip
    wires = [*vectors("frames", "wire"), *(big.encode(*one) for one in contents)]
    hello = to_map(device.hello())
    control = [(CONTROL, one.to_bytes()) for one in REQUESTS]
    cyton = Cyton()
    cyton._on = True
    spoken = b"m-name-dut-[x]\r\nm-model-[ic01]\r\nm-buffer-01-02\r\nm-lap-us-1\r\nm-lap-us-9\r\n"
    spoken += b"m-results-[0.5,0.5]\r\nm-ready\r\n"
    return {
        "CobsFramer": Target(framing(CobsFramer(FRAME)), wires, framed(big, contents)),
        "ConsoleFramer": Target(framing(ConsoleFramer(FRAME)), vectors("smp", "console"),
                                on_console),
        "RawFramer": Target(framing(RawFramer(FRAME)), vectors("smp", "message"), request),
        "cbor": Target(lambda data: len(cbor.loads(data, max_bytes=2048)) + 1,
                       [one[8:] for one in vectors("smp", "message")],
                       lambda dice: cbor.dumps({"x": twisted(dice, hello)})),
        "smp": Target(lambda data: bool(smp.decode(data)), vectors("smp", "message"), request),
        "hello": Target(lambda data: bool(read_hello(cbor.loads(data, max_bytes=2048))),
                        [cbor.dumps(hello)], lambda dice: cbor.dumps(twisted(dice, hello))),
        "stream": Target(lambda data: bool(messages.decode_stream(data)), stream),
        "event": Target(lambda data: bool(messages.decode_event(data)),
                        vectors("events", "payload")),
        "receiver": Target(lambda data: len(list(receiver.feed(data, 0))), wires,
                           framed(big, contents)),
        "device": Target(simulated, [big.encode(*one) for one in control], framed(big, control)),
        "image": Target(lambda data: bool(mcuboot.read_image(data)),
                        [mcuboot.firmware_image(bytes(40), (1, 2, 3, 4))]),
        "recording": Target(read, [recorded(random.Random(n)) for n in range(20)], recorded),
        "dut": Target(dut, [b"infer 1 0%db load 4%", b"db 01020304%db print%",
                            b"name%profile%results%"]),
        "runner": Target(runner, [spoken]),
        "cyton": Target(feeding(cyton), [(b"\xa0" + bytes([n]) + bytes(30) + b"\xc0") * 2
                                         for n in range(4)]),
        "openview": Target(feeding(OpenView(rate_hz=125)),
                           [(b"\n\xfa\x16\0\2" + bytes(22) + b"\0\x0b") * 2]),
        "heartypatch": Target(feeding(HeartyPatch()),
                              [(b"\n\xfa\x30\0\3" + bytes(48) + b"\0\x0b") * 2]),
        "csv": Target(feeding(Csv(rate_hz=250)), [b"1\r\n", b"2.5\n3\n"]),
    }  # fmt: skip


closing: list[Any] = []
"""Files that go away with the process."""


def _header(device: SimulatedDevice, stream: int) -> messages.Header:
    info = next(one for one in device.hello().streams if one.id == stream)
    return messages.Header(stream, messages.Format(info.format), 1, info.per_message, 0, 0)


class _Model:
    name = "x"

    def load(self, data: bytes) -> None:
        if len(data) > 4:
            raise ValueError("too many")

    def infer(self) -> None:
        pass

    def results(self) -> list[float]:
        return [0.0]


class _Says:
    """A port from which some bytes come, and then nothing ever."""

    name = "says"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, timeout_s: float) -> bytes:
        if not timeout_s:
            return b""  # nothing is left of an earlier command
        data, self._data = self._data, b""
        if not data:
            raise LinkLost("says no more")
        return data

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass
