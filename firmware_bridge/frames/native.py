"""The framing of our own devices: COBS with a CRC-32, docs/wire.md §2.

    COBS( channel u8 | payload | CRC-32 u32 LE over both ) 00

A zero byte stands nowhere but at a frame's end (Cheshire & Baker 1999, IEEE/ACM Trans. Networking
7, 159), so whatever happened before it, the next frame is whole. The CRC is zlib's, and it is
checked over body and CRC at once: that leaves a constant.
"""

from __future__ import annotations

import zlib

from firmware_bridge.errors import BadMessage, MissingExtra
from firmware_bridge.frames.common import Frame, Tally

try:
    from cobs.cobs import DecodeError, decode, encode
except ImportError as error:
    raise MissingExtra("cobs", "the bridge") from error

MAX_FRAME = 8192
"""Bytes of channel, payload and CRC together; a device may promise less in its hello."""
_RESIDUE = 0x2144DF1C
_OVERHEAD = 5


class CobsFramer:
    """Frames with a channel byte and a CRC-32.

    Args:
        max_frame: longest channel, payload and CRC together, in bytes.

    Attributes:
        tally: what became of the bytes.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        if max_frame < _OVERHEAD:
            raise ValueError(f"a frame has at least {_OVERHEAD} bytes")
        self.tally = Tally()
        self._max = max_frame
        self._limit = max_frame + max_frame // 254 + 1  # COBS adds one byte in 254
        self._left = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        pieces = data.split(b"\0")
        last = pieces.pop()
        if not pieces:
            self._hold(last)
            return []
        if self._overlong:
            self.tally.skipped_bytes += len(pieces[0]) + 1
            self._overlong, pieces[0] = False, b""
        elif self._left:
            self._left += pieces[0]
            pieces[0] = bytes(self._left)
            self._left.clear()
        found = self._whole(pieces)
        if last:
            self._hold(last)
        self.tally.frames += len(found)
        return found

    def _whole(self, pieces: list[bytes]) -> list[Frame]:
        # The hot loop of the link: benchmarks/link.py holds it against cobs and zlib alone.
        found: list[Frame] = []
        limit, longest, crc32, new = self._limit, self._max, zlib.crc32, tuple.__new__
        for piece in pieces:
            if not piece:  # a zero byte that fills a pause
                continue
            if len(piece) > limit:
                self.tally.oversized += 1
                self.tally.skipped_bytes += len(piece) + 1
                continue
            try:
                body = decode(piece)
            except DecodeError:
                body = b""
            if not _OVERHEAD <= len(body) <= longest or crc32(body) != _RESIDUE:
                self.tally.damaged += 1
                self.tally.skipped_bytes += len(piece) + 1
                continue
            found.append(new(Frame, (body[0], body[1:-4])))
        return found

    def _hold(self, data: bytes) -> None:
        if self._overlong:
            self.tally.skipped_bytes += len(data)
            return
        self._left += data
        if len(self._left) > self._limit:
            self.tally.oversized += 1
            self.tally.skipped_bytes += len(self._left)
            self._left.clear()
            self._overlong = True

    def idle(self) -> list[Frame]:
        """Nothing to do: a frame that was cut off ends at the next zero byte."""
        return []

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""
        self._left.clear()
        self._overlong = False

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The bytes of a frame, with the zero byte at its end.

        Raises:
            BadMessage: too long.
        """
        if len(payload) + _OVERHEAD > self._max:
            raise BadMessage(
                f"a payload of {len(payload)} bytes does not fit a frame of {self._max}; "
                "send it in pieces"
            )
        body = bytes((channel,)) + payload
        coded: bytes = encode(body + zlib.crc32(body).to_bytes(4, "little"))
        return coded + b"\0"
