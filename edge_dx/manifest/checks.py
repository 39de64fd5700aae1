"""What the types alone cannot say about a manifest."""

from __future__ import annotations

import math

from msgspec import UnsetType

from edge_dx.errors import MissingOperatingPoint
from edge_dx.manifest.contract import Manifest
from edge_dx.manifest.stream_checks import (
    labels_of,
    require_stream_points,
    stream_problem,
    variant_problem,
)
from edge_dx.manifest.tensors import (
    AnyOutput,
    ArrayInput,
    Features,
    HeatMap,
    ImageInput,
    Mask,
    Reconstruction,
    Scores,
    Values,
    VectorInput,
)
from edge_dx.manifest.variants import OperatingPoint


def contradiction(manifest: Manifest) -> str | None:
    """What the manifest says against itself, or None."""
    outputs = {output.name: output for output in manifest.outputs}
    variants = {variant.name for variant in manifest.variants}
    for what, names in (
        ("output", [o.name for o in manifest.outputs]),
        ("input", [i.name for i in manifest.inputs]),
        ("variant", [v.name for v in manifest.variants]),
        ("golden case", [g.name for g in manifest.golden]),
    ):
        if len(set(names)) != len(names):
            return f"two {what}s have the same name ({', '.join(names)})"
    for output in manifest.outputs:
        if isinstance(output, Scores) and len(set(output.labels)) != len(output.labels):
            return f"output {output.name!r} has two labels of the same name"
    if problem := _field_problem(manifest):
        return problem
    tensors = [t.name for t in (*manifest.inputs, *manifest.outputs)]
    if len(set(tensors)) != len(tensors):
        return "an input and an output have the same name"
    images = [item for item in manifest.inputs if isinstance(item, ImageInput)]
    if len(images) > 1:
        return "schema 1 carries models with at most one image input"
    for output in manifest.outputs:
        if isinstance(output, (HeatMap, Mask)) and not images:
            return f"output {output.name!r} is a map, and the model takes no image"
        if isinstance(output, Reconstruction):
            drawn = next((item for item in manifest.inputs if item.name == output.of), None)
            if not isinstance(drawn, ArrayInput):
                return f"output {output.name!r} draws {output.of!r} again, which is no array input"
        if isinstance(output, HeatMap):
            scores = outputs.get(output.of)
            if not isinstance(scores, Scores):
                return f"heat map {output.name!r} belongs to {output.of!r}, which gives no scores"
            if len(output.bias) != len(scores.labels):
                return f"heat map {output.name!r} has {len(output.bias)} biases for its labels"
            if output.scale[0] >= output.scale[1]:
                return f"heat map {output.name!r} has an empty colour scale"
    if problem := stream_problem(manifest):
        return problem
    streamed = not isinstance(manifest.stream, UnsetType)
    readable = labels_of(manifest)
    likeness = manifest.eligibility.likeness
    if likeness and len(likeness.template) != likeness.side**2:
        return f"the likeness template has {len(likeness.template)} values, not side × side"
    if problem := _gate_problem(manifest):
        return problem
    for variant in manifest.variants if streamed else ():
        if problem := variant_problem(manifest, variant):
            return f"variant {variant.name!r} {problem}"
        for point in variant.operating_points:
            if problem := _point_problem(point, None, readable.get(point.output, ())):
                return f"operating point {point.name!r} of {variant.name!r} {problem}"
    for variant in manifest.variants if not streamed else ():
        if variant.file not in manifest.members:
            return (
                f"variant {variant.name!r} names the member {variant.file!r}, which is not listed"
            )
        if set(variant.tolerance) != set(outputs):
            return f"variant {variant.name!r} must give a tolerance for each output"
        if unknown := set(variant.wires) - set(tensors):
            return f"variant {variant.name!r} has wires for no tensor ({', '.join(unknown)})"
        maps = {output.name for output in manifest.outputs if isinstance(output, HeatMap)}
        if unknown := set(variant.identity_tolerance) - maps:
            return f"variant {variant.name!r}: {', '.join(unknown)} is no heat map"
        for name, wire in variant.wires.items():
            image = next((item for item in images if item.name == name), None)
            if wire.normalised and (image is None or not image.in_graph):
                return f"wire {name!r} of {variant.name!r}: nothing is left to normalise"
        for point in variant.operating_points:
            if problem := _point_problem(point, outputs.get(point.output)):
                return f"operating point {point.name!r} of {variant.name!r} {problem}"
    for case in manifest.golden:
        if set(case.status) != variants:
            return f"golden case {case.name!r} must give a status for each variant"
    if manifest.golden and "golden.npz" not in manifest.members:
        return "golden cases are listed but golden.npz is not among the members"
    return None


