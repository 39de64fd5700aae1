"""What travels in frames of the stream and event channels, docs/wire.md §4 and §5.

All numbers are little endian. A stream message begins with the same 24 bytes:

    version and type u8 | flags u8 | stream u8 | format u8 | boot id u16 | n u16 |
    first index u32 | device time µs u64 | dropped in all u32

The sample index counts what was acquired since boot, also what the device had to drop, so what is
missing between two messages is known exactly. The boot id tells a restart from a wrap-around.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np

from firmware_bridge import cbor
from firmware_bridge.errors import BadMessage

VERSION = 1
MAX_LEADS = 32
MAX_PIXELS = 4096 * 4096
MAX_EVENT_BYTES = 512
_HEADER = struct.Struct("<BBBBHHIQI")
_MASK = struct.Struct("<I")
_IMAGE = struct.Struct("<HHffI")
_EVENT = struct.Struct("<BBHIQ")
_SAMPLES, _PICTURE, _EVENT_TYPE = 1, 2, 3

Array = np.ndarray[Any, np.dtype[Any]]


class Flags(IntFlag):
    """A receiver that does not know one of the lower four MUST drop the message."""

    NONE = 0
    LEAD_OFF = 0x01
    """A u32 follows the header: bit n is set where lead n has no contact."""
    CONCEALED = 0x02
    """The device made the values up, because it had none."""
    OVERFLOW = 0x10
    """The device's own buffer was full before this message."""


_KNOWN = 0x03
_LEAD_OFF = int(Flags.LEAD_OFF)


class Format(IntEnum):
    """How a number stands in the payload."""

    I16 = 1
    I24 = 2
    I32 = 3
    GREY8 = 16


_BYTES = {Format.I16: 2, Format.I24: 3, Format.I32: 4, Format.GREY8: 1}
# Looked up, because asking an enumeration takes longer than decoding the numbers.
_FORMATS = {int(form): form for form in Format}
_FLAGS = tuple(Flags(bits) for bits in range(256))


