"""What a score is worth, and the band around a threshold in which a person shall decide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import Unsure

Floats = NDArray[np.float64]
Truth = np.ndarray[Any, np.dtype[np.bool_]]

_ROUNDS = 100


def platt(truth: Truth, chances: Floats) -> tuple[float, float]:
    """Slope and intercept of calibrated log-odds on the model's log-odds.

    Platt 1999 with his targets (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2), which keep a perfect
    separation from calling itself certain; solved by Newton's method with step halving after Lin,
    Lin and Weng 2007 (Machine Learning 68:267).

    Args:
        truth: (n,) True where the finding is there.
        chances: (n,) probabilities of the model.
    """
    x = log_odds(chances)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([x, np.ones_like(x)], 1)
    found = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (p - target)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while size > 1e-10 and _loss(design, target, found - size * step) > _loss(
            design, target, found
        ):
            size /= 2
        found = found - size * step
        if float(np.abs(slope).max()) < 1e-9 or size <= 1e-10:
            break
    return float(found[0]), float(found[1])


def fit_unsure(share: float, threshold: float, truth: Truth, chances: Floats) -> Unsure:
    """The band that holds this share of the films: those nearest to the threshold in log-odds.

    Its ends lie halfway between the last film inside and the first one outside. It is as wide on
    both sides, because the calibration is a straight line in log-odds: equally far is equally sure.

    Args:
        share: of the films that shall lie inside; at least one film does.
        threshold: of the operating point.
        truth: (n,) True where the finding is there.
        chances: (n,) probabilities of the model.
    """
    n = len(chances)
    inside = min(max(1, round(share * n)), n)
    centre = float(log_odds(np.array(threshold)))
    away = np.sort(np.abs(log_odds(chances) - centre))
    reach = float(away[inside - 1] + away[min(inside, n - 1)]) / 2
    slope, intercept = platt(truth, chances)
    ends = centre - reach, centre + reach
    low, high = (_chance(end) for end in ends)
    worth = sorted(_chance(slope * end + intercept) for end in ends)
    return Unsure(
        band=(low, high),
        share=round(float(((chances > low) & (chances < high)).mean()), 6),
        slope=round(slope, 6),
        intercept=round(intercept, 6),
        calibrated=(round(worth[0], 4), round(worth[1], 4)),
    )


def log_odds(chances: Floats) -> Floats:
    """Log-odds of probabilities, finite at 0 and 1."""
    clipped = np.clip(chances, 1e-12, 1 - 1e-12)
    result: Floats = np.log(clipped / (1 - clipped))
    return result


def _chance(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def _loss(design: Floats, target: Floats, found: Floats) -> float:
    """Cross-entropy, written so that no exponential overflows."""
    z = design @ found
    return float((np.logaddexp(0, z) - target * z).sum())
