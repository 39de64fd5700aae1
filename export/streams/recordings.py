"""The recipe's records as the networks see them: rows of one lead through the recipe's own path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_dx import wfdb
from edge_dx.ecg.assembly import preferred_lead
from edge_dx.ecg.rows import AT_FRONT, INSIDE, FullHop, Stretch
from edge_dx.manifest import DataSet, Manifest, WaveformInput
from edge_dx.signal import Clockwork, Notch, SignalPath
from edge_dx.sources.samples import open_samples
from edge_dx.tensors import Array
from export.errors import DataError
from export.streams.recipe import RecordsPart


@dataclass(frozen=True, eq=False)
class Recording:
    """One lead of a record.

    Attributes:
        name: of the record.
        patient: whose it is.
        lead: the one that a device would judge.
        rate_hz: of the record.
        samples: its length.
        rows: (n, 1) float32 millivolts.
        flags: (n, 1), see `edge_dx.signal`.
        segment: (n, 1), likewise.
        clock: device sample ↔ row.
        reference: the experts' annotations.
        enough: rows until the path is warm.
    """

    name: str
    patient: str
    lead: str
    rate_hz: float
    samples: int
    rows: Array = field(repr=False)
    flags: Array = field(repr=False)
    segment: Array = field(repr=False)
    clock: Clockwork = field(repr=False)
    reference: wfdb.Annotations = field(repr=False)

    def hops(self, size: int) -> list[FullHop]:
        """All full hops, as the runtime cuts them."""
        stretch, found = Stretch(self.rows, 0, 0), []
        anew = np.diff(self.segment[:, 0], prepend=-1) != 0
        for at in range(0, len(self.rows) - size + 1, size):
            begins = np.zeros(1, np.uint8)
            if anew[at : at + size].any():
                begins[0] = AT_FRONT if anew[at] else INSIDE
            flags = np.bitwise_or.reduce(self.flags[at : at + size], axis=0)
            found.append(FullHop(at, flags, begins, stretch))
        return found


def read_recordings(manifest: Manifest, part: RecordsPart, root: Path) -> list[Recording] | None:
    """All records of a set, or None where the set is not here.

    Raises:
        DataError: some of its records are missing.
        InputError: one is damaged.
    """
    folder = root / part.root
    if not folder.is_dir():
        return None
    wave = next(item for item in manifest.inputs if isinstance(item, WaveformInput))
    found = []
    for patient, names in part.patients.items():
        for name in names:
            header = folder / f"{name}.hea"
            if not header.is_file():
                raise DataError(
                    f"{header}: is not there; data.records names it. Give the directory that holds "
                    f"{part.root} with --data DIR, or take the record out of the recipe"
                )
            found.append(_read(wave, header, patient))
    return found


def told(part: RecordsPart, root: Path) -> DataSet:
    """The set by its digest, and how many records each patient has."""
    digests = []
    for name in sorted(part.records):
        folder = root / part.root
        for file in sorted(folder.glob(f"{name}.*")):
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
    whole = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    counts = {patient: len(names) for patient, names in part.patients.items()}
    return DataSet(name=part.name, n=len(part.records), sha256=whole, classes=counts)


def _read(wave: WaveformInput, header: Path, patient: str) -> Recording:
    whole = open_samples(header)
    lead = preferred_lead(wave, whole.leads)
    whole.close()
    source = open_samples(header, leads=[lead])
    steps = [step for step in wave.prepare if not isinstance(step, Notch)]
    path = SignalPath(steps, rate_hz=source.rate_hz, leads=[lead])
    state, blocks, samples = path.start(), [], 0
    for part in source.blocks():
        state, block = path.step(state, part)
        blocks.append(block)
        samples += len(part.mv)
    source.close()
    return Recording(
        name=header.stem, patient=patient, lead=lead, rate_hz=float(path.rate_hz), samples=samples,
        rows=np.concatenate([block.values for block in blocks]).astype(np.float32),
        flags=np.concatenate([block.flags for block in blocks]),
        segment=np.concatenate([block.segment for block in blocks]),
        clock=path.clock,
        reference=wfdb.read_annotations(header.with_suffix(".atr")),
    )  # fmt: skip
