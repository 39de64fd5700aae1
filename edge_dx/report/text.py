"""Tables for a terminal, at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_dx.manifest import Estimate
from edge_dx.report.evaluation import Group
from edge_dx.report.rows import Row
from edge_dx.report.values import Films

WIDTH = 100


def plain(text: str) -> str:
    """With a `?` for what could steer a terminal or cannot be encoded (control, surrogate)."""
    return "".join(c if c.isprintable() else " " if c in "\t\r\n" else "?" for c in text)


def shortened(text: str, width: int) -> str:
    """At most `width` characters; the middle goes, because names differ at their ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :] if tail else ''}"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Aligned lines; a width is the most a column takes, a negative one aligns to the right."""
    cells = [[shortened(plain(c), abs(w)) for c, w in zip(line, widths, strict=True)]
             for line in [heads, *lines]]  # fmt: skip
    takes = [max(len(line[i]) for line in cells) for i in range(len(widths))]
    told = []
    for line in cells:
        parts = [c.rjust(t) if w < 0 else c.ljust(t)
                 for c, t, w in zip(line, takes, widths, strict=True)]  # fmt: skip
        told.append(("  " + "  ".join(parts)).rstrip()[:WIDTH])
    told.insert(1, "  " + "  ".join("-" * t for t in takes))
    return told


def answers(rows: Sequence[Row], what: str) -> list[str]:
    """A table of rows; `what` heads the column of what is known about each."""
    lines = [
        (row.name, row.what, row.status.value.replace("_", " "),
         f"{row.score:.3f}" if row.score is not None else "-",
         f"{row.took_ms:.1f}", ", ".join(row.reasons))
        for row in rows
    ]  # fmt: skip
    heads = ("study", what, "answer", "score", "ms", "reason")
    return table(heads, lines, (29, 15, 13, -5, -6, 20))


def figures(groups: Sequence[Group]) -> list[str]:
    """A table of groups' figures."""
    lines = [
        (g.name, f"{g.films} ({g.positives} +)", told(g.auc), told(g.sensitivity),
         told(g.specificity))
        for g in groups
    ]  # fmt: skip
    heads = ("films", "number", "AUC", "sensitivity", "specificity")
    return table(heads, lines, (16, 13, 20, 20, 20))


def films(films: Films) -> list[str]:
    """The section on the reader's own films."""
    shown = [figure.row for figure in films.figures]
    lines = ["", f"Films: {len(films.rows)} images of {plain(films.directory)}"]
    lines += answers(shown, "label") if shown else []
    if len(films.rows) > len(shown):
        lines.append(f"  the {len(shown)} most telling ones; all are in results.jsonl")
    lines += [f"  left out: {plain(refused)}" for refused in films.refused[:5]]
    if not films.groups:
        return lines
    seen = [films.seen] if films.seen and films.seen.films else []
    lines += ["", "Figures with 95 % intervals; what was not judged counts against the model"]
    lines += figures([*films.groups, *seen])
    if seen:
        lines.append("  films seen in training are no evidence of quality")
    if not films.seen_is_known:
        lines.append("  the bundle does not say which films it was trained on: figures may flatter")
    return lines


def told(estimate: Estimate | None) -> str:
    """A figure with its interval."""
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"
