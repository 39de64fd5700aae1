"""The manifest itself, with what it tells of proof, origin and limits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from edge_dx.errors import ManifestError
from edge_dx.manifest.eligibility import Eligibility
from edge_dx.manifest.stream import Stream
from edge_dx.manifest.tensors import AnyInput, AnyOutput
from edge_dx.manifest.variants import Variant
from edge_dx.manifest.words import Count, Name, Part, Positive, Sha256, Text


class GoldenCase(Part, frozen=True, kw_only=True):
    """One raw input of `golden.npz` and the status that each variant must answer.

    The raw pixels or values are the array `raw/<name>`, or `raw/<name>/<input>` for each of
    several inputs; the expected tensors are `<variant>/<name>/<output>`. A case that the gate
    refuses has no expected tensors.
    """

    name: Name
    what: Text
    modality: str | None
    photometric: Literal["MONOCHROME1", "MONOCHROME2", "RGB"]
    status: dict[Name, Literal["positive", "negative", "indeterminate", "measured", "not_analysed"]]
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
    """What the recipe allows on the device; None where it sets no limit.

    Attributes:
        file_mb: of one variant's file.
        total_mb: of all variants' files together.
    """

    latency_p99_ms: float | None = None
    peak_memory_mb: float | None = None
    file_mb: float | None = None
    total_mb: float | None = None


class Member(Part, frozen=True, kw_only=True):
    """Digest and size of one member of the archive."""

    sha256: Sha256
    bytes: Count


class Manifest(Part, frozen=True, kw_only=True):
    """The whole contract. `members` lists every member but the manifest and its signature.

    `stream` is there where the input is a waveform (task `ecg`), and nowhere else.
    """

    schema_version: Positive
    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    task: Literal["classification", "segmentation", "regression", "anomaly", "ecg"]
    title: Text
    intended_use: Text
    licence: Text
    inputs: Annotated[tuple[AnyInput, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[AnyOutput, ...], Meta(min_length=1)]
    eligibility: Eligibility
    variants: Annotated[tuple[Variant, ...], Meta(min_length=1)]
    golden: tuple[GoldenCase, ...]
    provenance: Provenance
    budget: Budget
    members: dict[str, Member]
    stream: Stream | UnsetType = UNSET

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
