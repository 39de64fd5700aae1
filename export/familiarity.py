"""Where the features of the training films lie, and how far from them a variant still answers.

`edge_dx.gate.familiarity` says what is computed on the device. Mean and axes come from the
calibration films alone; each variant's limit comes from the validation films and from the half of
the strangers that limits may see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.gate.familiarity import from_bytes, transformed
from edge_dx.manifest import AnyOutput, Features, Part, Text
from export.errors import DataError, RecipeError
from export.golden import npz
from export.vocabulary import FamiliarityPart

Distances = NDArray[np.float64]


class Limit(Part, frozen=True, kw_only=True):
    """How far from the training films a variant still answers.

    Attributes:
        max_distance: chosen.
        covers: distance that accepts the wanted share of the validation films.
        refuses: the largest distance that still refuses the wanted share of each class of
            strangers; None where nothing has to be refused here.
        told: in words.
    """

    max_distance: float
    covers: float
    refuses: float | None
    told: Text


class Known(Part, frozen=True, kw_only=True):
    """What the bundle gets.

    Attributes:
        output: the features output.
        member: `familiarity.npz`, byte for byte.
        limits: variant → its own.
    """

    output: str
    member: bytes
    limits: dict[str, Limit]


def output_of(part: FamiliarityPart, outputs: Sequence[AnyOutput]) -> Features:
    """The features output that a recipe means.

    Raises:
        RecipeError: the model has none of that name, or several and none is named.
    """
    found = [o for o in outputs if isinstance(o, Features) and part.output in (None, o.name)]
    if len(found) != 1:
        raise RecipeError(
            "eligibility.familiarity: needs one output of the kind 'features' (output = NAME where "
            f"there are several); found {len(found)}"
        )
    return found[0]


def fitted(features: NDArray[Any], components: int) -> bytes:
    """The member, of the features `(N, size)` of training films.

    The maximum-likelihood solution of probabilistic PCA: eigenvectors of the covariance, and the
    mean of the variances that remain. Each axis is turned so that its largest entry is positive,
    because eigenvectors have no sign and the bytes should not depend on the library's mood.

    Raises:
        DataError: there are too few films, or nothing remains beside the axes.
    """
    values = transformed(features).astype(np.float64)
    n, size = values.shape
    if components >= min(n - 1, size):
        raise DataError(
            f"eligibility.familiarity: {components} components need more than {components + 1} "
            f"calibration studies and more than {components} features; there are {n} and {size}"
        )
    mean = values.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov((values - mean).T, bias=True))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    rest = float(variances[components:].mean())
    if not rest > 0:
        raise DataError("eligibility.familiarity: the features of the calibration set do not vary")
    axes = vectors[:, :components].T
    peaks = axes[np.arange(components), np.abs(axes).argmax(axis=1)]
    axes *= (np.sign(peaks) * np.sqrt(1 - rest / variances[:components]))[:, None]
    spread = rest**0.5
    arrays = {"axes": axes, "mean": mean / spread, "spread": np.array([spread])}
    return npz({name: values.astype("<f4") for name, values in arrays.items()})


def distances(member: bytes, features: NDArray[Any]) -> Distances:
    """(N) of features `(N, size)`, as the device computes them."""
    familiar = from_bytes(member, "", features.shape[1], float("inf"))
    return np.array([familiar.distance(one) for one in features], np.float64)


def limit_of(
    part: FamiliarityPart, own: Distances, strangers: Mapping[str, tuple[int, Distances]]
) -> Limit:
    """The limit of a variant.

    Args:
        part: the two demands.
        own: distances of the validation films.
        strangers: class → (how many pictures of it there were, distances of those that the looks
            before this one let pass).
    """
    covers = float(np.quantile(own, part.covers, method="higher"))
    ends = []
    for n, found in strangers.values():
        spared = int((1 - part.refuses) * n + 1e-9)  # that many may be answered
        if len(found) > spared:
            ends.append(float(np.sort(found)[spared]))
    refuses = min(ends) if ends else None
    if refuses is None:
        chosen, told = 1.1 * covers, "a tenth above what the validation films need"
    elif refuses > covers:
        chosen = (covers + refuses) / 2
        told = "in the middle between what the validation films need and what strangers allow"
    else:
        chosen = covers
        told = "what the validation films need; more strangers than wanted pass it"
    return Limit(max_distance=round(chosen, 4), covers=round(covers, 4),
                 refuses=None if refuses is None else round(refuses, 4), told=told)  # fmt: skip
