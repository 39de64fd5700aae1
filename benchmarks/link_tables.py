"""The tables of benchmarks/link.py, and what they do not show."""

from __future__ import annotations

import numpy as np

from firmware_bridge.devices.cyton import SIZE

RATE_HZ, FRAMES, PACKETS = 250, 4000, 20_000
WANTED_OF_FLOOR, WANTED_OF_REAL_TIME = 0.5, 100

Laps = dict[str, list[float]]
"""Milliseconds of processor time of each contender, a lap in each round."""


def rate_against(laps: Laps, name: str, other: str) -> tuple[float, float, float]:
    """How many times as much it does as the other in the same time: median, 5 % and 95 %."""
    ratios = np.array(laps[other]) / np.array(laps[name])
    low, middle, high = np.percentile(ratios, [5, 50, 95])
    return float(middle), float(low), float(high)


def of_frames(shape: str, wire: bytes, n: int, memory: Laps, pty: Laps) -> tuple[list[str], bool]:
    """The tables of one shape of messages, and whether what was promised is kept."""
    real = RATE_HZ / n

    def row(what: str, laps: Laps, name: str, other: str) -> str:
        per_s = FRAMES / float(np.median(laps[name])) * 1e3
        middle, low, high = rate_against(laps, name, other)
        against = "1" if name == other else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        return f"| {what} | {per_s / 1e3:,.0f} | {per_s / real:,.0f} | {against} |"

    of_floor = rate_against(memory, "frames", "floor")[0]
    of_real = FRAMES / float(np.median(memory["blocks"])) * 1e3 / real
    kept = of_floor >= WANTED_OF_FLOOR and of_real >= WANTED_OF_REAL_TIME
    return [
        f"## {shape} of 24 bits, frames of {len(wire) / FRAMES:.0f} bytes", "",
        "| in memory | thousand frames/s | × real time | rate against the floor |",
        "| --- | --- | --- | --- |",
        row("floor: split, `cobs`, `zlib`", memory, "floor", "floor"),
        row("frames, `CobsFramer`", memory, "frames", "floor"),
        row("blocks, `Receiver`", memory, "blocks", "floor"),
        "",
        "| over a pty | thousand frames/s | × real time | rate against ReaderThread, checked |",
        "| --- | --- | --- | --- |",
        row("ReaderThread + Packetizer, cut at zeros", pty, "cut", "cut and checked"),
        row("the same, decoded and checked by hand", pty, "cut and checked", "cut and checked"),
        row("our port, frames", pty, "frames", "cut and checked"),
        row("our port, blocks", pty, "blocks", "cut and checked"),
        "",
        f"Wanted: frames at {WANTED_OF_FLOOR:g} of the floor or more, and {WANTED_OF_REAL_TIME} × "
        f"real time. Found: {of_floor:.2f}, and up to blocks {of_real:,.0f} ×: "
        f"{'kept' if kept else 'NOT KEPT'}.", "",
    ], kept  # fmt: skip


def of_cyton(laps: Laps) -> list[str]:
    """The table of the Cyton's packets."""
    base = "BrainFlow" if "BrainFlow" in laps else "our link"

    def row(what: str, name: str) -> str:
        us = float(np.median(laps[name])) * 1e3 / PACKETS
        middle, low, high = rate_against(laps, name, base)
        against = "1" if name == base else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        return f"| {what} | {us:.2f} | {1e6 / us / RATE_HZ:,.0f} | {against} |"

    rows = [
        row("packets, `PacketFramer`, in memory", "packets, in memory"),
        row("blocks, `Cyton`, in memory", "blocks, in memory"),
        row("our link over a pty: port, threads, ring, blocks in µV", "our link"),
    ]
    if "BrainFlow" in laps:
        rows.append(row("BrainFlow over a pty: port, thread, buffer, array in µV", "BrainFlow"))
    return [
        f"## OpenBCI Cyton: {PACKETS:,} packets of {SIZE} bytes, 8 channels", "",
        f"| | processor µs per packet | × real time | rate against {base} |",
        "| --- | --- | --- | --- |", *rows, "",
        "The bytes come as fast as they are read. In each round the numbers that came were those "
        "that were sent.", "",
    ]  # fmt: skip


LIMITS = "\n".join([
    "## What the others do not do", "",
    "- The floor keeps nothing: no cap on a frame's length, no channel, no count of what was "
    "damaged.",
    "- pyserial's Packetizer cuts at zeros and gives on whatever lies between; its buffer has no "
    'cap, and an exception in its protocol ends its thread. "Checked by hand" adds `cobs` and '
    "`zlib`, and still no cap and no count.",
    "- BrainFlow looks at a packet's first and last byte, as we do: the Cyton's packets have no "
    "checksum. It gives their numbers on and counts no loss; ours tells in front of each block how "
    "many packets are missing, and finds packets again among bytes that are none. It does much "
    "that we do not: dozens of boards, filters, other languages.",
    "- Our frames carry index, clock, counters and a CRC, the Cyton's packets one number: the "
    "tables are not of the same bytes.", "",
    "BrainFlow is compiled and we are not. Where bytes come faster than they are read, a read of "
    "ours takes many packets at once, and it is the cheaper one; at the device's own pace each "
    "packet wakes a thread of Python for itself, and BrainFlow is the cheaper one by far.", "",
    "Not measured: a real Cyton or any other serial hardware (a pty has no baud rate, and gives "
    "bytes in other pieces than a USB adapter), how soon a byte is seen, other transports of "
    "BrainFlow.",
])  # fmt: skip
