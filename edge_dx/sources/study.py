"""The one small value that every source yields: pixels with what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from edge_dx.image import Pixels

SpacingFrom = Literal["detector", "calibrated", "patient", "scanner", "region", "caller"]


@dataclass(frozen=True)
class Region:
    """Where the scanned tissue lies on an ultrasound picture.

    Attributes:
        top: first row.
        left: first column.
        height: in rows.
        width: in columns.
        mm_per_px: (rows, columns), or None where nothing says it.
        found_by: `header` (Sequence of Ultrasound Regions) or `fan` (seen in the pixels).
        confidence: 1 for the header; for a fan the share of its convex hull that holds echoes.
    """

    top: int
    left: int
    height: int
    width: int
    mm_per_px: tuple[float, float] | None
    found_by: Literal["header", "fan"]
    confidence: float

    def of(self, pixels: Pixels) -> Pixels:
        """The region's part of a frame `(H, W[, 3])`, as a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Place:
    """Where a slice lies in the patient (PS3.3 C.7.6.2.1.1).

    Attributes:
        series: Series Instance UID.
        position_mm: centre of the first pixel, (x, y, z) to the patient's left, back and head.
        along_row: unit vector in which the column number grows.
        along_column: unit vector in which the row number grows.
    """

    series: str
    position_mm: tuple[float, float, float]
    along_row: tuple[float, float, float]
    along_column: tuple[float, float, float]


@dataclass(frozen=True)
class Study:
    """One image, or the frames of a cine, with what is known about it.

    Attributes:
        path: the file it came from, or None.
        digest: SHA-256 of the file's bytes; of an array, of its type, shape and content; of a data
            set in memory, of its pixel data and what is looked at of its header.
        shape: (height, width) in pixels.
        decode: gives a frame by its number, from 0: `(H, W)` or `(H, W, 3)` RGB, uint8, uint16 or
            float32, with air dark and bone bright.
        modality: DICOM modality code, or None where nothing says it.
        body_part: DICOM body part examined, likewise.
        view: DICOM view position, likewise.
        orientation: directions of the rows and columns, for example `("L", "F")`, likewise.
        mm_per_px: (rows, columns) distance of pixel centres; None: nothing may be measured.
        spacing_from: what that distance refers to: the `detector` plane (larger than the part that
            was imaged), a `calibrated` or `patient` plane, a film `scanner`, an ultrasound
            `region`, the `caller`'s word.
        frames: number of frames in the file.
        frame_starts_ms: when each frame starts, from the first; or None.
        regions: where the header says that tissue was scanned (ultrasound), the largest first.
        place: where it lies in the patient (CT, MR), or None.
        sop_class: DICOM storage class UID, or None.
        presentation: `FOR PRESENTATION`, `FOR PROCESSING` (raw detector values), or None.
        burned_in: whether the header says that text is part of the picture; None: it does not say.
        age_years: the patient's, or None.
        assumed: what was taken for granted, in words.
    """

    path: Path | None
    digest: str
    shape: tuple[int, int]
    decode: Callable[[int], Pixels] = field(repr=False)
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    orientation: tuple[str, str] | None = None
    mm_per_px: tuple[float, float] | None = None
    spacing_from: SpacingFrom | None = None
    frames: int = 1
    frame_starts_ms: tuple[float, ...] | None = None
    regions: tuple[Region, ...] = ()
    place: Place | None = None
    sop_class: str | None = None
    presentation: str | None = None
    burned_in: bool | None = None
    age_years: float | None = None
    assumed: tuple[str, ...] = ()

    @cached_property
    def pixels(self) -> Pixels:
        """The first frame, decoded once and kept.

        Raises:
            InputError: it cannot be decoded.
        """
        return self.decode(0)

    def frame(self, number: int) -> Pixels:
        """A frame by its number from 0, decoded anew and not kept.

        Raises:
            IndexError: there is no such frame.
            InputError: it cannot be decoded.
        """
        if not 0 <= number < self.frames:
            raise IndexError(f"frame {number} of {self.frames}")
        return self.decode(number)

    def cut_to(self, region: Region) -> Study:
        """The study with nothing but a region of it; its pixel spacing becomes the region's."""
        spacing = region.mm_per_px or self.mm_per_px
        return replace(
            self,
            shape=(region.height, region.width),
            decode=lambda number: region.of(self.decode(number)),
            mm_per_px=spacing,
            spacing_from="region" if region.mm_per_px else self.spacing_from,
            regions=(),
        )

    def assuming(self, told: str) -> Study:
        """The study with one more thing taken for granted."""
        return replace(self, assumed=(*self.assumed, told))

    def each(self) -> Iterator[Pixels]:
        """All frames in order, one in memory at a time.

        Raises:
            InputError: one cannot be decoded.
        """
        return (self.decode(number) for number in range(self.frames))


def inverted(pixels: Pixels) -> Pixels:
    """Dark for bright, over the full range of an integer type, or over the data's own range."""
    if pixels.dtype == np.float32:
        result: Pixels = pixels.max() + pixels.min() - pixels
        return result
    return np.iinfo(pixels.dtype).max - pixels
