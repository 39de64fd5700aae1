"""What each exported file is worth, measured through the runtime that the device uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edge_dx.backends import engine_state
from edge_dx.device import processor
from edge_dx.interpret import limits
from edge_dx.manifest import (
    AnyInput,
    AnyOutput,
    EngineFigures,
    Estimate,
    Fidelity,
    Group,
    HeatMap,
    OperatingPoint,
    Part,
    Scores,
    Sha256,
)
from edge_dx.metrics import auc, difference, estimate, mean, sensitivity, specificity
from export.answers import Answers, Floats, answers
from export.clinical import column_of, flips
from export.datasets import Studies
from export.latency import latencies
from export.operating_points import fit_points
from export.running import Arrays, Made, engines_here, open_made, run_each
from export.tolerance import tolerances
from export.vocabulary import RecipeFile


class Figures(Part, frozen=True, kw_only=True):
    """Everything measured for one exported file, bound to its bytes."""

    sha256: Sha256
    operating_points: tuple[OperatingPoint, ...]
    fidelity: Fidelity
    tolerance: dict[str, float]
    identity_tolerance: dict[str, float]


class HeatMapFigures(Part, frozen=True, kw_only=True):
    """What the heat map's manifest entry needs from measurement."""

    scale: tuple[float, float]
    identity_tolerance: float


@dataclass(frozen=True)
class Reference:
    """The module itself on the validation set.

    Attributes:
        name: in words, with its version.
        outputs: output → (N, …).
        answers: what they say.
        points: fitted to them.
    """

    name: str
    outputs: Arrays
    answers: Answers
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Context:
    """What measuring any file needs."""

    told: RecipeFile
    inputs: tuple[AnyInput, ...]
    outputs: tuple[AnyOutput, ...]
    studies: Studies
    reference: Reference


@dataclass(frozen=True)
class Measured:
    """One file on the validation set.

    Attributes:
        made: the file.
        outputs: output → (N, …) of its own engine.
        answers: what they say.
        figures: bound to the file's bytes.
        flipped: (N,) studies that are answered otherwise than by the module.
        p99_ms: of one inference with one thread.
    """

    made: Made
    outputs: Arrays
    answers: Answers
    figures: Figures
    flipped: np.ndarray[Any, np.dtype[np.bool_]]
    p99_ms: float


def reference_of(
    name: str, told: RecipeFile, outputs: tuple[AnyOutput, ...], studies: Studies, values: Arrays
) -> Reference:
    """The module's own answers and thresholds."""
    said = answers(outputs, values, studies.feeds)
    return Reference(name, values, said, fit_points(told, outputs, studies, said, said))


def measure(context: Context, made: Made) -> Measured:
    """Measures one file, on every engine that this workstation has for it."""
    told, studies, reference = context.told, context.studies, context.reference
    names = engines_here(made)
    backends = {name: open_made(made, context.inputs, context.outputs, name) for name in names}
    values = {name: run_each(backend, studies.feeds) for name, backend in backends.items()}
    took = latencies(backends, studies.feeds)
    for backend in backends.values():
        backend.close()
    said = {name: answers(context.outputs, found, studies.feeds) for name, found in values.items()}
    own = made.engine
    others = [said[name] for name in names if name != own]
    points = fit_points(told, context.outputs, studies, said[own], reference.answers, others)
    theirs = (reference.answers, reference.points)
    flipped = {name: flips(context.outputs, theirs, (said[name], points)) for name in names}
    errors = {name: _largest_error(said[name], reference.answers) for name in names}
    primary = _primary(context.outputs, points)
    groups: tuple[Group, ...] = ()
    area = off = None
    if primary is not None:
        column = column_of(context.outputs, primary)
        truth = studies.truth(primary.label)
        scores = said[own][primary.output][:, column]
        area = estimate(auc, truth, scores, studies.patients)
        wanted = reference.answers[primary.output][:, column]
        off = difference((auc, auc), truth, (wanted, scores), studies.patients)
        groups = _groups(studies, truth, scores, primary.threshold)
    agreement = heat_map_correlations(context, values[own])
    figures = Figures(
        sha256=made.sha256,
        operating_points=points,
        tolerance=tolerances(made, context.inputs, values[own], reference.outputs, studies.feeds),
        identity_tolerance=_identity(context.outputs, made, list(values.values())),
        fidelity=Fidelity(
            reference=reference.name,
            compared_on=f"{studies.told.name} (n = {studies.told.n})",
            n=studies.told.n,
            max_score_error=_short(errors[own]),
            decision_flips=int(flipped[own].sum()),
            auc=area,
            auc_difference=off,
            heat_map_agreement=mean_with_interval(agreement, studies),
            groups=groups,
            engines={
                name: EngineFigures(
                    version=engine_state(name)[1],
                    max_score_error=_short(errors[name]),
                    decision_flips=int(flipped[name].sum()),
                    latency_p50_ms=took[name].p50_ms,
                    latency_p90_ms=took[name].p90_ms,
                )
                for name in names
            },
            latency_p50_ms=took[own].p50_ms,
            latency_p90_ms=took[own].p90_ms,
            machine=f"{processor()}, one thread",
        ),
    )
    return Measured(made, values[own], said[own], figures, flipped[own], took[own].p99_ms)


