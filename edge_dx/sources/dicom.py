"""Plain DICOM: single-frame grey and RGB images, with rescale, window and MONOCHROME1.

The header is read and judged first; pixels are decoded when they are asked for. What this reader
does not do by the book yet (several frames, palettes, look-up tables, overlays) is refused with a
reason, never guessed.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import EdgeDxError, MissingExtra, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources import MAX_PIXELS, Study, inverted


def from_bytes(raw: bytes, path: Path) -> Study:
    """A study from the bytes of a DICOM file.

    Raises:
        MissingExtra: pydicom is not installed.
        UnreadableInput: truncated or damaged.
        UnsupportedInput: a kind of image that is not read.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtra("pydicom", "dicom", f"{path}: reading DICOM") from error
    if _deflated(raw):
        raise UnsupportedInput(
            f"{path}: deflated DICOM is not read, because its size is not known before inflating",
            "transfer_syntax",
        )
    with _reading(str(path), "not readable as DICOM"):
        dataset = pydicom.dcmread(io.BytesIO(raw))
    return from_dataset(dataset, path, hashlib.sha256(raw).hexdigest())


def from_dataset(dataset: Any, path: Path | None = None, digest: str | None = None) -> Study:
    """A study from a pydicom `Dataset`; its header is judged now, its pixels when asked for."""
    name = str(path) if path else "the DICOM data set"
    with _reading(name, "its header is damaged"):
        if "Rows" not in dataset or "Columns" not in dataset:
            raise UnsupportedInput(f"{name}: holds no image", "format")
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(_value(dataset, "NumberOfFrames") or 1)
        spacing = _value(dataset, "ImagerPixelSpacing") or _value(dataset, "PixelSpacing")
        mm_per_px = (float(spacing[0]), float(spacing[1])) if spacing else None
        modality = _code(dataset, "Modality")
        body_part = _code(dataset, "BodyPartExamined")
        view = _code(dataset, "ViewPosition")
        if digest is None:
            digest = hashlib.sha256(_value(dataset, "PixelData") or b"").hexdigest()
    if rows < 1 or columns < 1 or frames < 1:
        raise UnreadableInput(f"{name}: says it has no pixels", "unreadable")
    if rows * columns > MAX_PIXELS:
        raise UnsupportedInput(f"{name}: {columns} × {rows} pixels are too many", "too_large")
    return Study(
        path=path,
        digest=digest,
        shape=(rows, columns),
        decode=lambda: _decode(dataset, name, frames, (rows, columns)),
        modality=modality,
        body_part=body_part,
        view=view,
        mm_per_px=mm_per_px,
        frames=frames,
        assumed=() if modality else ("modality not stated",),
    )


