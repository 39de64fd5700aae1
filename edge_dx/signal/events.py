"""What a signal path takes and gives: samples, blocks of rows, and events on the device's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CONCEALED = 1
"""Flag: made from at least one sample that was missing and held."""
INVALID = 2
"""Flag: the lead carried no heart's signal here; whatever a model says of it is void."""
WARMUP = 4
"""Flag: the stages have not yet seen all that they look back to."""

Cause = Literal["lost", "lead_off", "not_finite", "absurd", "saturated", "flat"]
CAUSES: tuple[Cause, ...] = ("lost", "lead_off", "not_finite", "absurd", "saturated", "flat")
"""Why a sample says nothing; the first that holds is the one told."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What arrived: consecutive samples of all leads.

    Attributes:
        mv: (n, leads) in millivolts; NaN where the device says that it has none.
        start: the device's own index of the first one; None: they follow what came before.
        lead_off: (n, leads) true where the front end reports a loose electrode; None: it does not
            report.
    """

    mv: Array = field(repr=False)
    start: int | None = None
    lead_off: Array | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Gap:
    """The device's index jumped: `n` samples from `index` on never came.

    Attributes:
        index: the first one missing.
        at: the sample with whose arrival it was known.
        n: how many.
        concealed: they were few enough to be held and marked; otherwise everything began anew.
    """

    index: int
    at: int
    n: int
    concealed: bool


@dataclass(frozen=True)
class LeadOff:
    """The front end's lead-off bit changed."""

    index: int
    at: int
    lead: str
    off: bool


@dataclass(frozen=True)
class Quality:
    """What a lead is worth from here on.

    Attributes:
        index: from which sample on; of a flat line its beginning, a second before it was known.
        at: the sample with whose arrival it was known.
        lead: which one.
        state: `concealed` the last good sample is held, `invalid` there is no signal, `valid`.
        cause: of the first two.
    """

    index: int
    at: int
    lead: str
    state: Literal["valid", "concealed", "invalid"]
    cause: Cause | None


@dataclass(frozen=True)
class Warmup:
    """The lead's filters began anew at this sample, or (`ready`) have seen enough since."""

    index: int
    at: int
    lead: str
    ready: bool


Event = Gap | LeadOff | Quality | Warmup
_ORDER: dict[type[Any], int] = {Gap: 0, LeadOff: 1, Quality: 2, Warmup: 3}


def in_order(events: list[Event], leads: tuple[str, ...]) -> tuple[Event, ...]:
    """Events as they became known; those of one sample by kind and lead."""

    def key(event: Event) -> tuple[int, int, int, bool]:
        place = -1 if isinstance(event, Gap) else leads.index(event.lead)
        return event.at, _ORDER[type(event)], place, isinstance(event, Warmup) and event.ready

    return tuple(sorted(events, key=key))


@dataclass(frozen=True, eq=False)
class Block:
    """What came out of one step: rows, which may be none, and events.

    Rows are numbered on a grid that has its zero at device index 0; after a long gap the numbers
    jump with it.

    Attributes:
        index: (m,) numbers of the rows.
        values: (m, leads) in millivolts, or what the last `scale` step made of them.
        flags: (m, leads) of `CONCEALED`, `INVALID`, `WARMUP`.
        segment: (m, leads) counts how often the lead began anew; an RR interval lies within one.
        events: in the order in which they became known.
    """

    index: NDArray[np.int64]
    values: Array = field(repr=False)
    flags: Array = field(repr=False)
    segment: Array = field(repr=False)
    events: tuple[Event, ...]
