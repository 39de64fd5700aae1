"""What goes into the graph and what comes out of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge_dx.manifest.stream import Beats, Episodes, WaveformInput
from edge_dx.manifest.words import Name, Part, Positive, Text
from edge_dx.steps import AnyStep, Normalise


class ImageInput(Part, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """An image input of the graph and how a study becomes it.

    Attributes:
        name: the tensor's name in every variant.
        shape: (channels, height, width); the batch dimension stands before it.
        dtype: of the tensor that the graph takes.
        unit: what one grey level means.
        view: the part of the picture that is looked at: all of it, or the scanned tissue of an
            ultrasound picture.
        prepare: steps run by `edge_dx.image` before the graph.
        in_graph: steps that the exporter folded into the graph, told for the reader; never run.
    """

    name: Name
    shape: tuple[Positive, Positive, Positive]
    dtype: Literal["uint8", "float32"]
    unit: Text
    view: Literal["whole", "ultrasound"] = "whole"
    prepare: tuple[AnyStep, ...]
    in_graph: tuple[Normalise, ...] = ()


class VectorField(Part, frozen=True, kw_only=True):
    """One fact of a vector input: what it is, what it may be, how it is scaled.

    The graph sees `(value - mean) / std`.

    Attributes:
        unit: for example `years`; empty for a pure number or a choice.
        low: smallest value that the model was made for.
        high: largest such value; outside of the two the study is not analysed.
        choices: words that stand for values, for example `{"F": 0, "M": 1}`.
    """

    name: Name
    unit: Text = ""
    low: float
    high: float
    mean: float = 0.0
    std: Annotated[float, Meta(gt=0.0)] = 1.0
    choices: dict[str, float] = {}


class VectorInput(Part, frozen=True, kw_only=True, tag="vector", tag_field="kind"):
    """Facts about the patient or the study, float32 `(fields,)`, scaled by edge_dx."""

    name: Name
    fields: Annotated[tuple[VectorField, ...], Meta(min_length=1)]


class ArrayInput(Part, frozen=True, kw_only=True, tag="array", tag_field="kind"):
    """A tensor that the caller prepares; edge_dx checks its shape, type and finiteness alone.

    Attributes:
        shape: without the batch dimension.
        unit: what one value means.
    """

    name: Name
    shape: Annotated[tuple[Positive, ...], Meta(min_length=1)]
    dtype: Literal["uint8", "int8", "float32"] = "float32"
    unit: Text


AnyInput = ImageInput | VectorInput | ArrayInput | WaveformInput


class Scores(Part, frozen=True, kw_only=True, tag="scores", tag_field="kind"):
    """One number per label; `activation` turns them into probabilities.

    Attributes:
        activation: `none` where the graph gives probabilities itself.
        decision: `threshold` asks each operating point; `top1` names the likeliest label and
            leaves what follows from it to the caller (status `measured`).
    """

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]
    decision: Literal["threshold", "top1"] = "threshold"


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


class Mask(Part, frozen=True, kw_only=True, tag="mask", tag_field="kind"):
    """One map per label, (labels, height, width), on the prepared image's field of view.

    `sigmoid` and `none` maps are cut at the threshold of the label's operating point; with
    `softmax` each pixel goes to its likeliest label and the first label is the background.
    """

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]
    shape: tuple[Positive, Positive]


class ValueField(Part, frozen=True, kw_only=True):
    """One measured quantity: `raw * scale + offset`, in `unit`."""

    name: Name
    unit: Text
    scale: float = 1.0
    offset: float = 0.0


class Values(Part, frozen=True, kw_only=True, tag="values", tag_field="kind"):
    """Numbers with units, for example an ejection fraction in percent (regression)."""

    name: Name
    fields: Annotated[tuple[ValueField, ...], Meta(min_length=1)]


class Reconstruction(Part, frozen=True, kw_only=True, tag="reconstruction", tag_field="kind"):
    """The input `of` as an auto-encoder draws it again.

    The mean squared difference between the two is the score of `label`: what the model has not
    learnt it cannot draw.
    """

    name: Name
    of: Name
    label: Name = "anomaly"


AnyOutput = Scores | HeatMap | Features | Mask | Values | Reconstruction | Beats | Episodes
