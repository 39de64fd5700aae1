"""Clinical figures against counting by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import metrics

Array = np.ndarray[Any, Any]

cases = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), max_size=25
)


def arrays(found: list[tuple[bool, float]]) -> tuple[Array, Array]:
    return (np.array([y for y, _ in found], bool), np.array([s for _, s in found], float))


@settings(max_examples=200, deadline=None, database=None)
@given(found=cases)
def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half(
    found: list[tuple[bool, float]],
) -> None:
    labels, scores = arrays(found)
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0
             for p in scores[labels] for n in scores[~labels]]  # fmt: skip
    area = metrics.auc(labels, scores)
    if pairs:
        assert area == pytest.approx(sum(pairs) / len(pairs))
        assert metrics.auc(~labels, -scores) == pytest.approx(area)
    else:
        assert math.isnan(area)


@settings(max_examples=100, deadline=None, database=None)
@given(found=cases, threshold=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 1.1]))
def test_sensitivity_and_specificity_count(
    found: list[tuple[bool, float]], threshold: float
) -> None:
    labels, scores = arrays(found)
    hits = [s >= threshold for y, s in found if y]
    clear = [s < threshold for y, s in found if not y]
    for value, counted in (
        (metrics.sensitivity(labels, scores, threshold), hits),
        (metrics.specificity(labels, scores, threshold), clear),
    ):
        if counted:
            assert value == pytest.approx(sum(counted) / len(counted))
        else:
            assert math.isnan(value)


@settings(max_examples=60, deadline=None, database=None)
@given(found=cases)
def test_the_area_under_the_curve_is_the_area_under_the_curve(
    found: list[tuple[bool, float]],
) -> None:
    labels, scores = arrays(found)
    if labels.all() or not labels.any():
        return
    false, true, thresholds = metrics.roc(labels, scores)
    assert (false[0], true[0], thresholds[0]) == (0, 0, np.inf)
    assert (false[-1], true[-1]) == (1, 1)
    area = ((false[1:] - false[:-1]) * (true[1:] + true[:-1]) / 2).sum()
    assert area == pytest.approx(metrics.auc(labels, scores))


@pytest.fixture(scope="module")
def study() -> tuple[Array, Array]:
    generator = np.random.default_rng(3)
    labels = generator.random(80) < 0.4
    return labels, generator.normal(labels * 1.2, 1)


def test_an_interval_contains_its_value_and_narrows_with_more_studies(
    study: tuple[Array, Array],
) -> None:
    labels, scores = study
    one = metrics.estimate(metrics.auc, labels, scores, resamples=400)
    four = metrics.estimate(metrics.auc, np.tile(labels, 4), np.tile(scores, 4), resamples=400)
    assert one
    assert four
    for found in (one, four):
        assert found.low < found.value < found.high
        assert found.value == pytest.approx(metrics.auc(labels, scores), abs=1e-6)
    assert one.n == 80
    assert four.high - four.low < 0.7 * (one.high - one.low)


def test_the_interval_is_near_the_formula_of_hanley_and_mcneil(
    study: tuple[Array, Array],
) -> None:
    labels, scores = study
    found = metrics.estimate(metrics.auc, labels, scores, resamples=1000)
    assert found
    area, p, n = found.value, labels.sum(), (~labels).sum()
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = math.sqrt(
        (area * (1 - area) + (p - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (p * n)
    )
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.25)


def test_the_same_seed_gives_the_same_interval(study: tuple[Array, Array]) -> None:
    def interval(seed: int) -> Any:
        return metrics.estimate(metrics.auc, *study, resamples=100, seed=seed)

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


def test_patients_are_drawn_and_not_images(study: tuple[Array, Array]) -> None:
    labels, scores = np.repeat(study[0], 6), np.repeat(study[1], 6)
    patients = [f"p{i}" for i in np.repeat(np.arange(80), 6)]
    by_image = metrics.estimate(metrics.auc, labels, scores, resamples=300)
    by_patient = metrics.estimate(metrics.auc, labels, scores, patients, resamples=300)
    assert by_image
    assert by_patient
    assert by_patient.n == 80
    assert by_image.n == 480
    assert by_patient.value == by_image.value
    # Six copies of each film carry no more than one does.
    assert by_patient.high - by_patient.low > 1.7 * (by_image.high - by_image.low)


def test_what_is_not_defined_is_none() -> None:
    for labels in ([], [True], [False, False]):
        scores = [0.5] * len(labels)
        assert metrics.estimate(metrics.auc, labels, scores, resamples=10) is None


def test_samples_that_lack_a_class_are_left_out() -> None:
    found = metrics.estimate(metrics.auc, [True, False], [0.9, 0.1], resamples=50)
    assert found
    assert (found.low, found.value, found.high) == (1, 1, 1)
