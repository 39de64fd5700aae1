"""A DICOM header, as far as it is looked at: which elements, their values, how pixels lie."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edge_dx.errors import EdgeDxError, UnreadableInput, UnsupportedInput
from edge_dx.sources.limits import MAX_FRAME_BYTES, MAX_FRAMES, MAX_PIXELS

WANTED = (
    "SpecificCharacterSet", "SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition",
    "PatientOrientation", "PresentationIntentType", "PatientAge", "BurnedInAnnotation",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows",
    "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelAspectRatio",
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "PixelSpacingCalibrationType", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "PresentationLUTShape", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SequenceOfUltrasoundRegions", "FrameTime",
    "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "ImagePositionPatient", "ImageOrientationPatient",
    "SeriesInstanceUID", "SOPInstanceUID", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
MACROS = (
    "PixelValueTransformationSequence", "FrameVOILUTSequence", "PixelMeasuresSequence",
    "PlanePositionSequence", "PlaneOrientationSequence",
)  # fmt: skip
"""Likewise, within the functional groups of enhanced objects (PS3.3 C.7.6.16)."""
"""Everything else is stepped over: a header may carry megabytes of private data."""


@lru_cache(maxsize=1)
def wanted() -> dict[int, bool]:
    """Tags of the elements that are looked at, and whether they are sequences."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tags = [tag_for_keyword(name) for name in (*WANTED, *MACROS)]
    return {tag: dictionary_VR(tag) == "SQ" for tag in tags if tag is not None}


_PHOTOMETRIC = {
    "MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT",
    "YBR_ICT",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """How pixels are stored (PS3.3 C.7.6.3).

    Attributes:
        rows: of a frame.
        columns: of a frame.
        samples: 1 or 3.
        photometric: of `MONOCHROME1`, `MONOCHROME2`, `RGB`, `PALETTE COLOR`, `YBR_…`.
        planar: whether the three samples lie in planes of their own.
        allocated: bits from one sample to the next, 8, 16 or 32.
        stored: bits that count.
        high_bit: the highest of them.
        signed: two's complement.
        frames: number of frames.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Of one frame, not compressed."""
        count = self.rows * self.columns * self.samples * (self.allocated // 8)
        # One pair of colour differences for two pixels: four bytes in place of six.
        return count * 2 // 3 if self.photometric == "YBR_FULL_422" else count


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """Around all that asks pydicom: it converts values late, and raises whatever damage leads to.

    Its warnings are about odd values; those that matter are judged here. Errors of our own get the
    name of the file in front.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UnreadableInput, UnsupportedInput) as error:
        told = str(error)
        if told.startswith(f"{name}: "):
            raise
        advice = "; copy it again" if error.reason == "unreadable" else ""
        raise type(error)(f"{name}: {told}{advice}", error.reason) from error.__cause__
    except EdgeDxError:
        raise
    except Exception as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreadableInput(f"{name}: {what} ({told}); copy it again", "unreadable") from error


def shape_of(dataset: Any) -> Shape:
    """Checks what decides how much room pixels take, before any is made.

    Raises:
        UnsupportedInput: no image, too large, or of a kind that is not read.
        UnreadableInput: contradicts itself.
    """
    if "Rows" not in dataset or "Columns" not in dataset:
        raise UnsupportedInput("holds no image", "format")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    stated = value(dataset, "NumberOfFrames") or 1
    frames = int(stated)
    if frames != float(stated):
        raise UnreadableInput(f"says that it has {stated} frames", "unreadable")
    samples = int(value(dataset, "SamplesPerPixel") or 1)
    allocated = int(value(dataset, "BitsAllocated") or 16)
    stored = int(value(dataset, "BitsStored") or allocated)
    high_bit = value(dataset, "HighBit")
    high_bit = stored - 1 if high_bit is None else int(high_bit)
    photometric = code(dataset, "PhotometricInterpretation") or ""
    if rows < 1 or columns < 1 or frames < 1:
        raise UnreadableInput("says it has no pixels", "unreadable")
    if rows * columns > MAX_PIXELS:
        raise UnsupportedInput(f"{columns} × {rows} pixels are too many", "too_large")
    if frames > MAX_FRAMES:
        raise UnsupportedInput(f"{frames} frames are too many", "too_large")
    if photometric not in _PHOTOMETRIC:
        told = photometric or "no"
        raise UnsupportedInput(f"{told} photometric interpretation is not read", "colour")
    grey = photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    if samples != (1 if grey else 3):
        raise UnreadableInput(f"{photometric} with {samples} samples per pixel", "unreadable")
    if allocated not in (8, 16, 32):
        raise UnsupportedInput(f"{allocated} bits allocated are not read", "format")
    if photometric == "PALETTE COLOR" and allocated > 16:
        raise UnsupportedInput(f"{allocated} bit numbers into a palette are not read", "colour")
    if not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise UnreadableInput(
            f"{stored} bits up to bit {high_bit} do not fit into {allocated}", "unreadable"
        )
    if not grey and (stored != allocated or allocated > (16 if photometric == "RGB" else 8)):
        raise UnsupportedInput(f"colour with {stored} of {allocated} bits is not read", "colour")
    signed = bool(value(dataset, "PixelRepresentation") or 0)
    if signed and not grey:
        raise UnsupportedInput(f"{photometric} with signed values is not read", "colour")
    found = Shape(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=int(value(dataset, "PlanarConfiguration") or 0),
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=signed,
        frames=frames,
    )
    if found.frame_bytes > MAX_FRAME_BYTES:
        raise UnsupportedInput(f"{found.frame_bytes} bytes in one frame are too many", "too_large")
    return found


def macro(dataset: Any, sequence: str, number: int) -> Any:
    """Where an enhanced object says something of a frame: in what is said of it, in what is said of
    all frames, or plainly.

    Raises:
        UnreadableInput: it speaks of fewer frames than there are.
    """
    groups = value(dataset, "PerFrameFunctionalGroupsSequence")
    if groups:
        if number >= len(groups):
            raise UnreadableInput(f"speaks of {len(groups)} frames and has more", "unreadable")
        if found := value(groups[number], sequence):
            return found[0]
    shared = value(dataset, "SharedFunctionalGroupsSequence")
    if shared and (found := value(shared[0], sequence)):
        return found[0]
    return dataset


def value(dataset: Any, keyword: str) -> Any:
    """A value, or None where it is absent or empty."""
    found = dataset.get(keyword)
    return None if found is None or found == "" or (is_list(found) and not len(found)) else found


def code(dataset: Any, keyword: str) -> str | None:
    """A coded word in capitals, or None."""
    found = value(dataset, keyword)
    found = found[0] if is_list(found) else found
    return str(found).strip().upper()[:64] or None if found is not None else None


def floats(dataset: Any, keyword: str) -> list[float]:
    """Numbers, or none."""
    found = value(dataset, keyword)
    if found is None:
        return []
    return [float(v) for v in found] if is_list(found) else [float(found)]


def is_list(found: Any) -> bool:
    """Whether a value is several."""
    return hasattr(found, "__len__") and not isinstance(found, (str, bytes))
