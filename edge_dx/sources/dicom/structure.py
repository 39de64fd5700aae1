"""The skeleton of a DICOM file: walked strictly, before any library trusts a word of it.

Every length must fit into what is left of its parent, sequences may nest only so deep, there may
be only so many elements, and pixel data must be whole. The walk reads element headers and seeks
over the values, so it costs nothing for what it steps over. Encoding rules: PS3.5 §7 and Annex A.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.limits import (
    MAX_ELEMENTS,
    MAX_FRAMES,
    MAX_HEADER_VALUE_BYTES,
    MAX_INFLATED_BYTES,
    MAX_INFLATION,
    MAX_NESTING,
    MAX_SEQUENCE_BYTES,
)

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED}
"""Transfer syntaxes whose pixels are not compressed."""
UNDEFINED = 0xFFFFFFFF
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
          b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}  # fmt: skip
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002)


@dataclass(frozen=True)
class Layout:
    """Where things lie.

    Attributes:
        syntax: transfer syntax UID.
        implicit: value representations are not written.
        little: byte order of the data set.
        header: (offset, length) of each element that is looked at, its tag included.
        pixels: (offset, length) of the value of Pixel Data, or None where there is none.
        words: whether its value representation is OW, which big endian swaps even at 8 bits.
        fragments: (offset, length) of each fragment where it is encapsulated; the first is the
            basic offset table.
        assumed: what was taken for granted, in words.
    """

    syntax: str
    implicit: bool
    little: bool
    pixels: tuple[int, int] | None
    header: tuple[tuple[int, int], ...] = ()
    words: bool = False
    fragments: tuple[tuple[int, int], ...] = ()
    assumed: tuple[str, ...] = ()


def fragments_in(raw: BinaryIO, size: int) -> tuple[tuple[int, int], ...]:
    """Offsets and lengths of the fragments in the bare value of encapsulated pixel data.

    Raises:
        UnreadableInput: cut short or damaged.
    """
    walker = _Walker(raw, {}, implicit=False, little=True)
    walker.found.fragments, _ = walker.fragments(0, size)
    return tuple(walker.found.fragments)


@dataclass
class _Found:
    header: list[tuple[int, int]] = field(default_factory=list)
    pixels: tuple[int, int] | None = None
    words: bool = False
    fragments: list[tuple[int, int]] = field(default_factory=list)
    elements: int = 0
    stray: int = 0


def inflate(raw: bytes) -> bytes:
    """A deflated data set as it was before, within limits.

    Raises:
        UnreadableInput: damaged, or it grows beyond the limits (reason `too_large`).
    """
    most = min(MAX_INFLATED_BYTES, max(MAX_INFLATION * len(raw), 2**20))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        grown = stream.decompress(raw, most)
    except zlib.error as error:
        raise UnreadableInput(f"its deflated data set is damaged ({error})", "unreadable") from None
    if not stream.eof:
        if len(grown) >= most:
            raise UnsupportedInput(
                f"its deflated data set grows beyond {most} bytes, which is refused", "too_large"
            )
        raise UnreadableInput("its deflated data set is cut short", "unreadable")
    return grown


def syntax_of(file: BinaryIO) -> tuple[str | None, int, tuple[str, ...]]:
    """Transfer syntax (None: not said), where the data set begins, and what was assumed.

    Raises:
        UnreadableInput: the file meta information is damaged.
        UnsupportedInput: it has more elements than are read.
    """
    file.seek(0)
    head = file.read(132)
    assumed: tuple[str, ...] = ()
    at = 132
    if head[128:] != b"DICM":
        at, assumed = 0, ("no DICOM preamble",)
    size = file.seek(0, 2)
    syntax, elements = None, 0
    while at + 8 <= size:
        file.seek(at)
        group, element, kind, short = struct.unpack("<HH2sH", file.read(8))
        if group != 2:
            break
        elements += 1
        if elements > MAX_ELEMENTS:
            raise UnsupportedInput(f"it has more than {MAX_ELEMENTS} elements", "too_large")
        if kind in _LONG:
            value, length = at + 12, _long_length(file)
        elif kind in _SHORT:
            value, length = at + 8, short
        else:
            raise _damage("the file meta information is not explicit")
        if length > min(size - value, MAX_HEADER_VALUE_BYTES):
            raise _damage("a value of the file meta information is longer than the file")
        if element == 0x0010:
            file.seek(value)
            syntax = file.read(length).rstrip(b"\0 ").decode("ascii", "replace")
        at = value + length
    return syntax, at, assumed


def walk(
    file: BinaryIO, size: int, syntax: str | None, start: int, wanted: Mapping[int, bool]
) -> Layout:
    """Walks a data set from its start to the end of the file.

    Args:
        file: seekable.
        size: of the file, in bytes.
        syntax: transfer syntax UID, or None to tell implicit from explicit by the first element.
        start: offset of the data set.
        wanted: tags of the elements that are looked at, and whether they are sequences: where no
            value representation is written, nothing else tells.

    Raises:
        UnreadableInput: cut short or damaged.
        UnsupportedInput: more elements, or deeper nesting, than are read.
    """
    assumed: tuple[str, ...] = ()
    if syntax is None:
        syntax = EXPLICIT_LITTLE if _explicit(file, start) else IMPLICIT_LITTLE
        assumed = ("transfer syntax not stated, told by the first element",)
    implicit, little = syntax == IMPLICIT_LITTLE, syntax != EXPLICIT_BIG
    if not implicit and not _explicit(file, start):
        implicit = True
        assumed = (*assumed, "value representations are not written, against the transfer syntax")
    walker = _Walker(file, wanted, implicit=implicit, little=little)
    found = walker.found
    end = walker.elements(start, size, 0)
    if end != size:
        raise _damage("it ends within an element")
    if found.stray:
        assumed = (*assumed, f"{found.stray} items outside of any sequence were stepped over")
    return Layout(
        syntax=syntax,
        implicit=walker.implicit,
        little=walker.little,
        pixels=found.pixels,
        header=tuple(found.header),
        words=found.words,
        fragments=tuple(found.fragments),
        assumed=assumed,
    )


def _explicit(file: BinaryIO, start: int) -> bool:
    """Whether the first element says its value representation."""
    file.seek(start)
    return file.read(6)[4:6] in _LONG | _SHORT


class _Walker:
    def __init__(
        self, file: BinaryIO, wanted: Mapping[int, bool], *, implicit: bool, little: bool
    ) -> None:
        self.file = file
        self.wanted = wanted
        self.found = _Found()
        self.kept: set[int] = set()
        self.implicit = implicit
        self.little = little
        order = "<" if little else ">"
        self.tag = struct.Struct(f"{order}HH")
        self.long = struct.Struct(f"{order}I")
        self.short = struct.Struct(f"{order}H")

    def elements(self, at: int, end: int, depth: int, *, implicit: bool | None = None) -> int:
        """Walks elements up to `end`, or behind the item delimiter; gives where it stopped."""
        if depth > MAX_NESTING:
            raise UnsupportedInput(f"sequences nest deeper than {MAX_NESTING}", "too_large")
        implicit = self.implicit if implicit is None else implicit
        while at + 8 <= end:
            tag, value, length, kind = self._header(at, end, implicit)
            if tag == _ITEM_END:
                return value
            if tag == PIXEL_DATA and depth == 0:
                if length == UNDEFINED:
                    self.found.fragments, stop = self.fragments(value, end)
                    self.found.pixels = (value, stop - value)
                elif length > end - value:
                    raise _damage(f"{length} bytes of pixels are announced, {end - value} are left")
                else:
                    self.found.pixels = (value, length)
                    self.found.words = kind == b"OW"
                return end  # padding and signatures may follow, nothing that is looked at
            if tag == _ITEM and depth == 0:  # left by tools that take a sequence's header away
                self.found.stray += 1
            if tag in _FLOAT_PIXELS and depth == 0:
                raise UnsupportedInput("pixels are floating point numbers, not integers", "format")
            begin, at = at, self._behind(tag, value, length, kind, end, depth, implicit)
            if depth == 0 and tag in self.wanted:
                self._keep(tag, begin, at)
        return at

    def _behind(
        self, tag: int, value: int, length: int, kind: bytes | None, end: int, depth: int,
        implicit: bool,
    ) -> int:  # fmt: skip
        """Walks one element's value; gives where it ends."""
        # PS3.5 §6.2.2: an unknown value of undefined length is an implicit sequence. pydicom takes
        # one of stated length for what its dictionary says, and so do we where it is looked at.
        sequence = kind == b"SQ" or (kind in (None, b"UN") and self.wanted.get(tag, False))
        inner = implicit or kind == b"UN"
        if length == UNDEFINED:
            if tag == PIXEL_DATA and kind in (b"OB", b"OW"):  # an icon, compressed (PS3.5 A.4)
                return self.fragments(value, end)[1]
            if kind not in (b"SQ", b"UN") and not implicit:
                raise _damage(f"element {_named(tag)} has no length and is no sequence")
            return self._items(value, end, depth + 1, inner, open_ended=True)
        if length > end - value:
            raise _damage(
                f"element {_named(tag)} is {length} bytes long and {end - value} are left"
            )
        if sequence:
            self._items(value, value + length, depth + 1, inner, open_ended=False)
        return value + length

    def _keep(self, tag: int, begin: int, end: int) -> None:
        """Notes an element that is looked at, once it is no longer than an honest one.

        Of two with one tag (PS3.5 §7.1 allows one) every reader would believe another.
        """
        if tag in self.kept:
            raise _damage(f"{_named(tag)} stands there twice")
        self.kept.add(tag)
        most = MAX_SEQUENCE_BYTES if self.wanted[tag] else MAX_HEADER_VALUE_BYTES
        most = 8 * MAX_FRAMES if tag in _OFFSET_TABLES else most
        if end - begin - 12 > most:
            raise UnsupportedInput(f"{_named(tag)} is {end - begin} bytes long", "too_large")
        self.found.header.append((begin, end - begin))

    def _header(self, at: int, end: int, implicit: bool) -> tuple[int, int, int, bytes | None]:
        """Tag, offset and length of the value, and its representation where one is written."""
        self.found.elements += 1
        if self.found.elements > MAX_ELEMENTS:
            raise UnsupportedInput(f"it has more than {MAX_ELEMENTS} elements", "too_large")
        self.file.seek(at)
        head = self.file.read(12)
        if len(head) < 8:
            raise _damage("it is shorter than when it was opened")
        group, element = self.tag.unpack_from(head)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return tag, at + 8, self.long.unpack_from(head, 4)[0], None
        kind = head[4:6]
        if kind in _LONG:
            if len(head) < 12 or at + 12 > end:
                raise _damage("it ends within an element")
            return tag, at + 12, self.long.unpack_from(head, 8)[0], kind
        if kind not in _SHORT:
            raise _damage(f"element {_named(tag)} has no known value representation")
        return tag, at + 8, self.short.unpack_from(head, 6)[0], kind

    def _items(self, at: int, end: int, depth: int, implicit: bool, *, open_ended: bool) -> int:
        while at + 8 <= end:
            tag, value, length, _ = self._header(at, end, implicit=True)
            if tag == _SEQUENCE_END and open_ended:
                return value
            if tag != _ITEM:
                raise _damage(f"{_named(tag)} stands where an item of a sequence should")
            if length == UNDEFINED:
                at = self.elements(value, end, depth, implicit=implicit)
                continue
            if length > end - value:
                raise _damage("an item is longer than its sequence")
            stopped = self.elements(value, value + length, depth, implicit=implicit)
            if stopped != value + length:
                raise _damage("an element is longer than its item")
            at = value + length
        if open_ended or at != end:
            raise _damage("a sequence has no end")
        return at

    def fragments(self, at: int, end: int) -> tuple[list[tuple[int, int]], int]:
        """Offsets and lengths of fragments, and where they end."""
        found: list[tuple[int, int]] = []
        while at + 8 <= end:
            tag, value, length, _ = self._header(at, end, implicit=True)
            if tag == _SEQUENCE_END:
                if not found:
                    raise _damage("its pixel data is empty")
                return found, value
            if tag != _ITEM or length > end - value:
                raise _damage("its compressed pixel data is cut short or damaged")
            found.append((value, length))
            at = value + length
        raise _damage("its compressed pixel data is cut short")


def _long_length(file: BinaryIO) -> int:
    found: int = struct.unpack("<I", file.read(4).ljust(4, b"\xff"))[0]
    return found


def _named(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _damage(told: str) -> UnreadableInput:
    return UnreadableInput(told, "unreadable")
