"""What a study must be for the model to judge it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge_dx.manifest.words import Count, Part, Probability


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


class Eligibility(Part, frozen=True, kw_only=True):
    """What a study must be for the model to judge it.

    Header rules apply where the header says something; what is absent is assumed, and the result
    lists the assumption. An empty tuple accepts anything.

    Attributes:
        modalities: DICOM modality codes, for example `CR`, `DX`.
        body_parts: DICOM body part terms, for example `CHEST`.
        views: DICOM view positions, for example `PA`.
        min_side_px: shortest accepted image side, in pixels.
        max_aspect: longest side over shortest side.
        min_contrast: standard deviation of the grey levels over the full range of the data.
        max_clipped: share of pixels at one or other end of the data's range.
        max_colour: mean absolute difference between colour channels, over the full range.
        likeness: coarse likeness to the training films, or None to skip that check.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    min_side_px: Count = 0
    max_aspect: Annotated[float, Meta(ge=1.0)] = 100.0
    min_contrast: Probability = 0.0
    max_clipped: Probability = 1.0
    max_colour: Probability = 1.0
    likeness: Likeness | None = None
