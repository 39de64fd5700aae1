"""Is a variant as good as the module? Clinical figures, paired and with their intervals.

Both judge the same studies, each at the threshold that was fitted to its own scores, and the
bootstrap resamples patients. A variant is not inferior where the lower end of the interval of the
difference stays above minus the recipe's margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from edge_dx import metrics
from edge_dx.manifest import (
    AnyOutput,
    Estimate,
    Mask,
    OperatingPoint,
    Part,
    Scores,
    Values,
)
from export.answers import Answers, Floats
from export.datasets import Studies
from export.vocabulary import GatesPart


class Comparison(Part, frozen=True, kw_only=True):
    """One figure of the module and of a variant.

    Attributes:
        figure: for example `triage: sensitivity`.
        reference: of the module.
        variant: of the file.
        difference: variant minus reference, the sign turned where less is better, so that
            below zero is worse; paired 95 % interval.
        margin: how far below zero the interval may reach.
    """

    figure: str
    reference: float
    variant: float
    difference: Estimate
    margin: float

    @property
    def passed(self) -> bool:
        """Whether the variant is not inferior."""
        return self.difference.low >= -self.margin


def column_of(outputs: Sequence[AnyOutput], point: OperatingPoint) -> int:
    """Where an operating point's label stands among its output's."""
    output = next(o for o in outputs if o.name == point.output)
    return output.labels.index(point.label) if isinstance(output, (Scores, Mask)) else 0


def compare(
    outputs: Sequence[AnyOutput],
    studies: Studies,
    reference: tuple[Answers, Sequence[OperatingPoint]],
    variant: tuple[Answers, Sequence[OperatingPoint]],
    gates: GatesPart,
) -> tuple[Comparison, ...]:
    """All clinical figures that the outputs have.

    Args:
        outputs: of the manifest.
        studies: the validation set.
        reference: the module's answers and the points fitted to them.
        variant: the file's.
        gates: the margins.
    """
    found: list[Comparison | None] = []
    judged: set[tuple[str, str]] = set()
    for mine, theirs in zip(variant[1], reference[1], strict=True):
        output = next(o for o in outputs if o.name == mine.output)
        if isinstance(output, Mask):
            found.append(_dice(output, studies, reference, variant, mine, theirs, gates))
            continue
        column = column_of(outputs, mine)
        truth = studies.truth(mine.label)
        scores = reference[0][mine.output][:, column], variant[0][mine.output][:, column]
        add = partial(_paired, truth, scores, studies.patients)
        if (mine.output, mine.label) not in judged:
            judged.add((mine.output, mine.label))
            areas = (metrics.auc, metrics.auc)
            found.append(add(f"{mine.label}: AUC", areas, gates.auc_margin))
        for name, metric, margin in (
            ("sensitivity", metrics.sensitivity, gates.sensitivity_margin),
            ("specificity", metrics.specificity, gates.specificity_margin),
        ):
            pair = [partial(metric, threshold=p.threshold) for p in (theirs, mine)]
            found.append(add(f"{mine.name}: {name}", pair, margin))
    for output in outputs:
        if isinstance(output, Scores) and output.decision == "top1":
            found.append(_accuracy(output, studies, reference[0], variant[0], gates))
        elif isinstance(output, Values):
            found += _errors(output, studies, reference[0], variant[0], gates)
    return tuple(comparison for comparison in found if comparison is not None)


def flips(
    outputs: Sequence[AnyOutput],
    reference: tuple[Answers, Sequence[OperatingPoint]],
    variant: tuple[Answers, Sequence[OperatingPoint]],
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) studies that are answered otherwise, each file at thresholds of its own."""
    n = len(next(iter(reference[0].values())))
    flipped = np.zeros(n, bool)
    for mine, theirs in zip(variant[1], reference[1], strict=True):
        if isinstance(next(o for o in outputs if o.name == mine.output), Mask):
            continue  # pixels are compared by their overlap
        column = column_of(outputs, mine)
        above = variant[0][mine.output][:, column] >= mine.threshold
        flipped |= above != (reference[0][mine.output][:, column] >= theirs.threshold)
    for output in outputs:
        if isinstance(output, Scores) and output.decision == "top1":
            first, second = (side[0][output.name].argmax(axis=1) for side in (reference, variant))
            flipped |= first != second
    return flipped


