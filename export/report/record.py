"""The record of an export: everything that a design-history file asks of it, as one JSON file.

It travels in the bundle as `report.json`. The scores of the validation studies are in it, without
names and pictures, so that two bundles can be compared study by study where the data are not.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from edge_dx.manifest import Count, DataSet, Estimate, Name, Part, Sha256, Text
from export.clinical import Comparison
from export.gate_study.record import GateStudy
from export.measure import Figures
from export.scheme import Scheme

FORMAT = 1

GateName = Literal[
    "structure", "parity", "layer noise", "clinical", "size, latency, memory", "heat maps"
]


class Candidate(Part, frozen=True, kw_only=True):
    """One way of quantizing that was tried on the validation set.

    Attributes:
        sqnr_db: signal-to-noise ratio of the answers against the module's.
        latency_p50_ms: of the file, one thread, all candidates taking turns.
        chosen: whether it was taken.
        why: in words.
    """

    scheme: Scheme
    sqnr_db: float
    latency_p50_ms: float
    bytes: Count
    chosen: bool
    why: Text


class LayerNoise(Part, frozen=True, kw_only=True):
    """What quantizing one layer alone does to the answers.

    Attributes:
        layer: in words.
        sqnr_db: signal-to-noise ratio of the answers with this layer alone quantized.
        reverted: whether it went back to float.
    """

    layer: Text
    sqnr_db: float
    reverted: bool = False


class Gate(Part, frozen=True, kw_only=True):
    """One gate that a variant came to.

    Attributes:
        told: what was found against what was asked, in words; what to do where it failed.
    """

    gate: GateName
    passed: bool
    told: Text


class VariantRecord(Part, frozen=True, kw_only=True):
    """All that was decided and measured for one variant.

    Attributes:
        scheme: how it was quantized; None of float files.
        candidates: what was tried, the chosen one among them.
        layers: what each layer alone does.
        comparisons: clinical figures against the module.
        gates: in their order, up to the first that failed.
        flipped: positions of the studies that are answered otherwise than by the module.
        scores: `output/label` → the probability of each study; values and errors likewise.
    """

    name: Name
    sha256: Sha256
    bytes: Count
    scheme: Scheme | None = None
    candidates: tuple[Candidate, ...] = ()
    layers: tuple[LayerNoise, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    gates: tuple[Gate, ...] = ()
    flipped: tuple[Count, ...] = ()
    scores: dict[str, tuple[float, ...]] = {}
    figures: Figures | None = None
    latency_p99_ms: float | None = None
    peak_memory_mb: float | None = None
    lowest_heat_map_correlation: float | None = None

    @property
    def passed(self) -> bool:
        """Whether it came through every gate."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)


class StudyRow(Part, frozen=True, kw_only=True):
    """One study of the validation set, without a name.

    Attributes:
        digest: first 16 hex digits of the SHA-256 of its file.
        patient: number of the patient within this record.
        labels: what it truly carries.
    """

    digest: str
    patient: Count
    group: Text = ""
    labels: tuple[Name, ...] = ()


class Report(Part, frozen=True, kw_only=True):
    """The whole record.

    Attributes:
        measured_on: day of the measurement, UTC.
        reference_scores: the module's own, as in `VariantRecord.scores`.
        reference_thresholds: operating point → the threshold fitted to the module's own scores.
        seeds: what was drawn by chance, and from which seed.
        gate: of some variants, what their gate refuses.
    """

    format: Literal[1] = 1
    name: Name
    version: Text
    measured_on: Text
    machine: Text
    reference: Text
    tools: dict[str, str]
    seeds: dict[str, int]
    recipe_sha256: Sha256
    weights_sha256: Sha256
    calibration: DataSet | None
    validation: DataSet
    leak_check: Text
    studies: tuple[StudyRow, ...]
    reference_scores: dict[str, tuple[float, ...]]
    reference_thresholds: dict[str, float]
    reference_auc: Estimate | None
    variants: tuple[VariantRecord, ...]
    gate: tuple[GateStudy, ...] = ()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edge_dx export record, format {FORMAT}",
        **msgspec.json.schema(Report),
    }


def encode(report: Report) -> bytes:
    """The one byte sequence of a record."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


if __name__ == "__main__":  # python -m export.report.record > docs/report.schema.json
    print(json.dumps(json_schema(), indent=2))
