"""The noise matrix: frames over bad cables of many kinds, in the line's own time and on no clock.

    python -m tests.bridge.noise [frames per condition]

A device with a crystal 50 millionths too fast takes 250 samples a second and sends 25 in each
frame at 115,200 baud (10 bits a byte); the port gives on what has come once a millisecond, as an
adapter does that was asked for low latency. Where a byte is and when follows from that arithmetic,
so every run prints the same, but for the processor time.

Of each condition it tells whether anything came that was not sent, whether the loss that was
counted, and told in front of each block, is the true one, how soon the link is well again behind a
fault, how long a block took from its last sample to whoever reads it (the line's time included),
how long after its own end a frame that is missing was told to be, and what share of the bytes sent
came to be samples. It ends with 1 where a condition broke a promise.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from firmware_bridge.blocks import Block
from firmware_bridge.capabilities import PROTOCOL, Hello, StreamInfo
from firmware_bridge.faults import Lane, Mangler
from firmware_bridge.frames import STREAM, CobsFramer
from firmware_bridge.messages import Array, Format, Header, encode_samples
from firmware_bridge.receiver import Receiver

N, RATE, BOOT, BATCH = 25, 250, 7, 500
BAUD, PPM = 115_200, 50.0
BYTE_US, TICK_US = 10e6 / BAUD, 1000.0
MESSAGE_US = N / RATE * 1e6 / (1 + PPM * 1e-6)
MOST_LOST = 2
"""Frames that one fault may cost: its own, and the next one where it hit the zero between them."""

CONDITIONS = {
    "clean": Lane(),
    **{f"bit errors {rate:g}": Lane(flip=rate) for rate in (1e-6, 1e-5, 1e-4, 1e-3)},
    **{f"bytes dropped {rate:g}": Lane(drop=rate) for rate in (1e-4, 1e-3, 1e-2, 5e-2)},
    "bytes doubled 0.001": Lane(duplicate=1e-3),
    "bytes inserted 0.001": Lane(insert=1e-3),
    "all together": Lane(flip=1e-5, drop=1e-3, duplicate=1e-4, insert=1e-4),
}
INFO = StreamInfo(id=0, name="ecg", rate=(RATE, 1), leads=("II",), unit="uV", scale=0.5,
                  format=Format.I24, bits=24, per_message=N)  # fmt: skip


@dataclass
class Found:
    """What became of one condition.

    Attributes:
        sent: frames.
        came: frames.
        false: whole frames that differ from all that was sent: corruption that nobody saw.
        lost: samples, truly.
        counted: samples, by the link's account.
        mistold: blocks whose gap is not what is missing in front of them.
        faults: injected.
        hidden: frames that did not come although no fault was in them or in the zero byte in front
            of them.
        recovery: most frames that did not come for one fault, further faults set aside.
        wire_bytes: sent.
        latency_ms: of each block, from its last sample to whoever reads it.
        told_ms: of each frame that is missing, from its end on the line until its gap was told.
        cpu_us: processor time for a frame that was sent, from bytes to blocks.
    """

    sent: int
    came: int = 0
    false: int = 0
    lost: int = 0
    counted: int = 0
    mistold: int = 0
    faults: int = 0
    hidden: int = 0
    recovery: int = 0
    wire_bytes: int = 0
    latency_ms: list[float] = field(default_factory=list, repr=False)
    told_ms: list[float] = field(default_factory=list, repr=False)
    cpu_us: float = 0.0

    @property
    def sound(self) -> bool:
        wrong = self.false or self.hidden or self.mistold
        return not wrong and self.lost == self.counted and self.recovery <= MOST_LOST

    @property
    def goodput(self) -> float:
        """Bytes of samples that came for each byte sent."""
        return self.came * N * 3 / self.wire_bytes


def counts_of(frames: int) -> Array:
    """The sample that belongs at each index: any other there is a corruption."""
    index = np.arange(frames * N, dtype=np.int64)
    return (index * 2654435761 % 2**24 - 2**23).astype(np.int32)


@lru_cache(maxsize=1)
def sent(frames: int) -> tuple[bytes, ...]:
    """The frames as the device writes them."""
    framer, counts, found = CobsFramer(), counts_of(frames), []
    for first in range(0, frames * N, N):
        header = Header(0, Format.I24, BOOT, N, first, first * 1_000_000 // RATE)
        payload = encode_samples(header, counts[first : first + N, None])
        found.append(framer.encode(STREAM, payload))
    return tuple(found)


def reads(wire: bytes, end_us: float) -> Iterator[tuple[int, bytes]]:
    """The ticks at which the port gives something on, and what, where the last byte ends then."""
    first_us = end_us - (len(wire) - 1) * BYTE_US
    at, tick = 0, math.ceil(first_us / TICK_US)
    while at < len(wire):
        upto = min(int((tick * TICK_US - first_us) / BYTE_US) + 1, len(wire))
        if upto > at:
            yield tick, wire[at:upto]
        at, tick = upto, tick + 1


def run(lane: Lane, frames: int, seed: int = 1) -> Found:
    """Sends so many frames through such a cable."""
    receiver, mangler = Receiver(CobsFramer()), Mangler(lane, seed, keep=True)
    receiver.meet(Hello(proto=PROTOCOL, device="a line", boot_id=BOOT, streams=(INFO,)))
    receiver.ledger(0).expect(BOOT, 0, 0)
    judge, wires, free_us = Judge(frames), sent(frames), 0.0
    found, batch = judge.found, list[tuple[int, bytes]]()
    for number, wire in enumerate(wires):
        came = mangler.apply(wire)
        begin_us = max((number + 1) * MESSAGE_US, free_us)
        free_us = begin_us + max(len(wire), len(came)) * BYTE_US  # a byte that is lost takes time
        judge.ends_us[number] = free_us
        batch += reads(came, free_us)
        if number % BATCH == BATCH - 1 or number == frames - 1:
            items, begin_ns = list[tuple[int, object]](), time.process_time_ns()
            for tick, data in batch:
                items += [(tick, item) for item in receiver.feed(data, tick)]
            found.cpu_us += (time.process_time_ns() - begin_ns) / 1e3 / frames
            judge.take(items)
            batch.clear()
    last = math.ceil(free_us / TICK_US)
    judge.take([(last, item) for item in receiver.feed(b"\0", last)])  # the next frame's beginning
    receiver.ledger(0).settle(frames * N, 0)  # as the answer to `stop` does
    found.false += receiver.unreadable  # whole by its CRC, and yet nothing that was sent
    found.faults, found.counted = sum(mangler.done.values()), receiver.counts()["ecg"].lost_link
    judge.close(mangler.hit, np.cumsum([len(wire) for wire in wires]))
    return found


class Judge:
    """Holds what comes against what was sent.

    Args:
        frames: that are sent.

    Attributes:
        found: the judgement.
        ends_us: when each frame's last byte was through the line; to be filled in.
    """

    def __init__(self, frames: int) -> None:
        self.found = Found(frames)
        self.ends_us = np.zeros(frames)
        self._counts = counts_of(frames)
        self._came = np.zeros(frames, np.bool_)
        self._next = 0

    def take(self, items: list[tuple[int, object]]) -> None:
        """What was given on, at which tick."""
        found, frames = self.found, self.found.sent
        for tick, item in items:
            first = item.first_index if isinstance(item, Block) else -1
            number, off = divmod(first, N)
            if (
                not isinstance(item, Block) or off or not self._next <= number < frames
                or not np.array_equal(item.counts[:, 0], self._counts[first : first + N])
            ):  # fmt: skip
                found.false += 1
                continue
            missing = range(self._next, number)
            gap = item.gap
            told = (gap.first, gap.count, gap.link) if gap else (self._next * N, 0, 0)
            found.mistold += told != (self._next * N, len(missing) * N, len(missing) * N)
            found.told_ms += [(tick * TICK_US - self.ends_us[one]) / 1e3 for one in missing]
            found.latency_ms.append((tick * TICK_US - (number + 1) * MESSAGE_US) / 1e3)
            self._came[number], self._next = True, number + 1

    def close(self, hit: list[int], ends: Any) -> None:
        """Sums up, by the numbers of the bytes that were hit and those at the frames' ends."""
        found, came = self.found, self._came
        found.wire_bytes, found.came = int(ends[-1]), int(came.sum())
        found.lost = (found.sent - found.came) * N
        touched = np.zeros(found.sent, np.bool_)
        touched[np.searchsorted(ends, np.array(hit, np.int64), "right")] = True
        behind = touched.copy()
        behind[1:] |= np.isin(ends - 1, hit)[:-1]  # the zero byte between two frames
        found.hidden = int((~behind & ~came).sum())
        row = 0
        for own, there in zip(touched.tolist(), came.tolist(), strict=True):
            row = 0 if there else 1 if own else row + 1
            found.recovery = max(found.recovery, row)


