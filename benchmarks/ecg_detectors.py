"""R-peak detectors side by side: three of other libraries, and ours on patients that it never saw.

    python benchmarks/ecg_detectors.py [--folds export/zoo/ecg/folds] [--out FILE]

The recordings are those of MIT-BIH's DS1, lead MLII, whole recordings of 30 minutes; counts by
`edge_dx.ec57`. The others see a recording as a whole and may look ahead; ours gets it 100 ms at a
time and answers at most 0.4 s after the R peak. It is cross-validated: four networks, each trained
without the patients that it is judged on; DS2 is not read here. Their weights are made by

    python -m export.training.ecg.detector --data ../shared/data --fold N --out export/zoo/ecg/folds
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wfdb as wfdb_python
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.signal import resample_poly
from wfdb import processing

from edge_dx import wfdb
from edge_dx.bundle import open_bundle
from edge_dx.ec57 import DS1, annotated
from edge_dx.shelf import names
from edge_dx.sources.samples import open_samples
from export.networks.ecg import Detector
from export.training.ecg.evaluation import (
    compared,
    counts_of,
    decoder_of,
    frames_of,
    gross,
    judged,
    samples_found,
)
from export.training.ecg.records import through
from export.training.ecg.sets import folds

Signal = NDArray[Any]
NOISY = {"24": 160_000, "12": 180_000, "06": 180_000, "00": 180_000}
"""Signal-to-noise ratio in dB of the files, and at which sample of record 118 each begins."""
PERIOD = 120 * 360
"""Noise is switched on and off every two minutes, from the fifth minute on."""
RATES = (130, 500)


def gqrs(mv: Signal, rate: int) -> Signal:
    return np.asarray(processing.gqrs_detect(sig=mv, fs=rate, adc_gain=200, adc_zero=0))


def xqrs(mv: Signal, rate: int) -> Signal:
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its learning
        return np.asarray(processing.xqrs_detect(sig=mv, fs=rate, verbose=False))


def pan_tompkins(mv: Signal, rate: int) -> Signal:
    from ecgdetectors import Detectors

    return np.asarray(Detectors(rate).pan_tompkins_detector(mv))


OTHERS: dict[str, Callable[[Signal, int], Signal]] = {
    "wfdb gqrs": gqrs, "wfdb XQRS": xqrs, "py-ecg-detectors Pan-Tompkins": pan_tompkins,
}  # fmt: skip
if importlib.util.find_spec("ecgdetectors") is None:  # GPL-3: no extra of ours brings it
    print("py-ecg-detectors Pan-Tompkins: skipped: pip install py-ecg-detectors")
    del OTHERS["py-ecg-detectors Pan-Tompkins"]


def shipped_threshold() -> float:
    """That of the shipped bundle's float file."""
    manifest = open_bundle(names()["ecg-beats"]).manifest
    points = manifest.variant("onnx-fp32").operating_points
    return next(point.threshold for point in points if point.name == "detection")


def ours(network: Detector, threshold: float) -> Callable[[Signal, int], Signal]:
    def find(mv: Signal, rate: int) -> Signal:
        rows, _, clock = through(mv[:, None], rate, ["MLII"])
        return samples_found(frames_of(network, rows), clock, threshold)

    return find


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def row(name: str, wide: list[dict[str, Any]], narrow: list[dict[str, Any]], rest: str) -> str:
    at_150, at_50 = gross(wide), gross(narrow)
    low, high = at_150["median_offset_ms"]
    shares = [percent(told[key]) for told in (at_150, at_50)
              for key in ("sensitivity", "positive_predictivity")]  # fmt: skip
    cells = [name, *shares[:2], f"{at_150['missed']}", f"{at_150['false']}", *shares[2:],
             f"{low:+.0f} … {high:+.0f}", rest]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


