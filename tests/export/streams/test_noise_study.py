"""The study of noise counts what it says it counts."""

from __future__ import annotations

import pytest

from edge_dx.ecg.events import Label
from export.streams.noise_study import Level, counted, noise_begins_s, table_of


def test_noise_sets_in_where_the_stress_test_has_it() -> None:
    assert noise_begins_s(160_000) == pytest.approx(540 - 160_000 / 360)
    assert noise_begins_s(180_000) == 40.0


def test_each_told_beat_is_right_wrong_or_false_and_the_marked_ones_are_counted() -> None:
    truth = [(100, "N"), (1000, "N"), (1360, "V"), (1720, "N"), (2080, "S")]
    told: list[tuple[int, Label, bool]] = [
        (100, "V", False),  # before the noise
        (1002, "N", False),  # right
        (1030, "V", True),  # the beat at 1000 has a nearer one: false, marked
        (1361, "N", True),  # wrong, marked
        (1500, "S", False),  # false, not marked
        (2081, "S", True),  # right, marked
    ]
    assert counted(truth, told, 2.0) == Level(
        beats=4, missed=1, told=5, false=2, wrong=1, flagged=3, flagged_bad=2
    )


def test_the_table_has_what_was_not_marked_beside_it() -> None:
    row = table_of([("at_once", 12, Level(4, 1, 5, 2, 1, 3, 2))]).splitlines()[-1]
    assert row == "| at_once | 12 dB | 4 | 1 | 5 | 2 | 1 | 3 | 2 of 3 | 1 of 2 |"
