"""Clinical figures from rows with a known truth.

Nothing that could not be judged counts in the model's favour: sensitivity is the share of all
films with the finding that were answered `positive`, specificity the share of all films without it
that were answered `negative`. Indeterminate, not analysed and failed count against both. The AUC
needs scores, so it is over the films that have one, and says how many have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_dx import metrics
from edge_dx.manifest import Estimate
from edge_dx.report.rows import Row
from edge_dx.result import Status

_RESAMPLES = 1000


@dataclass(frozen=True)
class Group:
    """Figures of a group of films.

    Attributes:
        name: of the group.
        films, positives: how many, and how many of them have the finding.
        unscored: films without a score, which the AUC leaves out.
        auc, sensitivity, specificity: None where not defined.
        answers: (has the finding, answer) → number of films.
    """

    name: str
    films: int
    positives: int
    unscored: int
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    answers: Counter[tuple[bool, Status]]


def evaluate(name: str, rows: Sequence[Row]) -> Group:
    """Figures with 95 % bootstrap intervals over patients, of rows that have a truth."""
    known = [row for row in rows if row.truth is not None]
    truth = np.array([row.truth.positive for row in known if row.truth], bool)
    patients = [row.truth.patient or row.name for row in known if row.truth]
    scored = np.array([row.score is not None for row in known], bool)
    scores = np.array([row.score if row.score is not None else np.nan for row in known])
    detected = np.array([row.status is Status.POSITIVE for row in known], np.float64)
    suspected = np.array([row.status is not Status.NEGATIVE for row in known], np.float64)

    def figure(metric: metrics.Metric, values: metrics.Values) -> Estimate | None:
        if not known:
            return None
        return metrics.estimate(metric, truth, values, patients, resamples=_RESAMPLES)

    who = [patient for patient, has in zip(patients, scored, strict=True) if has]
    return Group(
        name=name,
        films=len(known),
        positives=int(truth.sum()),
        unscored=int((~scored).sum()),
        auc=metrics.estimate(metrics.auc, truth[scored], scores[scored], who, resamples=_RESAMPLES)
        if scored.any() else None,
        sensitivity=figure(lambda is_, said: metrics.sensitivity(is_, said, 0.5), detected),
        specificity=figure(lambda is_, said: metrics.specificity(is_, said, 0.5), suspected),
        answers=Counter((row.truth.positive, row.status) for row in known if row.truth),
    )  # fmt: skip


def by_source(rows: Sequence[Row]) -> list[Group]:
    """Figures of each source, where there is more than one."""
    names = sorted({row.truth.source for row in rows if row.truth and row.truth.source})
    if len(names) < 2:
        return []
    return [evaluate(n, [r for r in rows if r.truth and r.truth.source == n]) for n in names]


def most_telling(rows: Sequence[Row], limit: int = 24) -> list[tuple[str, Row]]:
    """The films worth a picture, each with why: errors first, then what the model was sure of."""

    def score(row: Row) -> float:
        return row.score if row.score is not None else 0.0

    ranked = sorted(rows, key=lambda row: (-score(row), row.name))
    positive = [row for row in ranked if row.status is Status.POSITIVE]
    negative = [row for row in ranked if row.status is Status.NEGATIVE]
    unsure = [row for row in ranked if row.status is Status.INDETERMINATE]
    declined = [row for row in ranked if not row.status.analysed]
    kinds = [
        ("missed", [row for row in reversed(negative) if row.truth and row.truth.positive]),
        ("false alarm", [row for row in positive if row.truth and not row.truth.positive]),
        ("not analysed", declined),
        ("indeterminate", unsure),
        ("found", [row for row in positive if row.truth and row.truth.positive]),
        ("highest score", [row for row in positive if row.truth is None]),
        ("measured", [row for row in ranked if row.status is Status.MEASURED]),
        ("highest negative", [row for row in negative if not (row.truth and row.truth.positive)]),
    ]
    present = [(why, found) for why, found in kinds if found]
    chosen: list[tuple[str, Row]] = []
    for number, (why, found) in enumerate(present):
        share = -(-(limit - len(chosen)) // (len(present) - number))
        chosen += [(why, row) for row in found[:share]]
    return chosen[:limit]
