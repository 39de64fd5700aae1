"""What statuses and reasons are called in DICOM, so that every channel says the same.

The codes are those of PS3.16 (coding scheme DCM): the status of a detection or analysis is taken
from CID 6042, the summary of all from CID 6047, and the reason from CID 9300 and 9303 (why a
procedure or an interpretation was not done) or CID 6041 (what is wrong with an image). DICOM has
no words for most of what a gate finds; the nearest that is true is taken, and the reason's own
sentence belongs beside it.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_dx.result import Reason, Status


class Code(NamedTuple):
    """A coded concept of the scheme DCM."""

    value: str
    meaning: str


SUCCEEDED = Code("111222", "Succeeded")
FAILED = Code("111224", "Failed")
NOT_ATTEMPTED = Code("111225", "Not Attempted")

WITHOUT_FINDINGS = Code("111241", "All algorithms succeeded; without findings")
WITH_FINDINGS = Code("111242", "All algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "No algorithms succeeded; without findings")

_NOT_SUPPORTED = Code("110522", "Object Types not supported")
_INCOMPLETE = Code("110523", "Object Set incomplete")
_QUALITY = Code("110531", "Insufficient quality for interpretation")
_PROCESSING = Code("111219", "Inappropriate image processing")
_SOFTWARE = Code("111218", "Software failure")
_INADEQUATE = Code("110527", "Resource inadequate")

STATUS: dict[Status, Code] = {
    Status.POSITIVE: SUCCEEDED,
    Status.NEGATIVE: SUCCEEDED,
    Status.INDETERMINATE: SUCCEEDED,
    Status.MEASURED: SUCCEEDED,
    Status.NOT_ANALYSED: NOT_ATTEMPTED,
    Status.FAILED: FAILED,
}
"""Status of the analysis (CID 6042)."""

SUMMARY: dict[Status, Code] = {
    Status.POSITIVE: WITH_FINDINGS,
    Status.NEGATIVE: WITHOUT_FINDINGS,
    Status.INDETERMINATE: WITH_FINDINGS,  # a person has to look, so it must not read as nothing
    Status.MEASURED: WITH_FINDINGS,
    Status.NOT_ANALYSED: NONE_SUCCEEDED,
    Status.FAILED: NONE_SUCCEEDED,
}
"""Summary of the analysis (CID 6047)."""

REASON: dict[Reason, Code] = {
    Reason.MODALITY: _NOT_SUPPORTED,
    Reason.SOP_CLASS: _NOT_SUPPORTED,
    Reason.BODY_PART: _NOT_SUPPORTED,
    Reason.VIEW: _NOT_SUPPORTED,
    Reason.AGE: _NOT_SUPPORTED,
    Reason.FOR_PROCESSING: _PROCESSING,
    Reason.TRANSFER_SYNTAX: _NOT_SUPPORTED,
    Reason.FRAMES: _NOT_SUPPORTED,
    Reason.FORMAT: _NOT_SUPPORTED,
    Reason.COLOUR: _NOT_SUPPORTED,
    Reason.RESOLUTION: _QUALITY,
    Reason.REGION: _NOT_SUPPORTED,
    Reason.TOO_LARGE: _INADEQUATE,
    Reason.BLANK: Code("111213", "No image"),
    Reason.CLIPPED: _PROCESSING,
    Reason.UNDER_EXPOSED: Code("111211", "Under exposed"),
    Reason.OVER_EXPOSED: Code("111212", "Over exposed"),
    Reason.BLUR: _QUALITY,  # "Motion blur" (111210) would name a cause that nobody knows
    Reason.FIELD: _QUALITY,
    Reason.BURNED_IN_TEXT: Code("111207", "Image artifact(s)"),
    Reason.INVERTED: _PROCESSING,
    Reason.UNLIKE_TRAINING: _NOT_SUPPORTED,
    Reason.NEAR_THRESHOLD: Code("110532", "Interpretation requires specialist expertise"),
    Reason.MISSING_INPUT: _INCOMPLETE,
    Reason.UNKNOWN_INPUT: _NOT_SUPPORTED,
    Reason.OUT_OF_RANGE: _NOT_SUPPORTED,
    Reason.UNREADABLE: Code("110521", "Objects incorrectly formatted"),
    Reason.MODEL_INTEGRITY: _SOFTWARE,
    Reason.ENGINE: _SOFTWARE,
    Reason.MISSING_PACKAGE: _INADEQUATE,
    Reason.STALE_FRAME: _INCOMPLETE,
    Reason.TIMEOUT: _INADEQUATE,
    Reason.RESOURCE: _INADEQUATE,
    Reason.INTERNAL: _SOFTWARE,
    Reason.PRETEND_ENGINE: _SOFTWARE,
}
"""Why a study was not analysed, or what else the reader must know."""
