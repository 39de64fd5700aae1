"""Packets of devices that were designed by others: a start, a length, an end, and no checksum.

Where a packet fails its check, the search goes on at the next byte after its start, not behind it:
a lost byte costs its own packet and no other. A start byte may stand within data, so out of step a
packet counts only if another start, or silence, follows it.
"""

from __future__ import annotations

from typing import Protocol

from firmware_bridge.errors import BadMessage
from firmware_bridge.frames.common import STREAM, Frame, Tally


class Shape(Protocol):
    """How packets of a device look.

    Attributes:
        start: what each begins with.
        max_size: no packet is longer.
    """

    start: bytes
    max_size: int

    def size(self, head: bytes) -> int | None:
        """The packet's length by its first bytes; None: too few of them, 0: this is no packet."""

    def fits(self, packet: bytes) -> bool:
        """Whether everything fixed in it is as it must be."""


class PacketFramer:
    """Whole packets on the stream channel, start and end included.

    Args:
        shape: of the device's packets.

    Attributes:
        breaks: of the packets that were given last, which ones had bytes that are no packet in
            front of them.
    """

    def __init__(self, shape: Shape) -> None:
        self.tally = Tally()
        self._shape = shape
        self._left = bytearray()
        self._in_step = self._broken = False
        self.breaks: set[int] = set()

    def feed(self, data: bytes) -> list[Frame]:
        """The packets that these bytes complete."""
        self._left += data
        return self._search(quiet=False)

    def _search(self, *, quiet: bool) -> list[Frame]:
        held, start, shape = bytes(self._left), self._shape.start, self._shape
        at, found = 0, list[Frame]()
        self.breaks = set()
        while True:
            begin = held.find(start, at)
            if begin < 0:  # the start itself may be cut off at the end
                begin = len(held) - _beginning(held[at:], start)
                if begin > at:
                    self._skip(begin - at)
                at = begin
                break
            if begin > at:
                self._skip(begin - at)
            at = begin
            size = shape.size(held[at : at + shape.max_size])
            end = at + size if size else at
            if size is None or len(held) < end:
                break
            fits = size > 0 and size <= shape.max_size and shape.fits(held[at:end])
            if fits and not self._in_step:
                if len(held) < end + len(start) and not quiet:
                    if start.startswith(held[end:]):
                        break  # what follows will tell
                    fits = False
                elif held[end : end + len(start)] != start[: len(held) - end]:
                    fits = False
            if not fits:
                self.tally.damaged += self._in_step
                self._skip(1)
                at += 1
                continue
            if self._broken:
                self.breaks.add(len(found))
            found.append(Frame(STREAM, held[at:end]))
            self._in_step, self._broken = True, False
            at = end
        del self._left[:at]
        self.tally.frames += len(found)
        return found

    def _skip(self, count: int) -> None:
        self.tally.skipped_bytes += count
        self._in_step, self._broken = False, True

    def idle(self) -> list[Frame]:
        """The packet that waited for a follower; what was cut off is given up."""
        found = self._search(quiet=True)
        if self._left:
            self._skip(len(self._left))
            self._left.clear()
        return found

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""
        self._left.clear()
        self._in_step = self._broken = False

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The packet as it is, for doubles of the device.

        Raises:
            BadMessage: no packet of this shape, or not for the stream channel.
        """
        size = self._shape.size(payload)
        if channel != STREAM or size != len(payload) or not self._shape.fits(payload):
            raise BadMessage("this is no packet of the device's shape")
        return payload


def _beginning(held: bytes, start: bytes) -> int:
    """How many bytes at the end of `held` are the beginning of `start`."""
    return next((n for n in range(len(start) - 1, 0, -1) if held.endswith(start[:n])), 0)
