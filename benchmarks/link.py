"""What the link costs: bytes to frames to blocks, beside the floor, pyserial and BrainFlow.

    python benchmarks/link.py [--rounds 15] [--out benchmarks/results/link.md]

Processor time (not wall time: the figures are of one core), contenders in turn within each round,
the medians of the rounds; ratios are medians of the ratios within a round. The floor is what no
receiver of these frames can do without: `split(b"\\0")`, `cobs.decode` and `zlib.crc32`. BrainFlow
(MIT, package brainflow) is left out where it is not installed: pip install --no-deps brainflow.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import link_live
import link_peers as peers
import numpy as np
from link_tables import FRAMES, LIMITS, PACKETS, RATE_HZ, Laps, of_cyton, of_frames

from edge_dx import device
from firmware_bridge.blocks import Array
from firmware_bridge.capabilities import PROTOCOL, Hello, StreamInfo
from firmware_bridge.devices.cyton import Cyton, CytonDouble, Packet
from firmware_bridge.frames import STREAM, CobsFramer, PacketFramer
from firmware_bridge.messages import Format, Header, encode_samples
from firmware_bridge.receiver import Receiver

CHUNK = 4096
SHAPES = {"1 lead × 25 samples": (1, 25), "8 leads × 10 samples": (8, 10)}
LIVE_S, LIVE_ROUNDS, LINKS = 10.0, 3, 24


def taken_in_turn(works: dict[str, Callable[[], float]], rounds: int) -> Laps:
    """Laps of each; one round before them fills the caches."""
    names, found = list(works), {name: list[float]() for name in works}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            lap = works[name]()
            if number:
                found[name].append(lap)
    return found


def wire_of(leads: int, n: int, frames: int) -> tuple[StreamInfo, bytes]:
    """Messages of i24 as a device sends them."""
    info = StreamInfo(id=0, name="exg", rate=(RATE_HZ, 1), leads=tuple(map(str, range(leads))),
                      unit="uV", scale=0.5, format=Format.I24, bits=24, per_message=n)  # fmt: skip
    rng, framer, out = np.random.default_rng(0), CobsFramer(), bytearray()
    for first in range(0, frames * n, n):
        header = Header(0, Format.I24, 1, n, first, first * 1_000_000 // RATE_HZ)
        counts: Array = rng.integers(-(2**20), 2**20, (n, leads))
        out += framer.encode(STREAM, encode_samples(header, counts))
    return info, bytes(out)


def receiver_of(info: StreamInfo) -> Receiver:
    found = Receiver(CobsFramer())
    found.meet(Hello(proto=PROTOCOL, device="benchmark", boot_id=1, streams=(info,)))
    found.ledger(0).expect(1, 0, 0)
    return found


def in_memory(info: StreamInfo, wire: bytes, rounds: int) -> Laps:
    """Bytes in pieces of 4,096, to frames and to blocks."""
    pieces = [wire[at : at + CHUNK] for at in range(0, len(wire), CHUNK)]

    def to_frames() -> None:
        framer = CobsFramer()
        assert sum(len(framer.feed(piece)) for piece in pieces) == FRAMES

    def to_blocks() -> None:
        receiver = receiver_of(info)
        assert sum(1 for piece in pieces for _ in receiver.feed(piece, 0)) == FRAMES

    def bare() -> None:
        assert peers.floor(wire) == FRAMES

    works = {"floor": bare, "frames": to_frames, "blocks": to_blocks}
    return taken_in_turn(
        {name: lambda work=work: peers.spent_ms(work) for name, work in works.items()}, rounds
    )


def over_pty(info: StreamInfo, wire: bytes, folder: Path, rounds: int) -> Laps:
    """The same bytes over a pty, with all that reading costs."""
    payload = folder / "frames.bin"
    payload.write_bytes(wire)
    with peers.Feeder(payload) as there:
        path = there.path
        return taken_in_turn({
            "cut": lambda: peers.by_reader_thread(path, FRAMES, checked=False),
            "cut and checked": lambda: peers.by_reader_thread(path, FRAMES, checked=True),
            "frames": lambda: peers.by_port(path, FRAMES, CobsFramer),
            "blocks": lambda: peers.by_port(path, FRAMES, lambda: receiver_of(info)),
        }, rounds)  # fmt: skip


def cyton(folder: Path, rounds: int, *, with_brainflow: bool) -> Laps:
    """The same packets by both, and both must say the same of them."""
    counts = np.random.default_rng(0).integers(-(2**23), 2**23, (PACKETS, 8))
    double = CytonDouble(counts)
    wire = b"".join(double.packet(n, row) for n, row in enumerate(counts))
    payload = folder / "cyton.bin"
    payload.write_bytes(wire)
    pieces = [wire[at : at + CHUNK] for at in range(0, len(wire), CHUNK)]
    wanted = counts * (4.5e6 / 24 / (2**23 - 1))

    def to_packets() -> None:
        framer = PacketFramer(Packet())
        assert sum(len(framer.feed(piece)) for piece in pieces) == PACKETS

    def to_blocks() -> None:
        dialect = Cyton()
        board = Greeting(dialect)
        dialect.start(board, dialect.greet(board).streams[0])
        came = sum(len(item) for piece in pieces for item in dialect.feed(piece, 0))
        assert came == PACKETS

    with ExitStack() as stack:
        path = stack.enter_context(peers.Feeder(payload)).path
        works: dict[str, Callable[[], float]] = {
            "packets, in memory": lambda: peers.spent_ms(to_packets),
            "blocks, in memory": lambda: peers.spent_ms(to_blocks),
            "our link": lambda: same(*peers.by_link(path, PACKETS)),
        }
        if with_brainflow:
            other = stack.enter_context(peers.Feeder(payload)).path
            peer = stack.enter_context(peers.ByBrainFlow(other))
            works["BrainFlow"] = lambda: same(*peer.read(PACKETS))

        def same(ms: float, found: Any) -> float:
            rows = np.concatenate(found) if isinstance(found, list) else found
            assert np.allclose(rows, wanted, rtol=0, atol=1e-9)
            return ms

        return taken_in_turn(works, rounds)


class Greeting:
    """A line to a board that says who it is, and nothing else."""

    def __init__(self, dialect: Cyton) -> None:
        self._dialect = dialect

    def write(self, data: bytes) -> None:
        if data == b"v":
            assert not list(self._dialect.feed(CytonDouble.greeting, 0))

    def ask(self, *told: object, **more: object) -> dict[str, object]:
        raise AssertionError("a Cyton takes no requests")


def main() -> int:
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("--rounds", type=int, default=15)
    reader.add_argument("--out", type=Path, default=Path("benchmarks/results/link.md"))
    asked = reader.parse_args()
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)  # of brainflow
    versions = {name: version_of(name) for name in ("cobs", "pyserial", "brainflow", "numpy")}
    told = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
    lines = [
        "# The link", "",
        f"`python benchmarks/link.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, {told}, "
        f"load average {os.getloadavg()[0]:.1f} at the beginning. Processor time of the process "
        f"that reads, medians of {asked.rounds} rounds in which the contenders take turns; in "
        "brackets the 5 % and 95 % of the rounds.", "",
    ]  # fmt: skip
    kept = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shape, (leads, n) in SHAPES.items():
            info, wire = wire_of(leads, n, FRAMES)
            laps = in_memory(info, wire, asked.rounds)
            part, good = of_frames(shape, wire, n, laps, over_pty(info, wire, folder, asked.rounds))
            lines += part
            kept = kept and good
        lines += of_cyton(cyton(folder, asked.rounds, with_brainflow=bool(versions["brainflow"])))
    lines += at_own_pace(with_brainflow=bool(versions["brainflow"]))
    lines += [LIMITS, ""]
    asked.out.write_text("\n".join(lines), "utf-8")
    print("\n".join(lines))
    return 0 if kept else 1


def at_own_pace(*, with_brainflow: bool) -> list[str]:
    """One device at 250 Hz, in real time, and the memory of links."""
    works = {
        "our link, our device (a frame each 40 ms, its clock measured)":
            lambda: link_live.link_ms_per_s("pty", LIVE_S),
        "our link, Cyton (a packet each 4 ms)": lambda: link_live.link_ms_per_s("cyton", LIVE_S),
        "pyserial's ReaderThread, the Cyton's bytes, counted and nothing else":
            lambda: link_live.reader_thread_ms_per_s(LIVE_S),
    }  # fmt: skip
    if with_brainflow:
        works["BrainFlow, Cyton, looked at each 100 ms"] = lambda: link_live.brainflow_ms_per_s(
            LIVE_S
        )
    rounds = [{name: work() for name, work in works.items()} for _ in range(LIVE_ROUNDS)]
    empty, full = link_live.memory_kb(LINKS)
    return [
        "## One device of 8 channels at its own pace", "",
        "| | processor ms per second |", "| --- | --- |",
        *(f"| {what} | {np.median([lap[what] for lap in rounds]):.1f} |" for what in works), "",
        f"Of {LIVE_ROUNDS} times {LIVE_S:g} s the median; most of it is waking up. Memory: "
        f"{empty:.0f} KB resident per link that streams ({LINKS} links in one process, two threads "
        f"each), {full:.0f} KB with {link_live.RING} blocks waiting in each ring.", "",
    ]  # fmt: skip


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
