"""AVI: lists and chunks of kind, size and content."""

from __future__ import annotations

import struct
from typing import BinaryIO

from edge_dx.errors import UnreadableInput
from edge_dx.sources.containers.problems import MAX_PARTS, missing, never_closed

_MAX_INDEX = 16 * 2**20
"""The index has 16 bytes per frame; of a longer one nothing is concluded."""


def examine(file: BinaryIO, size: int) -> bool:
    """Whether the frames are counted exactly, of a file that is whole.

    Raises:
        UnreadableInput: it is not.
    """
    at, lists = 0, 0
    while True:  # large files are several lists in a row (OpenDML)
        file.seek(at)
        mark = file.read(8)
        if len(mark) < 8 or mark[:4] != b"RIFF":  # what follows the lists is nobody's
            break
        (length,) = struct.unpack("<I", mark[4:])
        if not length:
            raise never_closed()
        at += 8 + length + length % 2
        lists += 1
        if at - 8 > size:  # some writers count the eight bytes of the header too
            raise missing(at - size)
        if lists > MAX_PARTS:
            raise UnreadableInput("the AVI has too many lists", "unreadable")
    return lists == 1 and not _has_gaps(file, size)


def _has_gaps(file: BinaryIO, size: int) -> bool:
    """Whether the index has empty places: a recorder that lost a picture counts it all the same.

    Also where there is no index that would tell.
    """
    at = 12
    for _ in range(MAX_PARTS):
        file.seek(at)
        mark = file.read(8)
        if len(mark) < 8:
            return True
        (length,) = struct.unpack("<I", mark[4:])
        if mark[:4] == b"idx1":
            entries = file.read(min(length, size, _MAX_INDEX) // 16 * 16)
            return length > _MAX_INDEX or any(
                not bytes_of_it for *_, bytes_of_it in struct.iter_unpack("<4sIII", entries)
            )
        at += 8 + length + length % 2
    return True
