"""What a report of an ECG tells: figures that stand alone as JSON, and who found them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

PAUSE_S = 2.0
"""An RR interval from which it is a pause."""
RATE_BEATS = 8
"""RR intervals whose mean is a heart rate; lowest and highest are those of this mean."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class At(_Value, frozen=True):
    """A value and where it was.

    Attributes:
        value: a rate per minute or an interval in seconds.
        sample: the device's index; of an interval the R peak that ends it.
        time_s: from the first sample on.
    """

    value: float
    sample: int
    time_s: float


class Stretch(_Value, frozen=True):
    """From one sample to another, the latter excluded.

    Attributes:
        cause: why it could not be judged; empty where the stretch is no such.
        open: it had not ended when the recording did.
    """

    sample: int
    time_s: float
    lasts_s: float
    cause: str = ""
    open: bool = False


class Episode(_Value, frozen=True):
    """Atrial fibrillation from its first beat to the first one after it.

    Attributes:
        rate_per_min: mean; None where too few beats are known.
        open: it had not ended when the recording did.
    """

    sample: int
    time_s: float
    lasts_s: float
    beats: int
    rate_per_min: float | None
    open: bool


class AlarmTold(_Value, frozen=True):
    """An alarm; `lasts_s` is None of one that is over as it begins."""

    kind: str
    sample: int
    time_s: float
    lasts_s: float | None
    value: float
    unit: str
    open: bool


class Run(_Value, frozen=True):
    """Three or more beats of one class in a row.

    Attributes:
        label: `V` or `S`.
        rate_per_min: mean within the run.
    """

    label: str
    sample: int
    time_s: float
    beats: int
    rate_per_min: float


class Ectopy(_Value, frozen=True):
    """How beats of one class come."""

    single: int
    couplets: int
    runs: int
    longest_run_beats: int


class Period(_Value, frozen=True):
    """A row of the table over time.

    Attributes:
        analysed_s: of its `lasts_s`.
        beats: by class.
        rate_per_min: mean of its RR intervals, None without any.
        lowest_per_min: of the mean over 8 intervals.
        af_s: in atrial fibrillation.
        noisy_s: analysed, but too noisy for classes to be relied on.
    """

    time_s: float
    lasts_s: float
    analysed_s: float
    beats: dict[str, int]
    rate_per_min: float | None
    lowest_per_min: float | None
    highest_per_min: float | None
    af_s: float
    noisy_s: float


class Trend(_Value, frozen=True):
    """The recording in steps of equal length, of a day in minutes; None where no beat is known.

    Attributes:
        width_s: of a step.
        rate_per_min: mean of its RR intervals.
        lowest_per_min: of the mean over 8 intervals.
        analysed_s: of each step.
        af_s: in atrial fibrillation.
    """

    width_s: int
    rate_per_min: list[float | None]
    lowest_per_min: list[float | None]
    highest_per_min: list[float | None]
    analysed_s: list[float]
    af_s: list[float]


class Lead(_Value, frozen=True):
    """Seconds that a lead was in each state; together the whole duration."""

    name: str
    good_s: float
    held_s: float
    invalid_s: float
    settling_s: float
    lost_s: float


class Shown(_Value, frozen=True):
    """How many strips of a kind there could have been, and how many there are."""

    kind: str
    happened: int
    shown: int


class Histogram(_Value, frozen=True):
    """RR intervals by their length: bin `i` holds those from `first_s + i * width_s` on.

    Attributes:
        normal: between two normal beats.
        other: all others. Both leave out intervals beside a beat in noise.
        shorter: than the first bin.
        longer: than the last one.
    """

    first_s: float
    width_s: float
    normal: list[int]
    other: list[int]
    shorter: int
    longer: int


class Findings(_Value, frozen=True):
    """All figures of one recording.

    Attributes:
        first: the device's index of the first sample.
        samples: that came; those that were lost are not among them.
        duration_s: by the device's own index, with what was lost.
        not_analysed: seconds by cause; the cause is the weightiest one of each stretch.
        longest_not_analysed: the longest stretches, in the order of time.
        rr_left_out: intervals beside a beat in noise, which no figure uses.
        pauses: RR intervals of 2 s and more.
        af: in the order of time; at most the longest 200.
        alarms: in the order of time; at most 200, the gravest.
        runs: likewise, the longest.
    """

    first: int
    samples: int
    rate_hz: float
    duration_s: float
    analysed_s: float
    noisy_s: float
    lost_samples: int
    not_analysed: dict[str, float]
    longest_not_analysed: list[Stretch]
    not_analysed_stretches: int
    beats: dict[str, int]
    noisy_beats: int
    rate_mean_per_min: float | None
    rate_lowest: At | None
    rate_highest: At | None
    rr_longest: At | None
    rr_left_out: int
    pauses: int
    ectopy: dict[str, Ectopy]
    runs: list[Run]
    af_s: float
    af_episodes: int
    af: list[Episode]
    alarms_by_kind: dict[str, int]
    alarms: list[AlarmTold]
    leads: list[Lead]
    periods: list[Period]
    trend: Trend
    histogram: Histogram
    strips: list[Shown]


@dataclass(frozen=True)
class About:
    """Who found it, and in what.

    Attributes:
        name: of the recording; comes from outside, like the leads' names.
        leads: that were judged.
        facts: further lines for the head of the page, name and value.
        tells_classes: beats were told apart; else all of them are `Q`, and that says nothing.
        looks_for_af: the model judges the rhythm.
        alarms: kinds that were looked for.
        unsigned: nobody vouches for the bundle.
        ended: how the recording ended, where it was not at its end.
        begun: time of day of the first sample, where it is known.
        made: when the report was made, in words.
    """

    name: str
    leads: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    tells_classes: bool
    looks_for_af: bool
    alarms: tuple[str, ...]
    unsigned: bool = False
    ended: str = ""
    begun: datetime | None = None
    made: str = ""
