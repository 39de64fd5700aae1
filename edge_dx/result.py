"""What a model answers: frozen values, and the closed lists of statuses and reasons.

"Could not look" is never "negative": a study that was not judged has the status `not_analysed`
(the model declined, for the reasons given) or `failed` (something broke), and no score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import OperatingPoint


class Status(str, Enum):
    """The six answers there are. `measured`: a value without a threshold that judges it."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    INDETERMINATE = "indeterminate"
    MEASURED = "measured"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"

    __str__ = str.__str__

    @property
    def analysed(self) -> bool:
        """Whether the model judged the study."""
        return self not in (Status.NOT_ANALYSED, Status.FAILED)


class Reason(str, Enum):
    """Why a study was not analysed, or what else the reader of an answer must know."""

    MODALITY = "modality"
    SOP_CLASS = "sop_class"
    BODY_PART = "body_part"
    VIEW = "view"
    AGE = "age"
    FOR_PROCESSING = "for_processing"
    TRANSFER_SYNTAX = "transfer_syntax"
    FRAMES = "frames"
    FORMAT = "format"
    COLOUR = "colour"
    RESOLUTION = "resolution"
    REGION = "region"
    TOO_LARGE = "too_large"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    BLANK = "blank"
    CLIPPED = "clipped"
    UNDER_EXPOSED = "under_exposed"
    OVER_EXPOSED = "over_exposed"
    BLUR = "blur"
    FIELD = "field"
    BURNED_IN_TEXT = "burned_in_text"
    INVERTED = "inverted"
    UNLIKE_TRAINING = "unlike_training"
    NEAR_THRESHOLD = "near_threshold"
    MISSING_INPUT = "missing_input"
    UNKNOWN_INPUT = "unknown_input"
    OUT_OF_RANGE = "out_of_range"
    UNREADABLE = "unreadable"
    MODEL_INTEGRITY = "model_integrity"
    ENGINE = "engine"
    MISSING_PACKAGE = "missing_package"
    STALE_FRAME = "stale_frame"
    INTERNAL = "internal"
    PRETEND_ENGINE = "pretend_engine"

    __str__ = str.__str__


@dataclass(frozen=True)
class Why:
    """A reason code with the sentence that a person reads."""

    code: Reason
    detail: str


@dataclass(frozen=True)
class Finding:
    """The answer for one label at one operating point."""

    label: str
    score: float
    status: Status
    operating_point: OperatingPoint


@dataclass(frozen=True)
class HeatMapImage:
    """Where the evidence for a label lies, in the score's own unit.

    Attributes:
        label: whose evidence.
        values: (height, width) float32 grid over the prepared image, read-only;
            `edge_dx.overlay` draws it on the study.
        scale: values at the bottom and the top of the colour scale, fixed for the model.
    """

    label: str
    values: NDArray[np.float32] = field(repr=False)
    scale: tuple[float, float]


