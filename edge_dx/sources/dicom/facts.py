"""What a DICOM header says of the patient and the picture: converted once, nothing guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from edge_dx.sources.dicom import regions
from edge_dx.sources.dicom.header import Shape, code, floats, is_list, macro, value
from edge_dx.sources.study import Place, Region, SpacingFrom

_PROJECTED = {"CR", "DX", "DR", "RG", "MG", "IO", "PX", "RF", "XA"}
_SECTIONS = {"CT", "MR", "PT", "NM", "US", "IVUS"}
_ULTRASOUND = {"US", "IVUS"}
_TEXTED = {*_ULTRASOUND, "SC", "OT"}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SAME = 1e-3
"""Distances that differ by less, relatively, are one distance written with fewer digits."""


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
    if value(dataset, "NumberOfFrames") == 0:
        assumed.append("0 frames are announced, taken as 1")
    found: tuple[Region, ...] = ()
    if modality in _ULTRASOUND:
        found = regions.of(dataset, (shape.rows, shape.columns), assumed)
    mm_per_px, spacing_from = _spacing(dataset, shape.frames, modality, assumed)
    if mm_per_px is None and found and (shared := regions.spacing_of_all(found)):
        mm_per_px, spacing_from = shared, "region"
    ratio = floats(dataset, "PixelAspectRatio")
    if mm_per_px is None and len(ratio) == 2 and ratio[0] != ratio[1]:
        assumed.append(f"pixels are {ratio[0]:g}:{ratio[1]:g} high to wide, taken as square")
    burned_in = {"YES": True, "NO": False}.get(code(dataset, "BurnedInAnnotation") or "")
    sop_class = code(dataset, "SOPClassUID")
    captured = f"{sop_class}.".startswith(f"{_SECONDARY_CAPTURE}.")
    if burned_in is None and (modality in _TEXTED or captured):
        assumed.append("text may be part of the picture: the header does not say")
    patient = value(dataset, "PatientOrientation")
    pair = [str(v).strip().upper() for v in patient] if is_list(patient) else []
    return Facts(
        modality=modality,
        body_part=code(dataset, "BodyPartExamined"),
        view=code(dataset, "ViewPosition"),
        orientation=(pair[0], pair[1]) if len(pair) == 2 and all(pair) else None,
        mm_per_px=mm_per_px,
        spacing_from=spacing_from,
        frame_starts_ms=_frame_starts(dataset, shape.frames, assumed),
        regions=found,
        place=_place(dataset) if shape.frames == 1 else None,
        sop_class=sop_class,
        presentation=code(dataset, "PresentationIntentType"),
        burned_in=burned_in,
        age_years=_age(dataset),
        assumed=tuple(assumed),
    )


def _spacing(
    dataset: Any, frames: int, modality: str | None, assumed: list[str]
) -> tuple[tuple[float, float] | None, SpacingFrom | None]:
    """Distance of pixel centres and what it refers to (PS3.3 10.7.1.3; of enhanced objects
    C.7.6.16.2.1).
    """
    measured = _measured(dataset, frames, assumed)
    if measured is not None:
        return (measured, "patient") if measured else (None, None)
    detector, calibrated, scanned = (
        _pair(dataset, name, assumed)
        for name in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing")
    )
    if calibrated is not None and modality not in _PROJECTED:
        if modality not in _SECTIONS:
            assumed.append("pixel spacing taken as that in the patient: nothing says where it is")
        return calibrated, "patient"
    if calibrated is not None and not (detector and same_distance(calibrated, detector)):
        if detector is None and "PixelSpacingCalibrationType" not in dataset:
            # What such a value means, the standard left open before 2006; it may be either.
            assumed.append("pixel spacing taken as that of the detector: no calibration is stated")
            return calibrated, "detector"
        return calibrated, "calibrated"
    if detector is not None:
        return detector, "detector"
    return (scanned, "scanner") if scanned else (None, None)


def _measured(
    dataset: Any, frames: int, assumed: list[str]
) -> tuple[float, float] | tuple[()] | None:
    """The spacing of an enhanced object's frames; () where they have several, None without one."""
    groups = value(dataset, "PerFrameFunctionalGroupsSequence") or ()
    each = any("PixelMeasuresSequence" in group for group in groups[:1])
    found: tuple[float, float] | None = None
    for number in range(frames if each else 1):
        where = macro(dataset, "PixelMeasuresSequence", number)
        if where is dataset:
            return None
        pair = _pair(where, "PixelSpacing", assumed)
        if pair is None:
            return ()
        if found is not None and not same_distance(pair, found):
            assumed.append("the frames have several pixel spacings, so none is given")
            return ()
        found = found or pair
    return found


def _pair(dataset: Any, name: str, assumed: list[str]) -> tuple[float, float] | None:
    pair = floats(dataset, name)
    if not pair:
        return None
    if len(pair) == 2 and all(math.isfinite(v) and 0 < v < 1000 for v in pair):
        return pair[0], pair[1]
    assumed.append(f"{name} is no distance and was ignored")
    return None


def same_distance(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two spacings are one, but for digits that one writer left away."""
    return all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(one, other, strict=True))


def _frame_starts(dataset: Any, frames: int, assumed: list[str]) -> tuple[float, ...] | None:
    """When each frame starts, in milliseconds from the first (PS3.3 C.7.6.5)."""
    if frames == 1:
        return None
    vector = floats(dataset, "FrameTimeVector")
    if vector:  # increments; the first should be 0, and stands for nothing where it is not
        if len(vector) == frames and all(math.isfinite(v) and v >= 0 for v in vector):
            return tuple(accumulate([0.0, *vector[1:]]))
        assumed.append("FrameTimeVector does not fit the frames and was ignored")
    for name, per_second in (
        ("FrameTime", False),
        ("CineRate", True),
        ("RecommendedDisplayFrameRate", True),
    ):
        given = floats(dataset, name)
        if given and math.isfinite(given[0]) and given[0] > 0:
            step = 1000 / given[0] if per_second else given[0]
            if per_second:
                assumed.append(f"frame times from {name}, which is how fast to show them")
            return tuple(step * i for i in range(frames))
    assumed.append("frame times not stated")
    return None


def _place(dataset: Any) -> Place | None:
    """Position and directions, where both stand there and the directions are at right angles."""
    position = floats(macro(dataset, "PlanePositionSequence", 0), "ImagePositionPatient")
    directions = floats(macro(dataset, "PlaneOrientationSequence", 0), "ImageOrientationPatient")
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
    number = told[:-1]
    return int(number) / per_year if per_year and number.isascii() and number.isdigit() else None
