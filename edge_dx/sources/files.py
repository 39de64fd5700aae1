"""PNG, JPEG and TIFF files, 8 and 16 bit, grey or RGB.

OpenCV decodes them, and hands out half a picture for a truncated file without a word. So the
container is checked first: size before anything is allocated, PNG chunks by their CRC to the end,
JPEG to its end marker, TIFF strips inside the file and a single page.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources.limits import MAX_FRAME_BYTES, MAX_PIXELS, MAX_SCANS
from edge_dx.sources.study import Study

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*")
# Start-of-frame markers that carry the size; C4, C8 and CC are tables, not frames.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN = b"\xff\xda"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
"""Colour type → channels once it is decoded."""
# Width, height, bits, compression, photometric interpretation, orientation, samples per pixel, and
# where strips or tiles lie.
_TIFF_TAGS = {256, 257, 258, 259, 262, 273, 274, 277, 279, 324, 325}
_TIFF_CODINGS = {1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
"""Without those of fax machines, which have no grey and are filled up where they are cut short."""


class _Announced(NamedTuple):
    """What a file says about its picture.

    Attributes:
        height: as decoded.
        width: as decoded.
        pixel_bytes: of one pixel, once it is decoded.
        white_is_zero: whether zero stands for white.
    """

    height: int
    width: int
    pixel_bytes: int
    white_is_zero: bool = False


def from_bytes(raw: bytes, path: Path) -> Study:
    """A study from the bytes of a picture file.

    Raises:
        UnsupportedInput: not one of the three formats, or a feature that is not read.
        UnreadableInput: truncated or damaged.
    """
    try:
        if raw.startswith(_PNG):
            announced = _png(raw)
        elif raw.startswith(_JPEG):
            announced = _jpeg(raw)
        elif raw[:4] in _TIFF:
            announced = _tiff(raw)
        elif not raw:
            raise UnreadableInput("the file is empty", "unreadable")
        else:
            raise UnsupportedInput("not a PNG, JPEG, TIFF or DICOM file", "format")
        height, width = announced.height, announced.width
        if height < 1 or width < 1:
            raise UnreadableInput("says it has no pixels", "unreadable")
        if height * width > MAX_PIXELS:
            raise UnsupportedInput(
                f"{width} × {height} pixels are more than the {MAX_PIXELS} that are read",
                "too_large",
            )
        if height * width * announced.pixel_bytes > MAX_FRAME_BYTES:
            raise UnsupportedInput(
                f"{width} × {height} pixels of {announced.pixel_bytes} bytes are more than the "
                f"{MAX_FRAME_BYTES} bytes that are read",
                "too_large",
            )
    except (struct.error, IndexError) as error:
        raise UnreadableInput(f"{path}: is cut short; copy it again", "unreadable") from error
    except UnreadableInput as error:
        raise UnreadableInput(f"{path}: {error}; copy it again", error.reason) from None
    except UnsupportedInput as error:
        raise UnsupportedInput(f"{path}: {error}", error.reason) from None
    return Study(
        path=path,
        digest=hashlib.sha256(raw).hexdigest(),
        shape=(height, width),
        decode=lambda _: _decode(raw, path, (height, width), announced.white_is_zero),
        assumed=("picture file: bright is dense", "modality not stated"),
    )


def _decode(raw: bytes, path: Path, shape: tuple[int, int], white_is_zero: bool) -> Pixels:
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableInput(f"{path}: cannot be decoded ({error.err})", "unreadable") from error
    if image is None or image.shape[:2] != shape:
        raise UnreadableInput(f"{path}: cannot be decoded; the file is damaged", "unreadable")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnsupportedInput(
            f"{path}: pixels are {image.dtype}; 8 and 16 bit integers are read", "format"
        )
    if image.ndim == 3 and image.shape[2] == 4:
        opaque = 255 if image.dtype == np.uint8 else 65535
        if int(image[..., 3].min()) != opaque:
            raise UnsupportedInput(f"{path}: is partly transparent, which no film is", "colour")
        image = image[..., :3]
    if image.ndim == 3:
        blue, green, red = image[..., 0], image[..., 1], image[..., 2]
        if np.array_equal(blue, green) and np.array_equal(green, red):
            return np.ascontiguousarray(green)
        return np.ascontiguousarray(image[..., ::-1])
    # OpenCV turns such a TIFF round when it has 8 bits and leaves it when it has 16.
    result: Pixels = 65535 - image if white_is_zero and image.dtype == np.uint16 else image
    return result


def _png(raw: bytes) -> _Announced:
    """Walks all chunks, so that neither a cut nor a flipped byte goes unnoticed."""
    at, found = len(_PNG), _Announced(0, 0, 0)
    if raw[at + 4 : at + 8] != b"IHDR":  # the decoder trusts the first, so no later one may stand
        raise UnreadableInput("the PNG does not begin with its header", "unreadable")
    while True:
        length, kind = struct.unpack(">I4s", raw[at : at + 8])
        end = at + 12 + length
        (crc,) = struct.unpack(">I", raw[end - 4 : end])
        if end > len(raw) or zlib.crc32(raw[at + 4 : end - 4]) != crc:
            raise UnreadableInput("a PNG chunk is damaged", "unreadable")
        if kind == b"acTL":
            raise UnsupportedInput("the PNG is animated; give one picture per file", "frames")
        if kind == b"IHDR" and at != len(_PNG):
            raise UnreadableInput("the PNG has two headers", "unreadable")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", raw[at + 8 : at + 18])
            pixel_bytes = _PNG_CHANNELS.get(colour, 4) * (2 if depth == 16 else 1)
            found = _Announced(height, width, pixel_bytes)
        if kind == b"IEND":
            return found
        at = end


def _jpeg(raw: bytes) -> _Announced:
    if b"\xff\xd9" not in raw[-1024:]:  # some writers pad behind the end marker
        raise UnreadableInput("the JPEG has no end", "unreadable")
    _check_scans(raw, 1)
    at = 2
    while True:
        if raw[at] != 0xFF:
            raise UnreadableInput("a JPEG marker is damaged", "unreadable")
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack(">H", raw[at + 2 : at + 4])
        if marker in _JPEG_FRAMES:
            height, width, channels = struct.unpack(">HHB", raw[at + 5 : at + 10])
            return _Announced(height, width, channels)
        if marker in (0xDA, 0xD9) or length < 2:
            raise UnreadableInput("the JPEG has no frame header", "unreadable")
        at += 2 + length


def _check_scans(raw: bytes, pictures: int) -> None:
    # Within coded data these two bytes do not stand next to each other.
    if raw.count(_SCAN) > MAX_SCANS * pictures:
        raise UnsupportedInput(f"the JPEG has more than {MAX_SCANS} scans", "too_large")


def _tiff(raw: bytes) -> _Announced:
    order = "<" if raw[:2] == b"II" else ">"
    (at,) = struct.unpack(f"{order}I", raw[4:8])
    (count,) = struct.unpack(f"{order}H", raw[at : at + 2])
    tags: dict[int, list[int]] = {}
    # Only these are read, each once: a directory may point 65535 times at the same million values.
    for i in range(count):
        entry = raw[at + 2 + 12 * i : at + 14 + 12 * i]
        tag, kind, n = struct.unpack(f"{order}HHI", entry[:8])
        letter = {1: "B", 3: "H", 4: "I"}.get(kind)
        if tag not in _TIFF_TAGS or tag in tags or letter is None or n > 1_000_000:
            continue
        width = struct.calcsize(letter) * n
        if width <= 4:
            data = entry[8 : 8 + width]
        else:
            (where,) = struct.unpack(f"{order}I", entry[8:12])
            data = raw[where : where + width]
        tags[tag] = list(struct.unpack(f"{order}{n}{letter}", data))
    (following,) = struct.unpack(f"{order}I", raw[at + 2 + 12 * count : at + 6 + 12 * count])
    if following:
        raise UnsupportedInput("the TIFF has several pages; give one page per file", "frames")
    if 256 not in tags or 257 not in tags:
        raise UnreadableInput("the TIFF does not say its size", "unreadable")
    places = zip(
        tags.get(273, tags.get(324, [])), tags.get(279, tags.get(325, [])), strict=False
    )  # strips, else tiles
    if any(start + size > len(raw) for start, size in places):
        raise UnreadableInput("the TIFF is cut short", "unreadable")
    coding = tags.get(259, [1])[0]
    if coding not in _TIFF_CODINGS:
        raise UnsupportedInput(
            f"the TIFF is compressed in a way that is not read ({coding})", "format"
        )
    if _TIFF_CODINGS[coding] == "JPEG":  # as many pictures as strips or tiles
        _check_scans(raw, len(tags.get(273, tags.get(324, []))))
    bits, samples = max(tags.get(258, [1])), tags.get(277, [1])[0]
    height, width = tags[257][0], tags[256][0]
    if tags.get(274, [1])[0] >= 5:  # lies on its side; OpenCV turns it as the tag says
        height, width = width, height
    return _Announced(height, width, samples * -(-bits // 8), tags.get(262, [1])[0] == 0)
