"""Bytes ⇄ frames, without any I/O: feed what arrived, in whatever pieces, and get whole frames.

A framer never raises on bytes from outside and never holds more than its cap; what it throws away
it counts. All of them give `Frame(channel, payload)`, so that the room above does not care which
one a device speaks.

| framer | for | integrity | finds its way back |
| --- | --- | --- | --- |
| `CobsFramer` | our devices, docs/wire.md §2 | CRC-32 | at the next zero byte |
| `ConsoleFramer` | SMP on a serial console, logs in between | CRC-16 | at the next `06 09` |
| `RawFramer` | SMP without framing | none | by plausibility, and after a silence |
| `PacketFramer` | devices of others with a start byte and a length | their end byte | one byte on |
| `LineFramer` | text | none | at the next line |
"""

from __future__ import annotations

from firmware_bridge.frames.common import (
    CONTROL,
    EVENT,
    LOG,
    STREAM,
    Frame,
    Framer,
    Tally,
)
from firmware_bridge.frames.console import ConsoleFramer, LineFramer
from firmware_bridge.frames.native import MAX_FRAME, CobsFramer
from firmware_bridge.frames.packets import PacketFramer, Shape
from firmware_bridge.frames.raw import RawFramer

__all__ = [
    "CONTROL", "EVENT", "LOG", "MAX_FRAME", "STREAM", "CobsFramer", "ConsoleFramer", "Frame",
    "Framer", "LineFramer", "PacketFramer", "RawFramer", "Shape", "Tally",
]  # fmt: skip
