"""The packets that ProtoCentral's devices share.

    0A FA | length u16 LE | type u8 | body | 00 0B

Neither a checksum nor, in some, a number. A length is believed only where it is the one of the
type, so that a bogus one costs no wait for 65,535 bytes.
"""

from __future__ import annotations

import struct

START, END = b"\x0a\xfa", b"\x00\x0b"
_AROUND = 7


class Packet:
    """The shape of packets of one type.

    Args:
        kind: the type byte.
        body: bytes of the body.
    """

    start = START

    def __init__(self, kind: int, body: int) -> None:
        self.max_size = body + _AROUND
        self._head = START + struct.pack("<HB", body, kind)

    def size(self, head: bytes) -> int | None:
        """The one length, where type and length are right."""
        if len(head) < len(self._head):
            return None if self._head.startswith(head) else 0
        return self.max_size if head.startswith(self._head) else 0

    def fits(self, packet: bytes) -> bool:
        """Whether it ends as packets do."""
        return packet.endswith(END)


def packet(kind: int, body: bytes) -> bytes:
    """The bytes of one."""
    return START + struct.pack("<HB", len(body), kind) + body + END