def _gate_problem(manifest: Manifest) -> str | None:
    """Why the gate's limits cannot be asked, or None."""
    limits = manifest.eligibility
    if limits.quality and limits.quality.exposure[0] > limits.quality.exposure[1]:
        return "the limits of exposure accept nothing"
    told = limits.familiarity
    if told is not None:
        output = next((o for o in manifest.outputs if o.name == told.output), None)
        if not isinstance(output, Features):
            return f"familiarity reads {told.output!r}, which gives no features"
        if told.file not in manifest.members:
            return f"familiarity names the member {told.file!r}, which is not listed"
    for variant in manifest.variants:
        if (variant.max_distance is None) != (told is None):
            how = "lacks a max_distance" if told else "has a max_distance and nothing to ask it of"
            return f"variant {variant.name!r} {how}"
    return None


def _field_problem(manifest: Manifest) -> str | None:
    """Why the fields of a vector or values tensor cannot be told apart or filled, or None."""
    for tensor in (*manifest.inputs, *manifest.outputs):
        if not isinstance(tensor, (VectorInput, Values)):
            continue
        names = [field.name for field in tensor.fields]
        if len(set(names)) != len(names):
            return f"{tensor.name!r} has two fields of the same name ({', '.join(names)})"
    for item in manifest.inputs:
        for field in item.fields if isinstance(item, VectorInput) else ():
            if not field.low <= field.high:
                return f"field {field.name!r} of {item.name!r} accepts nothing"
    return None


def _point_problem(
    point: OperatingPoint, output: AnyOutput | None, labels: tuple[str, ...] = ()
) -> str | None:
    """Why an operating point cannot be asked, or None.

    Args:
        point: which one.
        output: that it reads; None where it reads a stream's network.
        labels: of the latter.
    """
    if isinstance(output, (Scores, Mask)):
        labels = output.labels
    elif isinstance(output, Reconstruction):
        labels = (output.label,)
    if point.label not in labels:
        return f"reads {point.output!r}/{point.label!r}, which does not exist"
    if not point.band[0] <= point.threshold <= point.band[1]:
        return "lies outside its band"
    if not all(math.isfinite(value) for value in (point.threshold, *point.band)):
        return "has a threshold that is no number"
    unsure = point.unsure
    if unsure is not None and not unsure.band[0] <= point.threshold <= unsure.band[1]:
        return "lies outside the band in which it is unsure"
    if unsure is not None and not isinstance(output, Scores):
        return "is unsure of what is no probability"
    bounds = (0.0, *point.band, 1.0)
    probable = output is None or isinstance(output, (Scores, Mask))
    if probable and list(bounds) != sorted(bounds):
        return "has a threshold that is no probability"
    return None


def require_operating_points(manifest: Manifest) -> None:
    """Makes sure that every variant can turn each of its scores into an answer.

    Raises:
        MissingOperatingPoint: a variant has no threshold for an output that needs one.
    """
    for variant in manifest.variants:
        if not isinstance(manifest.stream, UnsetType):
            require_stream_points(manifest, variant)
            continue
        for output in manifest.outputs:
            asked = {p.label for p in variant.operating_points if p.output == output.name}
            if isinstance(output, Scores):
                missing = output.decision == "threshold" and not asked
            elif isinstance(output, Mask):
                missing = output.activation != "softmax" and asked != set(output.labels)
            else:
                missing = isinstance(output, Reconstruction) and not asked
            if missing:
                raise MissingOperatingPoint(
                    f"manifest.json: variant {variant.name!r} has no operating point for "
                    f"{output.name!r}; thresholds belong to the very variant file, so fit them "
                    "with edge-dx-export and a validation set",
                    "manifest.json",
                )
