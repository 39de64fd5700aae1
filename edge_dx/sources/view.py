"""The part of a picture that a model looks at."""

from __future__ import annotations

from typing import Literal

from edge_dx.errors import UnsupportedInput
from edge_dx.sources import fan
from edge_dx.sources.study import Study

View = Literal["whole", "ultrasound"]
"""All of the picture, or the scanned tissue alone: text, scales and logos around it would be read
as findings, and carry the patient's name into pictures that leave the device.
"""
MIN_CONFIDENCE = 0.7
"""Fans that are less sure are not taken. Of the pictures looked at, all fields found wrongly lie
below it (a header bar or text grown together with the field), and a few of the right ones.
"""


def of(study: Study, view: View) -> Study:
    """The study cut to the part that a model looks at.

    The header's ultrasound region is taken where there is one; otherwise the field is looked for
    in the first frame, and what was found is named in `assumed`.

    Raises:
        UnsupportedInput: no field was found (reason `region`).
        InputError: the pixels cannot be decoded.
    """
    if view == "whole":
        return study
    if study.regions:
        return study.cut_to(study.regions[0])
    found = fan.find(study.pixels)
    name = study.path or "the picture"
    if found is None:
        raise UnsupportedInput(
            f"{name}: no field of an ultrasound scan was found and the header names none",
            "region",
        )
    if found.confidence < MIN_CONFIDENCE:
        raise UnsupportedInput(
            f"{name}: the field of the scan is unclear (confidence {found.confidence:.2f}, "
            f"{MIN_CONFIDENCE:g} needed) and the header names none; crop the picture to it",
            "region",
        )
    told = f"scanned field seen in the picture (confidence {found.confidence:.2f})"
    return study.cut_to(found).assuming(told)
