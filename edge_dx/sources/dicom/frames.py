"""Frames of pixel data, one at a time: whatever their number, one is in memory.

Where a frame lies comes from `structure`; how it is decoded is pydicom's business and that of the
decoders it finds (Pillow, pyjpegls, openjpeg, gdcm). Before one of them sees a frame, the size that
the compressed stream claims is held against the header: a stream of 64 KB may claim 65535 × 65535.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import apart, codestream
from edge_dx.sources.dicom.header import Shape, value
from edge_dx.sources.dicom.structure import EXPLICIT_BIG, Layout
from edge_dx.sources.limits import MAX_FRAME_BYTES

_JPEG_8 = "1.2.840.10008.1.2.4.50"
_JPEG_12 = "1.2.840.10008.1.2.4.51"
_PLUGINS = ("pydicom", "pyjpegls", "pylibjpeg", "pillow")
"""Decoders by pydicom's names for them, best first; each was held against the oracle."""
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
           "1.2.840.10008.1.2.1.99"}  # fmt: skip
Stored = NDArray[Any]


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


class Frames:
    """Decodes frames by their number.

    Args:
        source: where the bytes are.
        layout: where the pixels lie.
        shape: how pixels are stored.
        dataset: the header, for the extended offset table.

    Raises:
        UnreadableInput: there is less than the header says.
        UnsupportedInput: nothing that is installed decodes the transfer syntax.

    Attributes:
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
        if layout.syntax in _NATIVE:
            self._places = self._native(layout.pixels)
        else:
            self._places = self._encapsulated(layout.fragments, dataset)
        self._decode = self._decoder()

    def __call__(self, number: int) -> tuple[Stored, str]:
        """A frame as stored, `(rows, columns[, 3])`, and its photometric interpretation.

        YBR is converted to RGB here, once.
        """
        return self._decode(number)

    def _native(self, pixels: tuple[int, int]) -> list[list[tuple[int, int]]]:
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
        if (there := length // needed) > self._shape.frames:
            self.assumed = (f"pixels of {there} frames are there, {self._shape.frames} announced",)
        # In swapped words the last byte of an odd frame lies behind its padding.
        read = min(needed + needed % 2, length) if swapped else needed
        return [[(offset + i * needed, read)] for i in range(self._shape.frames)]

    def _encapsulated(
        self, fragments: tuple[tuple[int, int], ...], dataset: Any
    ) -> list[list[tuple[int, int]]]:
        """Which fragments make a frame: PS3.5 A.4, with or without offset tables."""
        if not fragments:
            raise UnreadableInput("its compressed pixels are not in fragments", "unreadable")
        table, pieces, frames = fragments[0], list(fragments[1:]), self._shape.frames
        if frames == 1:
            with self._source.open() as file:
                starts = sum(codestream.begins(_at(file, at, 4)) for at, _ in pieces)
            if starts > 1 and len(pieces) == starts:
                self.assumed = (f"{starts} frames are there, 1 announced",)
                return [[pieces[0]]]
            return [pieces]
        if len(pieces) == frames:
            return [[piece] for piece in pieces]
        with self._source.open() as file:
            heads = [codestream.begins(_at(file, at, 4)) for at, _ in pieces]
            basic = _at(file, *table) if table[1] <= 8 * 10**6 else b""
        if len(pieces) > frames and all(heads):
            self.assumed = (f"{len(pieces)} frames are there, {frames} announced",)
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

    def _raw(self, number: int) -> bytes:
        places = self._places[number]
        if sum(length for _, length in places) > MAX_FRAME_BYTES:
            raise UnsupportedInput(f"frame {number} is too large", "too_large")
        with self._source.open() as file:
            return b"".join(_at(file, at, length) for at, length in places)

    def _padded(self, raw: bytes) -> bytes:
        return raw + b"\0" * (len(raw) % 2)

    def _decoder(self) -> Callable[[int], tuple[Stored, str]]:
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        uid = UID(self._syntax)
        try:
            decoder = get_decoder(uid)
        except NotImplementedError:
            raise UnsupportedInput(
                f"nothing decodes {uid.name or self._syntax}", "transfer_syntax"
            ) from None
        if not decoder.is_available:
            hint = "; pip install 'edge-dx[gdcm]'" if self._syntax in _BY_GDCM else ""
            raise UnsupportedInput(f"nothing installed decodes {uid.name}{hint}", "transfer_syntax")
        if self._syntax in _NATIVE:
            return lambda number: self._by_pydicom(decoder, self._padded(self._raw(number)))
        return lambda number: self._compressed(decoder, self._raw(number))

    def _compressed(self, decoder: Any, raw: bytes) -> tuple[Stored, str]:
        shape = self._shape
        told = codestream.parameters(raw, self._syntax)
        if told is not None and (told.rows, told.columns) != (shape.rows, shape.columns):
            raise UnreadableInput(
                f"its compressed stream has {told.columns} × {told.rows} pixels, the header says "
                f"{shape.columns} × {shape.rows}",
                "unreadable",
            )
        if told is not None and told.samples != shape.samples:
            raise UnreadableInput(
                f"its compressed stream has {told.samples} samples per pixel, the header says "
                f"{shape.samples}",
                "unreadable",
            )
        if told is not None and self._syntax in (_JPEG_8, _JPEG_12) and told.precision == 8:
            return codestream.jpeg(raw, told, shape.photometric)
        from pydicom.encaps import encapsulate

        # A decoder given fewer bits than the stream has may write behind its buffer, or abort.
        bits = shape.stored if told is None else told.precision
        if bits > shape.allocated:
            raise UnreadableInput(
                f"its compressed stream has {bits} bits per sample, {shape.allocated} have room",
                "unreadable",
            )
        return self._by_pydicom(decoder, encapsulate([raw]), bits)

    def _by_pydicom(self, decoder: Any, raw: bytes, bits: int | None = None) -> tuple[Stored, str]:
        shape = self._shape
        how: dict[str, Any] = {
            "number_of_frames": 1,
            "rows": shape.rows,
            "columns": shape.columns,
            "samples_per_pixel": shape.samples,
            "photometric_interpretation": shape.photometric,
            "planar_configuration": shape.planar,
            "bits_allocated": shape.allocated,
            "bits_stored": shape.stored if bits is None else bits,
            "pixel_representation": int(shape.signed),
            "pixel_keyword": "PixelData",
        }
        if self._syntax in _NATIVE:
            how |= {"correct_unused_bits": False, "pixel_vr": "OW" if self._words else "OB"}
        elif self._syntax in _BY_GDCM:
            if "gdcm" not in decoder.available_plugins:
                raise _not_decoded(self._syntax, "pip install 'edge-dx[gdcm]'")
            return apart.decode(self._syntax, raw, how)
        else:
            how["decoding_plugin"] = _plugin(decoder, self._syntax)
        try:
            stored, told = decoder.as_array(raw, index=0, **how)
        except (ImportError, NotImplementedError) as error:
            raise _not_decoded(self._syntax, str(error)) from error
        except RuntimeError as error:
            # The same error stands for a decoder that does not do this kind and one that met
            # damage.
            if "not support" in str(error) or "only " in str(error):
                raise _not_decoded(self._syntax, str(error)) from error
            raise
        found: Stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        return found, str(told["photometric_interpretation"])


def _plugin(decoder: Any, syntax: str) -> str:
    """The decoder to use: pydicom would take gdcm before all others, which may end the process."""
    there = decoder.available_plugins
    found = next((name for name in _PLUGINS if name in there), None)
    if found is None:
        raise _not_decoded(syntax, f"only by {', '.join(there) or 'nothing'}")
    return found


_BY_GDCM = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}


def _not_decoded(syntax: str, why: str) -> UnsupportedInput:
    from pydicom.uid import UID

    told = why.strip().splitlines()[-1].strip() if why.strip() else "no reason given"
    return UnsupportedInput(
        f"nothing installed decodes this {UID(syntax).name} ({told[:200]})", "transfer_syntax"
    )


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    found = file.read(length)
    if len(found) != length and length > 4:
        raise UnreadableInput("is shorter than when it was opened", "unreadable")
    return found
