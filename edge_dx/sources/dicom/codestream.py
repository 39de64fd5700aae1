"""What a compressed stream says about itself, and baseline JPEG with its colours kept straight.

Scanners write wrong photometric interpretations, and decoders convert colours on their own account:
the two together give green pictures. So the markers of the stream decide, and the conversion to RGB
happens in one place.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.limits import MAX_SCANS

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}  # F7: JPEG-LS


@dataclass(frozen=True)
class Parameters:
    """Size and colours, as the stream has them.

    Attributes:
        rows: of the picture.
        columns: of the picture.
        samples: components per pixel.
        precision: bits per sample.
        ids: the components' identifiers (JPEG).
        subsampled: components have different sampling factors, which RGB never has.
        jfif: a JFIF marker is there: the colours are YCbCr.
        adobe: the transform of an Adobe marker, 0 none (RGB), 1 YCbCr; None: no marker.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    ids: bytes = b""
    subsampled: bool = False
    jfif: bool = False
    adobe: int | None = None

    def is_rgb(self, photometric: str) -> bool:
        """Whether three components are RGB; the header's word counts where no marker speaks."""
        if self.adobe is not None:
            return self.adobe == 0
        if self.jfif or self.subsampled:
            return False
        return self.ids in (b"RGB", b"rgb") or photometric == "RGB"


def begins(head: bytes) -> bool:
    """Whether a fragment begins a JPEG, JPEG-LS or JPEG 2000 stream."""
    return head[:3] == b"\xff\xd8\xff" or head[:4] in (b"\xff\x4f\xff\x51", b"\0\0\0\x0c")


def parameters(raw: bytes, syntax: str) -> Parameters | None:
    """Reads the stream's header; None where there is none to read (RLE).

    Raises:
        UnreadableInput: it is not what the transfer syntax says, or cut short.
        UnsupportedInput: a JPEG of so many scans that it is an attack.
    """
    if syntax == "1.2.840.10008.1.2.5":
        return None
    try:
        if raw[:2] == b"\xff\xd8":
            return _jpeg(raw)
        at = raw.find(b"\xff\x4f\xff\x51", 0, 2**16)  # behind the boxes of a JP2 file, if any
        if at >= 0:
            return _jpeg2000(raw, at + 4)
    except (struct.error, IndexError):
        raise UnreadableInput("its compressed stream is cut short", "unreadable") from None
    raise UnreadableInput("its compressed stream does not begin like one", "unreadable")


def _jpeg(raw: bytes) -> Parameters:
    if raw.count(b"\xff\xda") > MAX_SCANS:  # within coded data the two do not stand together
        raise UnsupportedInput(
            f"its compressed stream has more than {MAX_SCANS} scans", "too_large"
        )
    at, jfif, adobe = 2, False, None
    while True:
        if raw[at] != 0xFF:
            raise UnreadableInput("a marker of its compressed stream is damaged", "unreadable")
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", raw, at + 2)
        body = raw[at + 4 : at + 2 + length]
        if marker == 0xE0 and body.startswith(b"JFIF"):
            jfif = True
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        if marker in _FRAMES:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", body)
            ids = bytes(body[6 + 3 * i] for i in range(samples))
            factors = {body[7 + 3 * i] for i in range(samples)}
            return Parameters(rows, columns, samples, precision, ids, len(factors) > 1, jfif, adobe)
        if marker in (0xDA, 0xD9) or length < 2:
            raise UnreadableInput("its compressed stream has no frame header", "unreadable")
        at += 2 + length


def _jpeg2000(raw: bytes, at: int) -> Parameters:
    # SIZ: length, capabilities, grid size, its offset, tile size, its offset, components.
    _, _, right, bottom, left, top = struct.unpack_from(">HHIIII", raw, at)
    (samples, precision) = struct.unpack_from(">HB", raw, at + 36)
    return Parameters(bottom - top, right - left, samples, (precision & 0x7F) + 1)


def jpeg(raw: bytes, told: Parameters, photometric: str) -> tuple[NDArray[Any], str]:
    """Decodes 8-bit JPEG to `(rows, columns)`, or to `(rows, columns, 3)` RGB.

    Raises:
        UnreadableInput: damaged or cut short.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(raw), formats=("JPEG",))
        # libjpeg converts to RGB unless the stream says that it is. Where it would convert what
        # is RGB by the header alone, it is asked to leave the samples as they are. It knows the
        # names RGB, and not rgb.
        as_they_are = told.samples == 3 and told.is_rgb(photometric)
        if as_they_are and told.adobe is None and told.ids != b"RGB":
            image.draft("YCbCr", image.size)
        stored = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow names the object that it could not identify, by its address.
        why = "it is not recognised" if "BytesIO" in str(error) else str(error)
        raise UnreadableInput(f"its JPEG cannot be decoded ({why})", "unreadable") from error
    if stored.shape[:2] != (told.rows, told.columns) or stored.dtype != np.uint8:
        raise UnreadableInput("its JPEG decodes to another size than it says", "unreadable")
    return stored, photometric if told.samples == 1 else "RGB"
