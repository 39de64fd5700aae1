"""Flutter: even waves are told, beats are not, and the cutting does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.ecg.flutter import Flutter, Wave, leakage
from edge_dx.sources.samples import Synthetic

FLUTTER = Flutter()


def told(rows: np.ndarray, sizes: list[int] | None = None) -> list[Wave]:
    state, found, at = FLUTTER.start(), list[Wave](), 0
    sizes = sizes or [25]
    turn = 0
    while at < len(rows):
        n = sizes[turn % len(sizes)]
        state, waves = FLUTTER.step(state, rows[at : at + n], min(at + n, len(rows)) - 1)
        found += waves
        at, turn = at + n, turn + 1
    return found


def rhythm(seconds: float) -> np.ndarray:
    source = Synthetic(rate_hz=250, seconds=seconds, premature_every=7)
    return np.concatenate([block.mv[:, 0] for block in source.blocks()]).astype(np.float32)


def wave(hertz: float, seconds: float, mv: float = 0.8) -> np.ndarray:
    t = np.arange(int(seconds * 250)) / 250
    return (mv * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_beats_are_no_flutter() -> None:
    assert told(rhythm(120)) == []


@pytest.mark.parametrize("hertz", [3.0, 4.5, 6.0, 8.0])
def test_an_even_wave_is_told_and_its_end_too(hertz: float) -> None:
    rows = np.concatenate([rhythm(20), wave(hertz, 15), rhythm(20)])
    begins, ends = told(rows)
    assert begins.change == "begins"
    assert 16 <= begins.row / 250 <= 24
    assert ends.change == "ends"
    assert 34 <= ends.row / 250 <= 41
    assert begins.per_min == pytest.approx(60 * hertz, rel=0.15)


@pytest.mark.parametrize("rows", [wave(50.0, 30), wave(0.7, 30), wave(4.0, 30, mv=0.05),
                                  np.zeros(7500, np.float32)])  # fmt: skip
def test_hum_wander_what_is_small_and_nothing_are_no_flutter(rows: np.ndarray) -> None:
    assert told(rows) == []


def test_a_break_ends_it_and_four_seconds_must_be_seen_again() -> None:
    state = FLUTTER.start()
    rows = wave(4.0, 10)
    for at in range(0, len(rows), 25):
        state, _ = FLUTTER.step(state, rows[at : at + 25], at + 24)
    state, waves = FLUTTER.broken(state, 2600)
    assert [w.change for w in waves] == ["ends"]
    for at in range(0, 900, 25):
        state, waves = FLUTTER.step(state, rows[at : at + 25], 5000 + at + 24)
        assert not waves


@given(sizes=st.lists(st.sampled_from([25, 50, 125, 250]), min_size=1, max_size=4))
def test_what_is_seen_does_not_depend_on_the_hop(sizes: list[int]) -> None:
    rows = np.concatenate([rhythm(12), wave(4.0, 12)])
    state, at = FLUTTER.start(), 0
    for n in sizes:
        state, _ = FLUTTER.step(state, rows[at : at + n], at + n - 1)
        at += n
    other = FLUTTER.start()
    for k in range(0, at, 25):
        other, _ = FLUTTER.step(other, rows[k : k + 25], k + 24)
    assert (state["ring"] == other["ring"]).all()


def test_leakage_is_total() -> None:
    assert leakage(np.zeros(500)) == (1.0, 0)
    assert leakage(np.ones(500)) == (1.0, 0)
    assert 0 <= leakage(np.random.default_rng(0).normal(size=500))[0] <= 1
