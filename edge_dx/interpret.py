"""Raw outputs to findings: probabilities, thresholds, and the heat map that has to add up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import (
    HeatMap,
    Manifest,
    Mask,
    OperatingPoint,
    Reconstruction,
    Scores,
    Values,
    Variant,
    Wire,
)
from edge_dx.result import Finding, MaskImage, Reason, Status, Value, Why
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


def reconstruction_error(output: Reconstruction, feeds: Mapping[str, Array], drawn: Array) -> float:
    """Mean squared difference between an input `(1, …)` and how it was drawn again."""
    off = drawn.astype(np.float64) - feeds[output.of].astype(np.float64)
    return float(np.square(off).mean())


def findings(
    manifest: Manifest,
    variant: Variant,
    outputs: Mapping[str, Array],
    sample: int,
    feeds: Mapping[str, Array],
) -> tuple[Finding, ...]:
    """The answer at each operating point of the variant, for one sample of a batch.

    Args:
        manifest: the contract.
        variant: whose thresholds.
        outputs: output → (N, …).
        sample: which of the batch.
        feeds: input → (1, …) of that sample.
    """
    by_name = {output.name: output for output in manifest.outputs}
    found = []
    for point in variant.operating_points:
        output = by_name[point.output]
        raw = outputs[output.name][sample : sample + 1]
        if isinstance(output, Scores):
            score = float(probabilities(output, raw)[0, output.labels.index(point.label)])
        elif isinstance(output, Reconstruction):
            score = reconstruction_error(output, feeds, raw)
        else:
            continue  # a mask's point cuts pixels, it gives no answer
        found.append(Finding(point.label, score, status_of(score, point), point))
    return tuple(found)


def masks(
    manifest: Manifest, variant: Variant, outputs: Mapping[str, Array], sample: int
) -> tuple[MaskImage, ...]:
    """Where each label of the mask outputs lies; the first label of a softmax is background."""
    found = []
    for output in manifest.outputs:
        if not isinstance(output, Mask):
            continue
        raw = outputs[output.name][sample]
        if output.activation == "softmax":
            top = raw.argmax(axis=0)
            drawn: list[tuple[str, Array, float | None]] = [
                (label, top == k, None) for k, label in enumerate(output.labels) if k
            ]
        else:
            spelt = Scores(name=output.name, labels=output.labels, activation=output.activation)
            chances = probabilities(spelt, raw.reshape(len(raw), -1).T).T.reshape(raw.shape)
            cuts = {p.label: p.threshold for p in variant.operating_points
                    if p.output == output.name}  # fmt: skip
            drawn = [
                (label, chances[k] >= cuts[label], cuts[label])
                for k, label in enumerate(output.labels)
            ]
        for label, values, threshold in drawn:
            values.flags.writeable = False
            found.append(MaskImage(label, values, float(values.mean()), threshold))
    return tuple(found)


def values(manifest: Manifest, outputs: Mapping[str, Array], sample: int) -> tuple[Value, ...]:
    """The quantities of the values outputs, in their units."""
    return tuple(
        Value(item.name, float(raw) * item.scale + item.offset, item.unit)
        for output in manifest.outputs
        if isinstance(output, Values)
        for item, raw in zip(output.fields, outputs[output.name][sample], strict=True)
    )


def likeliest(
    manifest: Manifest, outputs: Mapping[str, Array], sample: int
) -> tuple[str, float] | None:
    """Label and probability of the first scores whose decision is the likeliest label."""
    for output in manifest.outputs:
        if isinstance(output, Scores) and output.decision == "top1":
            chances = probabilities(output, outputs[output.name][sample : sample + 1])[0]
            k = int(chances.argmax())
            return output.labels[k], float(chances[k])
    return None


def status_of(score: float, point: OperatingPoint) -> Status:
    """Positive at the threshold and above, indeterminate inside a band around it."""
    if undecided(score, point) is not None:
        return Status.INDETERMINATE
    return Status.POSITIVE if score >= point.threshold else Status.NEGATIVE


def undecided(score: float, point: OperatingPoint) -> Why | None:
    """Which band around the threshold a score lies in, or None.

    The band of the variant's numerical error is told first: another device may decide such a study
    otherwise. The maker's own band, where there is one, is a matter of judgement.
    """
    low, high = point.band
    if low < score < high:
        told = f"{score:.4f} lies within the numerical error of this variant"
        return Why(Reason.NEAR_THRESHOLD, f"{told} ({low:.4f} to {high:.4f})")
    unsure = point.unsure
    if unsure is not None and unsure.band[0] < score < unsure.band[1]:
        (low, high), worth = unsure.band, unsure.calibrated
        return Why(
            Reason.NEAR_THRESHOLD,
            f"{score:.4f} lies in the band in which a person decides ({low:.4f} to {high:.4f}, "
            f"{unsure.share:.1%} of the validation films; calibrated there, between "
            f"{worth[0]:.0%} and {worth[1]:.0%} of such films had the finding)",
        )
    return None


def leading(found: tuple[Finding, ...]) -> Finding:
    """The finding that the result is about: the gravest, among equals the furthest above."""
    gravity = {Status.POSITIVE: 2, Status.INDETERMINATE: 1, Status.NEGATIVE: 0}
    return max(found, key=lambda f: (gravity[f.status], f.score - f.operating_point.threshold))


def integrity_problem(
    manifest: Manifest, variant: Variant, outputs: Mapping[str, Array], sample: int
) -> Why | None:
    """Why the outputs cannot be right, or None.

    Every output must be finite, and for each heat map `mean(map) + bias` must equal the score it
    explains: the head is linear, so a difference means that the engine computed something else.
    A quantized score saturates, so there the sum is cut off where the score's levels end.
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
        wire = variant.wires.get(output.of)
        ends = limits(wire) if wire is not None else None
        if ends is not None:
            rebuilt = np.clip(rebuilt, *ends)
        worst = float(np.abs(rebuilt - scores).max())
        allowed = variant.identity_tolerance.get(output.name, output.identity_tolerance)
        if worst > allowed:
            return Why(
                Reason.MODEL_INTEGRITY,
                f"heat map {output.name} does not add up to {output.of}: off by {worst:.3g}, "
                f"allowed {allowed:.3g}",
            )
    return None


def limits(wire: Wire) -> tuple[float, float] | None:
    """The lowest and the highest value that a quantized tensor can hold; None for any."""
    if wire.scale is None:
        return None
    ends = np.iinfo(wire.dtype)
    low, high = ((end - wire.zero_point) * wire.scale for end in (ends.min, ends.max))
    return float(low), float(high)
