"""The manifest: the closed vocabulary of the contract between workstation and device.

`manifest.json` is one JSON object of the type `Manifest` below. Unknown keys are refused, a newer
schema is refused, and `parse` checks what types alone cannot say: every name that is referred to
exists, and every variant that gives scores has operating points of its own, because quantization
moves the scores and a threshold belongs to the very file it was fitted on.

The JSON Schema in `docs/manifest.schema.json` is generated from these types, the prose is in
`docs/bundle-format.md`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge_dx.errors import ManifestError, SchemaTooNew
from edge_dx.manifest.checks import contradiction, require_operating_points
from edge_dx.manifest.contract import Budget, DataSet, GoldenCase, Manifest, Member, Provenance
from edge_dx.manifest.eligibility import Eligibility, Familiarity, Likeness, Quality, Rules
from edge_dx.manifest.graphs import Tensor, answers_of, as_model, file_of, tensors_of
from edge_dx.manifest.stream import (
    AnyNetwork,
    BeatNetwork,
    Beats,
    Episodes,
    Facts,
    GoldenSignal,
    PeakNetwork,
    RhythmNetwork,
    StatePair,
    Stream,
    WaveformInput,
    Window,
)
from edge_dx.manifest.tensors import (
    AnyInput,
    AnyOutput,
    ArrayInput,
    Features,
    HeatMap,
    ImageInput,
    Mask,
    Reconstruction,
    Scores,
    ValueField,
    Values,
    VectorField,
    VectorInput,
)
from edge_dx.manifest.variants import (
    EngineFigures,
    Fidelity,
    Figure,
    Group,
    InstructionSet,
    NetworkFile,
    OperatingPoint,
    Unsure,
    Variant,
    Wire,
)
from edge_dx.manifest.words import (
    Count,
    Estimate,
    Label,
    Name,
    Part,
    Positive,
    Probability,
    Sha256,
    Text,
)

__all__ = [
    "SCHEMA_VERSION",
    "AnyInput",
    "AnyNetwork",
    "AnyOutput",
    "ArrayInput",
    "BeatNetwork",
    "Beats",
    "Budget",
    "Count",
    "DataSet",
    "Eligibility",
    "EngineFigures",
    "Episodes",
    "Estimate",
    "Facts",
    "Familiarity",
    "Features",
    "Fidelity",
    "Figure",
    "GoldenCase",
    "GoldenSignal",
    "Group",
    "HeatMap",
    "ImageInput",
    "InstructionSet",
    "Label",
    "Likeness",
    "Manifest",
    "Mask",
    "Member",
    "Name",
    "NetworkFile",
    "OperatingPoint",
    "Part",
    "PeakNetwork",
    "Positive",
    "Probability",
    "Provenance",
    "Quality",
    "Reconstruction",
    "RhythmNetwork",
    "Rules",
    "Scores",
    "Sha256",
    "StatePair",
    "Stream",
    "Tensor",
    "Text",
    "Unsure",
    "ValueField",
    "Values",
    "Variant",
    "VectorField",
    "VectorInput",
    "WaveformInput",
    "Window",
    "Wire",
    "answers_of",
    "as_model",
    "encode",
    "file_of",
    "json_schema",
    "parse",
    "tensors_of",
]  # fmt: skip

SCHEMA_VERSION = 1
"""Raised whenever a reader of the version before could misread the manifest."""


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
    problem = contradiction(manifest)
    if problem:
        raise ManifestError(f"{member}: {problem}; export the bundle again", member)
    require_operating_points(manifest)
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
