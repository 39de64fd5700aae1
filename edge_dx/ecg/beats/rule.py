"""From the network's logits to a class: thresholds from the bundle's operating points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.events import LABELS, Label

_ORDER: tuple[Label, ...] = ("V", "S", "F", "Q")


class Answer(NamedTuple):
    """What a beat is.

    Attributes:
        label: the class.
        probability: that it is of this class, as the network has it.
    """

    label: Label
    probability: float


def log_probabilities(
    logits: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """One word of several leads: the mean of their log-probabilities, normalised again.

    Args:
        logits: (leads, 5).
        valid: (leads,) which of them had a signal; None for all. If none had, all are heard.

    Returns:
        (5,) log-probabilities in the order of `LABELS`.
    """
    told = np.asarray(logits, np.float64)
    if valid is not None and valid.any():
        told = told[valid]
    mean = _normal(told).mean(axis=0)
    return np.asarray(_normal(mean[None])[0])


def _normal(logits: NDArray[Any]) -> NDArray[np.float64]:
    high = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(high - np.log(np.exp(high).sum(axis=1, keepdims=True)))


@dataclass(frozen=True)
class BeatRule:
    """V where its probability reaches its threshold, else S, F, Q in turn, else N.

    A class without a threshold is never said: F and Q are too rare in what there is to learn from
    to be told on an unseen patient.

    Attributes:
        thresholds: probability by class, each above 0.
    """

    thresholds: Mapping[Label, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label, threshold in self.thresholds.items():
            if label not in _ORDER or not 0 < threshold <= 1:
                raise ValueError(f"no threshold: {label} from {threshold}")

    def __call__(self, log_probabilities: NDArray[np.float64]) -> Answer:
        """The class of a beat, out of (5,) log-probabilities."""
        told = np.exp(log_probabilities)
        for label in _ORDER:
            place = LABELS.index(label)
            if label in self.thresholds and told[place] >= self.thresholds[label]:
                return Answer(label, float(told[place]))
        return Answer("N", float(told[0]))


def unclassifiable(log_probabilities: NDArray[np.float64]) -> Answer:
    """The answer where no beat of the patient has been seen yet: there is nothing to compare with,
    and what the network says then rests on nothing."""
    return Answer("Q", float(np.exp(log_probabilities[LABELS.index("Q")])))
