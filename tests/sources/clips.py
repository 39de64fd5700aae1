"""Clips that the tests write, and the boxes to take them apart."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests import tiny

Array = np.ndarray[Any, Any]
SHARED = Path(__file__).parents[3] / "shared" / "data" / "us_lung_pocus" / "clips"


def pictures(count: int = 12, height: int = 48, width: int = 64) -> list[Array]:
    """Grey pictures, each a little further, none like another."""
    wave = tiny.film(3, max(height, width) + count)
    return [wave[i : i + height, i : i + width].copy() for i in range(count)]


def write(path: Path, frames: Sequence[Array], coding: str = "MJPG", rate_hz: float = 20.0) -> Path:
    """Writes grey or BGR pictures as a clip; the suffix names the container."""
    height, width = frames[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*coding)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, rate_hz, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {coding}"
    for frame in frames:
        writer.write(frame if frame.ndim == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def box(raw: bytes | bytearray, *path: bytes) -> tuple[int, int]:
    """Start and end of an MP4 box, header included."""
    start, end = 0, len(raw)
    found = (0, end)
    for wanted in path:
        at = start
        while True:
            size, kind = struct.unpack(">I4s", raw[at : at + 8])
            if kind == wanted:
                break
            at += size
            assert at < end, wanted
        found = (at, at + size)
        start, end = at + 8, at + size
    return found


def chunks(avi: bytes | bytearray) -> list[int]:
    """Where the data of each frame of an AVI begins."""
    at = avi.index(b"movi") + 4
    found = []
    while avi[at : at + 4] == b"00dc":
        (size,) = struct.unpack("<I", avi[at + 4 : at + 8])
        found.append(at + 8)
        at += 8 + size + size % 2
    return found


def with_empty_chunk(avi: bytes, number: int) -> bytes:
    """An AVI whose recorder lost a picture: an empty chunk stands in its place."""
    data = chunks(avi)[number]
    (size,) = struct.unpack_from("<I", avi, data - 4)
    gone = size + size % 2
    changed = bytearray(avi[: data - 4] + bytes(4) + avi[data + gone :])
    index = changed.index(b"idx1")
    for place in (4, changed.index(b"movi") - 4):  # the whole, and the list of pictures
        struct.pack_into("<I", changed, place, struct.unpack_from("<I", changed, place)[0] - gone)
    for entry in range(index + 8, len(changed) - 15, 16):
        at = (entry - index - 8) // 16
        _, _, offset, length = struct.unpack_from("<4sIII", changed, entry)
        struct.pack_into("<II", changed, entry + 8, offset - gone * (at > number),
                         0 if at == number else length)  # fmt: skip
    # The second index, of OpenDML, would have to change too; without it the first one counts.
    return bytes(changed).replace(b"indx", b"JUNK").replace(b"ix00", b"JUNK")


def trimmed(raw: bytes, length: int, at: int = 0) -> bytes:
    """An MP4 that shows only a part of itself, as after trimming on a phone.

    Args:
        raw: an MP4 with an edit list of one part.
        length: of the part that is shown, in ticks of the movie (milliseconds).
        at: where it begins, in ticks of the track.
    """
    start, _ = box(raw, b"moov", b"trak", b"edts", b"elst")
    changed = bytearray(raw)
    struct.pack_into(">Ii", changed, start + 16, length, at)
    return bytes(changed)
