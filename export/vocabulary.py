"""The vocabulary of a recipe: every key that may stand in the TOML file, typed.

Paths to the model's code and weights are relative to the recipe; paths of data sets are relative
to the data root, which is the recipe's directory unless `--data` says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_dx.manifest import Budget, Count, Eligibility, Name, Part, Positive, Text
from edge_dx.steps import AnyStep, Normalise

VariantName = Literal["onnx-fp32", "onnx-int8"]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


class ModelPart(Part, frozen=True, kw_only=True):
    """Which module to export.

    Attributes:
        factory: `package.module:function` or `path/to/file.py:function`, relative to the recipe.
        weights: `.safetensors`, or `.pt`/`.pth` (read with `weights_only=True`).
        kwargs: passed to the factory.
    """

    factory: Annotated[str, Meta(pattern=r"^[^:]+:[A-Za-z_]\w*$")]
    weights: str
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)


class InputPart(Part, frozen=True, kw_only=True):
    """The image input; the last step must be `normalise`, which goes into the graph."""

    name: Name = "image"
    shape: tuple[Positive, Positive, Positive]
    unit: Text
    prepare: tuple[AnyStep, ...]

    @property
    def normalise(self) -> Normalise:
        """The last step, which the exporter folds into the graph."""
        last = self.prepare[-1]
        assert isinstance(last, Normalise)
        return last


class ScoresPart(Part, frozen=True, kw_only=True, tag="scores", tag_field="kind"):
    """One number per label."""

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]


class HeatMapPart(Part, frozen=True, kw_only=True, tag="heatmap", tag_field="kind"):
    """A class activation map of the scores `of`; `bias_from` is the classifier bias's key."""

    name: Name
    of: Name
    bias_from: str


class FeaturesPart(Part, frozen=True, kw_only=True, tag="features", tag_field="kind"):
    """The pooled feature vector."""

    name: Name


class LikenessPart(Part, frozen=True, kw_only=True):
    """The template is made from the calibration films; the limit is the maker's choice."""

    side: Annotated[int, Meta(ge=4, le=64)] = 16
    min_correlation: Annotated[float, Meta(ge=-1.0, le=1.0)]


class EligibilityPart(Part, frozen=True, kw_only=True):
    """The limits of `edge_dx.manifest.Eligibility`, with the likeness still to be made."""

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    min_side_px: Count = 0
    max_aspect: Annotated[float, Meta(ge=1.0)] = 100.0
    min_contrast: Fraction = 0.0
    max_clipped: Fraction = 1.0
    max_colour: Fraction = 1.0
    likeness: LikenessPart | None = None

    def limits(self, template: tuple[float, ...] | None) -> Eligibility:
        """The manifest's part, with the likeness template where the recipe wants one."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        if self.likeness is not None:
            assert template is not None, "the caller makes the template before the limits"
            fields["likeness"] = {
                "side": self.likeness.side,
                "template": template,
                "min_correlation": self.likeness.min_correlation,
            }
        return msgspec.convert(fields, Eligibility)


class DataPart(Part, frozen=True, kw_only=True):
    """A table of studies and how to read it.

    Attributes:
        csv: the table, relative to the data root.
        root: directory that the `file` column is relative to, itself relative to the data root.
        file, label, patient, group: column names; `group` is for example the site.
        positive: model label → values of the label column that mean it.
        negative: values that mean none of the labels. Any other value is an error.
        where: column → accepted values; all must hold.
        size: how many studies to draw; all where None.
        seed: of the draw.
    """

    name: Text
    csv: str
    root: str = "."
    file: str = "file"
    label: str = "label"
    patient: str | None = None
    group: str | None = None
    positive: dict[Name, tuple[str, ...]]
    negative: tuple[str, ...] = ()
    where: dict[str, tuple[str | int, ...]] = msgspec.field(default_factory=dict)
    size: Positive | None = None
    seed: int = 0


class Sets(Part, frozen=True, kw_only=True):
    """The sets: `calibration` gives activation ranges, `validation` thresholds and figures."""

    validation: DataPart
    calibration: DataPart | None = None


class QuantizationPart(Part, frozen=True, kw_only=True):
    """How activation ranges are chosen; `percentile` is per tail and for that method alone."""

    method: Literal["minmax", "percentile", "entropy"] = "minmax"
    percentile: Annotated[float, Meta(gt=50.0, le=100.0)] = 99.999


class PointPart(Part, frozen=True, kw_only=True):
    """An operating point: the rule by which its threshold is fitted, for each variant file.

    `sensitivity` and `specificity` take the threshold that reaches the figure on the validation
    set at the least cost in the other one; `youden` the one that maximises their sum.
    """

    name: Name
    label: Name
    output: Name | None = None
    sensitivity: Fraction | None = None
    specificity: Fraction | None = None
    youden: bool = False


class GoldenPart(Part, frozen=True, kw_only=True):
    """A golden case: raw pixels that the repository can draw again, or a file of the user's.

    Attributes:
        phantom: seed of a drawn chest phantom.
        opacities: number of opacities in it.
        pattern: a test picture without any anatomy.
        file: a picture, relative to the recipe; it goes into the bundle as it is.
        side_px: height and width of a drawn picture.
        bits: of a phantom; 12 and above are stored as uint16.
        photometric: `MONOCHROME1` stores the picture with black and white exchanged.
    """

    name: Name
    what: Text
    phantom: Count | None = None
    opacities: Count = 0
    pattern: Literal["blank", "ramp", "texture", "checkerboard"] | None = None
    file: str | None = None
    side_px: Positive = 256
    bits: Literal[8, 12, 16] = 8
    seed: int = 0
    modality: str | None = None
    photometric: Literal["MONOCHROME1", "MONOCHROME2", "RGB"] = "MONOCHROME2"


class CardPart(Part, frozen=True, kw_only=True):
    """What a model card says that no measurement can."""

    description: Text = ""
    data: Text = ""
    limits: Text = ""
    attribution: Text = ""


class RecipeFile(Part, frozen=True, kw_only=True):
    """The whole file."""

    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    title: Text
    task: Literal["classification"] = "classification"
    intended_use: Text
    licence: Text
    variants: Annotated[tuple[VariantName, ...], Meta(min_length=1)] = ("onnx-fp32", "onnx-int8")
    evidence: str = "evidence.json"
    training: str | None = None
    parity_limit: Annotated[float, Meta(gt=0.0)] = 1e-4
    model: ModelPart
    input: InputPart
    outputs: Annotated[tuple[ScoresPart | HeatMapPart | FeaturesPart, ...], Meta(min_length=1)]
    eligibility: EligibilityPart = EligibilityPart()
    data: Sets
    quantization: QuantizationPart = QuantizationPart()
    operating_points: Annotated[tuple[PointPart, ...], Meta(min_length=1)]
    golden: tuple[GoldenPart, ...] = ()
    budget: Budget = Budget()
    card: CardPart = CardPart()
