"""Plain DICOM: single-frame grey and RGB images, with rescale, window and MONOCHROME1.

The header is read and judged first; pixels are decoded when they are asked for. What this reader
does not do by the book yet (several frames, palettes, look-up tables, overlays) is refused with a
reason, never guessed.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import MissingExtra, UnreadableInput, UnsupportedInput
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are judged below, by what is needed
            dataset = pydicom.dcmread(io.BytesIO(raw))
    except Exception as error:  # pydicom raises whatever the damage leads it to
        raise UnreadableInput(
            f"{path}: not readable as DICOM ({error}); copy it again", "unreadable"
        ) from error
    return from_dataset(dataset, path, hashlib.sha256(raw).hexdigest())


def from_dataset(dataset: Any, path: Path | None = None, digest: str | None = None) -> Study:
    """A study from a pydicom `Dataset`; its header is judged now, its pixels when asked for."""
    name = str(path) if path else "the DICOM data set"
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(_value(dataset, "NumberOfFrames") or 1)
        spacing = _value(dataset, "ImagerPixelSpacing") or _value(dataset, "PixelSpacing")
        mm_per_px = (float(spacing[0]), float(spacing[1])) if spacing else None
        modality = _code(dataset, "Modality")
        if digest is None:
            digest = hashlib.sha256(_value(dataset, "PixelData") or b"").hexdigest()
    except AttributeError as error:
        raise UnsupportedInput(f"{name}: holds no image ({error})", "format") from error
    except (ValueError, TypeError, IndexError) as error:
        raise UnreadableInput(f"{name}: its header is damaged ({error})", "unreadable") from error
    if rows * columns > MAX_PIXELS:
        raise UnsupportedInput(f"{name}: {columns} × {rows} pixels are too many", "too_large")
    return Study(
        path=path,
        digest=digest,
        shape=(rows, columns),
        decode=lambda: _decode(dataset, name, frames),
        modality=modality,
        body_part=_code(dataset, "BodyPartExamined"),
        view=_code(dataset, "ViewPosition"),
        mm_per_px=mm_per_px,
        frames=frames,
        assumed=() if modality else ("modality not stated",),
    )


def _decode(dataset: Any, name: str, frames: int) -> Pixels:
    from pydicom.pixels.processing import apply_rescale

    photometric = _code(dataset, "PhotometricInterpretation") or ""
    if frames != 1:
        raise UnsupportedInput(f"{name}: has {frames} frames; single images are read", "frames")
    if photometric not in ("MONOCHROME1", "MONOCHROME2", "RGB"):
        raise UnsupportedInput(
            f"{name}: {photometric or 'no'} photometric interpretation is not read", "colour"
        )
    if "ModalityLUTSequence" in dataset or "VOILUTSequence" in dataset:
        raise UnsupportedInput(f"{name}: look-up tables are not read", "format")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array
    except (ImportError, RuntimeError, NotImplementedError) as error:
        syntax = dataset.file_meta.TransferSyntaxUID.name
        raise UnsupportedInput(
            f"{name}: no decoder for {syntax} is installed ({error})", "transfer_syntax"
        ) from error
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise UnreadableInput(
            f"{name}: its pixels cannot be decoded ({error})", "unreadable"
        ) from error
    if photometric == "RGB":
        if stored.dtype != np.uint8:
            raise UnsupportedInput(f"{name}: colour with {stored.dtype} is not read", "colour")
        return np.ascontiguousarray(stored)
    bits = int(_value(dataset, "BitsStored") or 16)
    slope = float(_value(dataset, "RescaleSlope") or 1)
    intercept = float(_value(dataset, "RescaleIntercept") or 0)
    window = _window(dataset)
    if stored.dtype == np.uint8 and bits == 8 and (slope, intercept) == (1, 0) and window is None:
        grey: Pixels = stored
    else:
        values = np.asarray(apply_rescale(stored, dataset), np.float32)
        if window is None:  # the whole range that the stored bits can hold
            lowest = -(2 ** (bits - 1)) if stored.dtype.kind == "i" else 0
            ends = [slope * v + intercept for v in (lowest, lowest + 2**bits - 1)]
            low, high = min(ends), max(ends)
        else:
            # Linear window, PS3.3 C.11.2.1.2.1: levels outside [low, high] are clipped.
            centre, width = window
            low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        scaled = (values - np.float32(low)) * np.float32(65535 / max(high - low, 1e-6))
        grey = np.rint(np.clip(scaled, 0, 65535)).astype(np.uint16)
    return inverted(grey) if photometric == "MONOCHROME1" else grey


def _window(dataset: Any) -> tuple[float, float] | None:
    centre, width = _value(dataset, "WindowCenter"), _value(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = _code(dataset, "VOILUTFunction") or "LINEAR"
    if function != "LINEAR":
        raise UnsupportedInput(f"VOI LUT function {function} is not read", "format")
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
    """Whether the file meta information names the deflated transfer syntax."""
    return b"1.2.840.10008.1.2.1.99" in raw[132:2048]
