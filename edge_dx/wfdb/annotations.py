"""Annotation files in the MIT format, read and written.

A file is a row of 16-bit little-endian words: six bits of code, ten bits of what belongs to it.

    code 1–49   an annotation, the ten bits are samples since the one before
    59 SKIP     four bytes follow: the interval as a signed number, its upper half first
    60 NUM      61 SUB      62 CHN      the ten bits are that field of the annotation before;
                                        NUM and CHN hold for those that follow, too
    63 AUX      text of that many bytes follows, filled up to an even number
    0           an interval alone; the whole word 0 is the end

The sampling rate, where it is not that of the record, stands in a note at sample 0
(`## time resolution: 250`), and so do symbols that the writer made up.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.wfdb.codes import BEATS, LAST_CODE, NOTE, code_of, symbol_of

SKIP, NUM, SUB, CHN, AUX = 59, 60, 61, 62, 63
MAX_BYTES = 8 * 2**20
"""Larger annotation files are refused: a month of beats takes about 6 MB."""
MAX_SAMPLE = 2**53
MAX_NOTE_BYTES = 255

_RATE = re.compile(r"^## time resolution: ([0-9.eE+-]{1,40})\s*$")
_DEFINED = re.compile(r"^([0-9]{1,2}) (\S{1,20})(?: |$)")


class Annotation(NamedTuple):
    """One annotation.

    Attributes:
        sample: when, in ticks since the record's beginning.
        symbol: what, for example `N`, `V`, `+`; see `codes.SYMBOLS`.
        subtype: -128 to 127; bits 4 and 5 of a `~` both set: the signal cannot be read.
        channel: 0 to 255, which signal it belongs to.
        number: -128 to 127, the writer's own.
        note: text, for example the rhythm `(AFIB`.
    """

    sample: int
    symbol: str
    subtype: int = 0
    channel: int = 0
    number: int = 0
    note: str = ""


@dataclass(frozen=True)
class Annotations:
    """What a file holds, in its order.

    Attributes:
        items: the annotations.
        rate_hz: ticks per second where the file says so, else None: the record's rate.
    """

    items: tuple[Annotation, ...]
    rate_hz: float | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Annotation]:
        return iter(self.items)

    @property
    def samples(self) -> NDArray[np.int64]:
        """When each one stands."""
        return np.fromiter((item.sample for item in self.items), np.int64, len(self.items))

    @property
    def beats(self) -> tuple[Annotation, ...]:
        """Those that stand at a QRS complex."""
        return tuple(item for item in self.items if item.symbol in BEATS)

    def at(self, rate_hz: float) -> Annotations:
        """The same in ticks of another rate, rounded to the nearest."""
        if self.rate_hz is None or self.rate_hz == rate_hz:
            return replace(self, rate_hz=rate_hz)
        times = rate_hz / self.rate_hz
        return Annotations(
            tuple(item._replace(sample=math.floor(item.sample * times + 0.5)) for item in self),
            rate_hz,
        )


def read_annotations(path: Path | str) -> Annotations:
    """Reads an annotation file.

    Raises:
        UnreadableInput: damaged or cut short; the message names the file and the byte.
        UnsupportedInput: too large.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableInput(f"{file}: {error.strerror}", "unreadable") from error
    if len(data) > MAX_BYTES:
        raise UnsupportedInput(
            f"{file}: annotation files of more than {MAX_BYTES} bytes are not read", "too_large"
        )
    return decode_annotations(data, str(file))


def decode_annotations(data: bytes, name: str = "annotations") -> Annotations:
    """Reads annotations from bytes; `name` stands in the errors, see `read_annotations`."""
    return _understood(list(_decoded(data, name)), name)


def write_annotations(path: Path | str, annotations: Annotations | Iterable[Annotation]) -> None:
    """Writes an annotation file that WFDB's tools read; see `encode_annotations`."""
    Path(path).write_bytes(encode_annotations(annotations))


def encode_annotations(annotations: Annotations | Iterable[Annotation]) -> bytes:
    """Annotations as bytes of the MIT format, in the order given.

    Tools expect them in the order of their samples; what goes back in time is written all the
    same, as a negative interval.

    Raises:
        ValueError: a symbol without code, or a field that does not fit its place.
    """
    told = annotations if isinstance(annotations, Annotations) else Annotations(tuple(annotations))
    found = bytearray()
    if told.rate_hz is not None:
        note = f"## time resolution: {told.rate_hz:.12g}"
        found += _encoded(Annotation(0, NOTE, note=note), 0, 0, 0)
        # Back by one and forth by one, which is how WFDB's own library ends that note.
        found += struct.pack("<HhhH", SKIP << 10, -1, -1, 1)
    sample = channel = number = 0
    for item in told:
        found += _encoded(item, sample, channel, number)
        sample, channel, number = item.sample, item.channel, item.number
    return bytes(found) + b"\0\0"


