"""The manifest: the closed vocabulary of the contract between workstation and device.

`manifest.json` is one JSON object of the type `Manifest` below. Unknown keys are refused, a newer
schema is refused, and `parse` checks what types alone cannot say: every name that is referred to
exists, and every variant that gives scores has operating points of its own, because quantization
moves the scores and a threshold belongs to the very file it was fitted on.

The JSON Schema in `docs/manifest.schema.json` is generated from these types, the prose is in
`docs/bundle-format.md`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_dx.errors import ManifestError, MissingOperatingPoint, SchemaTooNew
from edge_dx.steps import AnyStep, Normalise

SCHEMA_VERSION = 1
"""Raised whenever a reader of the version before could misread the manifest."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(max_length=20_000)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all parts of the manifest: frozen values, closed to unknown keys."""


class Estimate(Part, frozen=True, kw_only=True):
    """A measured figure with its 95 % bootstrap interval (over patients) and sample size."""

    value: float
    low: float
    high: float
    n: Count


class ImageInput(Part, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """An image input of the graph and how a study becomes it.

    Attributes:
        name: the tensor's name in every variant.
        shape: (channels, height, width); the batch dimension stands before it.
        dtype: of the tensor that the graph takes.
        unit: what one grey level means.
        prepare: steps run by `edge_dx.image` before the graph.
        in_graph: steps that the exporter folded into the graph, told for the reader; never run.
    """

    name: Name
    shape: tuple[Positive, Positive, Positive]
    dtype: Literal["uint8", "float32"]
    unit: Text
    prepare: tuple[AnyStep, ...]
    in_graph: tuple[Normalise, ...] = ()


class Scores(Part, frozen=True, kw_only=True, tag="scores", tag_field="kind"):
    """One number per label; `activation` turns them into probabilities."""

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]


class HeatMap(Part, frozen=True, kw_only=True, tag="heatmap", tag_field="kind"):
    """A class activation map per label of the scores `of`, in the scores' own unit.

    With a linear head behind global average pooling, `mean(map) + bias == score` holds for each
    label; the runtime checks it within `identity_tolerance` on every inference.

    Attributes:
        shape: (height, width) of the map's grid.
        scale: the values drawn as the bottom and the top of the colour scale, the same for
            every picture.
    """

    name: Name
    of: Name
    shape: tuple[Positive, Positive]
    bias: tuple[float, ...]
    scale: tuple[float, float]
    identity_tolerance: Annotated[float, Meta(gt=0.0)]


class Features(Part, frozen=True, kw_only=True, tag="features", tag_field="kind"):
    """The pooled feature vector in front of the head, `size` numbers."""

    name: Name
    size: Positive


AnyOutput = Scores | HeatMap | Features


class Likeness(Part, frozen=True, kw_only=True):
    """A coarse picture of what the model knows; a study that does not correlate is not analysed.

    Attributes:
        side: the template is `side` × `side`, rows first, zero mean and unit norm.
        template: mean of the training films at that size.
        min_correlation: Pearson correlation below which the study is refused.
    """

    side: Annotated[int, Meta(ge=4, le=64)]
    template: tuple[float, ...]
    min_correlation: Annotated[float, Meta(ge=-1.0, le=1.0)]


