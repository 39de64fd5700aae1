"""The noise matrix: frames over bad cables of many kinds, in bytes and without a clock.

    python -m tests.bridge.noise [frames per condition]

Of each condition it tells how many frames came, whether any came that was not sent, whether the
counted loss is the true one, how many bytes of samples came per byte on the wire, and how many
frames a fault costs. It ends with 1 where a condition broke a promise.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np

from firmware_bridge.faults import Lane, Mangler
from firmware_bridge.frames import STREAM, CobsFramer, Frame
from firmware_bridge.loss import Ledger
from firmware_bridge.messages import (
    Array,
    Format,
    Header,
    SampleBlock,
    decode_stream,
    encode_samples,
)

N, RATE, BATCH = 25, 250, 500

CONDITIONS = {
    "clean": Lane(),
    **{f"bit errors {rate:g}": Lane(flip=rate) for rate in (1e-6, 1e-5, 1e-4, 1e-3)},
    **{f"bytes dropped {rate:g}": Lane(drop=rate) for rate in (1e-4, 1e-3, 1e-2, 5e-2)},
    "bytes doubled 0.001": Lane(duplicate=1e-3),
    "bytes inserted 0.001": Lane(insert=1e-3),
    "all together": Lane(flip=1e-5, drop=1e-3, duplicate=1e-4, insert=1e-4),
}


@dataclass
class Found:
    """What became of one condition.

    Attributes:
        sent: frames.
        came: frames.
        false: frames that came and differ from what was sent: corruption that nobody saw.
        lost: samples, truly.
        counted: samples, by the ledger.
        faults: injected.
        hidden: whole frames that did not come although no fault was in them or in the zero byte
            in front of them.
        wire_bytes: sent.
        seconds: to encode, damage and decode all.
    """

    sent: int = 0
    came: int = 0
    false: int = 0
    lost: int = 0
    counted: int = 0
    faults: int = 0
    hidden: int = 0
    wire_bytes: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        return not self.false and not self.hidden and self.lost == self.counted

    @property
    def goodput(self) -> float:
        """Bytes of samples that came for each byte sent."""
        return self.came * N * 3 / self.wire_bytes


def counts_at(first: int) -> Array:
    """The samples that belong at an index: any other there is a corruption."""
    index = np.arange(first, first + N, dtype=np.int64)
    return (index * 2654435761 % 2**24 - 2**23).astype(np.int32)[:, None]


def run(lane: Lane, frames: int, seed: int = 1) -> Found:
    """Sends so many frames through such a cable."""
    begin = time.perf_counter()
    out, back, mangler = CobsFramer(), CobsFramer(), Mangler(lane, seed, keep=True)
    ledger, found, came = Ledger(RATE), Found(sent=frames), np.zeros(frames, np.bool_)
    ledger.expect(7, 0, 0)
    ends = np.zeros(frames, np.int64)
    for first in range(0, frames, BATCH):
        wire = bytearray()
        for number in range(first, min(first + BATCH, frames)):
            index = number * N
            header = Header(0, Format.I24, 7, N, index, index * 1_000_000 // RATE)
            wire += out.encode(STREAM, encode_samples(header, counts_at(index)))
            ends[number] = found.wire_bytes + len(wire)
        found.wire_bytes += len(wire)
        _take(back.feed(mangler.apply(bytes(wire))), ledger, found, came)
    _take(back.feed(b"\0"), ledger, found, came)  # the cable's own end
    ledger.settle(frames * N, 0)
    found.came, found.faults = int(came.sum()), sum(mangler.done.values())
    found.lost, found.counted = (frames - found.came) * N, ledger.counts.lost_link
    hit = np.array(mangler.hit, np.int64)
    touched = np.zeros(frames, np.bool_)
    touched[np.searchsorted(ends, hit, "right")] = True
    at_end = np.isin(ends - 1, hit)  # the zero byte between this frame and the next
    touched[1:] |= at_end[:-1]
    found.hidden = int((~touched & ~came).sum())
    found.seconds = time.perf_counter() - begin
    return found


def _take(frames: list[Frame], ledger: Ledger, found: Found, came: Array) -> None:
    for frame in frames:
        told = decode_stream(frame.payload)
        assert isinstance(told, SampleBlock)
        number, off = divmod(told.header.first_index, N)
        good = frame.channel == STREAM and not off and number < len(came)
        if not good or not np.array_equal(told.counts, counts_at(number * N)):
            found.false += 1
            continue
        if ledger.take(told.header) is not None:
            came[number] = True


def main(arguments: list[str]) -> int:
    frames = int(arguments[0]) if arguments else 100_000
    print(f"{frames:,} frames of {N} samples (i24) for each condition")
    print("| condition | faults | came | undetected | lost = counted | lost per fault | goodput |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    sound = True
    for name, lane in CONDITIONS.items():
        found = run(lane, frames)
        sound = sound and found.sound
        per_fault = (found.sent - found.came) / found.faults if found.faults else 0.0
        print(
            f"| {name} | {found.faults:,} | {found.came:,} | {found.false} | {found.lost:,} "
            f"{'=' if found.lost == found.counted else '≠'} {found.counted:,} | {per_fault:.2f} | "
            f"{found.goodput:.3f} |", flush=True,
        )  # fmt: skip
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
