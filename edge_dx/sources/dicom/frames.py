"""Frames of pixel data, one at a time: whatever their number, one is in memory.

Where a frame lies comes from `places`; how it is decoded is pydicom's business and that of the
decoders it finds (Pillow, pyjpegls, openjpeg, gdcm). Before one of them sees a frame, the size that
the compressed stream claims is held against the header: a stream of 64 KB may claim 65535 × 65535.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import apart, codestream
from edge_dx.sources.dicom.header import Shape
from edge_dx.sources.dicom.places import RLE, Held, OnDisk, Places, bytes_at
from edge_dx.sources.dicom.structure import NATIVE, Layout
from edge_dx.sources.limits import MAX_FRAME_BYTES

_JPEG_8 = "1.2.840.10008.1.2.4.50"
_JPEG_12 = "1.2.840.10008.1.2.4.51"
_PLUGINS = ("pyjpegls", "pylibjpeg", "pillow", "pydicom")
"""Decoders by pydicom's names for them, best first; each was held against the oracle."""
Stored = NDArray[Any]


class Frames:
    """Decodes frames by their number.

    Args:
        source: where the bytes are.
        layout: where the pixels lie.
        shape: how pixels are stored.
        places: gives a frame's pieces by its number (`Plan.places`).

    Raises:
        UnsupportedInput: nothing that is installed decodes the transfer syntax.
    """

    def __init__(
        self,
        source: Held | OnDisk,
        layout: Layout,
        shape: Shape,
        places: Callable[[int], Places],
    ) -> None:
        self._source = source
        self._syntax = layout.syntax
        self._words = layout.words
        self._shape = shape
        self._places = places
        self._decode = self._decoder()

    def __call__(self, number: int) -> tuple[Stored, str]:
        """A frame as stored, `(rows, columns[, 3])`, and its photometric interpretation.

        YBR is converted to RGB here, once.
        """
        return self._decode(number)

    def _raw(self, number: int) -> bytes:
        places = self._places(number)
        if sum(length for _, length in places) > MAX_FRAME_BYTES:
            raise UnsupportedInput(f"frame {number} is too large", "too_large")
        with self._source.open() as file:
            return b"".join(bytes_at(file, at, length) for at, length in places)

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
        if self._syntax in NATIVE:
            return lambda number: self._by_pydicom(decoder, self._padded(self._raw(number)))
        return lambda number: self._compressed(decoder, self._raw(number))

    def _compressed(self, decoder: Any, raw: bytes) -> tuple[Stored, str]:
        shape = self._shape
        # Runs of one byte each take two; a decoder may unpack all there is before it looks.
        if self._syntax == RLE and len(raw) > 2 * shape.frame_bytes + 1024:
            raise UnreadableInput("its RLE stream is longer than its frame", "unreadable")
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
        if self._syntax in NATIVE:
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
        except BaseException as error:
            # What a decoder in Rust raises where it panics is no Exception.
            if type(error).__module__ != "pyo3_runtime":
                raise
            raise UnreadableInput(f"its decoder gave up ({error})", "unreadable") from error
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
