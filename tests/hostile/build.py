"""Hostile files by bytes: a writer of DICOM, PNG and TIFF that does what no library would do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
RLE, JPEG, LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
UNDEFINED = 0xFFFFFFFF
_LONG = {"OB", "OW", "SQ", "UN", "UT"}
Tag = tuple[int, int]
Value = tuple[str, bytes]


def element(tag: Tag, vr: str, value: bytes = b"", length: int | None = None) -> bytes:
    """An explicit little-endian element; `length` is what it claims, whatever it has."""
    size = len(value) if length is None else length
    form = "<HH2s2xI" if vr in _LONG else "<HH2sH"
    return struct.pack(form, *tag, vr.encode(), size) + value


def item(value: bytes = b"", length: int | None = None, tag: int = 0xE000) -> bytes:
    """An item, or with another tag a delimiter."""
    return struct.pack("<HHI", 0xFFFE, tag, len(value) if length is None else length) + value


def u16(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


def text(value: str) -> bytes:
    return (value + " " * (len(value) % 2)).encode()


def facts(rows: int = 32, columns: int = 32, bits: int = 16) -> dict[Tag, Value]:
    """The header of a plain chest film."""
    return {
        (0x0008, 0x0016): ("UI", b"1.2.840.10008.5.1.4.1.1.1.1\0"),
        (0x0008, 0x0060): ("CS", b"DX"),
        (0x0018, 0x0015): ("CS", text("CHEST")),
        (0x0018, 0x5101): ("CS", b"PA"),
        (0x0028, 0x0002): ("US", u16(1)),
        (0x0028, 0x0004): ("CS", text("MONOCHROME2")),
        (0x0028, 0x0010): ("US", u16(rows)),
        (0x0028, 0x0011): ("US", u16(columns)),
        (0x0028, 0x0100): ("US", u16(bits)),
        (0x0028, 0x0101): ("US", u16(bits)),
        (0x0028, 0x0102): ("US", u16(bits - 1)),
        (0x0028, 0x0103): ("US", u16(0)),
    }


def pixels(rows: int = 32, columns: int = 32, bits: int = 16) -> bytes:
    """A slope, so that no gate finds the picture blank."""
    ramp = np.linspace(0, (1 << bits) - 1, rows * columns)
    return ramp.astype(f"<u{bits // 8}").tobytes()


def wrapped(dataset: bytes, syntax: str = EXPLICIT, preamble: bytes = bytes(128)) -> bytes:
    """A file with meta information around a data set."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = element((2, 0x10), "UI", uid)
    return preamble + b"DICM" + element((2, 0), "UL", struct.pack("<I", len(meta))) + meta + dataset


def dataset(header: Mapping[Tag, Value], tail: bytes) -> bytes:
    """Elements in order, then what is given as it is (the pixels)."""
    return b"".join(element(tag, *value) for tag, value in sorted(header.items())) + tail


def film(
    changes: Mapping[Tag, Value] | None = None,
    data: bytes | None = None,
    *,
    tail: bytes | None = None,
    extra: bytes = b"",
    syntax: str = EXPLICIT,
    preamble: bytes = bytes(128),
    bits: int = 16,
) -> bytes:
    """A film, spoilt as asked.

    Args:
        changes: header elements in place of the plain ones.
        data: its pixels.
        tail: the whole pixel data element in place of a well-formed one.
        extra: elements of a high group, before the pixels.
        syntax: transfer syntax UID; the deflated one deflates.
        preamble: the first 128 bytes.
        bits: 8 or 16.
    """
    header = {**facts(bits=bits), **(changes or {})}
    if tail is None:
        tail = element((0x7FE0, 0x10), "OW", pixels(bits=bits) if data is None else data)
    whole = dataset(header, extra + tail)
    if syntax == DEFLATED:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        whole = deflate.compress(whole) + deflate.flush()
    return wrapped(whole, syntax, preamble)


def encapsulated(*frames: bytes) -> bytes:
    """Compressed pixel data: an empty offset table and a fragment per frame."""
    even = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    inner = item() + b"".join(map(item, even)) + item(tag=0xE0DD)
    return element((0x7FE0, 0x10), "OB", inner, UNDEFINED)


def nested(depth: int, tag: Tag = (0x0040, 0xA730)) -> bytes:
    """Sequences of undefined length, each the only item of the one around it."""
    head = element(tag, "SQ", b"", UNDEFINED) + item(length=UNDEFINED)
    end = item(tag=0xE00D) + item(tag=0xE0DD)
    return head * depth + end * depth


def palette(entries: int, data: bytes, bits: int = 16, first: int = 0) -> dict[Tag, Value]:
    """The three tables of a palette, alike."""
    descriptor = ("US", u16(entries % 65536, first, bits))
    return {
        (0x0028, 0x0004): ("CS", text("PALETTE COLOR")),
        **{(0x0028, 0x1101 + i): descriptor for i in range(3)},
        **{(0x0028, 0x1201 + i): ("OW", data) for i in range(3)},
    }


def region(left: int, top: int, right: int, bottom: int) -> dict[Tag, Value]:
    """An ultrasound header with one region."""
    inner = b"".join([
        element((0x0018, 0x6012), "US", u16(1)), element((0x0018, 0x6014), "US", u16(1)),
        *(element((0x0018, 0x6018 + 2 * i), "UL", struct.pack("<I", value))
          for i, value in enumerate((left, top, right, bottom))),
        element((0x0018, 0x6024), "US", u16(3)), element((0x0018, 0x6026), "US", u16(3)),
        element((0x0018, 0x602C), "FD", struct.pack("<d", 0.05)),
        element((0x0018, 0x602E), "FD", struct.pack("<d", 0.05)),
    ])  # fmt: skip
    return {
        (0x0008, 0x0060): ("CS", b"US"),
        (0x0018, 0x6011): ("SQ", item(inner)),
    }


# --- pictures ---


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG that claims this size and holds these compressed bytes."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(tags: Mapping[int, tuple[int, int, int]], data: bytes = b"", count: int | None = None,
         following: int = 0) -> bytes:  # fmt: skip
    """A TIFF of one directory: tag → (type, number of values, value or offset)."""
    entries = b"".join(struct.pack("<HHII", t, *v) for t, v in sorted(tags.items()))
    number = len(tags) if count is None else count
    return b"II*\0" + struct.pack("<IH", 8, number) + entries + struct.pack("<I", following) + data


def grey_tiff(width: int, height: int, data: bytes, **changes: tuple[int, int, int]) -> bytes:
    """An uncompressed 8-bit TIFF of one strip; `t258=(3, 1, 64)` changes a tag."""
    tags = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
        273: (4, 1, 0), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, len(data)),
    }  # fmt: skip
    tags |= {int(name[1:]): value for name, value in changes.items()}
    if "t273" not in changes:
        tags[273] = (4, 1, 8 + 2 + 12 * len(tags) + 4)
    return tiff(tags, data)
