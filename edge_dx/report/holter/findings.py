"""From what was recorded to the figures of the report."""

from __future__ import annotations

from edge_dx.ecg.events import LABELS
from edge_dx.report.holter import counting
from edge_dx.report.holter.lanes import GOOD, HELD, INVALID, LOST, SETTLING
from edge_dx.report.holter.occasions import KINDS
from edge_dx.report.holter.recorder import AF, JUDGED, LEADS, NOISY, STATES, Holter
from edge_dx.report.holter.times import rounded
from edge_dx.report.holter.values import (
    AlarmTold,
    At,
    Ectopy,
    Episode,
    Findings,
    Histogram,
    Lead,
    Period,
    Run,
    Shown,
    Stretch,
    Trend,
)

_ROWS_S = ((2 * 3600, 300), (8 * 86400, 3600), (1e18, 86400))
"""Recordings up to so long have rows of so many seconds."""


def findings_of(holter: Holter) -> Findings:
    """All figures; the recording must have been closed."""
    clock, beats, judged = holter.clock, holter.beats, holter.judged
    rate, seconds = float(holter.rate_hz), clock.seconds
    begin = max(holter.ring.first, 0)
    duration_s = seconds(holter.end)
    shown: dict[str, int] = {kind.name: 0 for kind in KINDS}
    for strip in holter.strips():
        for kind, _ in strip.notes:
            shown[kind] += 1
    return Findings(
        first=begin, samples=holter.ring.samples, rate_hz=rate,
        duration_s=rounded(duration_s), analysed_s=rounded(judged.samples / rate),
        noisy_s=rounded(holter.noisy_samples / rate), lost_samples=holter.lost,
        not_analysed={cause: rounded(n / rate) for cause, n in sorted(judged.by_cause.items())},
        longest_not_analysed=[
            Stretch(s.sample, rounded(seconds(s.sample)), rounded(s.lasts / rate), s.cause, s.open)
            for s in judged.longest()
        ],
        not_analysed_stretches=judged.stretches,
        beats={label: beats.counts[label] for label in LABELS}, noisy_beats=beats.noisy,
        rate_mean_per_min=_mean(beats.intervals, beats.intervals_s),
        rate_lowest=_at(holter, beats.lowest), rate_highest=_at(holter, beats.highest),
        rr_longest=_at(holter, beats.longest), rr_left_out=beats.left_out, pauses=beats.pauses,
        ectopy={label: Ectopy(own.single, own.couplets, own.runs, own.longest)
                for label, own in beats.ectopic.items()},
        runs=[
            Run(run.label, -run.before, rounded(seconds(-run.before)), run.beats,
                round(run.rate_per_min, 1))
            for run in beats.runs()
        ],
        af_s=rounded(holter.af_samples / rate), af_episodes=holter.af_episodes,
        af=[
            Episode(-e.before, rounded(seconds(-e.before)), rounded(e.lasts / rate), e.beats,
                    _mean(e.intervals, e.rr_s), e.open)
            for e in holter.kept_episodes()
        ],
        alarms_by_kind=dict(sorted(holter.alarms.items())), alarms=_alarms(holter),
        leads=_leads(holter, duration_s), periods=_periods(holter, duration_s),
        trend=_trend(holter),
        histogram=Histogram(
            counting.HISTOGRAM_FIRST_S, counting.HISTOGRAM_WIDTH_S, beats.histogram[0].tolist(),
            beats.histogram[1].tolist(), beats.shorter, beats.longer,
        ),
        strips=[Shown(kind.name, holter.happened[kind.name], shown[kind.name])
                for kind in KINDS if holter.happened[kind.name]],
    )  # fmt: skip


def _alarms(holter: Holter) -> list[AlarmTold]:
    seconds, told = holter.clock.seconds, []
    for alarm in holter.kept_alarms():
        event = alarm.event
        lasts = None if alarm.end is None else rounded(seconds(alarm.end) - seconds(event.sample))
        told.append(AlarmTold(
            event.kind, event.sample, rounded(seconds(event.sample)), lasts,
            round(event.value, 4), event.unit, alarm.open,
        ))  # fmt: skip
    return told


def _leads(holter: Holter, duration_s: float) -> list[Lead]:
    told = []
    for number, name in enumerate(holter.leads):
        lanes = LEADS + STATES * number
        held = holter.timeline.seconds[:, lanes : lanes + STATES].sum(axis=0)
        told.append(Lead(name, *(rounded(float(held[state]))
                                 for state in (GOOD, HELD, INVALID, SETTLING, LOST))))  # fmt: skip
    return told


def _periods(holter: Holter, duration_s: float) -> list[Period]:
    line = holter.timeline
    width_s, groups = line.over(next(each for most, each in _ROWS_S if duration_s <= most))
    told = []
    for number, group in enumerate(groups):
        begin_s = float(number * width_s)
        low, high = float(line.lowest[group].min()), float(line.highest[group].max())
        counts = line.beats[group].sum(axis=0)
        held = line.seconds[group].sum(axis=0)
        told.append(Period(
            time_s=begin_s, lasts_s=rounded(min(duration_s - begin_s, width_s)),
            analysed_s=rounded(float(held[JUDGED])),
            beats={label: int(n) for label, n in zip(LABELS, counts, strict=True)},
            rate_per_min=_mean(int(line.intervals[group].sum()),
                               float(line.intervals_s[group].sum())),
            lowest_per_min=round(low, 1) if low < 1e9 else None,
            highest_per_min=round(high, 1) if high > 0 else None,
            af_s=rounded(float(held[AF])), noisy_s=rounded(float(held[NOISY])),
        ))  # fmt: skip
    return told


def _trend(holter: Holter) -> Trend:
    line = holter.timeline
    used = line.used
    return Trend(
        line.width_s,
        [_mean(int(n), float(s)) for n, s in
         zip(line.intervals[:used], line.intervals_s[:used], strict=True)],
        [round(low, 1) if low < 1e9 else None for low in line.lowest[:used].tolist()],
        [round(high, 1) if high > 0 else None for high in line.highest[:used].tolist()],
        line.seconds[:used, JUDGED].round(2).tolist(),
        line.seconds[:used, AF].round(2).tolist(),
    )  # fmt: skip


def _mean(intervals: int, seconds: float) -> float | None:
    return round(60.0 * intervals / seconds, 1) if intervals and seconds else None


def _at(holter: Holter, value: counting.Value | None) -> At | None:
    if value is None:
        return None
    time_s = rounded(holter.clock.seconds(value.sample))
    return At(round(value.value, 4), value.sample, time_s)
