"""The vocabulary of a pack description: every key that may stand in the TOML file, typed.

Paths of golden files are relative to the description and lie below its directory.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_dx.manifest import (
    AnyOutput,
    ArrayInput,
    Budget,
    Count,
    Eligibility,
    InstructionSet,
    Name,
    Part,
    Positive,
    Text,
    VectorInput,
)
from edge_dx.steps import AnyStep

NonNegative = Annotated[float, Meta(ge=0.0)]
AboveZero = Annotated[float, Meta(gt=0.0)]


class ImagePart(Part, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """An image input: (channels, height, width) whatever the layout of the files.

    A last step `normalise` says what the files expect to be done already: it becomes part of the
    manifest's `in_graph`, and the engine runs it for the files that take normalised values.
    """

    name: Name
    shape: tuple[Positive, Positive, Positive]
    unit: Text = "grey level"
    prepare: tuple[AnyStep, ...]


AnyInputPart = ImagePart | VectorInput | ArrayInput


class TensorPart(Part, frozen=True, kw_only=True):
    """Which tensor of the file an input or output is.

    Attributes:
        tensor: its name in the file; the same as in the manifest where None, or the only one.
        layout: `channels_last` where the file wants (height, width, channels).
    """

    tensor: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    layout: Literal["same", "channels_last"] = "same"


class PointPart(Part, frozen=True, kw_only=True):
    """An operating point whose threshold the maker gives.

    Attributes:
        output: the output it reads; the only one that has a threshold where None.
        band: (low, high) inside which the answer is indeterminate; none where None.
        criterion: where the threshold comes from.
    """

    name: Name
    output: Name | None = None
    label: Name
    threshold: float
    band: tuple[float, float] | None = None
    criterion: Annotated[str, Meta(min_length=1, max_length=2000)]


class ModelPart(Part, frozen=True, kw_only=True):
    """One model file and the variant that it becomes.

    Attributes:
        file: its name, by which it is found among the files on the command line.
        variant: name of the variant.
        precision: of its weights and sums.
        engines: engines that may run it; `onnx` or `tflite` by its format where empty.
        tensors: input or output of the manifest → its tensor in the file.
        tolerance: output → how far a device may lie from the golden outputs; by rule where none.
        identity_tolerance: heat map → how far `mean(map) + bias` may lie from the score.
        undelegated: operators that may run outside TFLite's fast kernels.
        runs_on: instruction sets of which a processor needs one, `[]` for any processor. Where
            not given, an ONNX file with 8-bit operators needs exact 8-bit sums.
        quantization: how it was made, in words.
    """

    file: Annotated[str, Meta(min_length=1, max_length=255)]
    variant: Name
    precision: Literal["fp32", "fp16", "int8"]
    engines: tuple[Name, ...] = ()
    tensors: dict[Name, TensorPart] = msgspec.field(default_factory=dict)
    operating_points: tuple[PointPart, ...] = ()
    tolerance: dict[Name, NonNegative] = msgspec.field(default_factory=dict)
    identity_tolerance: dict[Name, AboveZero] = msgspec.field(default_factory=dict)
    undelegated: Count = 0
    runs_on: tuple[InstructionSet, ...] | None = None
    quantization: dict[str, Text] = msgspec.field(default_factory=dict)


class ArrayPart(Part, frozen=True, kw_only=True):
    """An array of a golden case: a `.npy` file, or numbers drawn between `low` and `high`.

    Attributes:
        pattern: `noise` is uniform, `waves` is smooth, `ramp` rises from first to last.
        seed: of what is drawn.
    """

    file: str | None = None
    pattern: Literal["noise", "waves", "ramp"] | None = None
    seed: Count = 0
    low: float = 0.0
    high: float = 1.0


class GoldenPart(Part, frozen=True, kw_only=True):
    """A golden case: something for each input.

    Attributes:
        pattern: draws the image input.
        file: a picture for the image input; it goes into the bundle as it is.
        side_px: height and width of a drawn picture.
        facts: vector input → field → number or word.
        arrays: array input → what to put there.
    """

    name: Name
    what: Text
    pattern: Literal["blank", "ramp", "texture", "checkerboard"] | None = None
    file: str | None = None
    seed: Count = 0
    side_px: Annotated[int, Meta(ge=8, le=1024)] = 256
    modality: str | None = None
    photometric: Literal["MONOCHROME1", "MONOCHROME2", "RGB"] = "MONOCHROME2"
    facts: dict[Name, dict[Name, float | str]] = msgspec.field(default_factory=dict)
    arrays: dict[Name, ArrayPart] = msgspec.field(default_factory=dict)


class CardPart(Part, frozen=True, kw_only=True):
    """What the model card says."""

    description: Text = ""
    data: Text = ""
    limits: Text = ""
    attribution: Text = ""


class PackFile(Part, frozen=True, kw_only=True):
    """The whole description."""

    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    task: Literal["classification", "segmentation", "regression", "anomaly"]
    title: Text
    intended_use: Text
    licence: Text
    inputs: Annotated[tuple[AnyInputPart, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[AnyOutput, ...], Meta(min_length=1)]
    eligibility: Eligibility = Eligibility()
    models: Annotated[tuple[ModelPart, ...], Meta(min_length=1)]
    golden: Annotated[tuple[GoldenPart, ...], Meta(min_length=1)]
    budget: Budget = Budget()
    card: CardPart = CardPart()
