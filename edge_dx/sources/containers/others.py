"""Matroska with WebM (RFC 9559), and WMV, whose outermost parts state their sizes."""

from __future__ import annotations

import struct
from typing import BinaryIO

from edge_dx.errors import UnreadableInput
from edge_dx.sources.containers.problems import missing

EBML = b"\x1a\x45\xdf\xa3"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_SEGMENT = b"\x18\x53\x80\x67"


def check_matroska(head: bytes, size: int) -> None:
    """Compares the size of the segment with that of the file; a live recording states none."""
    length, header = _vint(head[4:12])
    at = 4 + length + (header or 0)
    if head[at : at + 4] != _SEGMENT:
        raise UnreadableInput("the Matroska file has no segment", "unreadable")
    length, content = _vint(head[at + 4 : at + 12])
    end = at + 4 + length + (content or 0)
    if end > size:
        raise missing(end - size)


def _vint(data: bytes) -> tuple[int, int | None]:
    """Length and value of an EBML size; None is "unknown", of a recording still running."""
    length = 9 - data[0].bit_length() if data and data[0] else 9
    if len(data) < length or length > 8:
        raise UnreadableInput("a Matroska size is damaged", "unreadable")
    value = int.from_bytes(data[:length], "big") & ((1 << 7 * length) - 1)
    return length, None if value == (1 << 7 * length) - 1 else value


def check_wmv(file: BinaryIO, size: int) -> None:
    """Follows the objects to the end of the file."""
    at = 0
    for _ in range(64):  # header, data, a few indices
        file.seek(at)
        mark = file.read(24)
        if not mark:
            return
        (length,) = struct.unpack("<Q", mark[16:])
        if length < 24:
            raise UnreadableInput("a WMV object is smaller than its header", "unreadable")
        at += length
        if at > size:
            raise missing(at - size)
