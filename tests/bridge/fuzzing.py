"""Every parser of the bridge against random and mutated bytes, in one process, until told to stop.

    python -m tests.bridge.fuzzing [inputs]

Ends with 1 where an exception escapes that is none of ours, or a parser holds more than it may.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge import cbor, mcuboot, messages, smp
from firmware_bridge.devices.csv import Csv
from firmware_bridge.devices.cyton import Cyton
from firmware_bridge.devices.heartypatch import HeartyPatch
from firmware_bridge.devices.openview import OpenView
from firmware_bridge.errors import BridgeError
from firmware_bridge.frames import CobsFramer, ConsoleFramer, Framer, RawFramer
from firmware_bridge.mlperf_tiny import Dut
from firmware_bridge.receiver import Receiver
from firmware_bridge.simulator import SimulatedDevice
from firmware_bridge.simulator.streams import made_up_heart, record_of

VECTORS = Path(__file__).parent / "vectors"
LONGEST = 600


def seeds() -> dict[str, list[bytes]]:
    """Good bytes for each parser, to be spoilt."""

    def of(file: str, key: str) -> list[bytes]:
        cases = json.loads((VECTORS / f"{file}.json").read_text("utf-8"))
        return [bytes.fromhex(case[key]) for case in cases]

    framed = of("frames", "wire") + of("smp", "framed")
    framed += [CobsFramer().encode(2, one) for one in of("samples", "payload")]
    framed += [CobsFramer().encode(2, one) for one in of("pictures", "payload")]
    framed += [CobsFramer().encode(3, one) for one in of("events", "payload")]
    return {
        "CobsFramer": framed, "receiver": framed, "device": framed,
        "ConsoleFramer": of("smp", "console"), "RawFramer": of("smp", "message"),
        "smp": of("smp", "message"), "cbor": [one[8:] for one in of("smp", "message")],
        "stream": of("samples", "payload") + of("pictures", "payload"),
        "event": of("events", "payload"),
        "image": [mcuboot.firmware_image(bytes(40), (1, 2, 3, 4))],
        "dut": [b"infer 1 0%db load 4%", b"db 01020304%db print%", b"name%profile%results%"],
        "cyton": [(b"\xa0" + bytes([n]) + bytes(30) + b"\xc0") * 2 for n in range(4)],
        "openview": [(b"\n\xfa\x16\0\2" + bytes(22) + b"\0\x0b") * 2],
        "heartypatch": [(b"\n\xfa\x30\0\3" + bytes(48) + b"\0\x0b") * 2],
        "csv": [b"1\r\n", b"2.5\n3\n"],
    }  # fmt: skip


def spoilt(dice: random.Random, good: list[bytes]) -> bytes:
    """Random bytes, or good ones cut, joined, repeated and overwritten."""
    if dice.random() < 0.2:
        return dice.randbytes(dice.randrange(LONGEST))
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


class _Nothing:
    name = "x"

    def load(self, data: bytes) -> None:
        if len(data) > 4:
            raise ValueError("too many")

    def infer(self) -> None:
        pass

    def results(self) -> list[float]:
        return [0.0]


def targets() -> dict[str, Callable[[bytes], Any]]:
    """Name → what takes bytes; those with a state keep it from one input to the next."""
    record = record_of("ecg", 250, ["II"], made_up_heart(250))
    device = SimulatedDevice([record], max_frame=512)
    receiver = Receiver(CobsFramer(512))
    receiver.meet(device.hello())
    cyton = Cyton()
    cyton._on = True
    now = [0]

    def simulated(data: bytes) -> None:
        now[0] += 1000
        device.receive(data)
        device.advance(now[0])
        device.take()
        device.verdicts.clear()

    def dut(data: bytes) -> None:
        safe = data.replace(b"infer", b"inter") if len(data) > 40 else data
        Dut(_Nothing()).receive(safe[:40])

    def feeding(one: Any) -> Callable[[bytes], Any]:
        def feed(data: bytes) -> None:
            now[0] += 1_000_000
            list(one.feed(data, now[0]))
            list(one.idle(now[0]))

        return feed

    framers: list[Framer] = [CobsFramer(512), ConsoleFramer(512), RawFramer(512)]
    return {
        **{type(framer).__name__: framer.feed for framer in framers},
        "cbor": lambda data: cbor.loads(data, max_bytes=2048),
        "smp": smp.decode,
        "stream": messages.decode_stream,
        "event": messages.decode_event,
        "image": mcuboot.read_image,
        "receiver": lambda data: list(receiver.feed(data, 0)),
        "device": simulated,
        "dut": dut,
        "cyton": feeding(cyton),
        "openview": feeding(OpenView(rate_hz=125)),
        "heartypatch": feeding(HeartyPatch()),
        "csv": feeding(Csv(rate_hz=250)),
    }


def main(arguments: list[str]) -> int:
    inputs = int(arguments[0]) if arguments else 1_000_000
    dice, good, tried = random.Random(1), seeds(), targets()
    assert good.keys() == tried.keys()
    names, refused, worst = list(tried), Counter[str](), 0.0
    begin_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(inputs):
        name = names[number % len(names)]
        data = spoilt(dice, good[name])
        begin = time.perf_counter()
        try:
            tried[name](data)
        except BridgeError:
            refused[name] += 1
        except Exception:
            print(f"input {number} to {name}: {data.hex()}")
            raise
        worst = max(worst, time.perf_counter() - begin)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin_kb) / 1024
    print(f"{inputs:,} inputs to {len(names)} parsers, none escaped, slowest {worst * 1e3:.1f} ms, "
          f"+{grown:.1f} MB; refused: {dict(refused)}")  # fmt: skip
    return 0 if grown < 64 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
