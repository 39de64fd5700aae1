"""ProtoCentral HeartyPatch, protocol 3: packets of type 3 with 8 samples of ECG.

    number u32 | seconds u32 | microseconds u32 | RR ms u32 | 8 × i32       little endian, 48 bytes

Packets are numbered, so losses are counted exactly; a number that lies behind is a restart. There
is no checksum. The time is the device's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.devices.foreign import Double, Foreign
from firmware_bridge.devices.protocentral import Packet, packet
from firmware_bridge.frames import Frame, PacketFramer
from firmware_bridge.messages import Format
from firmware_bridge.receiver import Item

KIND = 3
PER_PACKET = 8
BODY = struct.Struct("<IIII8i")
_OFFSET = 5
_WRAP = 2**32


class HeartyPatch(Foreign):
    """The dialect: stream `ecg`.

    Args:
        rate_hz: samples per second, as the patch is set.
    """

    def __init__(self, rate_hz: int = 128) -> None:
        info = StreamInfo(
            id=0, name="ecg", rate=(rate_hz, 1), leads=("ecg",), unit="count", format=Format.I32,
            bits=32, per_message=PER_PACKET,
        )  # fmt: skip
        super().__init__("ProtoCentral HeartyPatch", (info,), PacketFramer(Packet(KIND, BODY.size)))
        self._number: int | None = None

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete."""
        yield from self._blocks(self._framer.feed(data), arrived_ns)

    def idle(self, now_ns: int) -> Iterator[Item]:
        """The last packet, which waited for a follower."""
        yield from self._blocks(self._framer.idle(), now_ns)

    def _blocks(self, frames: list[Frame], arrived_ns: int) -> Iterator[Item]:
        account = self._accounts[0]
        for frame in frames:
            number, seconds, micros, _, *values = BODY.unpack_from(frame.payload, _OFFSET)
            if self._number is not None:
                missing = (number - self._number - 1) % _WRAP
                behind = missing >= _WRAP // 2
                account.missing(None if behind else missing * PER_PACKET, restart=behind)
            self._number = number
            block = account.block(np.array(values, np.int32)[:, None], arrived_ns)
            yield replace(block, at=replace(block.at, t_dev_us=seconds * 1_000_000 + micros))


class HeartyPatchDouble(Double):
    """A patch that streams from its start on.

    Args:
        samples: (n, 8) counts, a packet in each row.
        rate_hz: samples per second.
        limit: packets in all.
        first: number of its first packet.
    """

    def __init__(
        self, samples: Any, rate_hz: int = 128, limit: int | None = None, first: int = 0
    ) -> None:
        super().__init__(samples, rate_hz / PER_PACKET, limit)
        self._first = first
        self.begin()

    def packet(self, number: int, row: Any) -> bytes:
        """55 bytes."""
        seconds, micros = divmod(int(number * 1e6 / self._rate_hz), 1_000_000)
        values = [int(value) for value in row]
        return packet(
            KIND, BODY.pack((self._first + number) % _WRAP, seconds, micros, 830, *values)
        )
