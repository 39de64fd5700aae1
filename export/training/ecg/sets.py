"""Which recordings the detector is trained on, by patient, and how patients are kept apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_dx.signal.timing import Clockwork
from export.training.ecg.records import DS1, Record, read_record, through

CPSC2021 = ("data_21_7", "data_21_8", "data_21_9", "data_84_1", "data_84_2", "data_84_3",
            "data_92_12", "data_92_19", "data_92_4")  # fmt: skip
CPSC2019 = ("00126", "00147", "00224", "00259", "00502", "00513", "00553", "00557", "00619",
            "00676", "00687", "00699", "00764", "00980", "01044", "01046", "01068", "01170",
            "01234", "01235", "01240", "01306", "01511", "01564", "01651", "01660", "01664",
            "01668", "01669", "01714", "01934", "01938")  # fmt: skip
CPSC2019_HZ = 500
FRONT = 2000
"""Samples of a snippet that are mirrored in front of it, so that the filters are warm."""
_SETTLED = 1000
"""Rows at the beginning of a record that are not learned from: the filters settle."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Leads of one recording, seen at the same time.

    Attributes:
        patient: whose it is, `mit201`, `cpsc2021_p84`, `cpsc2019_00126`.
        record: its name.
        leads: their names.
        rows: (n, leads) float32 millivolts at 250 Hz.
        beats: rows of the reference R peaks.
        known: (n,) where the reference can be relied on (flutter and the filters' start cannot).
        weight: how often it is drawn.
    """

    patient: str
    record: str
    leads: tuple[str, ...]
    rows: NDArray[np.float32] = field(repr=False)
    beats: NDArray[np.float64] = field(repr=False)
    known: NDArray[np.bool_] = field(repr=False)
    weight: float = 1.0


def folds() -> tuple[tuple[str, ...], ...]:
    """Patients of each of four folds, the hard records spread over them."""
    order = ("203", "207", "208", "223", "209", "201", "118", "220", "106", "119", "215", "114",
             "108", "116", "205", "124", "101", "109", "112", "115", "122", "230")  # fmt: skip
    apart: list[list[str]] = [[], [], [], []]
    for number, record in enumerate(order):
        turn, place = divmod(number, 4)
        apart[place if turn % 2 == 0 else 3 - place].append(f"mit{record}")
    apart[0].append("cpsc2021_p21")
    apart[1].append("cpsc2021_p84")
    apart[2].append("cpsc2021_p92")
    for number, snippet in enumerate(CPSC2019):
        apart[number % 4].append(f"cpsc2019_{snippet}")
    return tuple(tuple(fold) for fold in apart)


def recordings(data: Path, cache: Path | None = None) -> list[Recording]:
    """All recordings that may be trained on.

    Args:
        data: the directory with `ecg_mitbih` and `wearable_sequences`.
        cache: see `read_record`.
    """
    found = []
    for name in DS1:
        record = read_record(data / "ecg_mitbih" / "records" / f"{name}.hea", cache=cache)
        found.append(_recording(record, f"mit{name}", 1.0))
    for name in CPSC2021:
        header = data / "wearable_sequences" / "cpsc2021" / f"{name}.hea"
        patient = f"cpsc2021_p{name.split('_')[1]}"
        found.append(_recording(read_record(header, cache=cache), patient, 0.5))
    folder = data / "wearable_sequences" / "cpsc2019"
    return found + [_snippet(folder, number) for number in CPSC2019]


def _recording(record: Record, patient: str, weight: float) -> Recording:
    known = np.ones(len(record.rows), np.bool_)
    known[:_SETTLED] = False
    for first, last in record.flutter:
        known[max(0, first - 250) : last + 250] = False
    return Recording(patient, record.name, record.leads, record.rows,
                     record.beats.astype(np.float64), known, weight)  # fmt: skip


def read_snippet(
    folder: Path, number: str
) -> tuple[NDArray[np.float32], Clockwork, NDArray[np.int64]]:
    """Ten seconds of CPSC2019, mirrored in front.

    Args:
        folder: with `data` and `ref`.
        number: five digits.

    Returns:
        Rows (n, 1), their clock, and the R peaks as samples, both from the mirrored part on: the
        snippet's own first sample is `FRONT`.
    """
    from scipy.io import loadmat

    mv = loadmat(folder / "data" / f"data_{number}.mat")["ecg"].astype(np.float64)
    peaks = loadmat(folder / "ref" / f"R_{number}.mat")["R_peak"].ravel().astype(np.int64)
    rows, _, clock = through(np.concatenate([mv[FRONT:0:-1], mv]), CPSC2019_HZ, ["ECG"])
    return rows, clock, peaks + FRONT


def _snippet(folder: Path, number: str) -> Recording:
    rows, clock, peaks = read_snippet(folder, number)
    known = np.ones(len(rows), np.bool_)
    known[: clock.row_showing(FRONT) + 10] = False
    name = f"cpsc2019_{number}"
    beats = np.array([clock.row_showing(int(peak)) for peak in peaks], np.float64)
    return Recording(name, name, ("ECG",), rows, beats, known, 0.15)
