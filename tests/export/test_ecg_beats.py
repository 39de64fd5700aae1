"""The beat network and its training: one beat at a time equals sequences, made rhythms are sane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from edge_dx.ecg.beats import FEATURES, WINDOW
from export.networks.beats import build
from export.training.ecg.beat_figures import best_thresholds, figures, matrix, said, table
from export.training.ecg.beat_sets import FOLDS, LATE, Sequence, taken
from export.training.ecg.beats import Plan, answers, fit
from export.training.ecg.lent import DONOR_PEAK, DONOR_ROWS, transplanted
from export.training.ecg.records import DS1
from export.training.ecg.retimed import drawn, retimed

RATE_HZ = 250


def rhythm(n: int = 400) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows (n, 2) of normal beats, 0.8 s apart, and their R peaks."""
    t = (np.arange(200) - 80) / RATE_HZ
    beat = 0.12 * np.exp(-0.5 * ((t + 0.16) / 0.02) ** 2) + np.exp(-0.5 * (t / 0.012) ** 2)
    rows = np.concatenate([np.zeros(500), np.tile(beat, n), np.zeros(500)])
    peaks = 580 + 200 * np.arange(n)
    return np.stack([rows, -0.5 * rows], axis=1).astype(np.float32), peaks


def test_one_beat_at_a_time_is_what_a_sequence_gives() -> None:
    torch.manual_seed(0)
    network = build().eval()
    windows, features = torch.randn(3, 7, 2, WINDOW), torch.randn(3, 7, len(FEATURES))
    with torch.no_grad():
        whole, last = network.sequences(windows, features, network.start(3))
        h = network.start(3)
        for beat in range(7):
            classes, h = network(windows[:, beat], features[:, beat], h)
            torch.testing.assert_close(classes, whole[:, beat], atol=1e-5, rtol=0)
    torch.testing.assert_close(h, last, atol=1e-5, rtol=0)
    assert sum(p.numel() for p in network.parameters()) < 40_000


def test_made_rhythms_keep_their_beats_and_say_what_they_are() -> None:
    rows, beats = rhythm()
    labels = np.zeros(len(beats), np.int64)
    rr = np.diff(beats, prepend=beats[0]) / RATE_HZ
    early = 0
    for seed in range(4):
        random = np.random.default_rng(seed)
        plan = drawn(random, rr, labels, donors=True)
        made, places = retimed(random, rows, beats, plan)
        assert len(places) == len(beats)
        assert np.isfinite(made).all()
        assert (np.diff(places) >= 40).all()
        # Every R peak is where it is said to be, as high as it was.
        np.testing.assert_allclose(made[places, 0], 1.0, atol=0.25)
        assert (labels == 0).all()
        assert ((plan.labels == 2) == plan.foreign).all()
        supra = np.flatnonzero(plan.labels == 1)
        early += len(supra)
        assert plan.rr[supra].mean() < plan.rr[plan.labels == 0].mean()
    assert early > 50


def test_a_lent_beat_stands_in_its_place_and_nowhere_else() -> None:
    rows, beats = rhythm(20)
    foreign = np.zeros(20, np.bool_)
    foreign[7] = True
    shape = np.sin(np.linspace(0, 2 * np.pi, DONOR_ROWS)).astype(np.float32)[None]
    found = transplanted(np.random.default_rng(0), rows, beats, foreign, [shape, shape])
    first = beats[7] - DONOR_PEAK
    inside = np.zeros(len(rows), np.bool_)
    inside[first : first + DONOR_ROWS] = True
    np.testing.assert_array_equal(found[~inside], rows[~inside])
    assert np.abs(found[inside] - rows[inside]).max() > 0.3


def test_a_fit_learns_that_early_beats_are_another_class() -> None:
    rows, beats = rhythm(240)
    labels = np.zeros(240, np.int64)
    labels[10::9] = 1
    plan_rr = np.full(240, 0.8)
    plan_rr[10::9] = 0.5
    made = drawn(np.random.default_rng(0), plan_rr, np.full(240, -1))
    made.rr, made.labels = plan_rr, labels
    for array in (made.p_bump, made.tremor):
        array[:] = 0
    made.p_gain[:] = 1
    moved, places = retimed(np.random.default_rng(0), rows, beats, made)
    numbers, windows, features = taken(moved, places)
    assert numbers.tolist() == list(range(240))
    assert not LATE.all()
    sequence = Sequence("101", "MLII", False, windows[:, 0], features[:, 0], labels,
                        np.ones(240, np.float32), places + 300 * RATE_HZ)  # fmt: skip
    plan = Plan(steps=50, batch=8, beats=24, turns=1, average=0.9)
    network = fit([sequence], plan)
    short = replace(plan, steps=3)
    twice = [fit([sequence], short) for _ in range(2)]
    for one, other in zip(*(n.parameters() for n in twice), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    logits = answers(network, sequence, late=False)
    record = {"labels": labels, "beats": sequence.beats, "leads": {"MLII": logits}}
    thresholds = best_thresholds({"101": record})
    assert "101" in table({"101": record}, thresholds)
    p = np.exp(logits)
    answer = said(p / p.sum(axis=1, keepdims=True), thresholds)
    assert (answer[20:] == labels[20:]).mean() > 0.97


def test_figures_count_as_ec57_counts() -> None:
    truth = np.array([2, 2, 2, 0, 3, 1, 1, 4, -1])
    answer = np.array([2, 2, 0, 2, 2, 1, 2, 1, 1])
    veb_se, veb_p, sveb_se, sveb_p = figures(matrix(truth, answer))
    assert veb_se == 200 / 3
    assert veb_p == 50  # 2 of 2 right, N→V and S→V wrong; F→V does not count
    assert sveb_se == 50
    assert sveb_p == 50  # Q→S does not count, a beat that is none does


def test_every_patient_is_held_out_once() -> None:
    assert sorted(name for fold in FOLDS for name in fold) == sorted(DS1)
