"""Samples with their facts: rate, leads by name, millivolts, and the device's own index.

`open_samples` takes a path of any kind that is read here, or `-` for a pipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_dx.errors import UnsupportedInput
from edge_dx.signal.timing import Rate
from edge_dx.sources.samples.delimited import Delimited
from edge_dx.sources.samples.edf import Edf
from edge_dx.sources.samples.pipe import Pipe
from edge_dx.sources.samples.playback import Playback
from edge_dx.sources.samples.record import Record
from edge_dx.sources.samples.source import SampleSource, opened
from edge_dx.sources.samples.synthetic import Synthetic

__all__ = [
    "Delimited",
    "Edf",
    "Pipe",
    "Playback",
    "Record",
    "SampleSource",
    "Synthetic",
    "open_samples",
]


def open_samples(
    path: str | Path,
    *,
    leads: Sequence[str] | None = None,
    rate_hz: Rate | None = None,
    unit: str | None = None,
) -> SampleSource:
    """Opens a recording; what it is, its content says.

    Args:
        path: of an EDF, DICOM or text file, or of a WFDB record's header (`.hea`); `-` for a pipe
            on standard input.
        leads: which ones, by name; None for all ECG leads.
        rate_hz: of text that does not say it.
        unit: likewise.

    Raises:
        NotFound: no such file.
        InputError: damaged, or of a kind that is not read.
        MissingExtra: DICOM without pydicom.
    """
    if str(path) == "-":
        return Pipe()
    if Path(path).suffix == ".hea":
        return Record(path, leads)
    file, _ = opened(Path(path))
    with file:
        head = file.read(256)
    if head[:8] == b"0       " or head[1:8] == b"BIOSEMI":
        return Edf(path, leads)
    if head[128:132] == b"DICM":
        from edge_dx.sources.samples.waveform import DicomWaveform

        return DicomWaveform(path, leads)
    if b"\0" in head:
        raise UnsupportedInput(
            f"{path}: no recording of a kind that is read (EDF, DICOM, WFDB by its .hea, text)",
            "format",
        )
    return Delimited(path, rate_hz=rate_hz, unit=unit, leads=leads)
