"""MPEG program and transport streams (ISO/IEC 13818-1), which have no table of what they hold."""

from __future__ import annotations

import struct
from typing import BinaryIO

from edge_dx.errors import UnreadableInput
from edge_dx.sources.containers.problems import changing, cut

PACK = b"\x00\x00\x01\xba"
_TAIL = 2**20
"""The last pack of a program stream begins within this many bytes of its end; packs have 2 KiB."""


def check_end(file: BinaryIO, size: int) -> None:
    """Follows the packets of the last pack (ISO/IEC 13818-1) to the end of the file."""
    tail_at = max(0, size - _TAIL)
    file.seek(tail_at)
    tail = file.read(_TAIL)
    at = tail.rfind(PACK)
    if at < 0:
        raise UnreadableInput("the MPEG stream is damaged (no pack near its end)", "unreadable")
    while tail[at : at + 3] == b"\0\0\1" and at + 4 <= len(tail):
        code = tail[at + 3]
        if code == 0xB9:  # the end, said so
            return
        if code == 0xBA:
            second = tail[at + 4] >> 6 == 1  # MPEG-2, with stuffing after its 14 bytes
            at += 14 + (tail[at + 13] & 7) if second else 12
        else:
            (length,) = struct.unpack(">H", tail[at + 4 : at + 6])
            at += 6 + length
    if at > len(tail):
        raise cut("it ends within a packet")


def stride_of(head: bytes) -> int:
    """Bytes per packet of a transport stream (192 with time stamps, on discs), or 0."""
    for stride, first in ((188, 0), (192, 4)):
        if head[first : first + stride + 1 : stride] == b"GG":
            return stride
    return 0


def check_sizes(file: BinaryIO) -> None:
    """Compares the sequence headers of MPEG-1 and MPEG-2 video (ISO/IEC 13818-2, 6.2.2.1)."""
    sizes: set[bytes] = set()
    file.seek(0)
    kept = b""
    while part := file.read(2**20):
        part = kept + part
        at = part.find(b"\0\0\1\xb3")
        while 0 <= at <= len(part) - 11:
            aspect, rate = part[at + 7] >> 4, part[at + 7] & 15
            # Sound may hold these four bytes by chance, hardly with all that must follow them.
            if 1 <= aspect <= 4 and 1 <= rate <= 8 and part[at + 10] & 0x20:
                sizes.add(part[at + 4 : at + 7])
            at = part.find(b"\0\0\1\xb3", at + 4)
        kept = part[-10:]
    if len(sizes) > 1:
        raise changing("size")