@dataclass(frozen=True)
class MaskImage:
    """Where a label lies.

    Attributes:
        label: what was looked for.
        values: (height, width) bool grid over the prepared image, read-only.
        share: of the grid that belongs to the label.
        threshold: probability at which a cell does; None where the likeliest label wins.
    """

    label: str
    values: NDArray[np.bool_] = field(repr=False)
    share: float
    threshold: float | None

    def runs(self) -> list[int]:
        """Run lengths of the grid row by row, beginning with cells that do not belong."""
        flat = np.concatenate([[False], self.values.ravel(), [not self.values.ravel()[-1]]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        starts = np.concatenate([[0], ends[:-1]])
        lengths: list[int] = (ends - starts).tolist()
        return lengths


@dataclass(frozen=True)
class Value:
    """A measured quantity in its unit."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class TimingMs:
    """Milliseconds of a monotonic clock. `total` is from the call to the result."""

    read: float = 0.0
    prepare: float = 0.0
    infer: float = 0.0
    interpret: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Result:
    """The answer to one study, with all that is needed to reproduce it.

    Attributes:
        status: the answer. Ask `status` before anything else.
        label: the finding that the answer is about; None where nothing was analysed.
        score: its probability; None where nothing was analysed.
        operating_point: the threshold used, with its measured sensitivity and specificity.
        findings: the answer for each operating point of the variant.
        probabilities: label → probability of the model's scores.
        reasons: why the study was not analysed, or what else to know about the answer.
        heat_map: for positive and indeterminate answers of models that give one.
        assumed: what the file did not say and was taken for granted.
        file: the study's path, or None for arrays.
        bundle, bundle_digest, variant, engine, signer: what answered; signer is None where the
            bundle is unsigned.
        input_digest: SHA-256 of the image file's bytes or of the image array; of any other input
            over the digests of its parts. None where not all of it could be read.
        timing_ms: where the time went.
        masks: where each label of a mask output lies.
        values: the quantities of a values output.
        engine_digest: SHA-256 of the engine that was compiled on this device, or None where the
            engine reads the bundle's file as it is.
    """

    status: Status
    label: str | None
    score: float | None
    operating_point: OperatingPoint | None
    findings: tuple[Finding, ...]
    probabilities: Mapping[str, float]
    reasons: tuple[Why, ...]
    heat_map: HeatMapImage | None
    assumed: tuple[str, ...]
    file: str | None
    bundle: str
    bundle_digest: str
    variant: str
    engine: str
    signer: str | None
    input_digest: str | None
    timing_ms: TimingMs
    masks: tuple[MaskImage, ...] = ()
    values: tuple[Value, ...] = ()
    engine_digest: str | None = None

    @property
    def threshold(self) -> float | None:
        """The operating point's threshold, or None where nothing was analysed."""
        return self.operating_point.threshold if self.operating_point else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        The heat map stands as a grid with its scale; a mask as run lengths, row by row, beginning
        with the cells that do not belong to the label.
        """
        point = self.operating_point
        heat = self.heat_map
        return {
            "file": self.file,
            "status": self.status.value,
            "label": self.label,
            "score": self.score,
            "threshold": self.threshold,
            "operating_point": point.name if point else None,
            "variant": self.variant,
            "engine": self.engine,
            "reasons": [why.code.value for why in self.reasons],
            "details": [why.detail for why in self.reasons],
            "probabilities": dict(self.probabilities),
            "findings": [
                {"label": f.label, "score": f.score, "status": f.status.value,
                 "operating_point": f.operating_point.name,
                 "threshold": f.operating_point.threshold}
                for f in self.findings
            ],
            "heat_map": None if heat is None else {
                "label": heat.label, "scale": list(heat.scale),
                "values": np.round(heat.values.astype(np.float64), 5).tolist(),
            },
            "masks": [
                {"label": m.label, "shape": list(m.values.shape), "share": round(m.share, 6),
                 "threshold": m.threshold, "runs": m.runs()}
                for m in self.masks
            ],
            "values": [{"name": v.name, "value": v.value, "unit": v.unit} for v in self.values],
            "assumed": list(self.assumed),
            "bundle": self.bundle,
            "bundle_digest": self.bundle_digest,
            "signature": self.signer or "unsigned",
            "engine_digest": self.engine_digest,
            "input_digest": self.input_digest,
            "timing_ms": {
                name: round(getattr(self.timing_ms, name), 3)
                for name in ("read", "prepare", "infer", "interpret", "total")
            },
        }  # fmt: skip

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __repr__(self) -> str:
        told = [f"Result: {self.status.value}"]
        if self.score is not None and self.operating_point is not None:
            told.append(
                f"{self.label} {self.score:.3f} (threshold {self.operating_point.threshold:.3f}, "
                f"{self.operating_point.name})"
            )
        elif self.score is not None:
            told.append(f"{self.label} {self.score:.3f}")
        told += [f"{v.name} {v.value:.4g} {v.unit}".rstrip() for v in self.values]
        told += [f"{m.label} on {m.share:.1%} of the image" for m in self.masks]
        told += [f"{why.code.value}: {why.detail}" for why in self.reasons]
        told.append(f"{self.bundle}/{self.variant} on {self.engine}")
        told.append(f"signed by {self.signer}" if self.signer else "UNSIGNED bundle")
        if self.timing_ms.total:
            told.append(f"{self.timing_ms.total:.1f} ms")
        return f"<{'; '.join(told)}>"
