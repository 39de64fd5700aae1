"""What is worth a strip, how many of each there may be, and which give way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """A kind of occasion.

    Attributes:
        name: of it.
        title: for a person.
        quota: strips of this kind at most.
        keeps: `strongest` the longest, fastest or slowest stay, of equals the earlier;
            `spread` every first, second, fourth … one stays, over the whole recording.
        alone: its strip stands for the whole recording, so it joins no other's.
    """

    name: str
    title: str
    quota: int
    keeps: Literal["strongest", "spread"]
    alone: bool = False


KINDS = (
    Kind("asystole", "Alarm: asystole", 6, "strongest"),
    Kind("ventricular_fibrillation", "Alarm: ventricular fibrillation", 6, "spread"),
    Kind("ventricular_tachycardia", "Alarm: ventricular tachycardia", 6, "strongest"),
    Kind("pause", "Pauses", 6, "strongest"),
    Kind("af_begins", "Atrial fibrillation begins", 4, "spread"),
    Kind("af_ends", "Atrial fibrillation ends", 3, "spread"),
    Kind("ventricular_run", "Ventricular runs", 6, "strongest"),
    Kind("supraventricular_run", "Supraventricular runs", 4, "strongest"),
    Kind("bradycardia", "Alarm: bradycardia", 3, "strongest"),
    Kind("tachycardia", "Alarm: tachycardia", 3, "strongest"),
    Kind("bigeminy", "Alarm: bigeminy", 2, "spread"),
    Kind("couplet", "Ventricular couplets", 4, "spread"),
    Kind("ventricular", "Single ventricular beats", 4, "spread"),
    Kind("supraventricular", "Single supraventricular beats", 4, "spread"),
    Kind("fusion", "Fusion beats", 2, "spread"),
    Kind("fastest", "Highest heart rate", 1, "strongest", alone=True),
    Kind("slowest", "Lowest heart rate", 1, "strongest", alone=True),
    Kind("not_analysed", "No longer analysed", 3, "spread"),
    Kind("noise", "Noise begins", 2, "spread"),
    Kind("usual", "The recording's first usual beats", 1, "strongest", alone=True),
)
"""In the order of importance, which is also that of the page."""
RANK = {kind.name: rank for rank, kind in enumerate(KINDS)}
MOST = sum(kind.quota for kind in KINDS)

RULE = (
    "An occasion that falls into a strip already taken is written onto that strip. Of pauses, "
    "runs and rates the strongest are kept, of equals the earlier ones; of the other kinds every "
    "first, second, fourth … one, so that they are spread over the whole recording. All are "
    "counted; each kind has its own number of places, so that none crowds out another."
)
