"""Raw outputs to findings: probabilities, thresholds, and the heat map that has to add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import HeatMap, Manifest, OperatingPoint, Scores, Variant
from edge_dx.result import Finding, Reason, Status, Why
from edge_dx.tensors import Array


def probabilities(output: Scores, values: Array) -> NDArray[np.float64]:
    """Scores `(N, K)` to probabilities `(N, K)` by the output's activation."""
    scores = values.astype(np.float64)
    if output.activation == "sigmoid":
        # The two forms of the logistic function, each where its exponential cannot overflow.
        small = np.exp(-np.abs(scores))
        result: NDArray[np.float64] = np.where(scores >= 0, 1, small) / (1 + small)
        return result
    if output.activation == "softmax":
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        result = shifted / shifted.sum(axis=1, keepdims=True)
        return result
    return scores


def findings(
    manifest: Manifest, variant: Variant, outputs: Mapping[str, Array], sample: int
) -> tuple[Finding, ...]:
    """The answer at each operating point of the variant, for one sample of a batch."""
    scores = {
        output.name: (output, probabilities(output, outputs[output.name][sample : sample + 1])[0])
        for output in manifest.outputs
        if isinstance(output, Scores)
    }
    found = []
    for point in variant.operating_points:
        output, values = scores[point.output]
        score = float(values[output.labels.index(point.label)])
        found.append(Finding(point.label, score, status_of(score, point), point))
    return tuple(found)


def status_of(score: float, point: OperatingPoint) -> Status:
    """Positive at the threshold and above, indeterminate inside the band around it."""
    if point.band[0] < score < point.band[1]:
        return Status.INDETERMINATE
    return Status.POSITIVE if score >= point.threshold else Status.NEGATIVE


def leading(found: tuple[Finding, ...]) -> Finding:
    """The finding that the result is about: the gravest, among equals the furthest above."""
    gravity = {Status.POSITIVE: 2, Status.INDETERMINATE: 1, Status.NEGATIVE: 0}
    return max(found, key=lambda f: (gravity[f.status], f.score - f.operating_point.threshold))


def integrity_problem(manifest: Manifest, outputs: Mapping[str, Array], sample: int) -> Why | None:
    """Why the outputs cannot be right, or None.

    Every output must be finite, and for each heat map `mean(map) + bias` must equal the score it
    explains: the head is linear, so a difference means that the engine computed something else.
    """
    for name, values in outputs.items():
        # A sum is finite exactly when every term is (or the terms are absurd), at half the price.
        with np.errstate(invalid="ignore"):  # infinity minus infinity is the finding, not a fault
            total = values[sample].sum(dtype=np.float64)
        if not np.isfinite(total):
            return Why(Reason.MODEL_INTEGRITY, f"output {name} is not finite")
    for output in manifest.outputs:
        if not isinstance(output, HeatMap):
            continue
        scores = outputs[output.of][sample]
        rebuilt = outputs[output.name][sample].mean(axis=(1, 2)) + np.asarray(output.bias)
        worst = float(np.abs(rebuilt - scores).max())
        if worst > output.identity_tolerance:
            return Why(
                Reason.MODEL_INTEGRITY,
                f"heat map {output.name} does not add up to {output.of}: off by {worst:.3g}, "
                f"allowed {output.identity_tolerance:.3g}",
            )
    return None