def heat_map_correlations(context: Context, values: Arrays) -> Floats:
    """(N,) Pearson correlation of a file's heat maps with the module's; NaN where not asked.

    Asked are the studies that the module does not call negative: a map of nothing is noise in
    both. Of several maps the least alike one counts.
    """
    n = len(context.studies)
    found: Floats = np.full(n, np.nan)
    reference = context.reference
    for output in context.outputs:
        if not isinstance(output, HeatMap):
            continue
        scores = next(o for o in context.outputs if o.name == output.of)
        assert isinstance(scores, Scores), "the manifest's own check holds this"
        for point in reference.points:
            if point.output != output.of:
                continue
            k = scores.labels.index(point.label)
            shown = reference.answers[output.of][:, k] >= point.threshold
            for i in np.flatnonzero(shown):
                first, second = (
                    side[output.name][i, k].ravel().astype(np.float64)
                    for side in (reference.outputs, values)
                )
                spread = first.std() * second.std()
                alike = (
                    float(((first - first.mean()) * (second - second.mean())).mean() / spread)
                    if spread > 0
                    else float(np.array_equal(first, second))
                )
                found[i] = np.fmin(found[i], alike)
    return found


def mean_with_interval(values: Floats, studies: Studies) -> Estimate | None:
    """The mean over the studies that have a value, with its interval over patients."""
    there = ~np.isnan(values)
    if not there.any():
        return None
    patients = [p for p, asked in zip(studies.patients, there, strict=True) if asked]
    return estimate(mean, np.zeros(there.sum(), bool), values[there], patients)


def heat_maps_of(
    outputs: Sequence[AnyOutput], studies: Studies, reference: Reference
) -> dict[str, HeatMapFigures]:
    """Scale and identity tolerance of each heat map, from the module's own maps.

    The scale's top is the 99.5th percentile of the positives' map maxima, so that one film's
    outlier does not darken all the others; one scale for all variants, because their maps mean
    the same. The tolerance is ten times what float rounding alone was seen to do: other engines
    sum in another order, while a wrong head is off by whole units of the score. Files that round
    more (integer to the borders) carry a tolerance of their own.
    """
    figures = {}
    scores = {o.name: o for o in outputs if isinstance(o, Scores)}
    for output in outputs:
        if not isinstance(output, HeatMap):
            continue
        tops = [
            reference.outputs[output.name][studies.truth(label), k].max(axis=(1, 2))
            for k, label in enumerate(scores[output.of].labels)
        ]
        top = float(np.percentile(np.concatenate(tops), 99.5))
        off = _identity_error(output, reference.outputs)
        figures[output.name] = HeatMapFigures(
            scale=(0.0, max(float(f"{top:.4g}"), 1e-6)),
            identity_tolerance=max(float(f"{10 * off:.2g}"), 1e-4),
        )
    return figures


def _identity_error(
    output: HeatMap, values: Arrays, ends: tuple[float, float] | None = None
) -> float:
    rebuilt = values[output.name].mean((2, 3), dtype=np.float64) + output.bias
    if ends is not None:
        rebuilt = np.clip(rebuilt, *ends)
    return float(np.abs(rebuilt - values[output.of]).max())


def _identity(
    outputs: Sequence[AnyOutput], made: Made, values: Sequence[Arrays]
) -> dict[str, float]:
    """Heat map → tolerance of this file, where it rounds more than the module."""
    found = {}
    for output in outputs:
        if not isinstance(output, HeatMap):
            continue
        wire = made.wires.get(output.of)
        ends = limits(wire) if wire is not None else None
        if ends is not None and wire is not None and wire.scale is not None:
            off = max(_identity_error(output, found_here, ends) for found_here in values)
            # A level of the score may round the other way on another device.
            found[output.name] = float(f"{2 * off + 2 * wire.scale:.2g}")
        elif made.precision != "fp32":  # a head in float16 adds up less exactly
            off = max(_identity_error(output, found_here) for found_here in values)
            found[output.name] = max(float(f"{10 * off:.2g}"), 1e-4)
    return found


def _primary(
    outputs: Sequence[AnyOutput], points: Sequence[OperatingPoint]
) -> OperatingPoint | None:
    """The first point that has an AUC: the first that is not of a mask."""
    maps = {o.name for o in outputs if not isinstance(o, Scores) and hasattr(o, "shape")}
    return next((point for point in points if point.output not in maps), None)


def _largest_error(said: Answers, wanted: Answers) -> float:
    """Largest difference of a probability; where there are only values, of a value."""
    return max(float(np.abs(said[name] - wanted[name]).max()) for name in said)


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _groups(studies: Studies, truth: Any, scores: Floats, threshold: float) -> tuple[Group, ...]:
    names = np.array([row.group or "" for row in studies.rows])
    patients = np.array(studies.patients)
    groups = []
    for name in sorted(set(names) - {""}):
        here = names == name
        t, s, p = truth[here], scores[here], patients[here].tolist()
        groups.append(
            Group(
                name=str(name),
                positives=int(t.sum()),
                negatives=int((~t).sum()),
                auc=estimate(auc, t, s, p),
                sensitivity=estimate(partial(sensitivity, threshold=threshold), t, s, p),
                specificity=estimate(partial(specificity, threshold=threshold), t, s, p),
            )
        )
    return tuple(groups)