def _encoded(item: Annotation, since: int, channel: int, number: int) -> bytes:
    code = code_of(item.symbol)
    note = item.note.encode("utf-8", "surrogateescape")
    if code is None:
        raise ValueError(f"{item}: no annotation code for the symbol {item.symbol!r}")
    if not 0 <= item.sample <= MAX_SAMPLE:
        raise ValueError(f"{item}: samples are from 0 to 2^53")
    if not (-128 <= item.subtype < 128 and -128 <= item.number < 128 and 0 <= item.channel < 256):
        raise ValueError(f"{item}: subtype and number are signed bytes, the channel is a byte")
    if len(note) > MAX_NOTE_BYTES:
        raise ValueError(f"{item}: a note has at most {MAX_NOTE_BYTES} bytes")
    found = bytearray()
    interval = item.sample - since
    if not 0 <= interval < 1024:
        while interval:
            step = max(-(2**31), min(2**31 - 1, interval))
            found += struct.pack("<HHH", SKIP << 10, (step >> 16) & 0xFFFF, step & 0xFFFF)
            interval -= step
    found += struct.pack("<H", code << 10 | interval)
    for field, value, before in ((SUB, item.subtype, 0), (CHN, item.channel, channel),
                                 (NUM, item.number, number)):  # fmt: skip
        if value != before:
            found += struct.pack("<H", field << 10 | value & 0x3FF)
    if note:
        found += struct.pack("<H", AUX << 10 | len(note)) + note + b"\0" * (len(note) % 2)
    return bytes(found)


def _decoded(data: bytes, name: str) -> Iterator[Annotation]:
    at = sample = channel = number = 0
    item: Annotation | None = None
    while True:
        if len(data) < at + 2:
            raise UnreadableInput(f"{name}: ends at byte {len(data)} without its end mark: "
                                  "it was cut short", "unreadable")  # fmt: skip
        word = data[at] | data[at + 1] << 8
        code, rest, at = word >> 10, word & 0x3FF, at + 2
        if code == SKIP:
            if item is not None:
                yield item
                item = None
            if len(data) < at + 4:
                raise UnreadableInput(f"{name}: cut short within an interval", "unreadable")
            high, low = struct.unpack_from("<hH", data, at)
            sample, at = sample + (high << 16 | low), at + 4
        elif code < SKIP:
            if item is not None:
                yield item
            if word == 0:
                return
            sample += rest
            if code == 0:  # an interval alone
                item = None
                continue
            if not 0 < code <= LAST_CODE or not 0 <= sample <= MAX_SAMPLE:
                raise UnreadableInput(
                    f"{name}: code {code} at sample {sample}, byte {at - 2}, is no annotation: "
                    "damaged, or not in the MIT format", "unreadable")  # fmt: skip
            item = Annotation(sample, symbol_of(code), 0, channel, number)
        elif item is None:
            raise UnreadableInput(f"{name}: byte {at - 2} tells of an annotation that is not "
                                  "there: damaged, or not in the MIT format",
                                  "unreadable")  # fmt: skip
        elif code == AUX:
            if rest > MAX_NOTE_BYTES or len(data) < at + rest:
                raise UnreadableInput(f"{name}: a note of {rest} bytes at byte {at} is longer "
                                      "than there is room for", "unreadable")  # fmt: skip
            text = data[at : at + rest].decode("utf-8", "surrogateescape").rstrip("\0")
            item, at = item._replace(note=text), at + rest + rest % 2
        elif code == SUB:
            item = item._replace(subtype=_signed(rest))
        elif code == CHN:
            channel = rest & 0xFF
            item = item._replace(channel=channel)
        else:
            number = _signed(rest)
            item = item._replace(number=number)


def _signed(bits: int) -> int:
    return ((bits & 0xFF) ^ 0x80) - 0x80


def _understood(items: list[Annotation], name: str) -> Annotations:
    """Takes the notes at the beginning that are about the file itself out and believes them."""
    rate: float | None = None
    own: dict[str, str] = {}
    within = False
    taken = 0
    for item in items:
        if item.symbol != NOTE or item.sample != 0:
            break
        stated = _RATE.match(item.note)
        defined = _DEFINED.match(item.note) if within else None
        if stated is not None:
            rate = _rate(stated[1], name)
        elif item.note.startswith("## annotation type definitions"):
            within = True
        elif within and item.note.startswith("## end of definitions"):
            within = False
        elif defined is not None:
            own[symbol_of(int(defined[1]))] = defined[2]
        else:
            break
        taken += 1
    kept = items[taken:]
    if own:
        kept = [item._replace(symbol=own.get(item.symbol, item.symbol)) for item in kept]
    return Annotations(tuple(kept), rate)


def _rate(text: str, name: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1e9:
        raise UnreadableInput(f"{name}: a time resolution of {text!r} is none", "unreadable")
    return rate
