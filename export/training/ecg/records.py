"""Records as the networks see them: rows of the device's own signal path, and the experts' words.

One implementation prepares for training, parity and the device: what is read here went through
`edge_dx.signal.SignalPath`, sample by sample in the same order of additions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx import wfdb
from edge_dx.signal import Bandpass, Mains, Notch, Resample, Samples, Scale, SignalPath
from edge_dx.signal.steps import AnySignalStep
from edge_dx.signal.timing import Clockwork
from edge_dx.sources.samples import open_samples
from edge_dx.wfdb import BEATS

RATE_HZ = 250
STEPS: tuple[AnySignalStep, ...] = (
    Resample(to_hz=RATE_HZ),
    Notch(),
    Bandpass(low_hz=0.5, high_hz=40.0),
    Scale(factor=1.0, limit=10.0),
)
"""The steps of both ECG bundles. Nothing in them looks at a window as a whole."""

DS1 = ("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124", "201",
       "203", "205", "207", "208", "209", "215", "220", "223", "230")  # fmt: skip
"""De Chazal's training set. The other half, DS2, is for acceptance: it is never read here."""


def path_for(rate_hz: Fraction | float, leads: Sequence[str], mains_hz: Mains | None) -> SignalPath:
    """The path of the bundles for a device; without a notch where the mains are not known."""
    steps = [step for step in STEPS if mains_hz is not None or not isinstance(step, Notch)]
    return SignalPath(steps, rate_hz=rate_hz, leads=leads, mains_hz=mains_hz)


@dataclass(frozen=True, eq=False)
class Record:
    """A recording after the signal path.

    Attributes:
        name: of the record.
        leads: in the order of the columns.
        rows: (n, leads) float32 millivolts at 250 Hz; row k has the number k.
        flags: (n, leads), see `edge_dx.signal`.
        clock: device sample ↔ row.
        samples: device index of each reference beat.
        beats: the row that shows each reference beat.
        symbols: the symbol of each.
        rhythms: (row, note) wherever the rhythm changes, for example `(AFIB`.
        flutter: (first, last) rows of ventricular flutter, `[` to `]`.
    """

    name: str
    leads: tuple[str, ...]
    rows: NDArray[np.float32] = field(repr=False)
    flags: NDArray[np.uint8] = field(repr=False)
    clock: Clockwork = field(repr=False)
    samples: NDArray[np.int64] = field(repr=False)
    beats: NDArray[np.int64] = field(repr=False)
    symbols: tuple[str, ...] = field(repr=False)
    rhythms: tuple[tuple[int, str], ...] = ()
    flutter: tuple[tuple[int, int], ...] = ()


def read_record(
    header: Path,
    *,
    leads: Sequence[str] | None = None,
    mains_hz: Mains | None = None,
    annotator: str = "atr",
    cache: Path | None = None,
) -> Record:
    """Reads a WFDB record and its annotations through the signal path.

    Args:
        header: `<record>.hea`.
        leads: by name; None for all.
        mains_hz: of the recording; None leaves the notch out.
        annotator: extension of the annotation file.
        cache: a directory that keeps the rows for the next time.

    Raises:
        InputError: the record is missing or damaged.
    """
    source = open_samples(header, leads=leads)
    path = path_for(source.rate_hz, source.leads, mains_hz)
    try:
        rows, flags = _filtered(source, path, cache, header)
    finally:
        source.close()
    told = wfdb.read_annotations(header.with_suffix(f".{annotator}"))
    rhythms: list[tuple[int, str]] = []
    flutter: list[tuple[int, int]] = []
    began: int | None = None
    for item in told:
        row = path.clock.row_showing(item.sample)
        if item.symbol == "+":
            rhythms.append((row, item.note.rstrip("\x00")))
        elif item.symbol == "[":
            began = row
        elif item.symbol == "]" and began is not None:
            flutter.append((began, row))
            began = None
    beats = [item for item in told if item.symbol in BEATS]
    samples = np.array([item.sample for item in beats], np.int64)
    return Record(
        name=header.stem,
        leads=source.leads,
        rows=rows,
        flags=flags,
        clock=path.clock,
        samples=samples,
        beats=np.array([path.clock.row_showing(int(s)) for s in samples], np.int64),
        symbols=tuple(item.symbol for item in beats),
        rhythms=tuple(rhythms),
        flutter=tuple(flutter),
    )


def through(
    mv: NDArray[Any], rate_hz: Fraction | float, leads: Sequence[str], mains_hz: Mains | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Clockwork]:
    """Rows, flags and clock of samples (n, leads) in millivolts."""
    path = path_for(rate_hz, leads, mains_hz)
    _, block = path.step(path.start(), Samples(np.asarray(mv, np.float64), 0))
    return block.values.astype(np.float32), block.flags, path.clock


def _filtered(
    source: Any, path: SignalPath, cache: Path | None, header: Path
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    kept = None
    if cache is not None:
        told = f"{header.resolve()} {source.leads} {path.start().made_by.hex()}"
        kept = cache / f"{header.stem}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.npz"
        if kept.exists():
            with np.load(kept) as found:
                return found["rows"], found["flags"]
    state, values, flags = path.start(), [], []
    for samples in source.blocks():
        state, block = path.step(state, samples)
        values.append(block.values.astype(np.float32))
        flags.append(block.flags)
    rows, flagged = np.concatenate(values), np.concatenate(flags)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, rows=rows, flags=flagged)
    return rows, flagged
