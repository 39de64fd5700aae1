"""SMP without framing: headers tell lengths, nothing tells damage.

A header is believed where its reserved bits are zero and its length is within the cap; else one
byte is skipped and the next is looked at. After a silence (`idle`) what has begun is given up,
because a lost byte would swallow the next message.
"""

from __future__ import annotations

from firmware_bridge.errors import BadMessage
from firmware_bridge.frames.common import CONTROL, Frame, Tally

_HEADER = 8
_MAX_MESSAGE = 4096


class RawFramer:
    """SMP messages one after the other.

    Args:
        max_message: longest one with its header, in bytes.
    """

    def __init__(self, max_message: int = _MAX_MESSAGE) -> None:
        if not _HEADER <= max_message <= 0xFFFF + _HEADER:
            raise ValueError("an SMP message has 8 to 65,543 bytes")
        self.tally = Tally()
        self._max = max_message
        self._left = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that these bytes complete."""
        self._left += data
        held, at, found = bytes(self._left), 0, []
        while len(held) - at >= _HEADER:
            size = _HEADER + int.from_bytes(held[at + 2 : at + 4], "big")
            op, version = held[at] & 7, held[at] >> 3
            if op > 3 or version > 1 or held[at + 1] or size > self._max:
                self.tally.skipped_bytes += 1
                at += 1
                continue
            if len(held) - at < size:
                break
            found.append(Frame(CONTROL, held[at : at + size]))
            at += size
        del self._left[:at]
        self.tally.frames += len(found)
        return found

    def idle(self) -> list[Frame]:
        """Gives up a message that was cut off, or seemed to begin."""
        if self._left:
            self.tally.damaged += 1
            self.tally.skipped_bytes += len(self._left)
            self._left.clear()
        return []

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""
        self._left.clear()

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The message as it is.

        Raises:
            BadMessage: too long, or not for the control channel.
        """
        if channel != CONTROL or len(payload) > self._max:
            raise BadMessage(
                f"raw SMP carries control messages up to {self._max} bytes, not {len(payload)} on "
                f"channel {channel}"
            )
        return payload