@contextmanager
def _reading(name: str, what: str) -> Iterator[None]:
    """Around all that asks pydicom: it converts values late, and raises whatever damage leads to.

    Its warnings are about odd values; those that matter are judged here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except EdgeDxError:
        raise
    except Exception as error:
        raise UnreadableInput(f"{name}: {what} ({error}); copy it again", "unreadable") from error


def _decode(dataset: Any, name: str, frames: int, shape: tuple[int, int]) -> Pixels:
    with _reading(name, "its pixels cannot be decoded"):
        photometric = _code(dataset, "PhotometricInterpretation") or ""
        if frames != 1:
            raise UnsupportedInput(f"{name}: has {frames} frames; single images are read", "frames")
        if photometric not in ("MONOCHROME1", "MONOCHROME2", "RGB"):
            raise UnsupportedInput(
                f"{name}: {photometric or 'no'} photometric interpretation is not read", "colour"
            )
        if "ModalityLUTSequence" in dataset or "VOILUTSequence" in dataset:
            raise UnsupportedInput(f"{name}: look-up tables are not read", "format")
        stored = _stored(dataset, name)
        colours = (3,) if photometric == "RGB" else ()
        if stored.shape != (*shape, *colours):
            raise UnreadableInput(
                f"{name}: decodes to {stored.shape}, its header says {(*shape, *colours)}; "
                "copy it again",
                "unreadable",
            )
        if photometric == "RGB":
            if stored.dtype != np.uint8:
                raise UnsupportedInput(f"{name}: colour with {stored.dtype} is not read", "colour")
            return np.ascontiguousarray(stored)
        if stored.dtype.kind not in "iu":
            raise UnsupportedInput(f"{name}: pixels are {stored.dtype}, not integers", "format")
        return _grey(dataset, name, stored, photometric)


def _stored(dataset: Any, name: str) -> Pixels:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        stored: Pixels = dataset.pixel_array
    except (ImportError, RuntimeError, NotImplementedError) as error:
        syntax = dataset.file_meta.TransferSyntaxUID
        # The same RuntimeError stands for a decoder that is not there, one that does not do this
        # kind, and one that met damage.
        if "not support" not in str(error) and get_decoder(syntax).is_available:
            raise
        raise UnsupportedInput(
            f"{name}: nothing installed decodes {syntax.name}", "transfer_syntax"
        ) from error
    return stored


def _grey(dataset: Any, name: str, stored: Pixels, photometric: str) -> Pixels:
    """Stored values to uint8 or uint16, air dark and bone bright."""
    bits = int(_value(dataset, "BitsStored") or 16)
    slope = float(_value(dataset, "RescaleSlope") or 1)
    intercept = float(_value(dataset, "RescaleIntercept") or 0)
    window = _window(dataset, name)
    if stored.dtype == np.uint8 and bits == 8 and (slope, intercept) == (1, 0) and window is None:
        grey: Pixels = stored
    else:
        if window is None:  # the whole range that the stored bits can hold
            lowest = -(2 ** (bits - 1)) if stored.dtype.kind == "i" else 0
            ends = [slope * v + intercept for v in (lowest, lowest + 2**bits - 1)]
            low, high = min(ends), max(ends)
        else:
            # Linear window, PS3.3 C.11.2.1.2.1: levels outside [low, high] are clipped.
            centre, width = window
            low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        if not np.isfinite([slope, intercept, low, high]).all():
            raise UnreadableInput(f"{name}: its rescale or window is no number", "unreadable")
        span = max(high - low, 1e-6)

        def windowed(values: Pixels) -> Pixels:
            scaled = (values.astype(np.float64) * slope + intercept - low) * (65535 / span)
            result: Pixels = np.rint(np.clip(scaled, 0, 65535)).astype(np.uint16)
            return result

        if stored.dtype.itemsize > 2:
            grey = windowed(stored)
        else:  # in float64 for every level there is, once, rather than for every pixel
            unsigned = np.dtype(f"u{stored.dtype.itemsize}")
            levels = np.arange(256**stored.dtype.itemsize, dtype=np.uint32).astype(unsigned)
            grey = windowed(levels.view(stored.dtype))[stored.view(unsigned)]
    return inverted(grey) if photometric == "MONOCHROME1" else grey


def _window(dataset: Any, name: str) -> tuple[float, float] | None:
    centre, width = _value(dataset, "WindowCenter"), _value(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = _code(dataset, "VOILUTFunction") or "LINEAR"
    if function != "LINEAR":
        raise UnsupportedInput(f"{name}: VOI LUT function {function} is not read", "format")
    first = [v[0] if hasattr(v, "__len__") and not isinstance(v, str) else v
             for v in (centre, width)]  # fmt: skip
    return float(first[0]), float(first[1])


def _value(dataset: Any, keyword: str) -> Any:
    value = dataset.get(keyword)
    return None if value in (None, "") else value


def _code(dataset: Any, keyword: str) -> str | None:
    value = _value(dataset, keyword)
    return str(value).strip().upper()[:64] or None if value is not None else None


def _deflated(raw: bytes) -> bool:
    """Whether the file names the deflated transfer syntax, anywhere: how long the file meta
    information is, only the file itself says.
    """
    return raw.find(b"1.2.840.10008.1.2.1.99", 132) >= 0
