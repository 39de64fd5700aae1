"""Where the bytes of a file are, and which of them make a frame (PS3.5 A.4)."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import codestream
from edge_dx.sources.dicom.header import Shape, value
from edge_dx.sources.dicom.structure import EXPLICIT_BIG, NATIVE, Layout

RLE = "1.2.840.10008.1.2.5"
Places = Sequence[tuple[int, int]]
"""Offsets and lengths of the pieces that make a frame."""


@dataclass(frozen=True)
class Held:
    """A whole file in memory."""

    raw: bytes

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file, for one look."""
        yield io.BytesIO(self.raw)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.raw)

    def digest(self) -> str:
        """SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()


class OnDisk:
    """A file too large to hold: opened anew for each look, and refused once it was changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._then = self._state(path.stat())

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file, for one look.

        Raises:
            UnreadableInput: it is not the file that it was.
        """
        try:
            with self.path.open("rb") as file:
                if self._state(os.fstat(file.fileno())) != self._then:
                    raise UnreadableInput(f"{self.path}: was changed while it was read; read it "
                                          "again", "unreadable")  # fmt: skip
                yield file
        except OSError as error:  # unplugged, or the server is gone
            raise UnreadableInput(
                f"{self.path}: cannot be read any more ({error.strerror or error})", "unreadable"
            ) from error

    @property
    def size(self) -> int:
        """In bytes."""
        return self._then[0]

    def digest(self) -> str:
        """SHA-256, without holding the file."""
        found = hashlib.sha256()
        with self.open() as file:
            while piece := file.read(2**20):
                found.update(piece)
        return found.hexdigest()

    @staticmethod
    def _state(found: os.stat_result) -> tuple[int, int, int]:
        return found.st_size, found.st_mtime_ns, found.st_ino


class Plan:
    """Where each frame lies.

    Args:
        source: where the bytes are.
        layout: where the pixels lie.
        shape: how pixels are stored.
        dataset: the header, for the extended offset table.

    Raises:
        UnreadableInput: there is less than the header says.
        UnsupportedInput: frames that begin within a word.

    Attributes:
        places: gives a frame's pieces by its number.
        assumed: what was taken for granted about the number of frames.
    """

    def __init__(
        self,
        source: Held | OnDisk,
        layout: Layout,
        shape: Shape,
        dataset: Any,
    ) -> None:
        self._source = source
        self._syntax = layout.syntax
        self._words = layout.words
        self._shape = shape
        self.assumed: tuple[str, ...] = ()
        assert layout.pixels is not None, "a study without pixels was refused"
        self.places: Callable[[int], Places]
        if layout.syntax not in NATIVE:
            self.places = self._encapsulated(layout.fragments, dataset).__getitem__
        elif layout.fragments:
            raise UnreadableInput("its pixels are compressed, against its transfer syntax",
                                  "unreadable")  # fmt: skip
        else:
            self.places = self._native(layout.pixels)

    def _native(self, pixels: tuple[int, int]) -> Callable[[int], Places]:
        offset, length = pixels
        needed = self._shape.frame_bytes
        if self._shape.photometric == "YBR_FULL_422" and self._shape.columns % 2:
            raise UnreadableInput("YBR_FULL_422 with an odd number of columns", "unreadable")
        swapped = self._syntax == EXPLICIT_BIG and self._words and self._shape.allocated == 8
        if swapped and needed % 2 and self._shape.frames > 1:
            raise UnsupportedInput("frames begin within a big endian word", "format")
        if length < needed * self._shape.frames:
            raise UnreadableInput(
                f"has {length} bytes of pixels, {self._shape.frames} frames of {needed} are "
                "announced",
                "unreadable",
            )
        there = (length - length % 2) // needed if needed > 1 else length - 1
        if there > self._shape.frames:
            self.assumed = (_more(there, self._shape.frames),)
        # In swapped words the last byte of an odd frame lies behind its padding.
        read = min(needed + needed % 2, length) if swapped else needed
        return lambda number: [(offset + number * needed, read)]

    def _encapsulated(
        self, fragments: tuple[tuple[int, int], ...], dataset: Any
    ) -> Sequence[Places]:
        """Which fragments make a frame: PS3.5 A.4, with or without offset tables."""
        if not fragments:
            raise UnreadableInput("its compressed pixels are not in fragments", "unreadable")
        table, pieces, frames = fragments[0], list(fragments[1:]), self._shape.frames
        if self._syntax == RLE and len(pieces) >= frames:  # A.4.2: one fragment for each
            if len(pieces) > frames:
                self.assumed = (_more(len(pieces), frames),)
            return [[piece] for piece in pieces[:frames]]
        if frames == 1:
            with self._source.open() as file:
                starts = sum(codestream.begins(bytes_at(file, at, 4)) for at, _ in pieces)
            if starts > 1 and len(pieces) == starts:
                self.assumed = (_more(starts, 1),)
                return [[pieces[0]]]
            return [pieces]
        if len(pieces) == frames:
            return [[piece] for piece in pieces]
        with self._source.open() as file:
            heads = [codestream.begins(bytes_at(file, at, 4)) for at, _ in pieces]
            basic = bytes_at(file, *table) if table[1] <= 8 * 10**6 else b""
        if len(pieces) > frames and all(heads):
            self.assumed = (_more(len(pieces), frames),)
            return [[piece] for piece in pieces[:frames]]
        extended = value(dataset, "ExtendedOffsetTable")
        offsets = (
            np.frombuffer(extended, "<u8").tolist()
            if isinstance(extended, bytes) and len(extended) == 8 * frames
            else np.frombuffer(basic, "<u4").tolist() if len(basic) == 4 * frames else None
        )  # fmt: skip
        if offsets is None:  # told by where a compressed stream begins
            starts_at = [i for i, head in enumerate(heads) if head]
        else:  # counted from behind the basic offset table to an item, 8 bytes before its value
            base = table[0] + table[1]
            where = {at - 8 - base: i for i, (at, _) in enumerate(pieces)}
            starts_at = [where.get(offset, -1) for offset in offsets]
        if len(starts_at) != frames or starts_at[0] != 0 or sorted(set(starts_at)) != starts_at:
            raise UnreadableInput(
                f"its {len(pieces)} compressed fragments do not make {frames} frames", "unreadable"
            )
        return [pieces[a:b] for a, b in zip(starts_at, [*starts_at[1:], len(pieces)], strict=True)]


def bytes_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """Bytes of a file.

    Raises:
        UnreadableInput: it has been cut; not for the first four, of which fewer may be there.
    """
    file.seek(offset)
    found = file.read(length)
    if len(found) != length and length > 4:
        raise UnreadableInput("is shorter than when it was opened", "unreadable")
    return found


def _more(there: int, announced: int) -> str:
    return f"{there} frames are there, {announced} announced"
