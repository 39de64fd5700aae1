"""Pieces of HTML. Whatever came from outside passes `escaped` on its way into them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from edge_dx.report.rows import Row
from edge_dx.report.text import plain
from edge_dx.report.values import Figure
from edge_dx.result import Status


def escaped(text: object) -> str:
    """Text from anywhere, safe in an element and in a quoted attribute."""
    return html.escape(plain(str(text)))


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already."""

    def row(cells: Sequence[str], mark: str) -> str:
        kinds = [' class="n"' if at in numeric else "" for at in range(len(cells))]
        told = (f"<{mark}{k}>{c}</{mark}>" for k, c in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(told)}</tr>"

    rows = "\n".join(row(line, "td") for line in lines)
    return (
        f'<div class="scroll"><table><thead>{row(heads, "th")}</thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def tag(status: Status) -> str:
    """The answer as a coloured word."""
    return f'<span class="tag {status.value}">{status.value.replace("_", " ")}</span>'


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def answers(rows: Sequence[Row], what: str) -> str:
    """A table of rows; `what` heads the column of what is known about each."""
    lines = [
        (escaped(r.name), escaped(r.what), tag(r.status), number(r.score), number(r.threshold),
         number(r.took_ms, 1), escaped(", ".join(r.reasons)))
        for r in rows
    ]  # fmt: skip
    heads = ("study", what, "answer", "score", "threshold", "ms", "reason")
    return table(heads, lines, (3, 4, 5))


def gallery(figures: Sequence[Figure]) -> str:
    """Pictures with their captions."""
    told = []
    for figure in figures:
        row = figure.row
        picture = f'<div class="none">{escaped(row.detail or "no picture")}</div>'
        if figure.picture:
            said = escaped(f"{row.name}: {row.status.value}")
            picture = f'<img src="{figure.picture}" alt="{said}">'
        score = f" {number(row.score)}" if row.score is not None else ""
        told.append(
            f"<figure>{picture}<figcaption><b>{escaped(row.name)}</b>{tag(row.status)}{score}<br>"
            f'<span class="why">{escaped(figure.caption)}</span></figcaption></figure>'
        )
    return f'<div class="films">{"".join(told)}</div>'
