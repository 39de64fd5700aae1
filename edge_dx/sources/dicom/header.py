"""What a DICOM header says, as far as it is looked at: converted once, checked, nothing guessed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_dx.errors import EdgeDxError, UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import regions
from edge_dx.sources.limits import MAX_FRAME_BYTES, MAX_FRAMES, MAX_HEADER_VALUE_BYTES, MAX_PIXELS
from edge_dx.sources.study import Place, Region, SpacingFrom

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
"""Everything else is stepped over: a header may carry megabytes of private data."""

_PHOTOMETRIC = {
    "MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT",
    "YBR_ICT",
}  # fmt: skip
_PROJECTED = {"CR", "DX", "DR", "RG", "MG", "IO", "PX", "RF", "XA"}
_TEXTED = {"US", "SC", "OT"}


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
        raise UnreadableInput(f"{name}: {what} ({error}); copy it again", "unreadable") from error


def shape_of(dataset: Any) -> Shape:
    """Checks what decides how much room pixels take, before any is made.

    Raises:
        UnsupportedInput: no image, too large, or of a kind that is not read.
        UnreadableInput: contradicts itself.
    """
    if "Rows" not in dataset or "Columns" not in dataset:
        raise UnsupportedInput("holds no image", "format")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames = int(value(dataset, "NumberOfFrames") or 1)
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
    if not 1 <= stored <= allocated or not stored - 1 <= high_bit < allocated:
        raise UnreadableInput(
            f"{stored} bits up to bit {high_bit} do not fit into {allocated}", "unreadable"
        )
    if not grey and (stored != allocated or allocated > (16 if photometric == "RGB" else 8)):
        raise UnsupportedInput(f"colour with {stored} of {allocated} bits is not read", "colour")
    found = Shape(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=int(value(dataset, "PlanarConfiguration") or 0),
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=bool(value(dataset, "PixelRepresentation") or 0),
        frames=frames,
    )
    if found.frame_bytes > MAX_FRAME_BYTES:
        raise UnsupportedInput(f"{found.frame_bytes} bytes in one frame are too many", "too_large")
    return found


@dataclass(frozen=True)
class Facts:
    """What a `Study` tells beside its pixels; names and units as there."""

    modality: str | None
    body_part: str | None
    view: str | None
    orientation: tuple[str, str] | None
    mm_per_px: tuple[float, float] | None
    spacing_from: SpacingFrom | None
    frame_starts_ms: tuple[float, ...] | None
    regions: tuple[Region, ...]
    place: Place | None
    sop_class: str | None
    presentation: str | None
    burned_in: bool | None
    age_years: float | None
    assumed: tuple[str, ...]


def facts_of(dataset: Any, shape: Shape) -> Facts:
    """The facts, each as the header has it, with what had to be assumed."""
    assumed: list[str] = []
    modality = code(dataset, "Modality")
    if modality is None:
        assumed.append("modality not stated")
    found = regions.of(dataset, (shape.rows, shape.columns), assumed) if modality == "US" else ()
    mm_per_px, spacing_from = _spacing(dataset, modality, assumed)
    if mm_per_px is None and found and found[0].mm_per_px:
        mm_per_px, spacing_from = found[0].mm_per_px, "region"
    ratio = _floats(dataset, "PixelAspectRatio")
    if mm_per_px is None and len(ratio) == 2 and ratio[0] != ratio[1]:
        assumed.append(f"pixels are {ratio[0]:g}:{ratio[1]:g} high to wide, taken as square")
    burned_in = {"YES": True, "NO": False}.get(code(dataset, "BurnedInAnnotation") or "")
    if burned_in is None and modality in _TEXTED:
        assumed.append("text may be part of the picture: the header does not say")
    patient = value(dataset, "PatientOrientation")
    pair = [str(v).strip().upper() for v in patient] if _is_list(patient) else []
    return Facts(
        modality=modality,
        body_part=code(dataset, "BodyPartExamined"),
        view=code(dataset, "ViewPosition"),
        orientation=(pair[0], pair[1]) if len(pair) == 2 and all(pair) else None,
        mm_per_px=mm_per_px,
        spacing_from=spacing_from,
        frame_starts_ms=_frame_starts(dataset, shape.frames, assumed),
        regions=found,
        place=_place(dataset),
        sop_class=code(dataset, "SOPClassUID"),
        presentation=code(dataset, "PresentationIntentType"),
        burned_in=burned_in,
        age_years=_age(dataset),
        assumed=tuple(assumed),
    )


def _spacing(
    dataset: Any, modality: str | None, assumed: list[str]
) -> tuple[tuple[float, float] | None, SpacingFrom | None]:
    """Distance of pixel centres and what it refers to (PS3.3 10.7.1.3)."""
    found: dict[str, tuple[float, float]] = {}
    for name in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        pair = _floats(dataset, name)
        if not pair:
            continue
        if len(pair) == 2 and all(math.isfinite(v) and 0 < v < 1000 for v in pair):
            found[name] = pair[0], pair[1]
        else:
            assumed.append(f"{name} is no distance and was ignored")
    detector, calibrated = found.get("ImagerPixelSpacing"), found.get("PixelSpacing")
    if calibrated is not None and modality not in _PROJECTED:
        return calibrated, "patient"
    if calibrated is not None and calibrated != detector:
        if detector is None and "PixelSpacingCalibrationType" not in dataset:
            # What such a value means, the standard left open before 2006; it may be either.
            assumed.append("pixel spacing taken as that of the detector: no calibration is stated")
            return calibrated, "detector"
        return calibrated, "calibrated"
    if detector is not None:
        return detector, "detector"
    scanned = found.get("NominalScannedPixelSpacing")
    return (scanned, "scanner") if scanned else (None, None)


def _frame_starts(dataset: Any, frames: int, assumed: list[str]) -> tuple[float, ...] | None:
    """When each frame starts, in milliseconds from the first (PS3.3 C.7.6.5)."""
    if frames == 1:
        return None
    vector = _floats(dataset, "FrameTimeVector")
    if vector:  # increments, the first is 0
        if len(vector) == frames and all(math.isfinite(v) and v >= 0 for v in vector):
            total, starts = 0.0, []
            for step in vector:
                total += step
                starts.append(total)
            return tuple(starts)
        assumed.append("FrameTimeVector does not fit the frames and was ignored")
    for name, per_second in (
        ("FrameTime", False),
        ("CineRate", True),
        ("RecommendedDisplayFrameRate", True),
    ):
        given = _floats(dataset, name)
        if given and math.isfinite(given[0]) and given[0] > 0:
            step = 1000 / given[0] if per_second else given[0]
            if per_second:
                assumed.append(f"frame times from {name}, which is how fast to show them")
            return tuple(step * i for i in range(frames))
    assumed.append("frame times not stated")
    return None


def _place(dataset: Any) -> Place | None:
    """Position and directions, where both stand there and the directions are at right angles."""
    position = _floats(dataset, "ImagePositionPatient")
    directions = _floats(dataset, "ImageOrientationPatient")
    series = value(dataset, "SeriesInstanceUID")
    if series is None or len(position) != 3 or len(directions) != 6:
        return None
    if not all(math.isfinite(v) for v in (*position, *directions)):
        return None
    row, column = directions[:3], directions[3:]
    lengths = [math.hypot(*row), math.hypot(*column)]
    product = sum(a * b for a, b in zip(row, column, strict=True))
    if any(abs(length - 1) > 1e-2 for length in lengths) or abs(product) > 1e-2:
        return None
    return Place(
        series=str(series),
        position_mm=(position[0], position[1], position[2]),
        along_row=(row[0], row[1], row[2]),
        along_column=(column[0], column[1], column[2]),
    )


def _age(dataset: Any) -> float | None:
    """Age String, PS3.5 table 6.2-1: three digits and D, W, M or Y."""
    told = code(dataset, "PatientAge") or ""
    per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}.get(told[-1:])
    return int(told[:-1]) / per_year if per_year and told[:-1].isdigit() else None


def value(dataset: Any, keyword: str) -> Any:
    """A value, or None where it is absent or empty."""
    found = dataset.get(keyword)
    return None if found is None or found == "" or (_is_list(found) and not len(found)) else found


def code(dataset: Any, keyword: str) -> str | None:
    """A coded word in capitals, or None."""
    found = value(dataset, keyword)
    found = found[0] if _is_list(found) else found
    return str(found).strip().upper()[:64] or None if found is not None else None


def _floats(dataset: Any, keyword: str) -> list[float]:
    found = value(dataset, keyword)
    if found is None:
        return []
    return [float(v) for v in found] if _is_list(found) else [float(found)]


def _is_list(found: Any) -> bool:
    return hasattr(found, "__len__") and not isinstance(found, (str, bytes))


def check_sizes(dataset: Any) -> None:
    """Refuses header values that are longer than any honest one.

    Raises:
        UnreadableInput: one is.
    """
    for element in dataset.values():
        raw = getattr(element, "value", None)
        if isinstance(raw, bytes) and len(raw) > MAX_HEADER_VALUE_BYTES:
            raise UnreadableInput(f"{element.tag} is {len(raw)} bytes long", "unreadable")
