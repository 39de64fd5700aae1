"""What each exported file is worth, measured through the runtime that the device uses."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from edge_dx.backends import Backend
from edge_dx.device import processor
from edge_dx.interpret import probabilities
from edge_dx.manifest import (
    AnyOutput,
    Fidelity,
    Group,
    HeatMap,
    ImageInput,
    OperatingPoint,
    Part,
    Scores,
    Sha256,
)
from edge_dx.metrics import auc, estimate, sensitivity, specificity
from export.datasets import Studies
from export.operating_points import Chances, fit_points, fit_threshold
from export.recipe import scores_of
from export.running import Arrays, open_file, run_each
from export.tolerance import tolerances
from export.vocabulary import RecipeFile

_BLOCKS, _WARM_UP, _RUNS = 5, 10, 100


class Figures(Part, frozen=True, kw_only=True):
    """Everything measured for one exported file, bound to its bytes."""

    sha256: Sha256
    operating_points: tuple[OperatingPoint, ...]
    fidelity: Fidelity
    tolerance: dict[str, float]


class HeatMapFigures(Part, frozen=True, kw_only=True):
    """What the heat map's manifest entry needs from measurement."""

    scale: tuple[float, float]
    identity_tolerance: float


def measure(
    told: RecipeFile,
    image: ImageInput,
    outputs: tuple[AnyOutput, ...],
    files: Mapping[str, bytes],
    digests: Mapping[str, str],
    studies: Studies,
    expected: Arrays,
) -> tuple[dict[str, Figures], dict[str, HeatMapFigures]]:
    """Measures all variants on the validation set.

    Args:
        told: the recipe.
        image: the graph's input.
        outputs: the graph's outputs.
        files: variant → bytes of the file.
        digests: variant → its SHA-256.
        studies: the validation set.
        expected: the module's own outputs for it.

    Returns:
        Variant → figures, and heat map → figures over all variants.
    """
    backends = {name: open_file(raw, name, image, outputs) for name, raw in files.items()}
    found = {name: run_each(backend, studies.images) for name, backend in backends.items()}
    latency = latencies(backends, studies.images[:1])
    truths = {
        label: studies.truth(label)
        for output in outputs
        if isinstance(output, Scores)
        for label in output.labels
    }
    wanted = _chances(outputs, expected)
    figures = {}
    for name, values in found.items():
        chances = _chances(outputs, values)
        error = {key: float(np.abs(chances[key] - wanted[key]).max()) for key in chances}
        points = fit_points(told, truths, chances, wanted, studies.patients)
        primary = points[0]
        column = _column(outputs, primary)
        scores, truth = chances[primary.output][:, column], truths[primary.label]
        figures[name] = Figures(
            sha256=digests[name],
            operating_points=points,
            tolerance=tolerances(name, files[name], values, studies.images),
            fidelity=Fidelity(
                reference=f"torch {torch.__version__.split('+')[0]} eager, float32",
                compared_on=f"{studies.told.name} (n = {studies.told.n})",
                n=studies.told.n,
                max_score_error=float(f"{max(error.values()):.3g}"),
                decision_flips=_flips(told, outputs, truths, points, chances, wanted),
                auc=estimate(auc, truth, scores, studies.patients),
                groups=_groups(studies, truth, scores, primary.threshold),
                latency_p50_ms=latency[name][0],
                latency_p90_ms=latency[name][1],
                machine=f"{processor()}, one thread",
            ),
        )
    for backend in backends.values():
        backend.close()
    return figures, _heat_maps(outputs, truths, found)


def latencies(
    backends: Mapping[str, Backend], feed: np.ndarray[Any, Any]
) -> dict[str, tuple[float, float]]:
    """Median and 90th percentile in ms per image and thread.

    The variants take turns, so that whatever else the machine does meets all of them alike; of
    several blocks the least disturbed one counts, by the sum of the medians.
    """
    blocks = []
    for _ in range(_BLOCKS):
        took: dict[str, list[int]] = {name: [] for name in backends}
        for turn in range(_WARM_UP + _RUNS):
            for name, backend in backends.items():
                before = time.perf_counter_ns()
                backend.run({backend.inputs[0].name: feed})
                if turn >= _WARM_UP:
                    took[name].append(time.perf_counter_ns() - before)
        blocks.append({name: np.percentile(times, [50, 90]) for name, times in took.items()})
    quiet = min(blocks, key=lambda block: sum(float(p50) for p50, _ in block.values()))
    return {
        name: (round(float(p50) / 1e6, 4), round(float(p90) / 1e6, 4))
        for name, (p50, p90) in quiet.items()
    }


def _chances(outputs: Sequence[AnyOutput], values: Arrays) -> dict[str, Chances]:
    return {
        output.name: probabilities(output, values[output.name])
        for output in outputs
        if isinstance(output, Scores)
    }


def _column(outputs: Sequence[AnyOutput], point: OperatingPoint) -> int:
    scores = next(o for o in outputs if isinstance(o, Scores) and o.name == point.output)
    return scores.labels.index(point.label)


def _flips(
    told: RecipeFile,
    outputs: Sequence[AnyOutput],
    truths: Mapping[str, Any],
    points: Sequence[OperatingPoint],
    chances: Mapping[str, Chances],
    wanted: Mapping[str, Chances],
) -> int:
    """Studies whose side of any threshold differs from torch's, each with its own threshold."""
    flipped: Any = False
    for rule, point in zip(told.operating_points, points, strict=True):
        column = _column(outputs, point)
        name = scores_of(told, rule).name
        theirs = fit_threshold(rule, truths[point.label], wanted[name][:, column])
        mine = chances[name][:, column] >= point.threshold
        flipped = flipped | (mine != (wanted[name][:, column] >= theirs))
    return int(np.sum(flipped))


def _groups(studies: Studies, truth: Any, scores: Chances, threshold: float) -> tuple[Group, ...]:
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


def _heat_maps(
    outputs: Sequence[AnyOutput], truths: Mapping[str, Any], found: Mapping[str, Arrays]
) -> dict[str, HeatMapFigures]:
    """Scale and identity tolerance of each heat map.

    The scale's top is the 99.5th percentile of the positives' map maxima in the first (most
    exact) variant, so that one film's outlier does not darken all the others; one scale for all
    variants, because their maps mean the same. The tolerance is ten times what float rounding
    alone was seen to do in any variant: other engines sum in another order, while a wrong head
    is off by whole units of the score.
    """
    figures = {}
    scores = {o.name: o for o in outputs if isinstance(o, Scores)}
    first = next(iter(found.values()))
    for output in outputs:
        if not isinstance(output, HeatMap):
            continue
        tops = [
            first[output.name][truths[label], k].max(axis=(1, 2))
            for k, label in enumerate(scores[output.of].labels)
        ]
        top = float(np.percentile(np.concatenate(tops), 99.5))
        off = max(
            float(np.abs(v[output.name].mean((2, 3)) + output.bias - v[output.of]).max())
            for v in found.values()
        )
        figures[output.name] = HeatMapFigures(
            scale=(0.0, max(float(f"{top:.4g}"), 1e-6)),
            identity_tolerance=max(float(f"{10 * off:.2g}"), 1e-4),
        )
    return figures
