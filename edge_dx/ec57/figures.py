"""The figures: each one count of `tally.PARTS` over another.

`Nv` is the cell of the matrix where the reference says N and the test V. A dot stands for all five
classes of beat, so `.o` are all missed beats.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.mapping import LABELS, Mapping
from edge_dx.ec57.tally import PARTS

_SIZES = {name: int(np.prod(shape)) for name, shape in PARTS.items()}
_STARTS = dict(zip(PARTS, np.cumsum([0, *_SIZES.values()])[:-1].tolist(), strict=True))
LENGTH = sum(_SIZES.values())
"""Of a tally's vector."""


@dataclass(frozen=True)
class Figure:
    """A ratio of two sums of counts.

    Attributes:
        name: as in the JSON.
        told: as in the table.
        above: weights of the counts above the line, (LENGTH,).
        below: and below it.
        unit: `share`, or `ms` for the root of a mean square.
        supraventricular: needs a mapping that has the class S.
    """

    name: str
    told: str
    above: NDArray[np.float64] = field(repr=False)
    below: NDArray[np.float64] = field(repr=False)
    unit: str = "share"
    supraventricular: bool = False

    def of(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The figure for counts of the shape (..., LENGTH); NaN where it is not defined."""
        above, below = counts @ self.above, counts @ self.below
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(below > 0, above / below, np.nan)
        return np.asarray(np.sqrt(found) if self.unit == "ms" else found)


def _beats(cells: str) -> NDArray[np.float64]:
    """Weights of cells told as in `Nv Sv .o`."""
    weights = np.zeros((7, 7))
    for cell in cells.split():
        rows, columns = (
            range(5) if letter == "." else [LABELS.index(letter.upper())] for letter in cell
        )
        weights[np.ix_(list(rows), list(columns))] = 1
    return _placed("beats", weights)


def _runs(part: str, way: int, rows: range, columns: range) -> NDArray[np.float64]:
    weights = np.zeros(PARTS[part])
    weights[way, rows.start : rows.stop, columns.start : columns.stop] = 1
    return _placed(part, weights)


def _at(part: str, *places: int) -> NDArray[np.float64]:
    weights = np.zeros(_SIZES[part])
    weights[list(places)] = 1
    return _placed(part, weights)


def _placed(part: str, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.zeros(LENGTH)
    found[_STARTS[part] : _STARTS[part] + _SIZES[part]] = weights.ravel()
    return found


def _of_beats() -> list[Figure]:
    other = "".join(f" {row}{column}" for row in "NSFQOX" for column in "nsfq")
    found = [
        Figure("qrs_sensitivity", "QRS sensitivity", _beats(".."), _beats(".. .o .x")),
        Figure("qrs_positive_predictivity", "QRS positive predictivity", _beats(".."),
               _beats(".. O. X.")),
        Figure("veb_sensitivity", "VEB sensitivity", _beats("Vv"), _beats("V. Vo Vx")),
        Figure("veb_positive_predictivity", "VEB positive predictivity", _beats("Vv"),
               _beats("Vv Nv Sv Ov Xv")),
        Figure("veb_false_positive_rate", "VEB false positive rate", _beats("Nv Sv Ov Xv"),
               _beats("Nv Sv Ov Xv" + other)),
        Figure("sveb_sensitivity", "SVEB sensitivity", _beats("Ss"), _beats("S. So Sx"),
               supraventricular=True),
        Figure("sveb_positive_predictivity", "SVEB positive predictivity", _beats("Ss"),
               _beats("Ss Ns Vs Fs Os Xs"), supraventricular=True),
        Figure("sveb_false_positive_rate", "SVEB false positive rate", _beats("Ns Vs Fs Os Xs"),
               _beats("Ns Vs Fs Os Xs" + other.replace("s", "v").replace("S", "V")),
               supraventricular=True),
        Figure("rr_error_rms_ms", "RMS RR error", _at("rr", 0), _at("rr", 1), "ms"),
        Figure("rr_error_matched_rms_ms", "RMS RR error, matched beats", _at("rr", 2),
               _at("rr", 3), "ms"),
        Figure("missed_in_shutdown", "beats missed in shutdown", _beats(".x"),
               _beats(".. .o .x")),
    ]  # fmt: skip
    for row in "NSVF":
        found.append(Figure(f"{row.lower()}_missed_in_shutdown", f"{row} missed in shutdown",
                            _beats(f"{row}x"), _beats(f"{row}. {row}o {row}x"),
                            supraventricular=row == "S"))  # fmt: skip
    found.append(Figure("shutdown_time", "time in shutdown", _at("shutdown", 0),
                        _at("shutdown", 1)))  # fmt: skip
    return found


def _of_runs() -> list[Figure]:
    found = []
    for part, told in (("ventricular_runs", "VE"), ("supraventricular_runs", "SVE")):
        for kind, one, more in (("couplet", range(2, 3), range(2, 7)),
                                ("short_run", range(3, 6), range(3, 7)),
                                ("long_run", range(6, 7), range(6, 7))):  # fmt: skip
            name, words = f"{told.lower()}_{kind}", f"{told} {kind.replace('_', ' ')}"
            found += [
                Figure(f"{name}_sensitivity", f"{words} sensitivity",
                       _runs(part, 0, one, more), _runs(part, 0, one, range(7)),
                       supraventricular=told == "SVE"),
                Figure(f"{name}_positive_predictivity", f"{words} positive predictivity",
                       _runs(part, 1, more, one), _runs(part, 1, range(7), one),
                       supraventricular=told == "SVE"),
            ]  # fmt: skip
    return found


def _of_episodes() -> list[Figure]:
    found = []
    for part, told in (("atrial_fibrillation", "AF"), ("ventricular_fibrillation", "VF")):
        for word, first in (("sensitivity", 0), ("positive predictivity", 4)):
            for kind, above, below in (("episode", (0,), (0, 1)), ("duration", (2,), (3,))):
                found.append(Figure(
                    f"{told.lower()}_{kind}_{word.replace(' ', '_')}", f"{told} {kind} {word}",
                    _at(part, *(first + k for k in above)),
                    _at(part, *(first + k for k in below))))  # fmt: skip
    return found


FIGURES: MappingOf[str, Figure] = MappingProxyType(
    {figure.name: figure for figure in _of_beats() + _of_runs() + _of_episodes()}
)


def figures_for(mapping: Mapping) -> tuple[Figure, ...]:
    """Those that a mapping allows."""
    return tuple(
        figure
        for figure in FIGURES.values()
        if mapping.tells_supraventricular or not figure.supraventricular
    )
