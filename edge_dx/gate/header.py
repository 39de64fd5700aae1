"""What the file says about itself; nothing is decoded."""

from __future__ import annotations

from edge_dx.manifest import Eligibility
from edge_dx.result import Reason, Why
from edge_dx.sources import Study

FOR_PROCESSING = "FOR PROCESSING"
"""Presentation Intent Type (0008,0068) of raw detector values, which no one is meant to look at."""


def check_header(study: Study, limits: Eligibility) -> tuple[Why, ...]:
    """Judges what the file says about itself; decodes nothing.

    What the header does not say is no reason to refuse.
    """
    return (*_kind(study, limits), *_size(study.shape, limits))


def _kind(study: Study, limits: Eligibility) -> list[Why]:
    found = []
    for code, what, value, accepted in (
        (Reason.MODALITY, "modality", study.modality, limits.modalities),
        (Reason.SOP_CLASS, "SOP class", study.sop_class, limits.sop_classes),
        (Reason.BODY_PART, "body part", study.body_part, limits.body_parts),
        (Reason.VIEW, "view", study.view, limits.views),
    ):
        if value is not None and accepted and value not in accepted:
            found.append(Why(code, f"{what} is {value}; this model knows {', '.join(accepted)}"))
    if study.presentation == FOR_PROCESSING and not limits.for_processing:
        told = f"raw detector values ({FOR_PROCESSING}); give the image FOR PRESENTATION"
        found.append(Why(Reason.FOR_PROCESSING, told))
    age = study.age_years
    if age is not None and age < limits.min_age_years:
        told = f"the patient is {age:g} years old; this model was made for {limits.min_age_years:g}"
        found.append(Why(Reason.AGE, f"{told} and above"))
    if study.frames != 1:
        found.append(Why(Reason.FRAMES, f"{study.frames} frames; this model judges single images"))
    return found


def _size(shape: tuple[int, int], limits: Eligibility) -> list[Why]:
    short, long = sorted(shape)
    told = f"{shape[1]} × {shape[0]} pixels"
    if short < limits.min_side_px:
        wanted = f"at least {limits.min_side_px} are needed on each side"
        return [Why(Reason.RESOLUTION, f"{told}; {wanted}")]
    if long > limits.max_aspect * short:
        wanted = f"one side is more than {limits.max_aspect:g} times the other"
        return [Why(Reason.RESOLUTION, f"{told}; {wanted}")]
    return []
