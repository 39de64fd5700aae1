"""OpenBCI Cyton: 8 channels of 24 bits at 250 Hz, in packets of 33 bytes at 115,200 bit/s.

    A0 | number u8 | 8 × i24 BE | 6 bytes of auxiliary data | C0 to C6

There is no checksum: a flipped bit within samples passes. Packets are numbered modulo 256, so what
is missing over a silence is told by the host's clock as well. The board answers `v` (reset) with a
text that ends in `$$$`, `b` starts the packets and `s` stops them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.devices.foreign import Account, Double, Foreign, Text
from firmware_bridge.dialect import Line
from firmware_bridge.errors import Incompatible, NoAnswer
from firmware_bridge.frames import PacketFramer
from firmware_bridge.messages import Format
from firmware_bridge.receiver import Item

SIZE = 33
CHANNELS = 8
RATE_HZ = 250
_WRAP = 256
_LEADS = ("ch1", "ch2", "ch3", "ch4", "ch5", "ch6", "ch7", "ch8")
_GREETING_S = 3.0


class Packet:
    """The shape of a packet."""

    start = b"\xa0"
    max_size = SIZE

    def size(self, head: bytes) -> int | None:
        """Always 33."""
        return SIZE

    def fits(self, packet: bytes) -> bool:
        """Whether it ends as packets do."""
        return 0xC0 <= packet[-1] <= 0xC6


class Cyton(Foreign):
    """The dialect.

    Args:
        gain: of the converter, as set on the board.
        leads: names of the channels.
    """

    packets_per_sample = 1

    def __init__(self, gain: float = 24.0, leads: tuple[str, ...] = _LEADS) -> None:
        each = self.packets_per_sample
        self._wrap, self._rate_hz = _WRAP // each, RATE_HZ // each
        if len(leads) != CHANNELS * each:
            raise ValueError(f"this board has {CHANNELS * each} channels")
        info = StreamInfo(
            id=0, name="exg", rate=(self._rate_hz, 1), leads=tuple(leads), unit="uV",
            scale=4.5e6 / gain / (2**23 - 1), format=Format.I24, bits=24, per_message=10 // each,
        )  # fmt: skip
        super().__init__("OpenBCI Cyton" + " with Daisy" * (each > 1), (info,),
                         PacketFramer(Packet()))  # fmt: skip
        self._text = Text()
        self._on = False
        self._number: int | None = None
        self._last_ns = 0

    def greet(self, line: Line) -> Hello:
        """Stops it, resets it, and reads what it says about itself.

        Raises:
            NoAnswer: it says nothing that a Cyton says.
            Incompatible: it has a Daisy on it, or lacks the one that was told of.
        """
        self._on = False
        line.write(b"s")
        self._text.clear()
        line.write(b"v")
        told = self._text.until(b"$$$", _GREETING_S)
        if told is None:
            raise NoAnswer(
                f"no OpenBCI board answered within {_GREETING_S:g} s; is it switched on (PC side), "
                "and the dongle's switch on GPIO 6?"
            )
        firmware = next((line[9:].strip() for line in told.splitlines()
                         if line.startswith("Firmware:")), "")  # fmt: skip
        # A Daisy's channels take turns with the board's: mixed up they would look like a signal.
        if ("On Daisy" in told) != (self.packets_per_sample > 1):
            raise Incompatible(
                "this Cyton has a Daisy with 8 more channels on it; use --device cyton-daisy"
                if "On Daisy" in told
                else "no Daisy answered on this Cyton; plug it on, or use --device cyton"
            )
        return self._hello(firmware)

    def start(self, line: Line, info: StreamInfo) -> None:
        """Starts the packets."""
        self.reset()
        self._number, self._on = None, True
        line.write(b"b")

    def stop(self, line: Line, info: StreamInfo) -> None:
        """Stops them."""
        line.write(b"s")
        self._on = False

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete: one block for all packets with nothing missing between."""
        if not self._on:
            self._text.add(data)
            return
        yield from self._blocks([frame.payload for frame in self._framer.feed(data)], arrived_ns)

    def idle(self, now_ns: int) -> Iterator[Item]:
        """The last packet, which waited for a follower."""
        if self._on:
            yield from self._blocks([frame.payload for frame in self._framer.idle()], now_ns)

    def _blocks(self, packets: list[bytes], arrived_ns: int) -> Iterator[Item]:
        account, run = self._accounts[0], list[bytes]()
        for number, sample in self._samples(packets):
            missing = self._missing(number, arrived_ns)
            if missing:
                yield from self._block(account, run, arrived_ns)
                run = []
                account.missing(missing)
            run.append(sample)
            self._number, self._last_ns = number, arrived_ns
        yield from self._block(account, run, arrived_ns)

    def _samples(self, packets: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """Numbers and packets of whole samples."""
        return ((packet[1], packet) for packet in packets)

    def _missing(self, number: int, arrived_ns: int) -> int:
        if self._number is None:
            return 0
        missing = (number - self._number - 1) % self._wrap
        silence = (arrived_ns - self._last_ns) * 1e-9 * self._rate_hz
        return missing + self._wrap * max(0, round((silence - missing) / self._wrap))

    def _block(self, account: Account, packets: list[bytes], arrived_ns: int) -> Iterator[Item]:
        if packets:
            counts = counts_of(packets)
            yield account.block(counts.reshape(-1, len(self._infos[0].leads)), arrived_ns)


def counts_of(packets: list[bytes]) -> Any:
    """(packets, 8) int32; where an item holds several packets, one after the other."""
    raw = np.frombuffer(b"".join(packets), np.uint8).reshape(-1, SIZE)[:, 2:26]
    wide = np.zeros((len(raw), CHANNELS, 4), np.uint8)
    wide[:, :, :3] = raw.reshape(-1, CHANNELS, 3)
    return (wide.view(">i4")[:, :, 0] >> 8).astype(np.int32)


class CytonDouble(Double):
    """The board: text, commands and packets.

    Args:
        samples: (n, 8) counts.
        limit: packets in all.
    """

    greeting = (
        b"OpenBCI V3 8-16 channel\r\nOn Board ADS1299 Device ID: 0x3E\r\n"
        b"LIS3DH Device ID: 0x33\r\nFirmware: v3.1.2\r\n$$$"
    )

    def __init__(self, samples: Any, limit: int | None = None) -> None:
        super().__init__(samples, RATE_HZ, limit)

    def receive(self, data: bytes) -> None:
        """Commands are single letters."""
        for letter in data:
            if letter == ord("v"):
                self.end()
                self.say(self.greeting)
            elif letter == ord("b"):
                self.begin()
            elif letter == ord("s"):
                self.end()

    def packet(self, number: int, row: Any) -> bytes:
        """33 bytes."""
        body = b"".join(int(value).to_bytes(3, "big", signed=True) for value in row)
        return b"\xa0" + bytes([number % _WRAP]) + body + bytes(6) + b"\xc0"
