"""The report's section on the reader's own films: answers beside the truth, and figures."""

from __future__ import annotations

from collections.abc import Sequence

from edge_dx.manifest import Estimate, OperatingPoint
from edge_dx.report import pieces, roc
from edge_dx.report.evaluation import Group
from edge_dx.report.pieces import escaped
from edge_dx.report.values import Films
from edge_dx.result import Status

_MOST_ROWS = 2000


def html_from_films(films: Films, point: OperatingPoint | None) -> str:
    """The section; with figures where the films have labels."""
    parts = [
        f"<h2>Films</h2>\n<p>{len(films.rows)} images of <code>{escaped(films.directory)}</code>."
        "</p>"
    ]
    if films.refused:
        parts.append(
            f'<p class="note">{len(films.refused)} lines were left out: '
            f"{escaped('; '.join(films.refused[:5]))}</p>"
        )
    if films.groups and point is not None:
        parts.append(_evaluation(films, films.groups, point))
    if films.figures:
        parts.append("<h3>The most telling films</h3>")
        parts.append(pieces.gallery(films.figures))
    shown = films.rows[:_MOST_ROWS]
    left = f" The first {_MOST_ROWS}; the rest is in results.jsonl." if len(shown) < len(
        films.rows) else ""  # fmt: skip
    parts.append(
        f"<details><summary>All {len(films.rows)} answers</summary>{left}"
        + pieces.answers(shown, "label" if films.groups else "")
        + "</details>"
    )
    return "\n".join(parts)


def _evaluation(films: Films, groups: Sequence[Group], point: OperatingPoint) -> str:
    whole = groups[0]
    if films.seen_is_known:
        number = films.seen.films if films.seen else 0
        told = (
            f"Only films that were not used in training count here; {number} others were, and are "
            "told apart by their SHA-256: films seen in training are no evidence of quality."
        )
    else:
        told = (
            "The bundle does not say which films it was trained on, so the figures may flatter: "
            "some of these films may have been seen in training."
        )
    parts = [
        f"<h3>Unseen films</h3>\n<p>{told}</p>" if films.seen_is_known
        else f'<h3>Figures</h3>\n<p class="warn">{told}</p>',
        '<div class="headline">' + "".join(
            f"<div><span>{name}</span><b>{_value(e)}</b><span>{_interval(e)}</span></div>"
            for name, e in (("AUC", whole.auc), ("sensitivity", whole.sensitivity),
                            ("specificity", whole.specificity))
        ) + "</div>",
        f"<p>{whole.films} films, {whole.positives} with the label "
        f"<code>{escaped(point.label)}</code>; any other label counts as negative. Operating point "
        f"<code>{escaped(point.name)}</code>, threshold {point.threshold:.4f}. In brackets the "
        "95 % bootstrap interval over patients. <strong>What was not judged counts against the "
        "model:</strong> sensitivity is the share of all films with the finding that were "
        "answered <em>positive</em>, specificity the share of the others that were answered "
        "<em>negative</em>. Indeterminate, not analysed and failed are neither."
        + (f" The AUC leaves out {whole.unscored} films without a score." if whole.unscored else "")
        + " Films on which the threshold was fitted, if any are here, flatter sensitivity and "
        "specificity.</p>",
    ]  # fmt: skip
    listed = [*groups] if len(groups) > 1 else []
    if films.seen and films.seen.films:
        listed = [*groups, films.seen]
    if listed:
        parts.append(_groups(listed))
    rows = [row for row in films.rows if not row.seen]
    curve = roc.svg_from_rows(rows, point.threshold)
    parts.append(f'<div class="pair">{curve}<div>{_confusion(whole, point.label)}</div></div>')
    return "\n".join(parts)


def _groups(groups: Sequence[Group]) -> str:
    lines = [
        (escaped(g.name), f"{g.films} ({g.positives} +)", *(
            f"{_value(e)} {_interval(e)}" for e in (g.auc, g.sensitivity, g.specificity)
        ))
        for g in groups
    ]  # fmt: skip
    return pieces.table(
        ("films", "number", "AUC", "sensitivity", "specificity"), lines, (1, 2, 3, 4)
    )


def _confusion(group: Group, label: str) -> str:
    """Answers by truth; every answer that there is has its own column."""
    statuses = list(Status)
    lines = [
        (name, *(str(group.answers[truth, status]) for status in statuses))
        for truth, name in ((True, f"<b>{escaped(label)}</b>"), (False, "<b>other labels</b>"))
    ]
    heads = ["label"] + [status.value.replace("_", " ") for status in statuses]
    return pieces.table(heads, lines, range(1, len(heads))) + (
        '<p class="note">Number of films by label and answer. On the curve, the dot is the '
        "operating point; the curve is over the films that have a score.</p>"
    )


def _value(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.3f}"


def _interval(estimate: Estimate | None) -> str:
    return "not defined" if estimate is None else f"({estimate.low:.3f}–{estimate.high:.3f})"
