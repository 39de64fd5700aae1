"""The vocabulary of a recipe: every key that may stand in the TOML file, typed.

Paths to the model's code and weights are relative to the recipe; paths of data sets are relative
to the data root, which is the recipe's directory unless `--data` says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_dx.manifest import (
    ArrayInput,
    Budget,
    Count,
    Eligibility,
    Familiarity,
    Name,
    Part,
    Positive,
    Reconstruction,
    Rules,
    Text,
    Values,
    VectorInput,
)
from edge_dx.steps import AnyStep, Normalise

VariantName = Literal[
    "onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8", "tensorrt-int8", "tensorrt-fp16"
]
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
    view: Literal["whole", "ultrasound"] = "whole"
    prepare: tuple[AnyStep, ...]

    @property
    def normalise(self) -> Normalise:
        """The last step, which the exporter folds into the graph."""
        last = self.prepare[-1]
        assert isinstance(last, Normalise)
        return last


class ImagePart(InputPart, frozen=True, kw_only=True, tag="image", tag_field="kind"):
    """The same, as one of several inputs."""


AnyInputPart = ImagePart | VectorInput | ArrayInput


class ScoresPart(Part, frozen=True, kw_only=True, tag="scores", tag_field="kind"):
    """One number per label."""

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]
    decision: Literal["threshold", "top1"] = "threshold"


class HeatMapPart(Part, frozen=True, kw_only=True, tag="heatmap", tag_field="kind"):
    """A class activation map of the scores `of`; `bias_from` is the classifier bias's key."""

    name: Name
    of: Name
    bias_from: str


class FeaturesPart(Part, frozen=True, kw_only=True, tag="features", tag_field="kind"):
    """The pooled feature vector."""

    name: Name


class MaskPart(Part, frozen=True, kw_only=True, tag="mask", tag_field="kind"):
    """One map per label; its size is the module's."""

    name: Name
    labels: Annotated[tuple[Name, ...], Meta(min_length=1)]
    activation: Literal["sigmoid", "softmax", "none"]


AnyOutputPart = ScoresPart | HeatMapPart | FeaturesPart | MaskPart | Values | Reconstruction


class LikenessPart(Part, frozen=True, kw_only=True):
    """The template is made from the calibration films; the limit is the maker's choice."""

    side: Annotated[int, Meta(ge=4, le=64)] = 16
    min_correlation: Annotated[float, Meta(ge=-1.0, le=1.0)]


class FamiliarityPart(Part, frozen=True, kw_only=True):
    """The features of the training films are described from the calibration films.

    The limit of each variant lies in the middle between two demands: it accepts `covers` of the
    validation films, and with the looks before it refuses `refuses` of each class of strangers (of
    the half of them that limits may see). Without strangers, or where the two contradict each
    other, only the first counts; then the limit is a tenth above it, or the very same.

    Attributes:
        output: the features output; the only one where None.
        components: axes with a variance of their own.
    """

    output: Name | None = None
    components: Annotated[int, Meta(ge=1, le=256)] = 24
    covers: Fraction = 0.99
    refuses: Fraction = 0.995


class EligibilityPart(Rules, frozen=True, kw_only=True):
    """The limits of `edge_dx.manifest.Eligibility`; what the data give is still to be made."""

    likeness: LikenessPart | None = None
    familiarity: FamiliarityPart | None = None

    def limits(
        self, template: tuple[float, ...] | None, features: str | None = None
    ) -> Eligibility:
        """The manifest's part.

        Args:
            template: of the likeness, where the recipe wants one.
            features: the output that a familiarity was fitted for; None leaves that look out.
        """
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["familiarity"] = Familiarity(output=features) if features else None
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
        facts: field of a vector input → column; a word must be one of the field's choices.
        arrays: array input → column with the `.npy` file, relative to `root`.
        masks: label of a mask output → column with a picture, white where the label is.
        values: field of a values output → column with the true number.
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
    facts: dict[Name, str] = msgspec.field(default_factory=dict)
    arrays: dict[Name, str] = msgspec.field(default_factory=dict)
    masks: dict[Name, str] = msgspec.field(default_factory=dict)
    values: dict[Name, str] = msgspec.field(default_factory=dict)
    positive: dict[Name, tuple[str, ...]] = msgspec.field(default_factory=dict)
    negative: tuple[str, ...] = ()
    where: dict[str, tuple[str | int, ...]] = msgspec.field(default_factory=dict)
    size: Positive | None = None
    seed: int = 0


class PicturesPart(Part, frozen=True, kw_only=True):
    """Pictures that the gate is tried on; nobody asks what they show.

    Attributes:
        csv: a table of files, relative to the data root.
        root: directory that the `file` column is relative to, itself relative to the data root.
        patient: column with the patient, or whatever else makes pictures alike.
        where: column → accepted values; all must hold.
        drawn: `ecg` draws sheets of the WFDB records that the files are.
        each: how many sheets of each record.
    """

    name: Text
    csv: str
    root: str = "."
    file: str = "file"
    patient: str | None = None
    where: dict[str, tuple[str | int, ...]] = msgspec.field(default_factory=dict)
    drawn: Literal["ecg"] | None = None
    each: Positive = 1


