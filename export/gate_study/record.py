"""The figures of a gate as values, which travel in the export record."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_dx.manifest import Count, Estimate, Name, Part, Text

Kind = Literal["stranger", "right", "elsewhere", "altered"]


class Refused(Part, frozen=True, kw_only=True):
    """What became of one class of pictures.

    Attributes:
        kind: a picture of another kind, a film of the validation set, a right film of another
            source, or a validation film made wrong by code.
        name: of the class.
        pictures: how many.
        refused: share that was not analysed; the interval is over patients, or what stands for
            them.
        failed: pictures that could not be read at all; counted among the refused.
        reasons: code → how often it was the reason.
    """

    kind: Kind
    name: Text
    pictures: Count
    refused: Estimate
    failed: Count = 0
    reasons: dict[str, Count] = msgspec.field(default_factory=dict)


class Point(Part, frozen=True, kw_only=True):
    """What another limit of the familiarity would have done, with all other looks as they are.

    Attributes:
        max_distance: the limit.
        right_refused: share of the validation films that are refused.
        error: share of wrong answers among the validation films that get a yes or no; None where
            none does.
        strangers_answered: share of the strangers that are answered, the mean over their classes.
        altered_answered: likewise of the altered films.
    """

    max_distance: float
    right_refused: float
    error: float | None
    strangers_answered: float
    altered_answered: float


class GateStudy(Part, frozen=True, kw_only=True):
    """One variant's gate.

    Attributes:
        variant: whose features and thresholds.
        max_distance: its limit; None where the model has no familiarity.
        classes: in the order strangers, right, elsewhere, altered.
        curve: by ascending limit; empty without a familiarity.
    """

    variant: Name
    max_distance: float | None
    classes: tuple[Refused, ...]
    curve: tuple[Point, ...] = ()
