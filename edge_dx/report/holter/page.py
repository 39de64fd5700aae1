"""The page: one file, no script, nothing loaded from anywhere; prints on A4, strips to scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_dx.report import pieces
from edge_dx.report.holter import charts, lists
from edge_dx.report.holter.draw_strip import svg_from_strip
from edge_dx.report.holter.findings import findings_of
from edge_dx.report.holter.occasions import KINDS, RANK, RULE
from edge_dx.report.holter.recorder import Holter
from edge_dx.report.holter.ring import DRAWN_LEADS
from edge_dx.report.holter.strips import Strip
from edge_dx.report.holter.style import CSS as OWN_CSS
from edge_dx.report.holter.times import Clock, elapsed, lasting
from edge_dx.report.holter.values import PAUSE_S, RATE_BEATS, About, At, Findings
from edge_dx.report.pieces import escaped
from edge_dx.report.style import CSS

_LEAST_S = 1.0
"""What was not analysed is told in the head from so much on; settling at the start always is."""


def html_from_holter(holter: Holter, about: About) -> str:
    """The whole page of a recording that has been closed."""
    told = findings_of(holter)
    clock = Clock(told.first, holter.rate_hz, about.begun)
    sections = [
        _header(told, about), _headline(told, about, clock), _facts(told, about),
        lists.not_analysed(told, about, clock), _trend(holter, told, about),
        lists.periods(told, about, clock), lists.af(told, about, clock),
        lists.alarms(told, about, clock), lists.ectopy(told, about, clock),
        _histogram(told, about), _strips(holter, told, about, clock), _limits(about),
    ]  # fmt: skip
    body = "\n".join(section for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escaped(about.name)}: ECG report</title>\n"
        f"<style>{CSS}{OWN_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>Made by edge-dx{escaped(_made(about))}. "
        "Not for diagnosis.</footer>\n</main>\n</body>\n</html>\n"
    )


def _made(about: About) -> str:
    return f" on {about.made}" if about.made else ""


def _header(told: Findings, about: About) -> str:
    unjudged_s = told.duration_s - told.analysed_s
    if not told.analysed_s:
        verdict = (
            '<div class="verdict fail"><strong>Not analysed.</strong> There was never enough '
            "signal to judge. Nothing is known about this heart; an empty table below is no "
            "normal finding.</div>"
        )
    elif unjudged_s >= _LEAST_S:
        share = 100 * told.analysed_s / told.duration_s
        verdict = (
            f'<div class="verdict"><strong>Analysed: {lasting(told.analysed_s)} of '
            f"{lasting(told.duration_s)} ({share:.1f} %).</strong> In the other "
            f"{lasting(unjudged_s)} nobody looked: that nothing is told there does not mean that "
            "nothing was.</div>"
        )
    else:
        verdict = (
            f'<div class="verdict"><strong>Analysed: {lasting(told.analysed_s)}</strong>, the '
            "whole recording.</div>"
        )
    ended = ""
    if about.ended:
        ended = (
            f'<div class="warn"><strong>The recording did not come to its end:</strong> '
            f"{escaped(about.ended)}. What came before stands.</div>"
        )
    return (
        f"<header><h1>ECG report: {escaped(about.name)}</h1><div class=\"sub\">Lead"
        f"{'s' if len(about.leads) > 1 else ''} {escaped(', '.join(about.leads))}, "
        f"{told.rate_hz:g} samples per second, {lasting(told.duration_s)}"
        f"{escaped(f'; made by edge-dx{_made(about)}')}</div></header>\n"
        '<div class="warn"><strong>Not for diagnosis.</strong> Found by a research program that '
        f"nobody has approved for patients, and seen by nobody.</div>\n{ended}{verdict}"
    )  # fmt: skip


def _headline(told: Findings, about: About, clock: Clock) -> str:
    if not told.analysed_s:
        return ""
    boxes = [_box(f"{sum(told.beats.values()):,}", "beats", "")]
    mean = "–" if told.rate_mean_per_min is None else f"{told.rate_mean_per_min:.0f}"
    extremes = f"too few beats for a mean of {RATE_BEATS}"
    if told.rate_lowest is not None and told.rate_highest is not None:
        extremes = f"{_extreme(told.rate_lowest, clock)} lowest<br>"
        extremes += f"{_extreme(told.rate_highest, clock)} highest"
    boxes.append(_box(f"{mean} <small>/min</small>", "mean heart rate", extremes))
    if about.tells_classes:
        for label, name in (("V", "ventricular"), ("S", "supraventricular")):
            own = told.ectopy[label]
            share = 100 * told.beats[label] / max(sum(told.beats.values()), 1)
            boxes.append(_box(
                f"{told.beats[label]:,} <small>{share:.1f} %</small>", f"{name} beats ({label})",
                ", ".join((f"{own.single:,} single", _many(own.couplets, "couplet"),
                           _many(own.runs, "run"))),
            ))  # fmt: skip
        rest = ", ".join(f"{told.beats[label]:,} {label}" for label in "NFQ")
        boxes[0] = _box(f"{sum(told.beats.values()):,}", "beats",
                        f"{rest}; {told.noisy_beats:,} in noise")  # fmt: skip
    else:
        boxes.append(_none("classes of beats", "this model does not tell them apart"))
    if about.looks_for_af:
        share = 100 * told.af_s / told.analysed_s
        detail = f"{lasting(told.af_s)}, {_many(told.af_episodes, 'episode')}"
        boxes.append(_box(f"{share:.1f} <small>%</small>", "in atrial fibrillation", detail))
    else:
        boxes.append(_none("atrial fibrillation", "this model does not look for it"))
    longest = "no RR interval is known"
    if told.rr_longest is not None:
        at = told.rr_longest
        longest = f"longest RR {at.value:.2f} s, {_when(at.time_s, clock)}"
    boxes.append(_box(f"{told.pauses}", f"pauses of {PAUSE_S:g} s and more", longest))
    if about.alarms:
        kinds = ", ".join(f"{n} {kind.replace('_', ' ')}"
                          for kind, n in told.alarms_by_kind.items())  # fmt: skip
        boxes.append(_box(str(sum(told.alarms_by_kind.values())), "alarms", kinds))
    else:
        boxes.append(_none("alarms", "no rule was on"))
    return f'<div class="headline">{"".join(boxes)}</div>'


def _box(figure: str, name: str, detail: str) -> str:
    more = f"<br><span>{detail}</span>" if detail else ""
    return f"<div><b>{figure}</b>{name}{more}</div>"


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _none(name: str, why: str) -> str:
    return f'<div class="none"><b>–</b>{name}<br><span>{why}</span></div>'


def _extreme(at: At, clock: Clock) -> str:
    return f"{at.value:.0f} at {_when(at.time_s, clock)}"


def _when(time_s: float, clock: Clock) -> str:
    day = clock.of_day(time_s)
    return elapsed(time_s) + (f" ({day})" if day else "")


def _facts(told: Findings, about: About) -> str:
    lines = [
        ("recording", about.name), ("leads judged", ", ".join(about.leads)),
        ("samples", f"{told.samples:,} at {told.rate_hz:g} per second, from index {told.first} on"
                    + (f"; {told.lost_samples:,} never came" if told.lost_samples else "")),
        *about.facts,
    ]  # fmt: skip
    if about.begun is not None:
        lines.insert(1, ("begun", f"{about.begun:%Y-%m-%d %H:%M:%S}, as the recording says"))
    facts = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in lines)
    warn = ""
    if about.unsigned:
        warn = '<div class="warn"><strong>Unsigned.</strong> Nobody vouches for this bundle.</div>'
    return f"<h2>What ran</h2>\n<dl>{facts}</dl>\n{warn}"


def _trend(holter: Holter, told: Findings, about: About) -> str:
    width_s = charts.shown(holter, told).width_s
    each = f"{width_s} s" if width_s < 120 else f"{width_s / 60:g} min"
    keys = [("#0b4f7d", f"mean of {each}"),
            ("#b9d3e6", f"lowest to highest mean of {RATE_BEATS} beats")]  # fmt: skip
    if about.looks_for_af:
        keys.append(("#e08a7d", "atrial fibrillation"))
    keys += [("#5d6873", "not analysed"), ("#7fb08c", "analysed; lead good"),
             ("#c9a227", "noisy; lead held over a short gap"), ("#9aa5b0", "lead settling"),
             ("#a3202c", "lead without a signal"), ("#16202a", "samples lost")]  # fmt: skip
    key = "".join(f'<span><i style="background:{c}"></i>{name}</span>' for c, name in keys)
    return (
        "<h2>Heart rate and quality over time</h2>\n"
        f"{charts.trend(holter, told, about)}<div class=\"key\">{key}</div>\n"
        f"{lists.leads(told)}"
    )  # fmt: skip


def _histogram(told: Findings, about: About) -> str:
    drawn = charts.histogram(told.histogram, classes=about.tells_classes)
    if not drawn:
        return ""
    own = told.histogram
    outside = f"{own.shorter:,} are shorter and {own.longer:,} longer than what is drawn. "
    left = f"{told.rr_left_out:,} beside a beat in noise are left out, here and in all figures."
    key = ""
    if about.tells_classes:
        key = (
            '<div class="key"><span><i style="background:#6d9dc0"></i>normal to normal</span>'
            '<span><i style="background:#b3001b"></i>all others</span></div>'
        )
    return (
        f"<h2>RR intervals</h2>\n<p>In steps of {own.width_s * 1000:.0f} ms. {outside}{left}</p>\n"
        f"{drawn}{key}"
    )


def _strips(holter: Holter, told: Findings, about: About, clock: Clock) -> str:
    strips = holter.strips()
    if not strips:
        return ""
    alone = {kind.name for kind in KINDS if kind.alone}
    lines = [
        (escaped(KINDS[RANK[own.kind]].title), f"{own.happened:,}", f"{own.shown:,}")
        for own in told.strips if own.kind not in alone
    ]  # fmt: skip
    table = pieces.table(("occasion", "happened", "on a strip"), lines, (1, 2)) if lines else ""
    more = ""
    if len(about.leads) > DRAWN_LEADS:
        more = f" Of {len(about.leads)} leads the first {DRAWN_LEADS} are drawn."
    classes = "" if about.tells_classes else " A dot marks each beat; this model tells no classes."
    return (
        "<h2>Strips</h2>\n<p>25 mm a second and 10 mm a millivolt when printed at 100 %; the mark "
        "at the left is 1 mV and 200 ms. The signal is as it came, without any filter. Above each "
        "beat its class (~ in noise), above that the RR interval in milliseconds."
        f"{classes}{more}</p>\n<p class=\"note\">{escaped(RULE)}</p>\n{table}\n"
        + "\n".join(_group(kind.title, [s for s in strips if s.kind == kind.name], clock, about)
                    for kind in KINDS)
    )  # fmt: skip


def _group(title: str, strips: Sequence[Strip], clock: Clock, about: About) -> str:
    if not strips:
        return ""
    cuts = [_cut(strip, clock, about) for strip in strips]
    # Headed together with the first one, so that no page ends with a heading.
    return f'<div class="cut"><h3>{escaped(title)}</h3>{cuts[0]}</div>' + "".join(cuts[1:])


def _cut(strip: Strip, clock: Clock, about: About) -> str:
    first, *more = _counted(text for _, text in strip.notes)
    where = f"{_when(max(clock.seconds(strip.sample), 0.0), clock)}, sample {strip.sample}"
    late = " It was known only when its own signal was no longer held." if strip.late else ""
    also = f" Also on it: {escaped('; '.join(more))}." if more else ""
    return (
        f'<div class="cut"><div class="what"><b>{escaped(first[:1].upper() + first[1:])}</b>'
        f'<span class="where">at {where}.{also}{late}</span></div>'
        f"{svg_from_strip(strip, clock, about.leads, classes=about.tells_classes)}</div>"
    )


def _counted(texts: Iterable[str]) -> list[str]:
    """Texts once each, with how often where it is more than once."""
    found: dict[str, int] = {}
    for text in texts:
        found[text] = found.get(text, 0) + 1
    return [text if n == 1 else f"{n} × {text}" for text, n in found.items()]


def _limits(about: About) -> str:
    classes = (
        "<li>Classes are those of AAMI EC57: N normal or bundle branch block, S supraventricular "
        "ectopic, V ventricular ectopic, F fusion of N and V, Q cannot be classed. A share of them "
        "is wrong; the model card has the measured shares.</li>"
    )
    return (
        "<h2>What the figures mean</h2>\n<ul>"
        "<li>Not for diagnosis. No authority has cleared this program or its model, and nobody has "
        "looked over this page.</li>"
        "<li>Times run from the first sample on, by the device's own index; what was lost counts "
        "as time. Not analysed is not normal.</li>"
        f"<li>The heart rate is 60 s over the mean of {RATE_BEATS} RR intervals in a row, of all "
        "classes. No interval reaches over a stretch that was not analysed. Lowest and highest are "
        "told at the last of the beats.</li>"
        f"<li>A pause is an RR interval of {PAUSE_S:g} s and more, a couplet two and a run three "
        "or more beats of one class in a row.</li>"
        f"{classes if about.tells_classes else ''}"
        "<li>Times in atrial fibrillation are in shares of the time that was analysed.</li></ul>"
    )