class Sets(Part, frozen=True, kw_only=True):
    """The sets: `calibration` gives activation ranges, `validation` thresholds and figures.

    `strangers` are pictures of other kinds, which the gate has to refuse: half of them, by patient,
    may shape its limits, and the figures are those of the other half. `elsewhere` are right
    pictures of other sources; they shape nothing.

    `test` is kept for acceptance: its studies are never read here, and the export stops where one
    of its patients stands in another set.
    """

    validation: DataPart
    calibration: DataPart | None = None
    test: DataPart | None = None
    strangers: tuple[PicturesPart, ...] = ()
    elsewhere: tuple[PicturesPart, ...] = ()


Method = Literal["minmax", "percentile", "entropy"]


class QuantizationPart(Part, frozen=True, kw_only=True):
    """What may be chosen for the int8 variants. One entry is a decision, several are measured.

    Every combination is exported, and the validation set decides: of those within `slower` times
    the fastest, the one whose answers lie nearest to the float model's.

    Attributes:
        methods: how activation ranges are chosen.
        percentiles: for the method `percentile`, both tails together.
        activations: type of activations of `onnx-int8`; TensorRT wants int8 and TFLite has int8.
        heads: whether what stands behind the last feature map of `onnx-int8` is quantized too;
            `tflite-int8` is integer to its borders, `tensorrt-int8` keeps its head in float16.
        reduce_range: 7 bits for the weights of `onnx-int8`, so that x86 without VNNI does not
            saturate; without it the variant is refused there.
        slower: times the fastest candidate at which a candidate is out.
        revert: how many layers may go back to float where a variant fails its gates.
    """

    methods: Annotated[tuple[Method, ...], Meta(min_length=1)] = ("minmax", "percentile")
    percentiles: Annotated[
        tuple[Annotated[float, Meta(gt=50.0, lt=100.0)], ...], Meta(min_length=1)
    ] = (99.999,)
    activations: Annotated[tuple[Literal["uint8", "int8"], ...], Meta(min_length=1)] = ("uint8",)
    heads: Annotated[tuple[Literal["float", "int8"], ...], Meta(min_length=1)] = ("float",)
    reduce_range: bool = False
    slower: Annotated[float, Meta(ge=1.0)] = 1.25
    revert: Count = 0


class GatesPart(Part, frozen=True, kw_only=True):
    """What a variant must reach to be packed. Margins are of the paired difference's interval.

    A margin of 0.02 says: with 95 % confidence this file loses at most 0.02 against the module.

    Attributes:
        layer_sqnr_db: signal-to-noise ratio of the answer with one layer alone quantized; each
            layer must reach it.
        auc_margin: area under the ROC curve.
        auc_loss: the difference itself, without its interval.
        sensitivity_margin: at each operating point, each file at its own threshold.
        specificity_margin: likewise.
        accuracy_margin: share of right answers, of outputs with the decision `top1`.
        dice_margin: mean Dice coefficient, of masks.
        error_margin: mean absolute error of a value, in its own unit.
        flips: share of studies that are answered otherwise.
        heat_map_correlation: lower end of the interval of the mean correlation with the float
            heat maps, over the studies that are not negative.
        undelegated: operators of a TFLite file that may run outside the fast kernels.
    """

    layer_sqnr_db: float = 10.0
    auc_margin: Fraction = 0.02
    auc_loss: Fraction = 0.01
    sensitivity_margin: Fraction = 0.1
    specificity_margin: Fraction = 0.1
    accuracy_margin: Fraction = 0.05
    dice_margin: Fraction = 0.05
    error_margin: dict[Name, Annotated[float, Meta(ge=0.0)]] = {}
    flips: Fraction = 0.02
    heat_map_correlation: Fraction = 0.9
    undelegated: Count = 0


class PointPart(Part, frozen=True, kw_only=True):
    """An operating point: the rule by which its threshold is fitted, for each variant file.

    `sensitivity` and `specificity` take the threshold that reaches the figure on the validation
    set at the least cost in the other one; `youden` the one that maximises their sum.

    Attributes:
        indeterminate: share of the validation films, those nearest to the threshold, that a person
            shall decide; 0.02 says that two of a hundred come back without a yes or no.
    """

    name: Name
    label: Name
    output: Name | None = None
    sensitivity: Fraction | None = None
    specificity: Fraction | None = None
    youden: bool = False
    indeterminate: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0


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
    """The whole file. A model of one image gives `input`, any other lists `inputs`."""

    name: Name
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    title: Text
    task: Literal["classification", "segmentation", "regression", "anomaly"] = "classification"
    intended_use: Text
    licence: Text
    variants: Annotated[tuple[VariantName, ...], Meta(min_length=1)] = ("onnx-fp32", "onnx-int8")
    evidence: str = "evidence.json"
    training: str | None = None
    parity_limit: Annotated[float, Meta(gt=0.0)] = 1e-4
    model: ModelPart
    input: InputPart | None = None
    inputs: tuple[AnyInputPart, ...] = ()
    outputs: Annotated[tuple[AnyOutputPart, ...], Meta(min_length=1)]
    eligibility: EligibilityPart = EligibilityPart()
    data: Sets
    quantization: QuantizationPart = QuantizationPart()
    gates: GatesPart = GatesPart()
    operating_points: tuple[PointPart, ...] = ()
    golden: tuple[GoldenPart, ...] = ()
    budget: Budget = Budget()
    card: CardPart = CardPart()

    @property
    def all_inputs(self) -> tuple[InputPart | VectorInput | ArrayInput, ...]:
        """The inputs in the order of the module's `forward`, however the recipe lists them."""
        return self.inputs if self.input is None else (self.input,)

    @property
    def image(self) -> InputPart | None:
        """The image input, where there is one."""
        return next((part for part in self.all_inputs if isinstance(part, InputPart)), None)
