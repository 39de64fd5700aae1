"""Where an ultrasound picture shows tissue: Sequence of Ultrasound Regions, PS3.3 C.8.5.5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edge_dx.sources.study import Region

_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3
_MOST = 64
"""Regions that are kept; scanners write four or five."""


def of(dataset: Any, shape: tuple[int, int], assumed: list[str]) -> tuple[Region, ...]:
    """The two-dimensional tissue regions, the largest first.

    Args:
        dataset: the header.
        shape: (rows, columns) of the picture.
        assumed: gets a sentence for each region that could not be used.
    """
    found: list[Region] = []
    told: list[str] = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        if (item.get("RegionSpatialFormat"), item.get("RegionDataType")) != (
            _TWO_DIMENSIONAL,
            _TISSUE,
        ):
            continue
        box = _box(item, shape, told)
        if box is None:
            continue
        top, left, bottom, right = box
        found.append(
            Region(
                top=top,
                left=left,
                height=bottom - top + 1,
                width=right - left + 1,
                mm_per_px=_spacing(item, told),
                found_by="header",
                confidence=1.0,
            )
        )
    found.sort(key=lambda region: -region.height * region.width)
    if len(found) > 1:
        told.append(f"{len(found)} ultrasound regions, the largest is taken")
    assumed.extend(dict.fromkeys(told))  # each sentence once, however many regions it is true of
    return tuple(found[:_MOST])


def spacing_of_all(found: Sequence[Region]) -> tuple[float, float] | None:
    """The distance of pixel centres where all regions have one and the same."""
    pairs = [region.mm_per_px for region in found]
    first = pairs[0]
    if first is None or not all(
        pair is not None and all(map(math.isclose, pair, first)) for pair in pairs
    ):
        return None
    return first


def _box(item: Any, shape: tuple[int, int], told: list[str]) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right); both corners belong to the region."""
    left, right = item.get("RegionLocationMinX0"), item.get("RegionLocationMaxX1")
    top, bottom = item.get("RegionLocationMinY0"), item.get("RegionLocationMaxY1")
    # Some scanners count one too far; that much is forgiven.
    ends = _nudged(right, shape[1]), _nudged(bottom, shape[0])
    if None in (left, top, *ends) or not (
        0 <= left < ends[0] < shape[1] and 0 <= top < ends[1] < shape[0]
    ):
        told.append("an ultrasound region lies outside of the picture and was ignored")
        return None
    if ends != (right, bottom):
        told.append("an ultrasound region reached one pixel too far and was cut")
    return int(top), int(left), int(ends[1]), int(ends[0])


def _nudged(last: Any, size: int) -> Any:
    return size - 1 if last == size else last


def _spacing(item: Any, assumed: list[str]) -> tuple[float, float] | None:
    units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
    across, down = item.get("PhysicalDeltaX"), item.get("PhysicalDeltaY")
    if units != (_CENTIMETRES, _CENTIMETRES) or across is None or down is None:
        assumed.append("an ultrasound region has no size in centimetres")
        return None
    # The sign tells the direction; a region that is drawn upwards has as much size.
    pair = abs(float(down)) * 10, abs(float(across)) * 10
    if not all(math.isfinite(v) and 0 < v < 100 for v in pair):
        assumed.append("an ultrasound region has no distance between pixels")
        return None
    return pair
