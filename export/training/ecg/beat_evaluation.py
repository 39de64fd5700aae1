"""Detector and classifier together on recordings, compared as EC57 asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_dx import ec57, wfdb
from edge_dx.ecg.beats import BeatRule, log_probabilities
from export.networks.beats import BeatNetwork
from export.networks.ecg import Detector
from export.training.ecg.beat_sets import LATE, MAPPING, taken
from export.training.ecg.evaluation import PREFERRED, frames_of, samples_found
from export.training.ecg.records import Record, read_record

FIGURES = ("qrs_sensitivity", "qrs_positive_predictivity", "veb_sensitivity",
           "veb_positive_predictivity", "sveb_sensitivity",
           "sveb_positive_predictivity")  # fmt: skip


@torch.no_grad()
def told(
    network: BeatNetwork, windows: NDArray[Any], features: NDArray[Any], late: bool
) -> NDArray[np.float32]:
    """(leads, n, 5) logits of windows (n, leads, ...) and features, beat after beat."""
    x = torch.from_numpy(np.ascontiguousarray(windows.swapaxes(0, 1), np.float32))
    facts = np.ascontiguousarray(features.swapaxes(0, 1), np.float32)
    if not late:
        facts[:, :, LATE] = 0
    logits, _ = network.sequences(x, torch.from_numpy(facts), network.start(len(x)))
    return np.asarray(logits.numpy())


class Heard:
    """A recording as the device hears it: R peaks found, and what the beat network is given.

    Attributes:
        record: the recording.
        rows: of the R peaks found.
        samples: of them, on the device's index.
    """

    def __init__(self, detector: Detector, header: Path, both: bool, cache: Path | None) -> None:
        """Finds the beats.

        Args:
            detector: the network.
            header: of the recording.
            both: hear all leads, the preferred one first; else that one alone.
            cache: keeps the rows for the next time.
        """
        self.header = header
        self.record: Record = read_record(header, cache=cache)
        leads = self.record.leads
        first = max(leads.index(name) for name in PREFERRED if name in leads)
        order = [first, *(n for n in range(len(leads)) if n != first)] if both else [first]
        rows = self.record.rows[:, order]
        self.samples = samples_found(frames_of(detector, rows), self.record.clock)
        peaks = [self.record.clock.row_showing(int(s)) for s in self.samples]
        self.rows = np.array(peaks, np.int64)
        numbers, self._windows, self._features = taken(rows, self.rows)
        self.samples = self.samples[numbers]

    def logits(self, network: BeatNetwork, late: bool) -> NDArray[np.float32]:
        """(leads, n, 5)."""
        return told(network, self._windows, self._features, late)

    def tally(self, logits: NDArray[np.float32], rule: BeatRule) -> ec57.Tally:
        """Compared with the experts."""
        said = [rule(log_probabilities(logits[:, n])).label for n in range(logits.shape[1])]
        rate = float(self.record.clock.rate_hz)
        test = ec57.annotated(
            [(int(s), label) for s, label in zip(self.samples, said, strict=True)], rate_hz=rate
        )
        return ec57.compare(
            wfdb.read_annotations(self.header.with_suffix(".atr")),
            test,
            ec57.Protocol(ec57.MAPPINGS[MAPPING]),
            rate_hz=rate,
            samples=round(len(self.record.rows) * rate / 250),
            record=self.record.name,
        )


def summed(tallies: Iterable[ec57.Tally]) -> dict[str, dict[str, float | None]]:
    """The figures, gross and by record, percent."""
    protocol = ec57.Protocol(ec57.MAPPINGS[MAPPING])
    found = ec57.evaluate(list(tallies), protocol)

    def row(values: Mapping[str, ec57.Value]) -> dict[str, float | None]:
        chosen = {name: values[name].value for name in FIGURES}
        return {n: None if v is None else round(100 * v, 2) for n, v in chosen.items()}

    return {"gross": row(found.gross)} | {
        tally.record: row(found.of_record(tally)) for tally in found.tallies
    }
