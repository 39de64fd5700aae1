"""One encoding of the model, its thresholds and all that was measured on it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from edge_dx.manifest.stream import Answer, NetworkName
from edge_dx.manifest.words import Count, Estimate, Label, Name, Part, Probability, Text


class Unsure(Part, frozen=True, kw_only=True):
    """A band around the threshold in which the maker wants a person to decide.

    It is stated as people plan: so many of a hundred films come back without a yes or no. The band
    is as wide on either side in log-odds, and the calibration (Platt 1999), fitted to the
    validation set, says what a score at its ends is worth: of so many films with that score so
    many had the finding, where it is as frequent as in that set.

    Attributes:
        band: (low, high) probability of the model inside which the answer is `indeterminate`.
        share: of the validation films that lie inside.
        slope: calibrated log-odds = slope · log-odds of the model + intercept.
        intercept: likewise.
        calibrated: (low, high) calibrated probability at the two ends.
    """

    band: tuple[Probability, Probability]
    share: Probability
    slope: float
    intercept: float
    calibrated: tuple[Probability, Probability]


class OperatingPoint(Part, frozen=True, kw_only=True):
    """Where a probability becomes an answer, for one label of one variant file.

    Attributes:
        name: for example `triage`; of beat networks the answer that it belongs to.
        output: the scores output it reads; of a stream a network's tensor.
        label: the finding.
        threshold: positive at this probability (of a reconstruction: mean squared error) and
            above; of a mask, where a pixel belongs to the label.
        band: (low, high) around the threshold inside which the answer is `indeterminate`;
            its width is the numerical error measured for this variant, not a clinical judgement.
        criterion: how the threshold was chosen, in words.
        sensitivity: measured on the validation set at this threshold with this file; None
            where the maker gave the threshold and nothing was measured here.
        specificity: likewise.
        unsure: a wider band, wanted by the maker; None where there is the numerical one alone.
    """

    name: Name
    output: Name
    label: Label
    threshold: float
    band: tuple[float, float]
    criterion: Text
    sensitivity: Estimate | None
    specificity: Estimate | None
    unsure: Unsure | None = None


class Group(Part, frozen=True, kw_only=True):
    """The same figures for one part of the validation set, for example one site."""

    name: Text
    positives: Count
    negatives: Count
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None


class EngineFigures(Part, frozen=True, kw_only=True):
    """The same file on one engine, measured beside the engine that gave the other figures.

    Attributes:
        version: of the engine.
        max_score_error: largest absolute difference of a probability from the reference.
        decision_flips: studies that this engine answers otherwise than the reference, each with
            the threshold of its own.
        latency_p50_ms: graph only, one image, one thread.
        latency_p90_ms: likewise.
    """

    version: Text
    max_score_error: Annotated[float, Meta(ge=0.0)]
    decision_flips: Count
    latency_p50_ms: float
    latency_p90_ms: float


class Figure(Part, frozen=True, kw_only=True):
    """How well a stream's variant does on recordings with experts' annotations (EC57).

    Attributes:
        of: what was counted, for example `QRS`, `VEB`, `AF duration`.
        measure: for example `sensitivity`, `positive predictivity`.
        answer: which beat network was asked; None where that is no matter.
        data: which recordings.
        value: gross over all recordings, interval over patients, `n` recordings.
    """

    of: Text
    measure: Text
    answer: Answer | None = None
    data: Text
    value: Estimate


class Fidelity(Part, frozen=True, kw_only=True):
    """What was measured for one variant through the runtime that the device uses.

    Attributes:
        reference: what it was compared with, for example `torch 2.13.0 eager, float32`.
        compared_on: which set of inputs.
        n: how many studies.
        max_score_error: largest absolute difference of an answer (a probability; a value in its
            unit) from the reference.
        decision_flips: studies whose side of the threshold differs from the reference's, when
            both use the threshold fitted to their own scores.
        auc: on the validation set.
        auc_difference: from the reference's AUC, paired over the same patients.
        heat_map_agreement: mean correlation of the heat maps with the reference's, over the
            studies that are not negative.
        groups: figures by site or source.
        engines: engine → what it gives with this file.
        latency_p50_ms: graph only, one image, one thread, on the machine named.
        latency_p90_ms: likewise.
        machine: processor on which the latency was measured.
        figures: of a stream.
    """

    reference: Text
    compared_on: Text
    n: Count
    max_score_error: Annotated[float, Meta(ge=0.0)]
    decision_flips: Count
    auc: Estimate | None
    auc_difference: Estimate | None = None
    heat_map_agreement: Estimate | None = None
    groups: tuple[Group, ...] = ()
    engines: dict[Name, EngineFigures] = {}
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    machine: Text = ""
    figures: tuple[Figure, ...] | UnsetType = UNSET


class Wire(Part, frozen=True, kw_only=True):
    """How a tensor of the manifest stands in a variant's file, where the two differ.

    `value = (stored - zero_point) * scale` for a quantized tensor. The engine translates both
    ways, and refuses a file whose own quantization is another.

    Attributes:
        tensor: its name in the file.
        dtype: its type in the file.
        scale: of a quantized tensor; None where the file stores the values themselves.
        zero_point: likewise, 0 where it is not quantized.
        layout: `channels_last` where the file wants (height, width, channels).
        normalised: the file takes an image after the input's `in_graph` steps, which the engine
            runs in its place.
    """

    tensor: Annotated[str, Meta(min_length=1, max_length=256)]
    dtype: Literal["uint8", "int8", "float32"]
    scale: Annotated[float, Meta(gt=0.0)] | None = None
    zero_point: Annotated[int, Meta(ge=-128, le=255)] = 0
    layout: Literal["same", "channels_last"] = "same"
    normalised: bool = False


class NetworkFile(Part, frozen=True, kw_only=True):
    """The file of a stream's network beside the detector.

    Attributes:
        file: the member that holds it. Two answers may share one.
        wires: as `Variant.wires`.
        undelegated: as `Variant.undelegated`.
    """

    file: str
    wires: dict[Name, Wire] = {}
    undelegated: Count = 0


InstructionSet = Literal["avx_vnni", "avx512_vnni", "amx_int8", "asimd"]


class Variant(Part, frozen=True, kw_only=True):
    """One encoding of the model.

    Attributes:
        file: the member that holds it; its digest stands in `members`.
        engines: which engines of edge_dx may run it.
        batch: `any`, or `one` where the file's batch dimension is fixed to 1.
        tolerance: per output, the largest absolute difference from the golden outputs at which
            a device still counts as proved.
        fidelity: None where nothing was measured, for example of a packed file without studies.
        wires: tensor of the manifest → how it stands in the file, where it differs.
        runs_on: a processor needs one of these instruction sets to compute what was measured;
            empty where every processor does. Asked on processors alone, not on GPUs.
        undelegated: operators outside the fast kernels (XNNPACK) that the maker accepted; a
            device that finds more refuses the file.
        identity_tolerance: heat map → tolerance of this file, in place of the heat map's own.
        quantization: how it was made, in words for the reader.
        max_distance: from the training films, of the features of this file; beyond it a study is
            not analysed. Present exactly where the eligibility has a familiarity.
        networks: of a stream, the files of all networks but the detector, which is `file`; those
            and `tolerance`, by tensor, hold for all of them.
    """

    name: Name
    file: str
    format: Literal["onnx", "tflite"]
    precision: Literal["fp32", "fp16", "int8"]
    engines: Annotated[tuple[Name, ...], Meta(min_length=1)]
    batch: Literal["any", "one"]
    tolerance: dict[Name, Annotated[float, Meta(ge=0.0)]]
    operating_points: tuple[OperatingPoint, ...]
    fidelity: Fidelity | None
    wires: dict[Name, Wire] = {}
    runs_on: tuple[InstructionSet, ...] = ()
    undelegated: Count = 0
    identity_tolerance: dict[Name, Annotated[float, Meta(gt=0.0)]] = {}
    quantization: dict[str, Text] = {}
    max_distance: Annotated[float, Meta(gt=0.0)] | None = None
    networks: dict[NetworkName, NetworkFile] | UnsetType = UNSET

    @property
    def files(self) -> tuple[str, ...]:
        """All members that it runs, without repetition."""
        more = () if isinstance(self.networks, UnsetType) else self.networks.values()
        return tuple(dict.fromkeys((self.file, *(network.file for network in more))))
