"""Video containers, looked at before a decoder sees them: which kind, and are they whole?

FFmpeg tells its formats apart by itself, and some of those formats are lists of other files or
addresses to fetch. So a clip is recognised here, by its first bytes, as one of the few containers
that ultrasound machines, grabbers and phones write, and everything else is refused. FFmpeg also
plays half a file without a word, so each container is asked where it ends: sizes of boxes and
chunks, MPEG's last packet. OpenCV scales pictures that change their size in mid-file to that of the
first, so where a container says that they do, it is refused.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.containers import avi, mp4, mpeg, others, problems

_MP4_FIRST = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}

HEAD_BYTES = 512
"""What `kind_of` looks at."""


@dataclass(frozen=True)
class Container:
    """A whole video file, as far as its container says.

    Attributes:
        kind: its name for a person.
        counts_frames: whether the number of frames that it states is exact, so that a decoder
            that gives fewer has lost some. Elsewhere the number is guessed from the duration.
    """

    kind: str
    counts_frames: bool


def kind_of(head: bytes) -> str | None:
    """The container that a file's first `HEAD_BYTES` announce, or None."""
    if head[4:8] in _MP4_FIRST:
        return "MP4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[:4] == others.EBML:
        return "Matroska"
    if head[:16] == others.ASF:
        return "WMV"
    if head[:4] == mpeg.PACK:
        return "MPEG"
    if mpeg.stride_of(head):
        return "MPEG-TS"
    return None


def examine(file: BinaryIO) -> Container:
    """Says what a video file is, having made sure that it is whole.

    Args:
        file: seekable; left anywhere.

    Raises:
        UnsupportedInput: not one of the containers, or without a picture track.
        UnreadableInput: empty, cut short, or never closed by the program that wrote it.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise UnreadableInput("the file is empty", "unreadable")
    kind = kind_of(head)
    if kind is None:
        raise UnsupportedInput("not an MP4, MOV, AVI, MKV, WebM, WMV or MPEG video", "format")
    counts = False
    try:
        if kind == "MP4":
            counts = mp4.examine(file, size)
        elif kind == "AVI":
            counts = avi.examine(file, size)
        elif kind == "Matroska":
            others.check_matroska(head, size)
        elif kind == "WMV":
            others.check_wmv(file, size)
        else:
            if kind == "MPEG":
                mpeg.check_end(file, size)
            elif size % mpeg.stride_of(head):
                raise problems.cut("ends within a packet")
            mpeg.check_sizes(file)
    except (struct.error, IndexError) as error:
        raise problems.cut("ends within a header") from error
    return Container(kind, counts)
