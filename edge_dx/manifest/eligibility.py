"""What a study must be for the model to judge it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edge_dx.manifest.words import Count, Name, Part, Probability


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


class Familiarity(Part, frozen=True, kw_only=True):
    """Where the pooled features of the training films lie; `edge_dx.gate.familiarity` says how.

    The limit is each variant's own (`max_distance`), because quantization moves the features.

    Attributes:
        output: the features output that is compared.
        file: the member that holds mean, axes and spread.
    """

    output: Name
    file: str = "familiarity.npz"


class Quality(Part, frozen=True, kw_only=True):
    """Limits of the measures in `edge_dx.gate.measures`; the defaults accept anything.

    Attributes:
        exposure: (low, high) median grey level, 0 black to 1 white.
        min_sharpness: standard deviation of the Laplacian over that of the picture, at a long side
            of 256 pixels.
        min_field: share of the picture that the largest piece brighter than background covers.
        max_text: share of the picture that lies in the boxes of burned-in lines of text.
    """

    exposure: tuple[Probability, Probability] = (0.0, 1.0)
    min_sharpness: Annotated[float, Meta(ge=0.0)] = 0.0
    min_field: Probability = 0.0
    max_text: Probability = 1.0


class Rules(Part, frozen=True, kw_only=True):
    """The limits that are stated and not fitted; a recipe and a manifest share them.

    Attributes:
        modalities: DICOM modality codes, for example `CR`, `DX`.
        body_parts: DICOM body part terms, for example `CHEST`.
        views: DICOM view positions, for example `PA`.
        sop_classes: DICOM storage class UIDs.
        frames: `single` judges files of one image; `each` judges every frame of a cine or video
            by itself (`edge_dx.stream`).
        for_processing: take raw detector values (Presentation Intent Type FOR PROCESSING) too.
        min_age_years: of the patient.
        min_side_px: shortest accepted image side, in pixels.
        max_aspect: longest side over shortest side.
        min_contrast: standard deviation of the grey levels over the full range of the data.
        max_clipped: share of pixels at one or other end of the data's range.
        max_colour: mean absolute difference between colour channels, over the full range.
        quality: limits of exposure, sharpness, field and burned-in text, or None to skip them.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()
    frames: Literal["single", "each"] = "single"
    for_processing: bool = False
    min_age_years: Annotated[float, Meta(ge=0.0)] = 0.0
    min_side_px: Count = 0
    max_aspect: Annotated[float, Meta(ge=1.0)] = 100.0
    min_contrast: Probability = 0.0
    max_clipped: Probability = 1.0
    max_colour: Probability = 1.0
    quality: Quality | None = None


class Eligibility(Rules, frozen=True, kw_only=True):
    """What a study must be for the model to judge it.

    Header rules apply where the header says something; what is absent is assumed, and the result
    lists the assumption. An empty tuple accepts anything.

    Attributes:
        likeness: coarse likeness to the training films before inference, or None to skip it.
        familiarity: the features' distance to the training films after inference, or None.
    """

    likeness: Likeness | None = None
    familiarity: Familiarity | None = None
