"""The page's tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from edge_dx.ecg.events import AlarmKind
from edge_dx.report import pieces
from edge_dx.report.holter.counting import KEPT_RUNS
from edge_dx.report.holter.recorder import KEPT_ALARMS, KEPT_EPISODES
from edge_dx.report.holter.times import Clock, elapsed, lasting
from edge_dx.report.holter.values import About, Findings
from edge_dx.report.pieces import escaped

_CAUSES = {
    "lost": "samples never came",
    "lead_off": "electrode off",
    "not_finite": "the device gave no numbers",
    "absurd": "values that no heart has",
    "saturated": "the device's converter was at its limit",
    "flat": "flat line",
    "settling": "filters and network settling",
}
_BAR_PX = 90


def not_analysed(told: Findings, about: About, clock: Clock) -> str:
    """Time in which nobody looked, and why."""
    if not told.not_analysed:
        return ""
    causes = sorted(told.not_analysed.items(), key=lambda item: -item[1])
    lines = [
        (escaped(_CAUSES[cause]), lasting(seconds), _percent(seconds, told.duration_s))
        for cause, seconds in causes
    ]
    longest = [
        (*_moment(s.time_s, s.sample, clock), lasting(s.lasts_s),
         escaped(_CAUSES[s.cause]) + (", to the end" if s.open else ""))
        for s in told.longest_not_analysed
    ]  # fmt: skip
    count = told.not_analysed_stretches
    which = f"{count} stretches"
    if count > len(longest):
        which += f"; the {len(longest)} longest"
    if count == 1:
        only = pieces.table((*_heads(clock), "lasts", "cause"), longest, _numbers(clock, 1))
        return f"<h2>Not analysed</h2>\n{only}"
    return (
        "<h2>Not analysed</h2>\n<p>A stretch counts with the weightiest cause, in the order of the "
        "signal path: the time that filters and network need to settle after it is in it.</p>\n"
        + pieces.table(("cause", "time", "of the duration"), lines, (1, 2))
        + f"<p>{which}:</p>\n"
        + pieces.table((*_heads(clock), "lasts", "cause"), longest, _numbers(clock, 1))
    )


def leads(told: Findings) -> str:
    """What each lead was worth."""
    lines = [
        (escaped(lead.name), *(_percent(s, told.duration_s) for s in
         (lead.good_s, lead.held_s, lead.settling_s, lead.invalid_s, lead.lost_s)))
        for lead in told.leads
    ]  # fmt: skip
    heads = ("lead", "good", "held over a gap", "settling", "no signal", "samples lost")
    return pieces.table(heads, lines, (1, 2, 3, 4, 5))


def periods(told: Findings, about: About, clock: Clock) -> str:
    """Beats and rates by the hour, or by five minutes of a short recording."""
    if not told.analysed_s:
        return ""
    ectopic = max((p.beats["V"] for p in told.periods), default=0)
    lines = []
    for own in told.periods:
        cells = [elapsed(own.time_s)]
        if about.begun:
            cells.append(clock.of_day(own.time_s))
        cells += [_percent(own.analysed_s, own.lasts_s), f"{sum(own.beats.values()):,}"]
        if about.tells_classes:
            cells += [f"{own.beats[label]:,}" for label in "NSV"]
            cells[-1] += _share(own.beats["V"], ectopic)
            cells += [f"{own.beats[label]:,}" for label in "FQ"]
        cells += [_rate(own.rate_per_min), _rate(own.lowest_per_min), _rate(own.highest_per_min)]
        if about.looks_for_af:
            cells.append(
                _percent(min(own.af_s, own.analysed_s), own.analysed_s) if own.analysed_s else "–"
            )
        # A row of dashes where nobody looked: zeros would read as a finding.
        if not own.analysed_s and not sum(own.beats.values()):
            keep = 3 if about.begun else 2
            cells = [*cells[:keep], *["–" for _ in cells[keep:]]]
        lines.append(tuple(cells))
    heads = ["from", *(["time of day"] if about.begun else []), "analysed", "beats"]
    heads += list("NSVFQ") if about.tells_classes else []
    heads += ["rate/min", "lowest", "highest"] + (["in AF"] if about.looks_for_af else [])
    each = lasting(told.periods[0].lasts_s) if len(told.periods) == 1 else _each(told)
    return (
        f"<h2>Beats over time</h2>\n<p>Rows of {each}. Rates are of the beats that were found; "
        "AF is in shares of what was analysed.</p>\n"
        + pieces.table(heads, lines, range(len(heads)))
    )


def af(told: Findings, about: About, clock: Clock) -> str:
    """Episodes of atrial fibrillation."""
    if not about.looks_for_af:
        return (
            "<h2>Atrial fibrillation</h2>\n<p>Not looked for: this model does not judge the "
            "rhythm.</p>"
        )
    if not told.af_episodes:
        if not told.analysed_s:
            return ""
        return (
            "<h2>Atrial fibrillation</h2>\n<p>No episode was found in the "
            f"{lasting(told.analysed_s)} that were analysed.</p>"
        )
    lines = [
        (*_moment(e.time_s, e.sample, clock), lasting(e.lasts_s) + (" *" if e.open else ""),
         f"{e.beats:,}", _rate(e.rate_per_min))
        for e in told.af
    ]  # fmt: skip
    words = (
        f"{told.af_episodes} episode{'s' if told.af_episodes > 1 else ''}, "
        f"{lasting(told.af_s)} together, {_percent(told.af_s, told.analysed_s)} of what was "
        "analysed. An episode also ends where the analysis stops."
    )
    if told.af_episodes > len(lines):
        words += f" The {KEPT_EPISODES} longest are listed."
    if any(e.open for e in told.af):
        words += " * goes on at the end of the recording."
    heads = (*_heads(clock), "lasts", "beats", "mean rate/min")
    return (
        f"<h2>Atrial fibrillation</h2>\n<p>{words}</p>\n"
        + pieces.table(heads, lines, _numbers(clock, 3))
    )  # fmt: skip


def alarms(told: Findings, about: About, clock: Clock) -> str:
    """Alarms in the order of time."""
    if not about.alarms:
        return "<h2>Alarms</h2>\n<p>Not looked for: no alarm rule was on.</p>"
    on = f"Looked for: {_kinds(about.alarms)}."
    if off := [kind for kind in get_args(AlarmKind) if kind not in about.alarms]:
        on += f" Not looked for: {_kinds(off)}."
    if not told.alarms:
        if not told.analysed_s:
            return ""
        return (
            f"<h2>Alarms</h2>\n<p>None in the {lasting(told.analysed_s)} that were analysed. "
            f"{escaped(on)}</p>"
        )
    lines = []
    for own in told.alarms:
        unit = own.unit if own.unit.startswith("/") else f" {own.unit}"
        lasts = "–" if own.lasts_s is None else lasting(own.lasts_s) + (" *" if own.open else "")
        lines.append((*_moment(own.time_s, own.sample, clock), escaped(own.kind.replace("_", " ")),
                      lasts, f"{own.value:.3g}{escaped(unit)}"))  # fmt: skip
    words = f"{escaped(on)} The rules and their sources are in docs/ecg.md."
    if sum(told.alarms_by_kind.values()) > len(lines):
        words += f" The {KEPT_ALARMS} gravest are listed, of equals the first."
    if any(own.open for own in told.alarms):
        words += " * goes on at the end of the recording."
    heads = (*_heads(clock), "alarm", "lasts", "value")
    right = (*_numbers(clock, 0), len(heads) - 2, len(heads) - 1)
    return f"<h2>Alarms</h2>\n<p>{words}</p>\n" + pieces.table(heads, lines, right)


def ectopy(told: Findings, about: About, clock: Clock) -> str:
    """How ectopic beats come, and the longest runs."""
    if not about.tells_classes or not told.analysed_s:
        return ""
    lines = [
        (f"{label} {name}", f"{told.beats[label]:,}", f"{own.single:,}", f"{own.couplets:,}",
         f"{own.runs:,}", str(own.longest_run_beats) if own.longest_run_beats > 2 else "–")
        for label, name in (("V", "ventricular"), ("S", "supraventricular"))
        for own in (told.ectopy[label],)
    ]  # fmt: skip
    text = "<h2>Ectopic beats</h2>\n" + pieces.table(
        ("class", "beats", "single", "couplets", "runs", "longest, beats"), lines, range(1, 6)
    )
    if not told.runs:
        return text
    runs = [
        (*_moment(r.time_s, r.sample, clock), r.label, str(r.beats), _rate(r.rate_per_min))
        for r in told.runs
    ]
    every = sum(own.runs for own in told.ectopy.values())
    which = f"the {KEPT_RUNS} longest of {every:,}" if every > len(runs) else "all"
    heads = (*_heads(clock), "class", "beats", "rate/min")
    right = (*_numbers(clock, 0), len(heads) - 2, len(heads) - 1)
    return text + f"<h3>Runs, {which}</h3>\n" + pieces.table(heads, runs, right)


def _kinds(kinds: Iterable[str]) -> str:
    return ", ".join(kind.replace("_", " ") for kind in kinds)


def _each(told: Findings) -> str:
    seconds = told.periods[0].lasts_s
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _heads(clock: Clock) -> tuple[str, ...]:
    return ("from", "time of day", "sample") if clock.begun else ("from", "sample")


def _moment(time_s: float, sample: int, clock: Clock) -> tuple[str, ...]:
    day = (clock.of_day(time_s),) if clock.begun else ()
    return (elapsed(time_s), *day, str(sample))


def _numbers(clock: Clock, more: int) -> Sequence[int]:
    """Columns that stand to the right: the moment's, and so many behind it."""
    return range(len(_heads(clock)) + more)


def _percent(part: float, whole: float) -> str:
    """A share that says 0 or 100 only where it is."""
    if whole <= 0 or part <= 0:
        return "0 %"
    share = 100 * part / whole
    if share < 0.05:
        return "&lt; 0.1 %"
    if share < 100 and share > 99.9:
        return "&gt; 99.9 %" if part < whole - 1e-3 else "100 %"
    return f"{share:.0f} %" if share > 99.999 else f"{share:.1f} %"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _share(part: int, most: int) -> str:
    if not most:
        return ""
    wide = round(_BAR_PX * part / most)
    return f'<span class="share bar v" style="width:{wide}px;background:#b3001b"></span>'
