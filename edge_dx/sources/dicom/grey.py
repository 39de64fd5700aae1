"""From stored values to grey levels: modality transform → VOI → MONOCHROME1 last (PS3.3 C.11).

Worked out once for every value that the stored bits can hold, in float64, and then looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources.dicom.header import Shape, code, macro, value

Values = NDArray[np.float64]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
_LARGEST_LUT = 65536


@dataclass(frozen=True)
class Table:
    """A look-up table, PS3.3 C.11.1.1.

    Attributes:
        first: the value that the first entry stands for.
        entries: as they are.
        bits: of an entry.
    """

    first: int
    entries: Values
    bits: int

    def __call__(self, values: Values) -> Values:
        """Looks values up; those outside get the first or the last entry."""
        at = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        found: Values = self.entries[at.astype(np.int64)]
        return found


@dataclass(frozen=True)
class Transform:
    """How one frame's stored values become grey levels.

    Attributes:
        shape: how pixels are stored.
        modality: rescale slope and intercept, or a table.
        unit: of the values after it, for example `HU`; None where nothing says it.
        voi: a table, or (centre, width, function), or None: the whole range.
        inverse: black and white are exchanged at the end.
        padding: (lowest, highest) stored value that stands for no pixel, or None.
        assumed: what was taken for granted.
    """

    shape: Shape
    modality: Table | tuple[float, float]
    unit: str | None
    voi: Table | tuple[float, float, Function] | None
    inverse: bool
    padding: tuple[int, int] | None
    assumed: tuple[str, ...]

    @property
    def identity(self) -> bool:
        """Whether 8-bit values are the grey levels."""
        return (
            self.shape.allocated == self.shape.stored == 8
            and not self.shape.signed
            and self.modality == (1.0, 0.0)
            and self.voi is None
        )

    def quantities(self, stored: Pixels) -> NDArray[np.float32]:
        """Stored values after the modality transform alone, for example Hounsfield units.

        Padding becomes the lowest value that there is.
        """
        numbers = self._numbers(stored)
        found = self._modality(numbers.astype(np.float64))
        blank = self._blank(numbers)
        if blank is not None and blank.any() and not blank.all():
            found[blank] = found[~blank].min()
        values = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise UnreadableInput("its rescale leads beyond all numbers", "unreadable")
        return values

    def grey(self, stored: Pixels) -> Pixels:
        """Stored values to uint8 (where nothing has to be done) or uint16 over its whole range."""
        if stored.dtype.itemsize > 2:
            numbers = self._numbers(stored)
            return self._finished(self._drawn(numbers), self._blank(numbers))
        unsigned = stored.view(f"u{stored.dtype.itemsize}")
        every = np.arange(256**stored.dtype.itemsize, dtype=np.uint32).astype(unsigned.dtype)
        numbers = self._numbers(every.view(stored.dtype))
        if self.identity:
            table: Pixels = every
        else:
            table = self._drawn(numbers)
        if self.identity and not self.inverse and self.padding is None:
            return np.ascontiguousarray(stored)
        result: Pixels = self._finished(table, self._blank(numbers))[unsigned]
        return result

    def _finished(self, grey: Pixels, blank: NDArray[np.bool_] | None) -> Pixels:
        """Exchanges black and white, last of all; padding is black after that."""
        if self.inverse:
            grey = np.iinfo(grey.dtype).max - grey
        if blank is not None:
            grey = np.where(blank, grey.dtype.type(0), grey)
        return grey

    def _numbers(self, stored: Pixels) -> NDArray[np.int64]:
        """The bits that count, as numbers; what lies above them (old overlays) is cut off."""
        found = stored.astype(np.int64)
        shape = self.shape
        if shape.stored == shape.allocated or stored.dtype.itemsize * 8 < shape.allocated:
            return found
        found = (found >> (shape.high_bit + 1 - shape.stored)) & ((1 << shape.stored) - 1)
        if shape.signed:
            top = 1 << (shape.stored - 1)
            found = (found ^ top) - top
        return found

    def _blank(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        if self.padding is None:
            return None
        low, high = self.padding
        return (numbers >= low) & (numbers <= high)

    def _modality(self, numbers: Values) -> Values:
        if isinstance(self.modality, Table):
            return self.modality(numbers)
        slope, intercept = self.modality
        return numbers * slope + intercept

    def _drawn(self, numbers: NDArray[np.int64]) -> Pixels:
        levels = self._levels(numbers.astype(np.float64))
        if not np.isfinite(levels).all():
            raise UnreadableInput("its rescale or window leads beyond all numbers", "unreadable")
        found: Pixels = np.rint(levels * 65535).astype(np.uint16)
        return found

    def _levels(self, numbers: Values) -> Values:
        """0 to 1."""
        values = self._modality(numbers)
        if isinstance(self.voi, Table):
            return self.voi(values) / ((1 << self.voi.bits) - 1)
        if self.voi is None:
            low, high = _ends(self.modality, self.shape)
            return np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        centre, width, function = self.voi
        if function == "SIGMOID":
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-4 * (values - centre) / width))
        if function == "LINEAR_EXACT":
            return np.clip((values - centre) / width + 0.5, 0, 1)
        if width == 1:
            return np.where(values <= centre - 0.5, 0.0, 1.0)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def transform_of(dataset: Any, shape: Shape, number: int) -> Transform:
    """Reads the transform of a frame from the header.

    Args:
        dataset: the header.
        shape: how pixels are stored.
        number: of the frame, from 0, for what an enhanced object says per frame.

    Raises:
        UnreadableInput: a number that is none, a table that is short.
        UnsupportedInput: an unknown VOI function.
    """
    assumed: list[str] = []
    values = macro(dataset, "PixelValueTransformationSequence", number)
    modality: Table | tuple[float, float]
    tables = value(dataset, "ModalityLUTSequence")
    if tables:
        modality = _table(tables[0], shape.signed)
    else:
        slope = value(values, "RescaleSlope")
        modality = (1.0 if slope is None else float(slope),
                    float(value(values, "RescaleIntercept") or 0))  # fmt: skip
        if not np.isfinite(modality).all() or modality[0] == 0:
            raise UnreadableInput("its rescale slope or intercept is no number", "unreadable")
    unit = code(values, "RescaleType")
    if unit is None and code(dataset, "Modality") == "CT" and not tables:
        unit = "HU"
    inverse = shape.photometric == "MONOCHROME1"
    drawn = code(dataset, "PresentationLUTShape")
    if drawn == "INVERSE":
        inverse = True
    elif inverse and drawn == "IDENTITY":
        assumed.append("MONOCHROME1 with the presentation LUT shape IDENTITY: turned round")
    voi = _voi(dataset, macro(dataset, "FrameVOILUTSequence", number), modality, shape, assumed)
    return Transform(
        shape=shape,
        modality=modality,
        unit=unit,
        voi=voi,
        inverse=inverse,
        padding=_padding(dataset, shape),
        assumed=tuple(assumed),
    )


def _voi(
    dataset: Any,
    windows: Any,
    modality: Table | tuple[float, float],
    shape: Shape,
    assumed: list[str],
) -> Table | tuple[float, float, Function] | None:
    tables = value(dataset, "VOILUTSequence")
    if tables:  # a table is preferred to a window: PS3.3 C.11.2.1.1
        return _table(tables[0], signed=_ends(modality, shape)[0] < 0)
    centres, widths = value(windows, "WindowCenter"), value(windows, "WindowWidth")
    if centres is None or widths is None:
        if shape.stored > 8:  # the picture may use little of it, and be dark and flat then
            assumed.append(f"no window is stated: the whole range of {shape.stored} bits is shown")
        return None
    centre, width = _first(centres), _first(widths)
    function = code(windows, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UnsupportedInput(f"VOI LUT function {function} is not read", "format")
    if not np.isfinite([centre, width]).all():
        raise UnreadableInput("its window is no number", "unreadable")
    if width < 1 if function == "LINEAR" else width <= 0:
        assumed.append(f"window width {width:g} is none; the whole range is shown")
        return None
    if function == "LINEAR":
        return centre, width, "LINEAR"
    return centre, width, "LINEAR_EXACT" if function == "LINEAR_EXACT" else "SIGMOID"


def _ends(modality: Table | tuple[float, float], shape: Shape) -> tuple[float, float]:
    """The least and the greatest value after the modality transform that there could be."""
    if isinstance(modality, Table):
        # Not what the entries' bits could hold: tables of 10 bit values in 16 are common.
        return float(modality.entries.min()), float(modality.entries.max())
    slope, intercept = modality
    lowest = -(1 << (shape.stored - 1)) if shape.signed else 0
    ends = [v * slope + intercept for v in (lowest, lowest + (1 << shape.stored) - 1)]
    return min(ends), max(ends)


def _first(found: Any) -> float:
    return float(found[0] if hasattr(found, "__len__") and not isinstance(found, str) else found)


def _padding(dataset: Any, shape: Shape) -> tuple[int, int] | None:
    first = value(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = value(dataset, "PixelPaddingRangeLimit")
    ends = [int(first), int(first if last is None else last)]
    # -2000 is 63536 where a writer took the other of the two representations (US, SS).
    ends = [_signed(v) if shape.signed else v % 65536 if v < 0 else v for v in ends]
    return min(ends), max(ends)


def _signed(number: int) -> int:
    return number - 65536 if 32768 <= number < 65536 else number


def _table(item: Any, signed: bool) -> Table:
    """A table from its sequence item."""
    descriptor = [int(v) for v in item.LUTDescriptor]
    return table(descriptor, words(item, item.get("LUTData")), signed)


def words(item: Any, data: Any) -> Any:
    """Bytes of 16-bit words in little endian, whatever the file was written in; pydicom leaves them
    as they are. Numbers are given back.
    """
    big = getattr(item, "original_encoding", (None, None))[1] is False
    if big and isinstance(data, bytes) and len(data) % 2 == 0:
        return np.frombuffer(data, ">u2").astype("<u2").tobytes()
    return data


def table(descriptor: list[int], data: Any, signed: bool) -> Table:
    """A table from descriptor and data.

    Args:
        descriptor: number of entries (0: 65536), first value, bits of an entry.
        data: bytes, or a list of numbers.
        signed: whether the first value is.

    Raises:
        UnreadableInput: fewer entries than announced, or a descriptor that is none.
    """
    if len(descriptor) != 3 or data is None:
        raise UnreadableInput("a look-up table is incomplete", "unreadable")
    count, first, bits = descriptor
    count = count % _LARGEST_LUT or _LARGEST_LUT
    first = (first + 32768) % 65536 - 32768 if signed else first % 65536
    if not 1 <= bits <= 16:
        raise UnreadableInput(f"a look-up table has entries of {bits} bits", "unreadable")
    if isinstance(data, bytes):
        # Entries of 8 bits may lie in bytes, or in words of which the lower half counts.
        wide = bits > 8 or len(data) >= 2 * count
        entries = np.frombuffer(data[: len(data) // 2 * 2 if wide else None],
                                "<u2" if wide else "u1")  # fmt: skip
    else:
        numbers = data if hasattr(data, "__len__") else [data]
        entries = np.asarray(numbers, np.int64) % _LARGEST_LUT  # SS is not for entries, but met
        if len(entries) < count <= 2 * len(entries) and bits == 8:  # two in a word
            entries = np.stack([entries & 255, entries >> 8 & 255], axis=1).ravel()
    if len(entries) < count:
        raise UnreadableInput(
            f"a look-up table has {len(entries)} entries, {count} are announced", "unreadable"
        )
    most = (1 << bits) - 1
    entries = entries[:count].astype(np.float64)
    if entries.max() > most:
        raise UnreadableInput(f"a look-up table has entries above {most}", "unreadable")
    return Table(first, entries, bits)