class Eligibility(Part, frozen=True, kw_only=True):
    """What a study must be for the model to judge it.

    Header rules apply where the header says something; what is absent is assumed, and the result
    lists the assumption. An empty tuple accepts anything.

    Attributes:
        modalities: DICOM modality codes, for example `CR`, `DX`.
        body_parts: DICOM body part terms, for example `CHEST`.
        views: DICOM view positions, for example `PA`.
        min_side_px: shortest accepted image side, in pixels.
        max_aspect: longest side over shortest side.
        min_contrast: standard deviation of the grey levels over the full range of the data.
        max_clipped: share of pixels at one or other end of the data's range.
        max_colour: mean absolute difference between colour channels, over the full range.
        likeness: coarse likeness to the training films, or None to skip that check.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    min_side_px: Count = 0
    max_aspect: Annotated[float, Meta(ge=1.0)] = 100.0
    min_contrast: Probability = 0.0
    max_clipped: Probability = 1.0
    max_colour: Probability = 1.0
    likeness: Likeness | None = None


class OperatingPoint(Part, frozen=True, kw_only=True):
    """Where a probability becomes an answer, for one label of one variant file.

    Attributes:
        name: for example `triage`.
        output: the scores output it reads.
        label: the finding.
        threshold: positive at this probability and above.
        band: (low, high) around the threshold inside which the answer is `indeterminate`;
            its width is the numerical error measured for this variant, not a clinical judgement.
        criterion: how the threshold was chosen, in words.
        sensitivity: measured on the validation set at this threshold with this file.
        specificity: likewise.
    """

    name: Name
    output: Name
    label: Name
    threshold: Probability
    band: tuple[Probability, Probability]
    criterion: Text
    sensitivity: Estimate
    specificity: Estimate


class Group(Part, frozen=True, kw_only=True):
    """The same figures for one part of the validation set, for example one site."""

    name: Text
    positives: Count
    negatives: Count
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None


class Fidelity(Part, frozen=True, kw_only=True):
    """What was measured for one variant through the runtime that the device uses.

    Attributes:
        reference: what it was compared with, for example `torch 2.13.0 eager, float32`.
        compared_on: which set of inputs.
        n: how many studies.
        max_score_error: largest absolute difference of a probability from the reference.
        decision_flips: studies whose side of the threshold differs from the reference's, when
            both use the threshold fitted to their own scores.
        auc: on the validation set.
        groups: figures by site or source.
        latency_p50_ms: graph only, one image, one thread, on the machine named.
        latency_p90_ms: likewise.
        machine: processor on which the latency was measured.
    """

    reference: Text
    compared_on: Text
    n: Count
    max_score_error: Annotated[float, Meta(ge=0.0)]
    decision_flips: Count
    auc: Estimate | None
    groups: tuple[Group, ...] = ()
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    machine: Text = ""


class Variant(Part, frozen=True, kw_only=True):
    """One encoding of the model.

    Attributes:
        file: the member that holds it; its digest stands in `members`.
        engines: which engines of edge_dx may run it.
        batch: `any`, or `one` where the file's batch dimension is fixed to 1.
        tolerance: per output, the largest absolute difference from the golden outputs at which
            a device still counts as proved.
    """

    name: Name
    file: str
    format: Literal["onnx"]
    precision: Literal["fp32", "int8"]
    engines: Annotated[tuple[Name, ...], Meta(min_length=1)]
    batch: Literal["any", "one"]
    tolerance: dict[Name, Annotated[float, Meta(ge=0.0)]]
    operating_points: tuple[OperatingPoint, ...]
    fidelity: Fidelity


class GoldenCase(Part, frozen=True, kw_only=True):
    """One raw input of `golden.npz` and the status that each variant must answer.

    The raw pixels are the array `raw/<name>`, the expected tensors `<variant>/<name>/<output>`;
    a case that the gate refuses has no expected tensors.
    """

    name: Name
    what: Text
    modality: str | None
    photometric: Literal["MONOCHROME1", "MONOCHROME2", "RGB"]
    status: dict[Name, Literal["positive", "negative", "indeterminate", "not_analysed"]]
    reasons: tuple[str, ...] = ()


class DataSet(Part, frozen=True, kw_only=True):
    """A set of studies by its digest (SHA-256 over the sorted SHA-256 of its files)."""

    name: Text
    n: Count
    sha256: Sha256
    classes: dict[str, Count]


class Provenance(Part, frozen=True, kw_only=True):
    """Where the bundle came from, enough to make it again."""

    factory: Text
    weights_sha256: Sha256
    recipe_sha256: Sha256
    tools: dict[str, str]
    calibration: DataSet | None
    validation: DataSet | None
    training: DataSet | None
    quantization: dict[str, str] = {}


class Budget(Part, frozen=True, kw_only=True):
    """What the recipe allows on the device; None where it sets no limit."""

    latency_p99_ms: float | None = None
    peak_memory_mb: float | None = None
    file_mb: float | None = None


class Member(Part, frozen=True, kw_only=True):
    """Digest and size of one member of the archive."""

    sha256: Sha256
    bytes: Count


class Manifest(Part, frozen=True, kw_only=True):
    """The whole contract. `members` lists every member but the manifest and its signature."""

    schema_version: Positive
    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    task: Literal["classification"]
    title: Text
    intended_use: Text
    licence: Text
    inputs: Annotated[tuple[ImageInput, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[AnyOutput, ...], Meta(min_length=1)]
    eligibility: Eligibility
    variants: Annotated[tuple[Variant, ...], Meta(min_length=1)]
    golden: tuple[GoldenCase, ...]
    provenance: Provenance
    budget: Budget
    members: dict[str, Member]

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            ManifestError: there is none; the message lists those there are.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = ", ".join(v.name for v in self.variants)
        raise ManifestError(f"bundle {self.name} has no variant {name!r}; it has: {names}")


class _SchemaOnly(msgspec.Struct):
    schema_version: int


def parse(raw: bytes) -> Manifest:
    """Reads and checks `manifest.json`.

    Raises:
        SchemaTooNew: written for a newer edge_dx.
        ManifestError: not JSON, an unknown or missing key, a wrong type, a dangling name.
        MissingOperatingPoint: a variant that gives scores has no threshold.
    """
    member = "manifest.json"
    try:
        version = msgspec.json.decode(raw, type=_SchemaOnly).schema_version
        if version > SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{member}: schema {version} is newer than this edge_dx reads "
                f"({SCHEMA_VERSION}); update edge_dx, or ask for the bundle in an older schema",
                member,
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ManifestError(
            f"{member}: {error}; export the bundle again, or compare with docs/bundle-format.md",
            member,
        ) from error
    problem = _contradiction(manifest)
    if problem:
        raise ManifestError(f"{member}: {problem}; export the bundle again", member)
    _require_operating_points(manifest)
    return manifest


def encode(manifest: Manifest) -> bytes:
    """The one byte sequence of a manifest: keys in the order of the types, two-space indent."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `manifest.json`."""
    schema = msgspec.json.schema(Manifest)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edge_dx bundle manifest, schema {SCHEMA_VERSION}",
        **schema,
    }


