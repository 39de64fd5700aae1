"""The words that all parts of the manifest share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Label = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""A finding; unlike other names with capitals, because `AF` and `V` are written so."""
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Text = Annotated[str, Meta(max_length=20_000)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all parts of the manifest: frozen values, closed to unknown keys."""


class Estimate(Part, frozen=True, kw_only=True):
    """A measured figure with its 95 % bootstrap interval (over patients) and sample size."""

    value: float
    low: float
    high: float
    n: Count
