"""What the beat network learns from: DS1's beats as the device would see them, and made rhythms.

Every example went through `edge_dx.ecg.beats`, beat by beat, as on a device. R peaks lie where a
detector may put them, up to 20 ms beside the experts' place; some are missed and some made up.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_dx import ec57
from edge_dx.ecg.beats import AFTER, BEFORE, FEATURES, BeatFeatures
from edge_dx.ecg.beats.intervals import LATER
from edge_dx.ecg.beats.shapes import NEXT
from export.training.ecg.lent import DONOR_PEAK, DONOR_ROWS, transplanted
from export.training.ecg.noise import coloured
from export.training.ecg.records import DS1, read_record
from export.training.ecg.retimed import RATE_HZ, drawn, retimed
from export.training.ecg.sets import CPSC2021

MAPPING = "ej-normal"
_ABERRATED = 0.15
FOLDS = (
    ("209", "106", "230"), ("201", "119", "101"), ("207", "108", "215"), ("118", "208", "112"),
    ("220", "203", "115"), ("223", "114", "122", "109"), ("124", "116", "205"),
)  # fmt: skip
"""Records held out together; the seven with most S stand apart."""
DONORS = ("106", "119", "201", "207", "208", "203", "223", "109", "114", "116", "205", "124", "215")
"""Records with ventricular beats enough to lend."""
LATE = np.array([name in LATER + NEXT for name in FEATURES])
"""Which features the answer at once does not have."""
SIGNED = tuple(FEATURES.index(n) for n in ("area", "area_off", "peak", "peak_off"))
"""Those that turn over with the polarity of the lead."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """One lead of one recording, beat by beat.

    Attributes:
        record: its name.
        lead: the lead's.
        made: whether its rhythm was made.
        windows: (n, 2, WINDOW) float16.
        features: (n, F) float16, with what is known late.
        labels: (n,) class by `LABELS`, -1 where there is none.
        trust: (n,) how much the label counts in training.
        beats: (n,) row of each R peak.
    """

    record: str
    lead: str
    made: bool
    windows: NDArray[np.float16] = field(repr=False)
    features: NDArray[np.float16] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    trust: NDArray[np.float32] = field(repr=False)
    beats: NDArray[np.int64] = field(repr=False)


def taken(
    rows: NDArray[np.float32], peaks: NDArray[np.int64], gaps: tuple[int, ...] = ()
) -> tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float16]]:
    """Numbers of the peaks, windows (k, leads, ...) and features of rows (n, leads)."""
    features = BeatFeatures("one_beat_late")
    state = features.start(rows.shape[1])
    padded = np.pad(rows, ((BEFORE, AFTER), (0, 0)), mode="edge").T
    places = {int(row): number for number, row in enumerate(peaks)}
    kept, windows, told = [], [], []
    last = -1
    for peak in peaks.tolist():
        if peak <= last:
            continue
        last = peak
        state, ready = features.due(state, peak - 1)
        state, more = features.step(state, peak, padded[:, peak : peak + BEFORE + AFTER + 1])
        for beat in ready + more:
            kept.append(places[beat.row])
            windows.append(beat.window.astype(np.float16))
            told.append(beat.features.astype(np.float16))
    state, ready = features.reset(state)
    for beat in ready:
        kept.append(places[beat.row])
        windows.append(beat.window.astype(np.float16))
        told.append(beat.features.astype(np.float16))
    return np.array(kept, np.int64), np.stack(windows), np.stack(told)


def sequences_of(
    name: str, turn: int, *, data: Path, cache: Path | None = None, kept: Path | None = None
) -> list[Sequence]:
    """The leads of a record; turn 0 as it is, later ones with other rhythms, noise and jitter."""
    store = None if kept is None else kept / f"{name}.{turn}.npz"
    if store is not None and store.exists():
        with np.load(store) as found:
            arrays = dict(found)
    else:
        arrays = _made(name, turn, data, cache)
        if store is not None:
            store.parent.mkdir(parents=True, exist_ok=True)
            np.savez(store, **arrays)  # type: ignore[arg-type]
    return [
        Sequence(name, str(lead), turn > 0, arrays["windows"][:, column],
                 arrays["features"][:, column], arrays["labels"], arrays["trust"],
                 arrays["beats"])
        for column, lead in enumerate(arrays["leads"])
    ]  # fmt: skip


def _made(name: str, turn: int, data: Path, cache: Path | None) -> dict[str, NDArray[np.generic]]:
    folder = "ecg_mitbih/records" if name in DS1 else "wearable_sequences/cpsc2021"
    record = read_record(data / folder / f"{name}.hea", cache=cache)
    mapping = ec57.MAPPINGS[MAPPING]
    labels = np.array(["NSVFQ".find(mapping.of(s)) for s in record.symbols], np.int64)
    rows, beats = record.rows, record.beats
    # An aberrated atrial beat (`a`) has the shape of a ventricular one: what tells the experts is
    # mostly its neighbours. Nearly all of DS1's are one man's; learned from in full they teach that
    # wide early beats are S.
    trust = np.array([_ABERRATED if s == "a" else 1.0 for s in record.symbols], np.float32)
    random = np.random.default_rng([*name.encode(), turn])
    if turn > 0:
        rr = np.diff(beats, prepend=beats[0]) / RATE_HZ
        donors = _donors(random, name, record.leads, data, cache)
        plan = drawn(random, rr, labels, donors is not None)
        rows, beats = retimed(random, rows, beats, plan)
        labels = plan.labels
        if donors is not None:
            rows = transplanted(random, rows, beats, plan.foreign, donors)
        if random.random() < 0.5:
            rows = _noisy(random, rows)
    peaks, source = _found(random, beats, (0.5, 1.5, 2.5)[turn % 3])
    labels = np.where(source < 0, -1, labels[source])
    numbers, windows, features = taken(rows, peaks)
    return {
        "windows": windows, "features": features, "labels": labels[numbers],
        "trust": trust[source[numbers]], "beats": peaks[numbers], "leads": np.array(record.leads),
    }  # fmt: skip


def _donors(
    random: np.random.Generator, name: str, leads: tuple[str, ...], data: Path, cache: Path | None
) -> list[NDArray[np.float32]] | None:
    """Ventricular beats of another patient of the same fold, so that folds stay apart."""
    others = [n for fold in FOLDS if name in fold for n in fold if n != name and n in DONORS]
    if name not in DS1:
        others = []
    if name in DONORS:
        others.append(name)  # his own in other places, turned and stretched
    if not others:
        return None
    donor = read_record(
        data / "ecg_mitbih" / "records" / f"{random.choice(others)}.hea", cache=cache
    )
    beats = donor.beats[[s == "V" for s in donor.symbols]]
    beats = beats[(beats > 1000) & (beats < len(donor.rows) - DONOR_ROWS)]
    size = np.percentile(np.abs(donor.rows), 99, axis=0)
    found = []
    for number, lead in enumerate(leads):
        column = donor.leads.index(lead) if lead in donor.leads else number
        each = np.stack([donor.rows[b - DONOR_PEAK : b - DONOR_PEAK + DONOR_ROWS, column]
                         for b in beats])  # fmt: skip
        ends = np.linspace(each[:, :5].mean(axis=1), each[:, -5:].mean(axis=1), DONOR_ROWS, axis=1)
        found.append(((each - ends) / size[column]).astype(np.float32))
    return found


def _noisy(random: np.random.Generator, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    size = np.percentile(np.abs(rows), 99, axis=0)
    for column in range(rows.shape[1]):
        high = random.uniform(8, 40)
        wave = coloured(random, len(rows), 0.5, high, random.uniform(0.3, 2))
        swell = np.interp(np.arange(len(rows)), np.arange(0, len(rows) + 5000, 5000),
                          10 ** random.uniform(-2, -0.8, len(rows) // 5000 + 2))  # fmt: skip
        rows[:, column] += (wave * swell * size[column]).astype(np.float32)
    return rows


def _found(
    random: np.random.Generator, beats: NDArray[np.int64], jitter: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """R peaks as a detector would tell them, and which beat each is, -1 for none."""
    shift = np.clip(np.round(random.normal(0, jitter, len(beats))), -5, 5).astype(np.int64)
    shift += int(random.integers(-2, 3))  # its habit on this lead
    keep = random.random(len(beats)) > 0.002
    peaks, told = (beats + shift)[keep], np.flatnonzero(keep)
    gaps = np.diff(peaks)
    extra = np.flatnonzero((random.random(len(gaps)) < 0.002) & (gaps > 130))
    peaks = np.concatenate([peaks, peaks[extra] + random.integers(55, 75, len(extra))])
    told = np.concatenate([told, np.full(len(extra), -1)])
    order = np.argsort(peaks, kind="stable")
    return np.maximum(peaks[order], 0), told[order]


def all_sequences(
    data: Path, turns: int, cache: Path | None = None, kept: Path | None = None, workers: int = 1
) -> list[Sequence]:
    """Every record of DS1 and of CPSC2021, each as it is and `turns - 1` times made."""
    jobs = [(name, turn) for turn in range(turns) for name in DS1 + CPSC2021]
    make = partial(sequences_of, data=data, cache=cache, kept=kept)
    names, numbers = [n for n, _ in jobs], [t for _, t in jobs]
    if workers == 1:
        return [each for name, turn in jobs for each in make(name, turn)]
    with ProcessPoolExecutor(workers) as pool:
        return [each for found in pool.map(make, names, numbers) for each in found]
