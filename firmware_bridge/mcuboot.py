"""Firmware images in MCUboot's format: header, body, and a trailer with their digest.

magic u32 | load address u32 | header size u16 | protected trailer size u16 | body size u32 |
flags u32 | version u8, u8, u16, u32 | padding                              little endian, 32 bytes
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from firmware_bridge.errors import ImageRefused

_HEADER = struct.Struct("<LLHHLLBBHL4x")
_MAGIC, _TLV_MAGIC, _SHA256 = 0x96F3B83D, 0x6907, 0x10


def firmware_image(body: bytes, version: tuple[int, int, int, int]) -> bytes:
    """An image in MCUboot's format, with its digest and without a signature."""
    head = _HEADER.pack(_MAGIC, 0, _HEADER.size, 0, len(body), 0, *version)
    digest = hashlib.sha256(head + body).digest()
    return head + body + struct.pack("<HHHH", _TLV_MAGIC, 8 + 32, _SHA256, 32) + digest


@dataclass(frozen=True)
class Held:
    """An image in a slot.

    Attributes:
        data: all of it.
        version: as text.
        digest: SHA-256 of header and body, by which it is named.
    """

    data: bytes = field(repr=False)
    version: str
    digest: bytes


def read_image(data: bytes) -> Held:
    """The image that these bytes are.

    Raises:
        ImageRefused: no image in MCUboot's format, or its digest is not that of its bytes.
    """
    if len(data) < _HEADER.size:
        raise ImageRefused("too short for a firmware image")
    magic, _, head, protected, size, _, major, minor, revision, build = _HEADER.unpack_from(data)
    end = head + size + protected
    if magic != _MAGIC or head < _HEADER.size or len(data) < end + 4:
        raise ImageRefused("no firmware image in MCUboot's format")
    tlv_magic, total = struct.unpack_from("<HH", data, end)
    if tlv_magic != _TLV_MAGIC or len(data) < end + total:
        raise ImageRefused("the image's trailer is cut off")
    at, last = end + 4, end + total
    while at + 4 <= last:
        kind, length = struct.unpack_from("<HH", data, at)
        if kind == _SHA256 and length == 32 and at + 36 <= last:
            digest = hashlib.sha256(data[:end]).digest()
            if data[at + 4 : at + 36] != digest:
                raise ImageRefused("the image's digest is not that of its bytes")
            return Held(data, f"{major}.{minor}.{revision}.{build}", digest)
        at += 4 + length
    raise ImageRefused("the image carries no digest")
