"""Alarms and flutter held against the rhythm annotations of DS1, from the experts' beats."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_dx import wfdb
from edge_dx.ec57 import DS1, MAPPINGS
from edge_dx.ecg.alarms import Alarms
from edge_dx.ecg.events import Alarm, AlarmKind, Beat
from edge_dx.ecg.flutter import Flutter, Wave
from edge_dx.signal import Bandpass, Resample, SignalPath
from edge_dx.sources.samples import open_samples

RECORDS = Path(__file__).parents[3] / "shared" / "data" / "ecg_mitbih" / "records"
pytestmark = pytest.mark.skipif(not RECORDS.is_dir(), reason="the MIT-BIH records are not here")
END = 650_000
SLACK = 200
"""Samples by which an episode's border may lie elsewhere than the rhythm annotation's."""


def alarms_of(name: str) -> list[Alarm]:
    classes = MAPPINGS["ej-normal"].table
    follower, found = Alarms(Fraction(360)), list[Alarm]()
    state = follower.begin(follower.start(), 0)
    for item in wfdb.read_annotations(RECORDS / f"{name}.atr").beats:
        label = classes[item.symbol]
        if label in ("N", "S", "V", "F", "Q"):
            beat = Beat(item.sample, item.sample + 150, label, 1.0)  # type: ignore[arg-type]
            state, told = follower.step(state, [beat], beat.sample, beat.certain_at)
            found += told
    return found


def stretches(alarms: list[Alarm], kind: AlarmKind) -> list[tuple[int, int]]:
    at = [(alarm.sample, alarm.change) for alarm in alarms if alarm.kind == kind]
    assert [change for _, change in at] == (["begins", "ends"] * len(at))[: len(at)]
    edges = [sample for sample, _ in at] + [END] * (len(at) % 2)
    return list(zip(edges[::2], edges[1::2], strict=True))


def rhythms(name: str, note: str) -> list[tuple[int, int]]:
    changes = [
        (item.sample, item.note.rstrip("\x00"))
        for item in wfdb.read_annotations(RECORDS / f"{name}.atr")
        if item.symbol == "+"
    ]
    ends = [sample for sample, _ in changes[1:]] + [END]
    return [(at, end) for (at, told), end in zip(changes, ends, strict=True) if told == note]


def overlap(one: tuple[int, int], others: list[tuple[int, int]]) -> bool:
    return any(a < one[1] + SLACK and b > one[0] - SLACK for a, b in others)


@pytest.mark.parametrize(
    ("kind", "note", "annotated", "found", "wrong"),
    [
        # Three runs of 223 that the experts call tachycardia are slower than 100 per minute.
        ("ventricular_tachycardia", "(VT", 39, 36, 0),
        ("bigeminy", "(B", 66, 65, 15),  # "wrong" are stretches too short for a rhythm annotation
    ],
)
def test_rules_find_what_the_experts_wrote(
    kind: AlarmKind, note: str, annotated: int, found: int, wrong: int
) -> None:
    told = {name: stretches(alarms_of(name), kind) for name in DS1}
    wanted = {name: rhythms(name, note) for name in DS1}
    assert sum(map(len, wanted.values())) == annotated
    assert sum(overlap(e, told[n]) for n in DS1 for e in wanted[n]) == found
    assert sum(not overlap(e, wanted[n]) for n in DS1 for e in told[n]) <= wrong


def test_nobody_of_ds1_has_asystole() -> None:
    # The longest pause of the set is 2.6 s (records 201 and 203).
    assert not [alarm for name in DS1 for alarm in alarms_of(name) if alarm.kind == "asystole"]


def flutter_of(name: str) -> list[Wave]:
    source = open_samples(RECORDS / f"{name}.hea", leads=["MLII"])
    path = SignalPath([Resample(to_hz=250), Bandpass(low_hz=0.5, high_hz=40.0)],
                      rate_hz=source.rate_hz, leads=source.leads)  # fmt: skip
    state, values = path.start(), []
    for samples in source.blocks():
        state, block = path.step(state, samples)
        values.append(block.values[:, 0].astype(np.float32))
    source.close()
    rows, follower, found = np.concatenate(values), Flutter(), list[Wave]()
    held = follower.start()
    for at in range(0, len(rows) - 24, 25):
        held, waves = follower.step(held, rows[at : at + 25], at + 24)
        found += waves
    return found


def test_flutter_of_207_is_found_and_nowhere_else_is_any() -> None:
    waves = flutter_of("207")
    told = [(b.row / 250, e.row / 250) for b, e in zip(waves[::2], waves[1::2], strict=True)]
    annotated = [(40.8, 51.0), (54.8, 60.4), (242.2, 246.5), (248.0, 261.5), (269.5, 281.0),
                 (1540.8, 1638.7)]  # fmt: skip
    assert all(any(a < end and b > begin for a, b in told) for begin, end in annotated)
    assert all(any(a < end + 5 and b > begin - 5 for begin, end in annotated) for a, b in told)
    for name in ("101", "106", "119", "203", "208", "223"):  # with much that is ventricular
        assert flutter_of(name) == []
