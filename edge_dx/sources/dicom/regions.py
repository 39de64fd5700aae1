"""Where an ultrasound picture shows tissue: Sequence of Ultrasound Regions, PS3.3 C.8.5.5."""

from __future__ import annotations

import math
from typing import Any

from edge_dx.sources.study import Region

_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3


def of(dataset: Any, shape: tuple[int, int], assumed: list[str]) -> tuple[Region, ...]:
    """The two-dimensional tissue regions, the largest first.

    Args:
        dataset: the header.
        shape: (rows, columns) of the picture.
        assumed: gets a sentence for each region that could not be used.
    """
    found = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        if (item.get("RegionSpatialFormat"), item.get("RegionDataType")) != (
            _TWO_DIMENSIONAL,
            _TISSUE,
        ):
            continue
        # Both corners belong to the region.
        left, right = item.get("RegionLocationMinX0"), item.get("RegionLocationMaxX1")
        top, bottom = item.get("RegionLocationMinY0"), item.get("RegionLocationMaxY1")
        if None in (left, right, top, bottom) or not (
            0 <= left < right < shape[1] and 0 <= top < bottom < shape[0]
        ):
            # Some scanners count one too far; that much is forgiven.
            right, bottom = _nudged(right, shape[1]), _nudged(bottom, shape[0])
            if None in (left, right, top, bottom) or not (
                0 <= left < right < shape[1] and 0 <= top < bottom < shape[0]
            ):
                assumed.append("an ultrasound region lies outside of the picture and was ignored")
                continue
            assumed.append("an ultrasound region reached one pixel too far and was cut")
        found.append(
            Region(
                top=int(top),
                left=int(left),
                height=int(bottom - top + 1),
                width=int(right - left + 1),
                mm_per_px=_spacing(item, assumed),
                found_by="header",
                confidence=1.0,
            )
        )
    found.sort(key=lambda region: -region.height * region.width)
    if len(found) > 1:
        assumed.append(f"{len(found)} ultrasound regions, the largest is taken")
    return tuple(found)


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
