"""Thresholds, fitted for one variant file on its own scores.

Int8 moves the scores, so a threshold belongs to the file it was fitted on. It is set halfway
between the last score on its positive side and the next one below: on a study's own score it
would decide that study by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_dx.manifest import AnyOutput, Mask, OperatingPoint
from edge_dx.metrics import estimate, sensitivity, specificity
from export.answers import Answers
from export.calibration import fit_unsure, log_odds
from export.clinical import cut, dice, truth_on
from export.datasets import Studies
from export.errors import DataError
from export.recipe import labels_of, scores_of
from export.vocabulary import PointPart, RecipeFile, ScoresPart

_LEAST_HALF_BAND = 1e-6
"""Half width of the band where the measured error is below what float32 scores can tell apart."""

Truth = np.ndarray[Any, np.dtype[np.bool_]]
Chances = np.ndarray[Any, np.dtype[np.float64]]


def fit_threshold(rule: PointPart, truth: Truth, chances: Chances, top: float = 1.0) -> float:
    """The threshold by the rule; positive is at or above it.

    Args:
        rule: one of `sensitivity`, `specificity`, `youden`.
        truth: (n,) True where the finding is there.
        chances: (n,) probabilities of this variant, or errors of a reconstruction.
        top: the largest value that there can be.

    Raises:
        DataError: one of the classes is absent.
    """
    if truth.all() or not truth.any():
        raise DataError(
            f"operating point {rule.name!r}: the validation set has no studies "
            f"{'without' if truth.all() else 'with'} {rule.label!r}, so no threshold can be fitted"
        )
    levels = np.unique(chances)  # ascending
    lower = np.concatenate([[0.0], levels[:-1]])
    candidates = np.append((levels + lower) / 2, (levels[-1] + top) / 2)
    sens = np.array([sensitivity(truth, chances, t) for t in candidates])
    spec = np.array([specificity(truth, chances, t) for t in candidates])
    if rule.sensitivity is not None:  # the highest threshold that still reaches it
        chosen = candidates[sens >= rule.sensitivity].max()
    elif rule.specificity is not None:
        chosen = candidates[spec >= rule.specificity].min()
    else:
        chosen = candidates[np.argmax(sens + spec)]
    return float(chosen)


def band(threshold: float, chances: Chances, wanted: Chances) -> tuple[float, float]:
    """The probabilities around the threshold that this variant's numerical error can move over it.

    The error is the largest seen on any study, in probability and in log-odds. Both bounds hold
    for every study measured, so the tighter one is taken: far from one half a probability moves
    less than the same error of the score moves it in the middle.

    Args:
        threshold: fitted for this variant.
        chances: (n,) probabilities of this variant.
        wanted: (n,) the same of torch.
    """
    plain = max(float(np.abs(chances - wanted).max()), _LEAST_HALF_BAND)
    odds = float(np.abs(log_odds(chances) - log_odds(wanted)).max())
    centre = float(log_odds(np.array(threshold)))
    low, high = (float(1 / (1 + np.exp(-(centre + move)))) for move in (-odds, odds))
    return (
        min(max(0.0, threshold - plain, low), max(0.0, threshold - _LEAST_HALF_BAND)),
        max(min(1.0, threshold + plain, high), min(1.0, threshold + _LEAST_HALF_BAND)),
    )


def criterion(rule: PointPart) -> str:
    """The rule in words."""
    if rule.sensitivity is not None:
        return f"highest threshold with sensitivity >= {rule.sensitivity:g} on the validation set"
    if rule.specificity is not None:
        return f"lowest threshold with specificity >= {rule.specificity:g} on the validation set"
    return "largest sensitivity + specificity on the validation set (Youden)"


def fit_points(
    told: RecipeFile,
    outputs: Sequence[AnyOutput],
    studies: Studies,
    found: Answers,
    wanted: Answers,
    elsewhere: Sequence[Answers] = (),
) -> tuple[OperatingPoint, ...]:
    """Fits every operating point of the recipe for one variant, and one for each mask label.

    Args:
        told: the recipe.
        outputs: of the manifest.
        studies: the validation set.
        found: answers of this variant.
        wanted: the same of the module.
        elsewhere: answers of this variant on other engines; the band covers their error too.
    """
    points = []
    for rule in told.operating_points:
        output = scores_of(told, rule)
        column = labels_of(output).index(rule.label)
        values, reference = found[output.name][:, column], wanted[output.name][:, column]
        truth = studies.truth(rule.label)
        is_chance = isinstance(output, ScoresPart)
        top = 1.0 if is_chance else float(2 * values.max())
        threshold = fit_threshold(rule, truth, values, top)
        sens = estimate(partial(sensitivity, threshold=threshold), truth, values, studies.patients)
        spec = estimate(partial(specificity, threshold=threshold), truth, values, studies.patients)
        assert sens is not None, "both classes are there, or no threshold was fitted"
        assert spec is not None
        everywhere = np.concatenate([values, *(a[output.name][:, column] for a in elsewhere)])
        repeated = np.tile(reference, 1 + len(elsewhere))
        off = float(np.abs(everywhere - repeated).max())
        points.append(
            OperatingPoint(
                name=rule.name,
                output=output.name,
                label=rule.label,
                threshold=threshold,
                band=band(threshold, everywhere, repeated)
                if is_chance
                else (threshold - off, threshold + off),
                criterion=criterion(rule),
                sensitivity=sens,
                specificity=spec,
                unsure=fit_unsure(rule.indeterminate, threshold, truth, values)
                if is_chance and rule.indeterminate
                else None,
            )
        )
    for drawn in outputs:
        if isinstance(drawn, Mask):
            points += [_mask_point(drawn, label, studies, found) for label in drawn.labels]
    return tuple(points)


def _mask_point(output: Mask, label: str, studies: Studies, found: Answers) -> OperatingPoint:
    """Where a pixel belongs to a label: the cut with the highest mean Dice on the set."""
    threshold, how = 0.5, "one half; the set has no masks of this label"
    if output.activation == "softmax":
        how = "the likeliest label of each pixel; the threshold is not asked"
    elif label in studies.masks:
        truth = truth_on(output, studies, label)
        overlaps = {
            cutoff: float(dice(truth, cut(output, found[output.name], label, cutoff)).mean())
            for cutoff in np.round(np.arange(0.05, 1.0, 0.05), 2).tolist()
        }
        threshold = max(overlaps, key=lambda cutoff: (overlaps[cutoff], -abs(cutoff - 0.5)))
        how = f"highest mean Dice on the validation set ({overlaps[threshold]:.3f})"
    return OperatingPoint(
        name=f"mask-{label}"[:64], output=output.name, label=label, threshold=threshold,
        band=(threshold, threshold), criterion=how, sensitivity=None, specificity=None,
    )  # fmt: skip