HEAD = ["| detector | Se % | +P % | missed | false | Se % at 50 ms | +P % at 50 ms "
        "| median offset ms, by record | {} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip


def worst(records: list[str], counts: list[dict[str, Any]]) -> str:
    bad = sorted(zip(records, counts, strict=True), key=lambda c: -c[1]["missed"] - c[1]["false"])
    return ", ".join(f"{name} {c['missed']}+{c['false']}" for name, c in bad[:4])


def mlii(data: Path, record: str) -> Signal:
    source = open_samples(data / "ecg_mitbih" / "records" / f"{record}.hea", leads=["MLII"])
    found = np.concatenate([samples.mv for samples in source.blocks()])[:, 0]
    source.close()
    return found


def on_records(
    data: Path, find: Callable[[str], Callable[[Signal, int], Signal]], rate: int = 360
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Counts of every record at 150 and 50 ms, and seconds of processor time for all of them."""
    spent, found = 0.0, ([], [])
    for record in DS1:
        mv = mlii(data, record)
        if rate != 360:
            mv = resample_poly(mv - mv[0], rate // 10, 36)
        work = find(record)
        begin = time.process_time()
        samples = work(mv, rate)
        spent += time.process_time() - begin
        told = wfdb.read_annotations(data / "ecg_mitbih" / "records" / f"{record}.atr")
        reference = wfdb.Annotations(told.items, 360.0)
        for window, into in zip((0.15, 0.05), found, strict=True):
            tally = compared(reference, samples, rate_hz=rate, length=len(mv), record=record,
                             window_s=window)  # fmt: skip
            into.append(counts_of(tally))
    return *found, spent


def onset_s(begin: int) -> float:
    """When the noise sets in, in a piece of the record that begins at this sample."""
    noise = next(n for n in range(300 * 360, 1800 * 360, 2 * PERIOD) if n + PERIOD > begin)
    return (noise - begin) / 360


def in_noise(data: Path, find: Callable[[Signal, int], Signal]) -> list[str]:
    """Sensitivity and positive predictivity in the noise of each file."""
    records = data / "ecg_mitbih" / "records"
    beats = [a.sample for a in wfdb.read_annotations(records / "118.atr") if a.symbol in wfdb.BEATS]
    cells = []
    for level, begin in NOISY.items():
        mv = np.loadtxt(data / "wearable_sequences" / "heartpy" / f"118e{level}.csv")
        reference = annotated([(b - begin, "N") for b in beats if 0 <= b - begin < len(mv)],
                              rate_hz=360)  # fmt: skip
        tally = compared(reference, find(mv, 360), rate_hz=360, length=len(mv), record="118",
                         from_s=onset_s(begin), to_s=len(mv) / 360 - 1)  # fmt: skip
        told = gross([counts_of(tally)])
        cells.append(f"{percent(told['sensitivity'])} / {percent(told['positive_predictivity'])}")
    return cells


def told_noisy(data: Path, network: Detector, threshold: float) -> list[str]:
    """Share of the hops in the noise that the detector itself calls too noisy to tell classes."""
    cells = []
    for level, begin in NOISY.items():
        mv = np.loadtxt(data / "wearable_sequences" / "heartpy" / f"118e{level}.csv")
        rows, _, _ = through(mv[:, None], 360, ["MLII"])
        decoder, said = decoder_of(threshold), []
        state = {name: array[None] for name, array in decoder.start().items()}
        for hop in np.split(frames_of(network, rows)[0], len(rows) // Detector.hop_rows):
            state, _ = decoder.step(state, np.zeros(1, np.int64), hop[None], np.array([True]),
                                    np.array([not said]))  # fmt: skip
            said.append(bool(state["noisy"][0]))
        onset = round(onset_s(begin) * 10)
        before, within = np.mean(said[40:onset]), np.mean(said[onset + 20 :])
        cells.append(f"{100 * within:.0f}, before it {100 * before:.0f}")
    return cells


def main() -> None:
    reader = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    reader.add_argument("--data", type=Path, default=Path("../shared/data"))
    reader.add_argument("--folds", type=Path, default=Path("export/zoo/ecg/folds"))
    reader.add_argument("--out", type=Path, default=Path("benchmarks/results/ecg_detectors.md"))
    told = reader.parse_args()
    torch.set_num_threads(1)
    networks = []
    for number in range(len(folds())):
        network = Detector()
        network.load_state_dict(load_file(told.folds / f"detector.fold{number}.safetensors"))
        networks.append(network.eval())
    unseen = {patient: networks[n] for n, fold in enumerate(folds()) for patient in fold}
    threshold = shipped_threshold()
    own = {record: ours(unseen[f"mit{record}"], threshold) for record in DS1}
    lines = [
        "# R-peak detectors", "",
        f"`python benchmarks/ecg_detectors.py` on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, wfdb {wfdb_python.__version__}. MIT-BIH DS1, lead "
        "MLII, from 5:00 on, match window 150 ms (EC57; 50 ms beside it), gross figures. Ours: "
        f"cross-validated over patients, online, at the shipped threshold {threshold:g}. `worst` "
        "is missed + false.", "",
        *[part.format("worst | processor s") for part in HEAD[:1]], HEAD[1] + " --- |",
    ]  # fmt: skip
    for name, work in OTHERS.items():
        wide, narrow, spent = on_records(told.data, lambda _, work=work: work)
        lines.append(row(name, wide, narrow, f"{worst(list(DS1), wide)} | {spent:.0f}"))
        print(lines[-1], flush=True)
    wide, narrow, spent = on_records(told.data, own.__getitem__)
    lines.append(row("edge_dx, unseen patients", wide, narrow,
                     f"{worst(list(DS1), wide)} | {spent:.0f}"))  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for number, fold in enumerate(folds()):
        for key, counts in judged(
            networks[number], told.data, set(fold), threshold=threshold
        ).items():
            found.setdefault(key, {}).update(counts)
    wide, narrow = (found[f"MIT-BIH, both leads, {w} ms"] for w in (150, 50))
    bad = worst(list(wide), list(wide.values()))
    lines.append(row("edge_dx, unseen patients, both leads", list(wide.values()),
                     list(narrow.values()), f"{bad} | –"))  # fmt: skip
    lines += ["", "Processor seconds are for 11 hours of signal, filters and network of ours as "
              "a whole recording through PyTorch; what a stream costs stands elsewhere.", "",
              "## Other devices, unseen patients", "",
              "CPSC2021: wearable, 3 patients, 200 Hz, from 5 s on. CPSC2019: 32 noisy snippets "
              "of 10 s, 500 Hz. Below: MLII of DS1 resampled to other rates.", "",
              HEAD[0].format("recordings"), HEAD[1]]  # fmt: skip
    for name, key in (("CPSC2021, lead II", "CPSC2021, II,"), ("CPSC2021, both leads",
                      "CPSC2021, both leads,"), ("CPSC2019", "CPSC2019,")):  # fmt: skip
        wide, narrow = (list(found[f"{key} {w} ms"].values()) for w in (150, 50))
        lines.append(row(name, wide, narrow, str(len(wide))))
    for rate in RATES:
        wide, narrow, _ = on_records(told.data, own.__getitem__, rate)
        lines.append(row(f"DS1 at {rate} Hz", wide, narrow, str(len(wide))))
        print(lines[-1], flush=True)
    lines += ["", "## Electrode motion", "",
              "Record 118 with the noise of the MIT-BIH noise stress test, where the noise is: "
              "sensitivity / positive predictivity in %. 24 dB: 23 s of noise, the others 79 s. "
              "Ours never saw patient 118.", "",
              "| detector | 24 dB | 12 dB | 6 dB | 0 dB |",
              "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, work in [*OTHERS.items(), ("edge_dx", own["118"])]:
        lines.append(f"| {name} | " + " | ".join(in_noise(told.data, work)) + " |")
    cells = " | ".join(told_noisy(told.data, unseen["mit118"], threshold))
    lines.append(f"| edge_dx calls so much of it too noisy for classes, % | {cells} |")
    told.out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
