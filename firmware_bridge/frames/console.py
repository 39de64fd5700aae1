"""SMP on a serial console: lines of base64 that live between log lines and a shell.

    06 09 base64(u16 BE length | message | u16 BE CRC-16) LF      the first line
    04 14 base64(…) LF                                            more of it

The length counts message and CRC (XMODEM, which is `binascii.crc_hqx`). Lines have at most 127
bytes. This is what MCUmgr's UART and shell transports and MCUboot's serial recovery speak.
"""

from __future__ import annotations

import base64
import binascii

from firmware_bridge.errors import BadMessage
from firmware_bridge.frames.common import CONTROL, LOG, Frame, Tally

_BEGIN, _GO_ON = b"\x06\x09", b"\x04\x14"
_TEXT_PER_LINE = 120
_MAX_LINE = 1024
_MAX_MESSAGE = 4096


class LineFramer:
    """Text in lines, each a frame on the log channel; the line's end is not in it.

    Args:
        max_line: longest line in bytes; a longer one is dropped.
    """

    def __init__(self, max_line: int = _MAX_LINE) -> None:
        self.tally = Tally()
        self._max = max_line
        self._left = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that these bytes complete."""
        found = [Frame(LOG, line) for line in self.lines(data) if line]
        self.tally.frames += len(found)
        return found

    def lines(self, data: bytes) -> list[bytes | None]:
        """Lines without `CR` and `LF`; None for one that was too long."""
        self._left += data
        if b"\n" not in data:
            self._cap()
            return []
        *lines, rest = bytes(self._left).split(b"\n")
        self._left[:] = rest
        found: list[bytes | None] = []
        if self._overlong:
            self.tally.skipped_bytes += len(lines.pop(0)) + 1
            self._overlong = False
            found.append(None)
        self._cap()
        for line in lines:
            if len(line) > self._max:
                self.tally.oversized += 1
                self.tally.skipped_bytes += len(line) + 1
                found.append(None)
            else:
                found.append(line.rstrip(b"\r"))
        return found

    def _cap(self) -> None:
        if self._overlong or len(self._left) > self._max:
            self.tally.oversized += not self._overlong
            self.tally.skipped_bytes += len(self._left)
            self._left.clear()
            self._overlong = True

    def idle(self) -> list[Frame]:
        """Nothing to do: a prompt without a line's end is not given on."""
        return []

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""
        self._left.clear()
        self._overlong = False

    def encode(self, channel: int, payload: bytes) -> bytes:
        """A line.

        Raises:
            BadMessage: a line's end within it, or not for the log channel.
        """
        if channel != LOG or b"\n" in payload or len(payload) > self._max:
            raise BadMessage("text goes out on the log channel, one line at a time")
        return payload + b"\n"


class ConsoleFramer:
    """SMP messages on the control channel, and the lines in between on the log channel.

    Args:
        max_message: longest SMP message in bytes.
    """

    def __init__(self, max_message: int = _MAX_MESSAGE) -> None:
        if not 8 <= max_message <= 0xFFFF - 2:
            raise ValueError("an SMP message has 8 to 65,533 bytes")
        self.tally = Tally()
        self._max = max_message
        self._lines = LineFramer()
        self._lines.tally = self.tally
        self._message = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The messages and lines of text that these bytes complete."""
        found: list[Frame] = []
        for line in self._lines.lines(data):
            if line is None:
                continue
            at = line.find(_BEGIN)
            if at >= 0:
                if line[:at].strip():  # a prompt that was not finished, then a message
                    found.append(Frame(LOG, line[:at]))
                self._drop()
                self._first(line[at + 2 :], found)
            elif line.startswith(_GO_ON):
                self._more(line[2:], found)
            elif line:
                found.append(Frame(LOG, line))
        self.tally.frames += len(found)
        return found

    def _first(self, text: bytes, found: list[Frame]) -> None:
        raw = _decoded(text)
        if raw is None or len(raw) < 2:
            self._damaged(len(text))
            return
        wanted = int.from_bytes(raw[:2], "big")
        if not 10 <= wanted <= self._max + 2:  # header and CRC at least
            self.tally.oversized += wanted > self._max + 2
            self._damaged(len(text))
            return
        self._wanted = wanted
        self._take(raw[2:], found)

    def _more(self, text: bytes, found: list[Frame]) -> None:
        raw = _decoded(text)
        if not self._wanted or raw is None:
            self._damaged(len(text))
            return
        self._take(raw, found)

    def _take(self, raw: bytes, found: list[Frame]) -> None:
        self._message += raw
        if len(self._message) < self._wanted:
            return
        whole = bytes(self._message)
        if len(whole) > self._wanted or binascii.crc_hqx(whole, 0):  # CRC over both leaves zero
            self._damaged(0)
            return
        self._message.clear()
        self._wanted = 0
        found.append(Frame(CONTROL, whole[:-2]))

    def _damaged(self, more: int) -> None:
        self.tally.damaged += 1
        self.tally.skipped_bytes += more
        self._wanted = 0
        self.tally.skipped_bytes += len(self._message)
        self._message.clear()

    def _drop(self) -> None:
        if self._wanted:
            self._damaged(0)

    def idle(self) -> list[Frame]:
        """Gives up a message whose lines stopped coming."""
        self._drop()
        return []

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""
        self._lines.reset()
        self._message.clear()
        self._wanted = 0

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The lines of an SMP message, or a line of text.

        Raises:
            BadMessage: too long, or neither.
        """
        if channel == LOG:
            return self._lines.encode(LOG, payload)
        if channel != CONTROL or len(payload) > self._max:
            raise BadMessage(
                f"an SMP console carries control messages up to {self._max} bytes, not "
                f"{len(payload)} on channel {channel}"
            )
        crc = binascii.crc_hqx(payload, 0).to_bytes(2, "big")
        text = base64.b64encode((len(payload) + 2).to_bytes(2, "big") + payload + crc)
        lines = [text[at : at + _TEXT_PER_LINE] for at in range(0, len(text), _TEXT_PER_LINE)]
        first, *rest = lines
        return b"".join((_BEGIN, first, b"\n", *(_GO_ON + line + b"\n" for line in rest)))


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
