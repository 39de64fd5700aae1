"""What a detector finds in recordings that it has not seen, compared as EC57 asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_dx import ec57, wfdb
from edge_dx.ecg.detect import PeakDecoder, decode, fused
from edge_dx.signal.timing import Clockwork
from export.networks.ecg import Detector
from export.training.ecg.records import DS1, read_record
from export.training.ecg.sets import CPSC2019, CPSC2019_HZ, CPSC2021, FRONT, read_snippet

THRESHOLD = 0.45
"""Chosen on patients left out of training; a bundle's own is fitted for each of its variants."""
WINDOWS_S = (0.15, 0.05)
PREFERRED = ("MLII", "II")
"""One of these stands first, as in the bundles; the recordings trained on have one each."""
_SNIPPET_FROM_S, _SNIPPET_TO_S = 0.5, 9.6
"""The last 0.4 s of a snippet end before the detector's word on them."""


def decoder_of(threshold: float = THRESHOLD) -> PeakDecoder:
    """The decoder that belongs to the detector."""
    return PeakDecoder(
        threshold=threshold,
        delay=Detector.delay_rows,
        stride=Detector.stride_rows,
        frames=Detector.hop_rows // Detector.stride_rows,
    )


def frames_of(network: Detector, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frames (leads, n, 3) of rows (n, leads)."""
    whole = len(rows) // Detector.hop_rows * Detector.hop_rows
    with torch.no_grad():
        signal = torch.from_numpy(np.ascontiguousarray(rows[:whole].T[:, None]))
        return np.asarray(network(signal, *network.start(rows.shape[1]))[0].numpy())


def samples_found(frames: NDArray[np.float32], clock: Clockwork,
                  threshold: float = THRESHOLD) -> NDArray[np.int64]:  # fmt: skip
    """Device samples of the R peaks in the frames (leads, n, 3) of a recording."""
    told = fused(frames, np.ones(len(frames), np.bool_))
    rows = np.array([peak.row for peak in decode(decoder_of(threshold), told)], np.int64)
    samples = np.asarray(clock.when(rows), np.int64)
    return samples[samples >= 0]


def compared(
    reference: wfdb.Annotations,
    samples: NDArray[np.int64],
    *,
    rate_hz: float,
    length: int,
    record: str,
    from_s: float = 300.0,
    to_s: float | None = None,
    window_s: float = 0.15,
) -> ec57.Tally:
    """One record's counts; `e` and `j` are N, which matters to no figure of detection."""
    protocol = ec57.Protocol(
        ec57.MAPPINGS["ej-normal"], from_s=from_s, to_s=to_s, window_s=window_s
    )
    test = ec57.annotated([(int(sample), "N") for sample in samples], rate_hz=rate_hz)
    return ec57.compare(reference, test, protocol, rate_hz=rate_hz, samples=length, record=record)


def counts_of(tally: ec57.Tally) -> dict[str, Any]:
    """Found, missed, false, and by how many ms the found ones are late."""
    beats, offsets = tally.counts["beats"], tally.matched.offsets() / tally.rate_hz * 1000
    low, middle, high = np.percentile(offsets, [5, 50, 95]) if len(offsets) else [np.nan] * 3
    return {
        "found": int(beats[:5, :5].sum()),
        "missed": int(beats[:5, 5:].sum()),
        "false": int(beats[5:, :5].sum()),
        "offset_ms": [round(float(value), 1) for value in (low, middle, high)],
    }


def gross(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All records together, with the range of the records' median offsets."""
    found, missed, false = (sum(c[key] for c in counts) for key in ("found", "missed", "false"))
    medians = [c["offset_ms"][1] for c in counts if c["found"]]
    return {
        "sensitivity": round(found / max(found + missed, 1), 5),
        "positive_predictivity": round(found / max(found + false, 1), 5),
        "found": found, "missed": missed, "false": false,
        "median_offset_ms": [min(medians, default=0.0), max(medians, default=0.0)],
    }  # fmt: skip


def judged(network: Detector, data: Path, patients: set[str], cache: Path | None = None,
           threshold: float = THRESHOLD) -> dict[str, dict[str, dict[str, Any]]]:  # fmt: skip
    """Counts of the recordings of these patients: which leads and window → record → counts."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    wearable = data / "wearable_sequences"
    headers = [("MIT-BIH", f"mit{n}", data / "ecg_mitbih" / "records" / f"{n}.hea") for n in DS1]
    headers += [("CPSC2021", f"cpsc2021_p{n.split('_')[1]}", wearable / "cpsc2021" / f"{n}.hea")
                for n in CPSC2021]  # fmt: skip
    for source, patient, header in headers:
        if patient not in patients:
            continue
        record, reference = read_record(header, cache=cache), wfdb.read_annotations(
            header.with_suffix(".atr"))  # fmt: skip
        first = max(record.leads.index(name) for name in PREFERRED if name in record.leads)
        order = [first, *(n for n in range(len(record.leads)) if n != first)]
        frames = frames_of(network, record.rows[:, order])
        rate = float(record.clock.rate_hz)
        for leads, own in ((record.leads[first], frames[:1]), ("both leads", frames)):
            samples = samples_found(own, record.clock, threshold)
            for window in WINDOWS_S:
                tally = compared(
                    reference, samples, rate_hz=rate, record=record.name, window_s=window,
                    length=round(len(record.rows) * rate / 250),
                    from_s=300.0 if source == "MIT-BIH" else 5.0)  # fmt: skip
                key = f"{source}, {leads}, {window * 1000:.0f} ms"
                found.setdefault(key, {})[record.name] = counts_of(tally)
    for number in CPSC2019:
        if f"cpsc2019_{number}" in patients:
            for window in WINDOWS_S:
                tally = _snippet(network, wearable / "cpsc2019", number, threshold, window)
                key = f"CPSC2019, {window * 1000:.0f} ms"
                found.setdefault(key, {})[number] = counts_of(tally)
    return found


def _snippet(network: Detector, folder: Path, number: str, threshold: float,
             window_s: float) -> ec57.Tally:  # fmt: skip
    rows, clock, peaks = read_snippet(folder, number)
    samples = samples_found(frames_of(network, rows), clock, threshold) - FRONT
    told = ec57.annotated([(int(peak - FRONT), "N") for peak in peaks], rate_hz=CPSC2019_HZ)
    return compared(
        told, samples[samples >= 0], rate_hz=CPSC2019_HZ, length=5000, record=number,
        from_s=_SNIPPET_FROM_S, to_s=_SNIPPET_TO_S, window_s=window_s)  # fmt: skip
