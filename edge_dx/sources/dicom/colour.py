"""Colour pictures to RGB: each conversion once, where the frame is decoded or here."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources.dicom.grey import Table, table, words
from edge_dx.sources.dicom.header import Shape, value


def palette_of(dataset: Any, signed: bool) -> tuple[Table, Table, Table]:
    """The three tables of a PALETTE COLOR picture (PS3.3 C.7.9).

    Args:
        dataset: the header.
        signed: whether the numbers of the picture are, and so the first that each table maps.

    Raises:
        UnsupportedInput: a segmented palette.
        UnreadableInput: one is missing or short.
    """
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        raise UnsupportedInput("segmented palettes are not read", "colour")
    red, green, blue = (_palette(dataset, name, signed) for name in ("Red", "Green", "Blue"))
    return red, green, blue


def _palette(dataset: Any, name: str, signed: bool) -> Table:
    descriptor = value(dataset, f"{name}PaletteColorLookupTableDescriptor")
    data = value(dataset, f"{name}PaletteColorLookupTableData")
    if descriptor is None or data is None:
        raise UnreadableInput("a palette is missing", "unreadable")
    return table([int(v) for v in descriptor], words(dataset, data), signed)


def painted(stored: Pixels, palette: tuple[Table, Table, Table], shape: Shape) -> Pixels:
    """`(rows, columns)` numbers to `(rows, columns, 3)` RGB uint8, or `(rows, columns)` where the
    palette is grey; numbers outside of it get its first or last colour, as the standard says.
    """
    numbers = np.arange(1 << shape.stored, dtype=np.float64)
    if shape.signed:
        numbers[len(numbers) // 2 :] -= len(numbers)
    painted = np.stack([entry(numbers) for entry in palette], axis=1)
    # Entries of 16 bits are cut to their upper half.
    colours = np.stack(
        [
            painted[:, i].astype(np.int64) >> max(entry.bits - 8, 0)
            for i, entry in enumerate(palette)
        ],
        axis=1,
    ).astype(np.uint8)
    mask = (1 << shape.stored) - 1
    shift = shape.high_bit + 1 - shape.stored
    index = (stored.view(f"u{stored.dtype.itemsize}") >> shift) & mask
    # Decided by the palette and not by the frame, so that all frames of a cine have one shape.
    grey = (colours == colours[:, :1]).all()
    found: Pixels = colours[:, 0][index] if grey else colours[index]
    return found
