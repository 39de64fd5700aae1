"""For benchmarks/link.py: links at their devices' own pace, and what a link holds in memory.

The devices live in a process of their own; the links that are measured in another one, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from link_peers import ByBrainFlow, spent_ms

from firmware_bridge import Simulator, connect
from firmware_bridge.devices.cyton import SIZE, Cyton, CytonDouble
from firmware_bridge.dialect import Dialect
from firmware_bridge.link import Link
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from firmware_bridge.simulator.streams import record_of

RATE_HZ, LEADS, PER_MESSAGE, RING = 250, 8, 10, 256


@contextmanager
def devices(kind: str, count: int = 1) -> Iterator[list[str]]:
    """So many devices at real pace; where they are."""
    process = subprocess.Popen(
        [sys.executable, __file__, "devices", kind, str(count)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def live(kind: str, count: int) -> None:
    """The process behind `devices`."""
    counts = np.random.default_rng(0).integers(-(2**20), 2**20, (RATE_HZ * 10, LEADS))
    with ExitStack() as stack:
        found = []
        for number in range(count):
            if kind == "cyton":
                simulator = stack.enter_context(Simulator(CytonDouble(counts)))
                found.append(simulator.pty())
            else:
                made = record_of("exg", RATE_HZ, [f"ch{n + 1}" for n in range(LEADS)],
                                 counts / 2000, per_message=PER_MESSAGE)  # fmt: skip
                stream = RecordStream(made.info, made.counts, repeat=True)
                device = SimulatedDevice([stream], serial=f"SIM-{number}")
                simulator = stack.enter_context(Simulator(device))
                found.append(simulator.pty() if kind == "pty" else simulator.tcp())
        print(json.dumps(found), flush=True)
        time.sleep(3600)


def link_ms_per_s(kind: str, seconds: float) -> float:
    """Milliseconds of processor time per second of one device at its own pace, by our link."""
    dialect: Dialect | None = Cyton() if kind == "cyton" else None
    with devices(kind) as (path,), connect(path, dialect) as link, link.stream("exg") as stream:
        wanted = int(seconds * RATE_HZ)
        for _ in range(25):  # the start's burst of pings and threads
            stream.get(10.0)

        def read() -> None:
            come = 0
            while come < wanted:
                block = stream.get(10.0)
                if block is None:
                    raise SystemExit(f"{kind}: no block for 10 s")
                come += len(block)

        return spent_ms(read) / seconds


def brainflow_ms_per_s(seconds: float) -> float:
    """The same of BrainFlow; it is looked at ten times a second."""
    with devices("cyton") as (path,), ByBrainFlow(path) as peer:
        ms, _ = peer.read(int(seconds * RATE_HZ), look_s=0.1)
        return ms / seconds


def reader_thread_ms_per_s(seconds: float) -> float:
    """The same of pyserial's thread, which gives the bytes to something that counts them."""
    import serial
    from serial.threaded import Protocol, ReaderThread

    done, wanted = threading.Event(), int(seconds * RATE_HZ) * SIZE
    come = 0

    class Counting(Protocol):  # type: ignore[misc]  # pyserial has no types here
        def data_received(self, data: bytes) -> None:
            nonlocal come
            come += len(data)
            if come >= wanted:
                done.set()

    with devices("cyton") as (path,), serial.Serial(path, exclusive=True) as port:
        thread = ReaderThread(port, Counting)
        thread.start()
        port.write(b"b")
        ms = spent_ms(lambda: arrived(done, 3 * seconds))
        thread.stop()
        return ms / seconds


def arrived(done: threading.Event, within_s: float) -> None:
    if not done.wait(within_s):
        raise SystemExit("ReaderThread: the packets do not come")


def memory_kb(links: int) -> tuple[float, float]:
    """Kilobytes per link that streams: with empty rings, and with 256 blocks waiting in each."""
    with devices("tcp", links + 1) as urls:
        done = subprocess.run([sys.executable, __file__, "hold", *urls], check=True,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    empty, full = json.loads(done.stdout)
    return float(empty), float(full)


def hold(urls: list[str]) -> None:
    """The process that holds the links."""
    first, *rest = urls
    links: list[Link] = []
    with ExitStack() as stack:

        def more(url: str) -> None:
            link = stack.enter_context(connect(url))
            links.append(link)
            stream = link.stream("exg", room=RING)
            for _ in range(3):
                stream.get(10.0)

        more(first)  # what all share is loaded
        before = resident_kb()
        for url in rest:
            more(url)
        empty = resident_kb()
        time.sleep(1.2 * RING * PER_MESSAGE / RATE_HZ)
        full = resident_kb()
        print(json.dumps([(now - before) / len(rest) for now in (empty, full)]))


def resident_kb() -> int:
    told = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    act, *rest = sys.argv[1:]
    if act == "devices":
        live(rest[0], int(rest[1]))
    else:
        hold(rest)
