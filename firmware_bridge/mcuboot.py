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
        digest: SHA-256 of what is signed, by which it is named.
        signed_bytes: how many bytes from the front: header, body, protected entries.
    """

    data: bytes = field(repr=False)
    version: str
    digest: bytes
    signed_bytes: int


def read_image(data: bytes) -> Held:
    """The image that these bytes are.

    Raises:
        ImageRefused: no image in MCUboot's format, or its digest is not that of its bytes.
    """
    end = _signed(data)
    _, _, _, _, _, _, major, minor, revision, build = _HEADER.unpack_from(data)
    digest = hashlib.sha256(data[:end]).digest()
    for kind, value in entries_of(data):
        if kind == _SHA256 and len(value) == 32:
            if value != digest:
                raise ImageRefused("the image's digest is not that of its bytes")
            return Held(data, f"{major}.{minor}.{revision}.{build}", digest, end)
    raise ImageRefused(
        "the image carries no SHA-256 digest, by which devices name their images; sign it with "
        "imgtool's --sha 256 and without --pure"
    )


def entries_of(data: bytes) -> list[tuple[int, bytes]]:
    """The entries of an image's trailer, without the protected ones: (type, value).

    Raises:
        ImageRefused: no image in MCUboot's format, or its trailer is cut off.
    """
    end = _signed(data)
    magic, total = struct.unpack_from("<HH", data, end)
    if magic != _TLV_MAGIC or total < 4 or len(data) < end + total:
        raise ImageRefused("the image's trailer is cut off")
    at, last, found = end + 4, end + total, list[tuple[int, bytes]]()
    while at < last:
        kind, length = struct.unpack_from("<HH", data, at) if at + 4 <= last else (0, last)
        if at + 4 + length > last:
            raise ImageRefused("an entry of the image's trailer is longer than the trailer")
        found.append((kind, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _signed(data: bytes) -> int:
    """Where the trailer begins that is not signed."""
    if len(data) < _HEADER.size:
        raise ImageRefused("too short for a firmware image")
    magic, _, head, protected, size, *_ = _HEADER.unpack_from(data)
    end = head + size + protected
    if magic != _MAGIC or head < _HEADER.size or len(data) < end + 4:
        raise ImageRefused("no firmware image in MCUboot's format")
    return int(end)
