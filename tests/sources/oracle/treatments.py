"""What a header can ask to be done with stored grey values, and how DCMTK is asked for the same.

Each takes the header and the lowest and highest stored value, completes the header, and says what
DCMTK is asked. Three differences of convention are told to it, none is forgiven:

- Without a window it spreads 2^b levels over 2^n, so that the white of 12 bit is a little grey;
  edge_dx spreads the lowest to the highest value over black to white. That is a LINEAR window over
  the whole range, which `+Ww` takes.
- It knows LINEAR_EXACT (C.11.2.1.3.2) not yet. That is a LINEAR one with its borders moved.
- It spreads the entries of a VOI look-up table as it does levels; `Asked.entry_bits` corrects that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.sources.oracle.dcmtk import Reals


@dataclass(frozen=True)
class Asked:
    """What DCMTK is asked.

    Attributes:
        options: of its command line.
        entry_bits: of the VOI look-up table that is shown, if one is.
    """

    options: tuple[str, ...]
    entry_bits: int | None = None

    def corrected(self, shown: Reals, *, inverted: bool) -> Reals:
        """White for the highest entry that a table can have."""
        if self.entry_bits is None:
            return shown
        stretch = 2**self.entry_bits / (2**self.entry_bits - 1)
        return 1 - (1 - shown) * stretch if inverted else shown * stretch


Treatment = Callable[[Dataset, int, int], Asked]


_FIRST_WINDOW = Asked(("+Wi", "1"))


def plain(data: Dataset, low: int, high: int) -> Asked:
    return between(low, high)


def rescale(data: Dataset, low: int, high: int) -> Asked:
    data.RescaleSlope, data.RescaleIntercept = "3", "-1024"
    return between(3 * low - 1024, 3 * high - 1024)


def rescale_falling(data: Dataset, low: int, high: int) -> Asked:
    data.RescaleSlope, data.RescaleIntercept = "-1", "100"
    return between(100 - high, 100 - low)


def rescale_then_window(data: Dataset, low: int, high: int) -> Asked:
    data.RescaleSlope, data.RescaleIntercept = "2", "-1024"
    centre, width = _window(2 * low - 1024, 2 * high - 1024)
    data.WindowCenter, data.WindowWidth = centre, width
    return _FIRST_WINDOW


def rescale_by_fraction(data: Dataset, low: int, high: int) -> Asked:
    slope, intercept = 0.125, -3.5
    data.RescaleSlope, data.RescaleIntercept = str(slope), str(intercept)
    centre, width = _window(slope * low + intercept, slope * high + intercept)
    data.WindowCenter, data.WindowWidth = centre, width
    return window_of_fractions(float(centre), float(width), slope, intercept)


def rescale_without_effect(data: Dataset, low: int, high: int) -> Asked:
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = "1", "0", "US"
    return between(low, high)


def modality_table(data: Dataset, low: int, high: int) -> Asked:
    """16 bit entries for every stored value. Without a window their own range is shown."""
    curve = 65535 * np.linspace(0, 1, high - low + 1) ** 0.7
    data.ModalityLUTSequence = Sequence([_table(curve, low, 16)])
    return between(0, 65535)


def modality_table_short(data: Dataset, low: int, high: int) -> Asked:
    """For the middle of the stored values alone; what lies beyond takes the first or last entry.
    Eight bits, and a window over them.
    """
    first, count = low + (high - low) // 4, (high - low) // 2
    curve = np.linspace(20, 240, count) + 10 * np.sin(np.arange(count) / 9)
    data.ModalityLUTSequence = Sequence([_table(curve, first, 8)])
    data.WindowCenter, data.WindowWidth = "130", "201"
    return _FIRST_WINDOW


def window(data: Dataset, low: int, high: int) -> Asked:
    data.WindowCenter, data.WindowWidth = _window(low, high)
    return _FIRST_WINDOW


def window_said_linear(data: Dataset, low: int, high: int) -> Asked:
    data.VOILUTFunction = "LINEAR"
    return window(data, low, high)


def window_beyond_the_range(data: Dataset, low: int, high: int) -> Asked:
    data.WindowCenter, data.WindowWidth = str(low), str(3 * (high - low))
    return _FIRST_WINDOW


def window_exact(data: Dataset, low: int, high: int) -> Asked:
    data.WindowCenter, data.WindowWidth = _window(low, high)
    data.VOILUTFunction = "LINEAR_EXACT"
    half = float(data.WindowWidth) / 2
    return between(float(data.WindowCenter) - half, float(data.WindowCenter) + half)


def window_exact_narrow(data: Dataset, low: int, high: int) -> Asked:
    """Widths below 1 are allowed here, and are a threshold."""
    centre = (low + high) // 2
    data.WindowCenter, data.WindowWidth = str(centre), "0.5"
    data.VOILUTFunction = "LINEAR_EXACT"
    return between(centre - 0.25, centre + 0.25)


def window_sigmoid(data: Dataset, low: int, high: int) -> Asked:
    data.WindowCenter, data.WindowWidth = _window(low, high)
    data.VOILUTFunction = "SIGMOID"
    return _FIRST_WINDOW


def window_width_one(data: Dataset, low: int, high: int) -> Asked:
    """The narrowest that is valid: everything above centre - 0.5 is white."""
    data.WindowCenter, data.WindowWidth = str((low + high) // 2), "1"
    return _FIRST_WINDOW


def window_too_narrow(data: Dataset, low: int, high: int) -> Asked:
    """No valid window (C.11.2.1.2.1 wants 1 at least), so there is none."""
    data.WindowCenter, data.WindowWidth = str((low + high) // 2), "0.5"
    return between(low, high)


def windows(data: Dataset, low: int, high: int) -> Asked:
    """The first of several is shown."""
    centre, width = _window(low, high)
    data.WindowCenter, data.WindowWidth = [centre, "1", "2"], [width, "77", "2"]
    return _FIRST_WINDOW


def voi_table(data: Dataset, low: int, high: int) -> Asked:
    """12 bit entries for every stored value."""
    curve = 4095 * np.linspace(0, 1, high - low + 1) ** 1.6
    data.VOILUTSequence = Sequence([_table(curve, low, 12)])
    return Asked(("+Wl", "1"), entry_bits=12)


def voi_table_short(data: Dataset, low: int, high: int) -> Asked:
    """8 bit entries for the middle alone."""
    first, count = low + (high - low) // 4, (high - low) // 2
    data.VOILUTSequence = Sequence([_table(np.linspace(15, 250, count), first, 8)])
    return Asked(("+Wl", "1"), entry_bits=8)


def voi_table_before_window(data: Dataset, low: int, high: int) -> Asked:
    """Where both stand there the table is shown, and of several tables the first."""
    asked = voi_table_short(data, low, high)
    data.VOILUTSequence.append(_table(np.linspace(250, 15, high - low + 1), low, 8))
    data.WindowCenter, data.WindowWidth = _window(low, high)
    return asked


def voi_table_packed(data: Dataset, low: int, high: int) -> Asked:
    """8 bit entries, two to a word."""
    curve = np.linspace(250, 15, high - low + 1)
    data.VOILUTSequence = Sequence([_table(curve, low, 8)])
    entries = np.frombuffer(data.VOILUTSequence[0].LUTData, "<u2").astype(np.uint8)
    data.VOILUTSequence[0].LUTData = entries.tobytes() + bytes(len(entries) % 2)
    return Asked(("+Wl", "1"), entry_bits=8)


def voi_table_after_rescale(data: Dataset, low: int, high: int) -> Asked:
    """The table counts in modality values, which have a sign where the stored ones have none."""
    shift = 100 if low < 0 else -100
    data.RescaleSlope, data.RescaleIntercept = "1", str(shift)
    curve = 1023 * np.linspace(0, 1, high - low + 1) ** 1.3
    data.VOILUTSequence = Sequence([_table(curve, low + shift, 10)])
    return Asked(("+Wl", "1"), entry_bits=10)


def voi_table_after_falling_rescale(data: Dataset, low: int, high: int) -> Asked:
    """Where it is the slope that makes modality values negative."""
    shift = high // 2 if low == 0 else -1
    data.RescaleSlope, data.RescaleIntercept = "-1", str(shift)
    curve = 1023 * np.linspace(0, 1, high - low + 1) ** 1.3
    data.VOILUTSequence = Sequence([_table(curve, shift - high, 10)])
    return Asked(("+Wl", "1"), entry_bits=10)


def inverse(data: Dataset, low: int, high: int) -> Asked:
    """Also for MONOCHROME1, whose inversion it is and not another one."""
    data.PresentationLUTShape = "INVERSE"
    return window(data, low, high)


def inverse_without_window(data: Dataset, low: int, high: int) -> Asked:
    data.PresentationLUTShape = "INVERSE"
    return between(low, high)


def overlay_in_high_bits(data: Dataset, low: int, high: int) -> Asked:
    """An overlay in the highest bit allocated, which is not drawn and no part of the value."""
    for tag, vr, value in (
        (0x60000010, "US", 8), (0x60000011, "US", 8), (0x60000040, "CS", "G"),
        (0x60000050, "SS", [1, 1]), (0x60000100, "US", 16), (0x60000102, "US", 15),
    ):  # fmt: skip
        data.add(DataElement(tag, vr, value))
    return window(data, low, high)


def _window(low: float, high: float) -> tuple[str, str]:
    """A window inside the range, off its middle and not on integers."""
    return f"{low + 0.43 * (high - low) + 0.3:.2f}", f"{0.61 * (high - low) + 0.7:.2f}"


def window_of_fractions(centre: float, width: float, slope: float, intercept: float) -> Asked:
    """A LINEAR window over modality values that are no integers. DCMTK cuts those off to integers,
    which the standard does not ask for, so it is given the window in stored values.
    """
    left, right = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2  # C.11.2.1.2.1
    asked = between((left - intercept) / slope, (right - intercept) / slope)
    return Asked(("-M", *asked.options))


def between(low: float, high: float) -> Asked:
    """A LINEAR window with these borders."""
    return Asked(("+Ww", repr((low + high) / 2 + 0.5), repr(high - low + 1.0)))


def _table(curve: NDArray[np.float64], first: int, bits: int) -> Dataset:
    """An item of a look-up table sequence, its entries in 16 bit words."""
    entries = np.clip(np.rint(curve), 0, 2**bits - 1).astype("<u2")
    if first < 0 and len(entries) == 32768:  # pydicom does not write this number as a signed one
        entries = entries[:-1]
    # 65536 entries are written as 0. Where the first value mapped is negative, the whole descriptor
    # has a signed VR, also its count, which then reads as the same 16 bits do.
    descriptor = np.array([len(entries) % 65536, first % 65536, bits], np.uint16)
    kind, vr = (np.int16, "SS") if first < 0 else (np.uint16, "US")
    item = Dataset()
    item.add_new("LUTDescriptor", vr, descriptor.view(kind).tolist())
    item.add_new("LUTData", "OW", entries.tobytes())
    return item


TREATMENTS: dict[str, Treatment] = {
    treatment.__name__.replace("_", "-"): treatment
    for treatment in (
        plain,
        rescale,
        rescale_falling,
        rescale_then_window,
        rescale_by_fraction,
        rescale_without_effect,
        modality_table,
        modality_table_short,
        window,
        window_said_linear,
        window_beyond_the_range,
        window_exact,
        window_exact_narrow,
        window_sigmoid,
        window_width_one,
        window_too_narrow,
        windows,
        voi_table,
        voi_table_short,
        voi_table_before_window,
        voi_table_packed,
        voi_table_after_rescale,
        voi_table_after_falling_rescale,
        inverse,
        inverse_without_window,
        overlay_in_high_bits,
    )
}
