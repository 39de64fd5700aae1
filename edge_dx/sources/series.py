"""Slices of one CT or MR series to a volume, sorted by where they lie and by nothing else.

What does not make one regular stack is told, not mended: gaps, doubled slices and a tilted gantry
are findings of the `Series`; slices of several series, sizes or orientations are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import InputError, UnsupportedInput
from edge_dx.sources import read
from edge_dx.sources.dicom import quantities
from edge_dx.sources.limits import MAX_VOLUME_BYTES
from edge_dx.sources.study import Study

_TOLERANCE = 0.02
"""Spacings and directions that differ by less are the same: headers carry few digits."""
_ONE_PLACE_MM = 1e-3
"""Slices that are no further apart lie in one place."""


@dataclass(frozen=True)
class Gap:
    """A distance between neighbours that is not that of the others.

    Attributes:
        after: index of the slice before it.
        mm: the distance; 0 for two slices in one place.
    """

    after: int
    mm: float


@dataclass(frozen=True)
class Series:
    """Slices in order, from the first along the normal of their planes.

    Attributes:
        slices: the studies.
        spacing_mm: (slices, rows, columns): median distance of neighbours that are not in one
            place, 0 where there are none; and of pixels.
        gaps: where the distance is another one.
        aside: indexes of slices that lie beside the line from the first to the last.
        tilt_deg: angle between that line and the slices' normal (gantry tilt).
        left_out: files that are no slice of a series, with the reason.
    """

    slices: tuple[Study, ...]
    spacing_mm: tuple[float, float, float]
    gaps: tuple[Gap, ...]
    aside: tuple[int, ...]
    tilt_deg: float
    left_out: tuple[tuple[Path, str], ...] = ()

    @property
    def regular(self) -> bool:
        """Whether the slices make a stack of boxes: no gap, none aside, no tilt."""
        return not self.gaps and not self.aside and self.tilt_deg < 0.5

    def volume(self) -> tuple[NDArray[np.float32], str | None]:
        """All slices `(N, H, W)` after the modality transform, and the unit: `HU` for CT.

        Raises:
            InputError: a slice cannot be decoded, or is in another unit than the first; or the
                volume would be too large.
        """
        rows, columns = self.slices[0].shape
        if 4 * len(self.slices) * rows * columns > MAX_VOLUME_BYTES:
            raise UnsupportedInput(
                f"{len(self.slices)} slices of {columns} × {rows} pixels make too large a volume",
                "too_large",
            )
        first, unit = quantities(self.slices[0])
        found = np.empty((len(self.slices), *first.shape), np.float32)
        found[0] = first
        for index, study in enumerate(self.slices[1:], start=1):
            found[index], other = quantities(study)
            if other != unit:
                raise UnsupportedInput(
                    f"{study.path}: is in {other}, the slices before it are in {unit}", "format"
                )
        return found, unit


def read_series(files: Iterable[Path | str]) -> Series:
    """Reads the slices of one series.

    Args:
        files: DICOM files in any order; those that are no slices are left out and named.

    Raises:
        UnsupportedInput: no slices, or several series, sizes, spacings or orientations.
    """
    studies: list[Study] = []
    left_out: list[tuple[Path, str]] = []
    for file in files:
        path = Path(file)
        try:
            study = read(path)
        except InputError as error:
            left_out.append((path, str(error)))
            continue
        if study.place is None or study.mm_per_px is None:
            left_out.append((path, f"{path}: does not say where in the patient it lies"))
        elif study.frames != 1:
            left_out.append((path, f"{path}: has {study.frames} frames; slices are single"))
        else:
            studies.append(study)
    if not studies:
        told = f" ({left_out[0][1]})" if left_out else ""
        raise UnsupportedInput(f"no slice of a series is there{told}", "format")
    _check_alike(studies)
    return _sorted(studies, tuple(left_out))


def _check_alike(studies: Sequence[Study]) -> None:
    first = studies[0]
    assert first.place is not None
    for study in studies[1:]:
        place = study.place
        assert place is not None
        if place.series != first.place.series:
            raise UnsupportedInput(
                f"{study.path}: belongs to another series than {first.path}; give one series",
                "format",
            )
        if study.shape != first.shape:
            raise UnsupportedInput(
                f"{study.path}: is {study.shape[1]} × {study.shape[0]} pixels, {first.path} is "
                f"{first.shape[1]} × {first.shape[0]}",
                "format",
            )
        if not np.allclose(study.mm_per_px or 0, first.mm_per_px or 0, rtol=_TOLERANCE):
            raise UnsupportedInput(
                f"{study.path}: has another pixel spacing than {first.path}", "format"
            )
        ours = (*place.along_row, *place.along_column)
        theirs = (*first.place.along_row, *first.place.along_column)
        if not np.allclose(ours, theirs, atol=_TOLERANCE):
            raise UnsupportedInput(
                f"{study.path}: is turned against {first.path} (a localizer, perhaps); leave it "
                "out",
                "format",
            )


def _sorted(studies: Sequence[Study], left_out: tuple[tuple[Path, str], ...]) -> Series:
    places = [study.place for study in studies]
    positions = np.array([place.position_mm for place in places if place is not None])
    first = places[0]
    assert first is not None
    normal = np.cross(first.along_row, first.along_column)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    apart = steps[steps > _ONE_PLACE_MM]
    spacing = float(np.median(apart)) if len(apart) else 0.0
    uneven = np.abs(steps - spacing) > max(_TOLERANCE * spacing, _ONE_PLACE_MM)
    rows, columns = studies[0].mm_per_px or (0.0, 0.0)
    line = positions[order[-1]] - positions[order[0]]
    length = float(np.linalg.norm(line))
    cosine = abs(float(line @ normal)) / length if length > 0 else 1.0
    # Of each slice, what its position is away from the line; half a pixel goes unseen.
    ways = positions[order] - positions[order[0]]
    direction = line / length if length > 0 else normal
    away = np.linalg.norm(ways - np.outer(ways @ direction, direction), axis=1)
    return Series(
        slices=tuple(studies[index] for index in order),
        spacing_mm=(spacing, rows, columns),
        gaps=tuple(Gap(int(i), float(steps[i])) for i in np.flatnonzero(uneven)),
        aside=tuple(int(i) for i in np.flatnonzero(away > 0.5 * min(rows, columns))),
        tilt_deg=float(np.degrees(np.arccos(min(1.0, cosine)))),
        left_out=left_out,
    )
