"""The figures of a gate as lines of Markdown, for the model card and for the command."""

from __future__ import annotations

from collections.abc import Sequence

from edge_dx.manifest import Estimate
from export.gate_study.record import GateStudy, Kind

_KINDS: tuple[tuple[Kind, str], ...] = (
    ("stranger", "Pictures of another kind (the half that shaped no limit)"),
    ("right", "Right films, validation set"),
    ("elsewhere", "Right films, another source"),
    ("altered", "Right films made wrong by code (validation set)"),
)
NOTES = (
    "Refused means not analysed, whatever the reason, of pictures without a header. In brackets: "
    "the 95 % bootstrap interval over patients or groups; where nothing or everything was refused "
    "its other end is that of the rule of three (3 / groups). The "
    "altered films are simulations, the photographs too. The limits of the familiarity were set "
    "on the validation films and on the other half of the strangers; the limits of quality were "
    "set by hand, looking at the validation films and their alterations, so those rows flatter.",
)


def table(study: GateStudy) -> list[str]:
    """One row for each class."""
    lines = [
        "| pictures | n | groups | refused | reasons |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, title in _KINDS:
        of_kind = [each for each in study.classes if each.kind == kind]
        if of_kind:
            lines.append(f"| *{title}* | | | | |")
        for each in of_kind:
            reasons = ", ".join(f"{code} {n}" for code, n in each.reasons.items()) or "–"
            lines.append(
                f"| {each.name} | {each.pictures} | {each.refused.n} | {percent(each.refused)} | "
                f"{reasons} |"
            )
    return lines


def curve(study: GateStudy, every: int = 4) -> list[str]:
    """Abstention against error, at some of the limits that were tried."""
    if not study.curve:
        return []
    lines = [
        "| limit of the distance | right films refused | wrong answers among the rest | strangers "
        "answered | altered films answered |",
        "| --- | --- | --- | --- | --- |",
    ]
    for point in study.curve[::every]:
        error = "–" if point.error is None else f"{point.error:.1%}"
        lines.append(
            f"| {point.max_distance:.2f} | {point.right_refused:.1%} | {error} | "
            f"{point.strangers_answered:.2%} | {point.altered_answered:.1%} |"
        )
    return lines


def section(studies: Sequence[GateStudy]) -> list[str]:
    """The gates of some variants."""
    lines = [*NOTES]
    for study in studies:
        limit = "" if study.max_distance is None else f" (limit {study.max_distance:.3f})"
        lines += ["", f"### {study.variant}{limit}", "", *table(study)]
        if study.curve:
            lines += ["", "What other limits of the distance would do:", "", *curve(study)]
    return lines


def percent(value: Estimate) -> str:
    """A share with its interval."""
    return f"{value.value:.2%} ({value.low:.2%}–{value.high:.2%})"