def dice(wanted: Any, found: Any) -> Floats:
    """(N,) overlap of boolean maps (N, H, W): 2 |A ∩ B| / (|A| + |B|), 1 where both are empty."""
    both = (wanted & found).sum(axis=(1, 2))
    total = wanted.sum(axis=(1, 2)) + found.sum(axis=(1, 2))
    result: Floats = np.where(total == 0, 1.0, 2 * both / np.maximum(total, 1))
    return result


def cut(output: Mask, chances: Floats, label: str, threshold: float) -> Any:
    """(N, H, W) where a label is drawn."""
    column = output.labels.index(label)
    if output.activation == "softmax":
        return chances.argmax(axis=1) == column
    return chances[:, column] >= threshold


def truth_on(output: Mask, studies: Studies, label: str) -> Any:
    """(N, H, W) the true mask on the output's grid."""
    import cv2

    height, width = output.shape
    drawn = studies.masks[label]
    return np.stack(
        [
            cv2.resize(one.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
            for one in drawn
        ]
    )


def _paired(
    truth: Any,
    scores: tuple[Floats, Floats],
    patients: Sequence[str],
    figure: str,
    pair: Any,
    margin: float,
) -> Comparison | None:
    off = metrics.difference(pair, truth, scores, patients)
    if off is None:
        return None
    return Comparison(
        figure=figure,
        reference=round(float(pair[0](truth, scores[0])), 6),
        variant=round(float(pair[1](truth, scores[1])), 6),
        difference=off,
        margin=margin,
    )


def _means(
    studies: Studies, first: Floats, second: Floats, figure: str, margin: float
) -> Comparison | None:
    nothing = np.zeros(len(first), bool)
    return _paired(
        nothing, (first, second), studies.patients, figure, (metrics.mean, metrics.mean), margin
    )


def _dice(
    output: Mask,
    studies: Studies,
    reference: tuple[Answers, Any],
    variant: tuple[Answers, Any],
    mine: OperatingPoint,
    theirs: OperatingPoint,
    gates: GatesPart,
) -> Comparison | None:
    if mine.label not in studies.masks:
        return None
    truth = truth_on(output, studies, mine.label)
    first, second = (
        dice(truth, cut(output, side[0][output.name], mine.label, point.threshold))
        for side, point in ((reference, theirs), (variant, mine))
    )
    return _means(studies, first, second, f"{mine.label}: Dice", gates.dice_margin)


def _accuracy(
    output: Scores, studies: Studies, reference: Answers, variant: Answers, gates: GatesPart
) -> Comparison | None:
    first, second = (
        np.array(
            [
                output.labels[k] in row.labels
                for k, row in zip(side[output.name].argmax(axis=1), studies.rows, strict=True)
            ],
            np.float64,
        )
        for side in (reference, variant)
    )
    return _means(studies, first, second, f"{output.name}: accuracy", gates.accuracy_margin)


def _errors(
    output: Values, studies: Studies, reference: Answers, variant: Answers, gates: GatesPart
) -> list[Comparison | None]:
    found = []
    for column, item in enumerate(output.fields):
        if item.name not in studies.values:
            continue
        truth = studies.values[item.name]
        # Turned round, so that below zero is worse here as everywhere.
        first, second = (
            -np.abs(side[output.name][:, column] - truth) for side in (reference, variant)
        )
        margin = gates.error_margin.get(item.name, 0.0)
        name = f"{item.name}: minus mean absolute error [{item.unit}]"
        found.append(_means(studies, first, second, name, margin))
    return found
