"""Clinical figures with their intervals: AUC, sensitivity, specificity, bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import Estimate

Labels = NDArray[np.bool_]
Values = NDArray[np.float64]
Metric = Callable[[Labels, Values], float]


def auc(labels: Labels, scores: Values) -> float:
    """Area under the ROC curve, as the Mann-Whitney statistic with ties counted half.

    Args:
        labels: (n,) True where the finding is there.
        scores: (n,) higher means more likely.

    Returns:
        The area, or NaN where one of the classes is absent.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]  # the mean rank of each group of ties, from 1
    wins = ranks[labels].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def sensitivity(labels: Labels, scores: Values, threshold: float) -> float:
    """Share of the positives at or above the threshold; NaN without positives."""
    return float((scores[labels] >= threshold).mean()) if labels.any() else float("nan")


def specificity(labels: Labels, scores: Values, threshold: float) -> float:
    """Share of the negatives below the threshold; NaN without negatives."""
    return float((scores[~labels] < threshold).mean()) if not labels.all() else float("nan")


def roc(labels: Labels, scores: Values) -> tuple[Values, Values, Values]:
    """False-positive rate, true-positive rate and threshold at every distinct score, descending."""
    thresholds = np.unique(scores)[::-1]
    true = np.array([sensitivity(labels, scores, t) for t in thresholds])
    false = np.array([1 - specificity(labels, scores, t) for t in thresholds])
    return np.append(0.0, false), np.append(0.0, true), np.append(np.inf, thresholds)


def estimate(
    metric: Metric,
    labels: Sequence[Any] | Labels,
    scores: Sequence[float] | Values,
    patients: Sequence[str] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate | None:
    """A figure with its 95 % percentile bootstrap interval, resampling patients, not images.

    Args:
        metric: for example `auc`.
        labels: (n,) True where the finding is there.
        scores: (n,) probabilities.
        patients: (n,) who each image belongs to; each image its own patient where None.
        resamples: number of bootstrap samples; those that lack a class are left out.
        seed: of the generator.

    Returns:
        The estimate with the number of patients, or None where the figure is not defined.
    """
    truth = np.asarray(labels, bool)
    values = np.asarray(scores, np.float64)
    point = metric(truth, values)
    if np.isnan(point):
        return None
    images = _images_of(patients, len(truth))
    found = [
        metric(truth[drawn], values[drawn])
        for drawn in _draws(images, resamples=resamples, seed=seed)
    ]
    return _with_interval(point, found, len(images))


def difference(
    metrics: tuple[Metric, Metric],
    labels: Sequence[Any] | Labels,
    scores: tuple[Values, Values],
    patients: Sequence[str] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate | None:
    """Second minus first, for two models on the same studies, with its paired 95 % interval.

    Both are evaluated on the same bootstrap sample each time, so what makes a sample easy or
    hard cancels out, and the interval tells what the models differ in.

    Args:
        metrics: one for each model; they differ where each has a threshold of its own.
        labels: (n,) the truth.
        scores: (n,) for each model.
        patients: (n,) who each image belongs to; each image its own patient where None.
        resamples: number of bootstrap samples.
        seed: of the generator.

    Returns:
        The estimate with the number of patients, or None where it is not defined.
    """
    truth = np.asarray(labels)
    first, second = (np.asarray(values, np.float64) for values in scores)
    point = metrics[1](truth, second) - metrics[0](truth, first)
    if np.isnan(point):
        return None
    images = _images_of(patients, len(truth))
    found = [
        metrics[1](truth[drawn], second[drawn]) - metrics[0](truth[drawn], first[drawn])
        for drawn in _draws(images, resamples=resamples, seed=seed)
    ]
    return _with_interval(point, found, len(images))


def mean(labels: Any, values: Values) -> float:
    """The mean of a figure that each study has; the labels do not matter."""
    del labels
    return float(values.mean()) if len(values) else float("nan")


def _images_of(patients: Sequence[str] | None, n: int) -> list[NDArray[np.intp]]:
    names = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1]
    return [np.flatnonzero(names == k) for k in range(int(names.max()) + 1)]


def _draws(
    images: list[NDArray[np.intp]], *, resamples: int, seed: int
) -> Iterator[NDArray[np.intp]]:
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([images[k] for k in generator.integers(0, len(images), len(images))])


def _with_interval(point: float, found: Sequence[float], n: int) -> Estimate:
    spread = np.asarray([value for value in found if not np.isnan(value)])
    low, high = np.percentile(spread, [2.5, 97.5]) if len(spread) else (point, point)
    return Estimate(
        value=round(point, 6), low=round(float(low), 6), high=round(float(high), 6), n=n
    )
