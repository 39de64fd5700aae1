"""Many records together: gross and average figures with intervals over patients.

Gross figures pool the counts of all records, so long records and those with many beats weigh more;
average figures are the mean of the records that have the figure (program sumstats). The intervals
are 95 % percentile bootstrap intervals over patients: their records are drawn together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.figures import Figure, figures_for
from edge_dx.ec57.tally import PARTS, Protocol, Tally

RESAMPLES = 2000


@dataclass(frozen=True)
class Value:
    """A figure with its interval. Its mapping stands in it, so that it cannot be told without.

    Attributes:
        figure: its name, as in `figures.FIGURES`.
        mapping: the name of the mapping it was made with.
        value: a share from 0 to 1, or ms; None where it is not defined.
        low: 95 % interval; None where fewer than two patients have the figure.
        high: likewise.
        above: the count above the line; None for averages.
        below: and below it.
        n: records that have the figure.
        patients: whose they are.
    """

    figure: str
    mapping: str
    value: float | None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    n: int = 1
    patients: int = 1


@dataclass(frozen=True)
class Evaluation:
    """All records compared under one protocol.

    Attributes:
        protocol: how.
        tallies: one per record.
        gross: figure by name, all counts pooled.
        average: figure by name, the mean over records.
    """

    protocol: Protocol
    tallies: tuple[Tally, ...]
    gross: dict[str, Value] = field(repr=False)
    average: dict[str, Value] = field(repr=False)

    @property
    def counts(self) -> dict[str, NDArray[np.float64]]:
        """The counts of all records, by the names of `PARTS`."""
        return {name: np.sum([t.counts[name] for t in self.tallies], axis=0) for name in PARTS}

    def of_record(self, tally: Tally) -> dict[str, Value]:
        """One record's figures, without intervals."""
        return {
            figure.name: _pooled(figure, tally.vector, self.protocol.mapping.name)
            for figure in figures_for(self.protocol.mapping)
        }


def evaluate(
    tallies: Sequence[Tally], protocol: Protocol, *, resamples: int = RESAMPLES, seed: int = 0
) -> Evaluation:
    """Makes the figures of records that were compared under one protocol.

    Args:
        tallies: one per record, at least one.
        protocol: the one they were compared under.
        resamples: bootstrap samples.
        seed: of the generator.
    """
    if not tallies:
        raise ValueError("no records")
    vectors = np.stack([tally.vector for tally in tallies])
    patients = np.unique([tally.patient for tally in tallies], return_inverse=True)[1]
    draws = _draws(patients, resamples, seed)
    gross, average = {}, {}
    for figure in figures_for(protocol.mapping):
        each = figure.of(vectors)
        has = ~np.isnan(each)
        told = {"n": int(has.sum()), "patients": len(np.unique(patients[has]))}
        pooled = _pooled(figure, vectors.sum(axis=0), protocol.mapping.name)
        low, high = _interval(figure.of(draws @ vectors), told["patients"])
        gross[figure.name] = Value(
            figure.name, protocol.mapping.name, pooled.value, low, high, pooled.above,
            pooled.below, **told)  # fmt: skip
        weights = draws[:, has]
        with np.errstate(invalid="ignore"):
            means = weights @ each[has] / weights.sum(axis=1)
        low, high = _interval(means, told["patients"])
        average[figure.name] = Value(
            figure.name, protocol.mapping.name, float(each[has].mean()) if has.any() else None,
            low, high, **told)  # fmt: skip
    return Evaluation(protocol, tuple(tallies), gross, average)


def _pooled(figure: Figure, counts: NDArray[np.float64], mapping: str) -> Value:
    found = float(figure.of(counts))
    return Value(
        figure.name,
        mapping,
        None if np.isnan(found) else found,
        above=float(counts @ figure.above),
        below=float(counts @ figure.below),
    )


def _draws(patients: NDArray[np.intp], resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each record is in each sample: (resamples, records)."""
    count = int(patients.max()) + 1
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn[:, patients].astype(np.float64)


def _interval(found: NDArray[np.float64], patients: int) -> tuple[float, float] | tuple[None, None]:
    known = found[~np.isnan(found)]
    if patients < 2 or not len(known):
        return None, None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
