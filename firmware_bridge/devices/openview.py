"""ProtoCentral OpenView, as HealthyPi boards send it: packets of type 2.

    ecg i32 | bioimpedance i32 | flag u8 | red i32 | infrared i32 | temperature i16 | SpO2 u8 |
    heart rate u8 | respiration u8                                          little endian, 22 bytes

No number, time or checksum: how much was lost nobody can know, only that something was. The rate is
that of the board's settings, so the caller says it. Values are counts; the board says no unit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.devices.foreign import Double, Foreign
from firmware_bridge.devices.protocentral import Packet, packet
from firmware_bridge.frames import Frame, PacketFramer
from firmware_bridge.messages import Format
from firmware_bridge.receiver import Item

KIND = 2
BODY = struct.Struct("<iiBiihBBB")
_OFFSET = 5
_STREAMS = (("ecg", ("ecg",)), ("ppg", ("red", "infrared")))


class OpenView(Foreign):
    """The dialect: streams `ecg` and `ppg` (red, infrared).

    Args:
        rate_hz: samples per second, as the board is set.
    """

    def __init__(self, rate_hz: float) -> None:
        rate = Fraction(rate_hz).limit_denominator(1000)
        if not 1 <= rate <= 10_000:
            raise ValueError("the rate lies between 1 and 10,000 Hz")
        infos = tuple(
            StreamInfo(
                id=number, name=name, rate=(rate.numerator, rate.denominator), leads=leads,
                unit="count", format=Format.I32, bits=32, per_message=max(1, int(rate) // 25),
            )
            for number, (name, leads) in enumerate(_STREAMS)
        )  # fmt: skip
        self._packets = PacketFramer(Packet(KIND, BODY.size))
        super().__init__("ProtoCentral OpenView", infos, self._packets)

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete: blocks of all packets with nothing skipped between."""
        yield from self._blocks(self._packets.feed(data), arrived_ns)

    def idle(self, now_ns: int) -> Iterator[Item]:
        """The last packet, which waited for a follower."""
        yield from self._blocks(self._packets.idle(), now_ns)

    def _blocks(self, frames: list[Frame], arrived_ns: int) -> Iterator[Item]:
        breaks = self._packets.breaks
        cuts = sorted({0, len(frames)} | breaks)
        for first, last in pairwise(cuts):
            if first in breaks and self._accounts[0].counts.received:
                for account in self._accounts.values():
                    account.missing(None)
            rows = [BODY.unpack_from(frame.payload, _OFFSET) for frame in frames[first:last]]
            table = np.array([(row[0], row[3], row[4]) for row in rows], np.int32)
            yield self._accounts[0].block(table[:, :1], arrived_ns)
            yield self._accounts[1].block(table[:, 1:], arrived_ns)


class OpenViewDouble(Double):
    """A board that streams from its start on.

    Args:
        samples: (n, 3) counts: ECG, red, infrared.
        rate_hz: samples per second.
        limit: packets in all.
    """

    def __init__(self, samples: Any, rate_hz: float = 125.0, limit: int | None = None) -> None:
        super().__init__(samples, rate_hz, limit)
        self.begin()

    def packet(self, number: int, row: Any) -> bytes:
        """29 bytes."""
        return packet(
            KIND, BODY.pack(int(row[0]), 0, 1, int(row[1]), int(row[2]), 3650, 98, 72, 15)
        )