@dataclass(frozen=True)
class Header:
    """The 24 bytes at the front of a stream message.

    Attributes:
        stream: which of the device's streams.
        format: of the numbers behind it.
        boot_id: differs after each restart of the device.
        n: samples per lead, or bytes of a picture, in this message.
        first_index: of the first sample since boot, modulo 2**32; of a picture, its number.
        t_dev_us: when the first sample or the picture was taken, in device time.
        dropped_total: samples or pictures the device has dropped since boot, modulo 2**32.
        flags: see `Flags`.
    """

    stream: int
    format: Format
    boot_id: int
    n: int
    first_index: int
    t_dev_us: int
    dropped_total: int = 0
    flags: Flags = Flags.NONE

    def pack(self, kind: int) -> bytes:
        """The bytes."""
        return _HEADER.pack(
            VERSION << 4 | kind, self.flags, self.stream, self.format, self.boot_id, self.n,
            self.first_index, self.t_dev_us, self.dropped_total,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SampleBlock:
    """Consecutive samples as the device sent them.

    Attributes:
        header: with their place in the stream.
        counts: (n, leads) int32, in steps of the converter.
        leads_off: bit n is set where lead n has no contact.
    """

    header: Header
    counts: Array = field(repr=False)
    leads_off: int = 0


@dataclass(frozen=True)
class Piece:
    """A piece of a picture.

    Attributes:
        header: of the picture; its `n` is the length of `data`.
        width: of the whole picture, pixels.
        height: likewise.
        mm_per_px: across and down; NaN where the device does not know.
        offset: of `data` within the rows one after the other.
        data: bytes of the pixels.
    """

    header: Header
    width: int
    height: int
    mm_per_px: tuple[float, float]
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Event:
    """Something that happened at the device.

    Attributes:
        kind: see `EventKind`; others are of newer devices and given on as numbers.
        boot_id: as in `Header`.
        number: events since boot, modulo 2**32.
        t_dev_us: when it happened.
        told: what the device says about it.
    """

    kind: int
    boot_id: int
    number: int
    t_dev_us: int
    told: dict[str, Any] = field(default_factory=dict)


class EventKind(IntEnum):
    """What can happen."""

    MARKER = 1
    """The wearer pressed the button."""
    LEAD_OFF = 2
    """A lead lost or found its contact: `lead`, `off`."""
    BATTERY = 3
    """`percent`."""
    OVERFLOW = 4
    """A buffer was full: `stream`, `dropped`."""
    FAULT = 5
    """The device found something wrong with itself: `why`."""


# --- writing ---


def encode_samples(header: Header, counts: Array, leads_off: int = 0) -> bytes:
    """The message of (n, leads) whole numbers.

    Raises:
        BadMessage: they do not fit the format, or there are too many leads.
    """
    numbers = np.asarray(counts)
    if numbers.ndim != 2 or not 1 <= numbers.shape[1] <= MAX_LEADS or len(numbers) != header.n:
        raise BadMessage(f"samples are (n, 1 to {MAX_LEADS} leads) as in the header")
    if bool(leads_off) != bool(header.flags & Flags.LEAD_OFF):
        raise BadMessage("the flag LEAD_OFF and the mask of leads belong together")
    bits = 8 * _BYTES[header.format]
    if header.format is Format.GREY8 or (
        numbers.size and not -(2 ** (bits - 1)) <= numbers.min() <= numbers.max() < 2 ** (bits - 1)
    ):
        raise BadMessage(f"samples do not fit {header.format.name}")
    if header.format is Format.I24:
        wide = np.ascontiguousarray(numbers, "<i4").view(np.uint8).reshape(-1, 4)
        body = np.ascontiguousarray(wide[:, :3]).tobytes()
    else:
        body = np.ascontiguousarray(numbers, "<i2" if bits == 16 else "<i4").tobytes()
    mask = _MASK.pack(leads_off) if leads_off else b""
    return header.pack(_SAMPLES) + mask + body


def encode_picture(header: Header, pixels: Array, mm_per_px: tuple[float, float],
                   piece_bytes: int) -> list[bytes]:  # fmt: skip
    """The messages of one (height, width) picture of uint8, in pieces.

    Args:
        header: `n` is set for each piece.
        pixels: (height, width) uint8.
        mm_per_px: across and down.
        piece_bytes: pixels per message.
    """
    height, width = pixels.shape
    raw, found = np.ascontiguousarray(pixels, np.uint8).tobytes(), []
    for offset in range(0, len(raw), piece_bytes):
        data = raw[offset : offset + piece_bytes]
        own = Header(
            header.stream, Format.GREY8, header.boot_id, len(data), header.first_index,
            header.t_dev_us, header.dropped_total, header.flags,
        )  # fmt: skip
        found.append(own.pack(_PICTURE) + _IMAGE.pack(width, height, *mm_per_px, offset) + data)
    return found


def encode_event(event: Event) -> bytes:
    """The message of an event.

    Raises:
        BadMessage: it says too much.
    """
    told = cbor.dumps(event.told)
    if len(told) > MAX_EVENT_BYTES:
        raise BadMessage(f"an event tells up to {MAX_EVENT_BYTES} bytes")
    return _EVENT.pack(
        VERSION << 4 | _EVENT_TYPE, event.kind, event.boot_id, event.number, event.t_dev_us
    ) + told  # fmt: skip


# --- reading ---


def decode_stream(payload: bytes) -> SampleBlock | Piece:
    """The message in a frame of the stream channel.

    Raises:
        BadMessage: it breaks the specification, or is of a newer one.
    """
    if len(payload) < _HEADER.size:
        raise BadMessage(f"a stream message has at least 24 bytes, not {len(payload)}")
    told, flags, stream, form, boot_id, n, first, t_dev_us, dropped = _HEADER.unpack_from(payload)
    if told >> 4 != VERSION:
        raise BadMessage(f"a stream message of version {told >> 4}; this end reads {VERSION}")
    if flags & 0x0F & ~_KNOWN:
        raise BadMessage(f"flags 0x{flags:02x} that this end must know and does not")
    size = _BYTES.get(form)
    if size is None:
        raise BadMessage(f"numbers of the unknown format {form}")
    header = Header(
        stream, _FORMATS[form], boot_id, n, first, t_dev_us, dropped, _FLAGS[flags]
    )  # fmt: skip
    if told & 0x0F == _SAMPLES and header.format is not Format.GREY8:
        return _samples(header, size, payload, masked=bool(flags & _LEAD_OFF))
    if told & 0x0F == _PICTURE and header.format is Format.GREY8:
        return _piece(header, payload)
    raise BadMessage(f"a stream message of the unknown type {told & 0x0F}, format {form}")


def _samples(header: Header, size: int, payload: bytes, *, masked: bool) -> SampleBlock:
    at, off = _HEADER.size, 0
    if masked:
        if len(payload) < at + _MASK.size:
            raise BadMessage("the mask of leads is cut off")
        (off,) = _MASK.unpack_from(payload, at)
        at += _MASK.size
    length = len(payload) - at
    leads, rest = divmod(length, header.n * size) if header.n else (0, length)
    if rest or leads > MAX_LEADS or (header.n and not leads):
        raise BadMessage(f"{length} bytes are no {header.n} samples of {size} bytes per lead")
    if size == 3:
        # Each number with the byte in front of it, which the shift takes away with the right sign.
        wide = np.ndarray((header.n, leads), "<i4", payload, at - 1, (3 * leads, 3))
        return SampleBlock(header, wide >> 8, off)
    counts = np.frombuffer(payload, "<i2" if size == 2 else "<i4", offset=at)
    return SampleBlock(header, counts.reshape(header.n, leads).astype(np.int32, copy=False), off)


def _piece(header: Header, payload: bytes) -> Piece:
    at = _HEADER.size + _IMAGE.size
    if len(payload) != at + header.n or not header.n:
        raise BadMessage(f"a piece of {header.n} bytes has {len(payload) - at}")
    width, height, across, down, offset = _IMAGE.unpack_from(payload, _HEADER.size)
    if not 0 < width * height <= MAX_PIXELS or offset + header.n > width * height:
        raise BadMessage(f"{header.n} bytes at {offset} lie outside of {width} × {height} pixels")
    return Piece(header, width, height, (across, down), offset, payload[at:])


def decode_event(payload: bytes) -> Event:
    """The message in a frame of the event channel.

    Raises:
        BadMessage: it breaks the specification, or is of a newer one.
    """
    if len(payload) < _EVENT.size:
        raise BadMessage(f"an event has at least 16 bytes, not {len(payload)}")
    told, kind, boot_id, number, t_dev_us = _EVENT.unpack_from(payload)
    if told != VERSION << 4 | _EVENT_TYPE:
        raise BadMessage(f"an event of the unknown version and type 0x{told:02x}")
    return Event(kind, boot_id, number, t_dev_us,
                 cbor.loads(payload[_EVENT.size :], max_bytes=MAX_EVENT_BYTES))  # fmt: skip
