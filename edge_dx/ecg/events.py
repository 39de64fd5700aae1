"""What a stream says: beats, rhythms and alarms, beside the signal path's own events.

Every event stands on the device's own sample index: `sample` is where it happened, all delays
subtracted, `certain_at` the sample with whose arrival it was first known.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from edge_dx.signal import Gap, LeadOff, Quality, Warmup

Label = Literal["N", "S", "V", "F", "Q"]
LABELS: tuple[Label, ...] = ("N", "S", "V", "F", "Q")
"""AAMI EC57: normal, supraventricular ectopic, ventricular ectopic, fusion, unclassifiable."""

Change = Literal["begins", "ends"]


@dataclass(frozen=True)
class Beat:
    """A heartbeat.

    Attributes:
        sample: of the R peak.
        certain_at: the sample with whose arrival its class was known.
        label: AAMI class.
        probability: that the beat is of this class, as the network has it; not calibrated.
        rr_s: interval from the beat before; None where that lies beyond a gap or there is none.
        noisy: the signal around it was too noisy for the class to be relied on.
    """

    sample: int
    certain_at: int
    label: Label
    probability: float
    rr_s: float | None = None
    noisy: bool = False


@dataclass(frozen=True)
class Rhythm:
    """An episode's beginning or end.

    Attributes:
        sample: of the first beat of the episode, or of the first one after it.
        certain_at: when that was known.
        rhythm: `AF`.
        change: `begins` or `ends`.
        probability: mean over the beats since the change.
    """

    sample: int
    certain_at: int
    rhythm: Literal["AF"]
    change: Change
    probability: float


AlarmKind = Literal[
    "asystole", "ventricular_tachycardia", "ventricular_fibrillation", "bradycardia", "tachycardia",
    "bigeminy", "couplet",
]  # fmt: skip


@dataclass(frozen=True)
class Alarm:
    """A stated rule holds, or no longer does; docs/ecg.md has the rules with their sources.

    Attributes:
        sample: where it began (of `ends`: where it ended).
        certain_at: when that was known.
        kind: the rule.
        change: a couplet begins and ends at once, so of it there is `begins` alone.
        value: what was compared with the limit: a rate per minute, a pause in seconds, a number
            of beats.
        unit: of the value: `/min`, `s`, `beats`.
    """

    sample: int
    certain_at: int
    kind: AlarmKind
    change: Change
    value: float
    unit: Literal["/min", "s", "beats"]


@dataclass(frozen=True)
class Noise:
    """The signal became too noisy for classes to be relied on, or is good again.

    Unlike `Quality`, which is about samples that say nothing at all, this is the network's own
    judgement of what it sees.
    """

    sample: int
    certain_at: int
    change: Change


@dataclass(frozen=True)
class Judging:
    """From here on beats are told, or no longer are: a gap, no lead with a signal, warming up.

    What lies between an end and the next beginning was not looked at. That no beat is told there
    does not mean that there was none.
    """

    sample: int
    certain_at: int
    change: Change


StreamEvent = Beat | Rhythm | Alarm | Noise | Judging | Gap | LeadOff | Quality | Warmup
_OURS = (Beat, Rhythm, Alarm, Noise, Judging)


def certain_at(event: StreamEvent) -> int:
    """The sample with whose arrival it was known."""
    return event.certain_at if isinstance(event, _OURS) else event.at


def happened_at(event: StreamEvent) -> int:
    """The sample at which it happened."""
    return event.sample if isinstance(event, _OURS) else event.index


def as_json(event: StreamEvent, rate_hz: Fraction) -> dict[str, Any]:
    """One event as a JSON object: `type`, `sample`, `time_s`, `certain_at_s`, and its own facts."""
    sample, known = happened_at(event), certain_at(event)
    told: dict[str, Any] = {
        "type": _TYPES[type(event)],
        "sample": sample,
        "time_s": round(float(sample / rate_hz), 4),
        "certain_at_s": round(float(known / rate_hz), 4),
    }
    skipped = ("sample", "certain_at", "index", "at")
    facts = {name: value for name, value in vars(event).items() if name not in skipped}
    if isinstance(event, Noise):
        facts = {"state": "noisy" if event.change == "begins" else "clean"}
    return told | {n: round(v, 4) if isinstance(v, float) else v for n, v in facts.items()}


_TYPES: dict[type[Any], str] = {
    Beat: "beat", Rhythm: "rhythm", Alarm: "alarm", Noise: "quality", Gap: "gap",
    Judging: "judging", LeadOff: "lead_off", Quality: "quality", Warmup: "warmup",
}  # fmt: skip