def span(values: list[float]) -> str:
    """Median and 99 %."""
    if not values:
        return "–"
    low, high = np.percentile(values, [50, 99])
    return f"{low:.1f} / {high:.1f}"


def main(arguments: list[str]) -> int:
    frames = int(arguments[0]) if arguments else 100_000
    print(f"""### The link on bad cables

{frames:,} frames for each condition, of {N} samples (i24) at {RATE} Hz; {BAUD:,} baud; the port \
gives on what came every {TICK_US / 1e3:g} ms. Latency and "told after" are p50 / p99 in ms of \
the line's time, not measured: from a block's last sample to the block, and from the end of a \
missing frame to the block that tells it. A line that loses makes samples missing, never late: \
nothing is sent again.

| condition | faults | frames came | undetected | lost = counted | frames lost by a fault, at most \
| latency | told after | goodput, bytes of samples per byte sent | processor µs per frame | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |""")
    sound = True
    for name, lane in CONDITIONS.items():
        found = run(lane, frames)
        sound = sound and found.sound
        sign = "=" if found.lost == found.counted else "≠"
        print(
            f"| {name} | {found.faults:,} | {found.came:,} | {found.false} | {found.lost:,} "
            f"{sign} {found.counted:,} | {found.recovery} | {span(found.latency_ms)} | "
            f"{span(found.told_ms)} | {found.goodput:.3f} | {found.cpu_us:.1f} | "
            f"{'kept' if found.sound else 'BROKEN'} |", flush=True,
        )  # fmt: skip
    print()
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