def _contradiction(manifest: Manifest) -> str | None:
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
    if len(manifest.inputs) != 1:
        return "schema 1 carries models with exactly one image input"
    for output in manifest.outputs:
        if isinstance(output, HeatMap):
            scores = outputs.get(output.of)
            if not isinstance(scores, Scores):
                return f"heat map {output.name!r} belongs to {output.of!r}, which gives no scores"
            if len(output.bias) != len(scores.labels):
                return f"heat map {output.name!r} has {len(output.bias)} biases for its labels"
            if output.scale[0] >= output.scale[1]:
                return f"heat map {output.name!r} has an empty colour scale"
    likeness = manifest.eligibility.likeness
    if likeness and len(likeness.template) != likeness.side**2:
        return f"the likeness template has {len(likeness.template)} values, not side × side"
    for variant in manifest.variants:
        if variant.file not in manifest.members:
            return (
                f"variant {variant.name!r} names the member {variant.file!r}, which is not listed"
            )
        if set(variant.tolerance) != set(outputs):
            return f"variant {variant.name!r} must give a tolerance for each output"
        for point in variant.operating_points:
            scores = outputs.get(point.output)
            if not isinstance(scores, Scores) or point.label not in scores.labels:
                return (
                    f"operating point {point.name!r} of {variant.name!r} reads "
                    f"{point.output!r}/{point.label!r}, which does not exist"
                )
            if not point.band[0] <= point.threshold <= point.band[1]:
                return f"operating point {point.name!r} of {variant.name!r} lies outside its band"
    for case in manifest.golden:
        if set(case.status) != variants:
            return f"golden case {case.name!r} must give a status for each variant"
    if manifest.golden and "golden.npz" not in manifest.members:
        return "golden cases are listed but golden.npz is not among the members"
    return None


def _require_operating_points(manifest: Manifest) -> None:
    for variant in manifest.variants:
        for output in manifest.outputs:
            if not isinstance(output, Scores) or output.activation == "none":
                continue
            if not any(point.output == output.name for point in variant.operating_points):
                raise MissingOperatingPoint(
                    f"manifest.json: variant {variant.name!r} has no operating point for "
                    f"{output.name!r}; thresholds belong to the very variant file, so fit them "
                    "with edge-dx-export and a validation set",
                    "manifest.json",
                )
        if not variant.operating_points:
            raise MissingOperatingPoint(
                f"manifest.json: variant {variant.name!r} has no operating point, so it can give "
                "no answer; fit one with edge-dx-export and a validation set",
                "manifest.json",
            )


if __name__ == "__main__":  # python -m edge_dx.manifest > docs/manifest.schema.json
    print(json.dumps(json_schema(), indent=2))
