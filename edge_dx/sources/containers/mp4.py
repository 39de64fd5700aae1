"""MP4 and MOV: boxes of size, kind and content (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.containers.problems import MAX_PARTS, changing, missing, never_closed

_MAX_INSIDE = 1000
"""Boxes within a box; tracks have about ten."""


def examine(file: BinaryIO, size: int) -> bool:
    """Whether the frames are counted exactly, of a file that is whole.

    Raises:
        InputError: it is not, or has no pictures.
    """
    movie: tuple[int, int] | None = None
    fragments = False
    for kind, start, end in _boxes(file, 0, size, MAX_PARTS):
        if end > size:
            raise missing(end - size)
        if kind == b"moov":
            movie = (start, end)
        fragments |= kind == b"moof"
    if movie is None:
        raise never_closed("its index is missing; ")
    scale = 0
    pictures = []
    for kind, start, end in _boxes(file, *movie):
        if kind == b"mvhd":
            scale, _ = _times(file, start)
        elif kind == b"trak" and _handler(file, start, end) == b"vide":
            pictures.append((start, end))
    if not pictures:
        raise UnsupportedInput("there is no picture track in the file", "format")
    for track in pictures:
        if found := _inside(file, *track, b"mdia", b"minf", b"stbl", b"stsd"):
            file.seek(found[0] + 4)
            if struct.unpack(">I", file.read(4))[0] > 1:
                raise changing("coding")
    return not fragments and len(pictures) == 1 and not _is_trimmed(file, *pictures[0], scale)


def _boxes(
    file: BinaryIO, start: int, end: int, most: int = _MAX_INSIDE
) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box; the last may claim to end behind `end`."""
    for _ in range(most):
        if end - start < 8:  # QuickTime closes some lists with four zero bytes
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        elif size == 0:  # to the end of the file
            size = end - start
        if size < header:
            raise UnreadableInput("an MP4 box is smaller than its header", "unreadable")
        yield kind, start + header, start + size
        start += size
    raise UnreadableInput("the MP4 has too many boxes", "unreadable")


def _inside(file: BinaryIO, start: int, end: int, *path: bytes) -> tuple[int, int] | None:
    """Start and end of the box that a path of kinds leads to."""
    for wanted in path:
        found = next(((s, e) for k, s, e in _boxes(file, start, end) if k == wanted), None)
        if found is None:
            return None
        start, end = found
    return start, end


def _handler(file: BinaryIO, start: int, end: int) -> bytes:
    found = _inside(file, start, end, b"mdia", b"hdlr")
    if found is None:
        return b""
    file.seek(found[0] + 8)
    return file.read(4)


def _times(file: BinaryIO, start: int) -> tuple[int, int]:
    """Ticks per second and duration in ticks of an `mvhd` or `mdhd` box."""
    file.seek(start)
    long = file.read(1) == b"\1"
    file.seek(start + (20 if long else 12))
    scale, duration = struct.unpack(">IQ" if long else ">II", file.read(12 if long else 8))
    return scale, duration


def _is_trimmed(file: BinaryIO, start: int, end: int, movie_scale: int) -> bool:
    """Whether the edit list hides frames, as after trimming on a phone.

    The hidden ones are counted as frames of the file and never shown.
    """
    edits = _inside(file, start, end, b"edts", b"elst")
    media = _inside(file, start, end, b"mdia", b"mdhd")
    if edits is None or media is None or not movie_scale:
        return False
    scale, duration = _times(file, media[0])
    file.seek(edits[0])
    version, count = struct.unpack(">B3xI", file.read(8))
    if count > 64:
        return True
    shown = 0
    for _ in range(count):
        form = ">Qq4x" if version == 1 else ">Ii4x"
        length, at = struct.unpack(form, file.read(struct.calcsize(form)))
        shown += length if at >= 0 else 0  # an empty edit only delays
    # Rounding to the movie's coarser ticks may lose one of them per edit, never a frame.
    return bool(scale) and shown / movie_scale < duration / scale - (count + 1) / movie_scale
