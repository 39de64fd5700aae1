"""Simple Markdown to HTML: headings, paragraphs, lists, tables, bold, code. No links, no HTML.

The text is escaped before anything else is looked at, so nothing in it can become markup other
than the few tags made here.
"""

from __future__ import annotations

import html
import re
from itertools import groupby

_RULE = re.compile(r"[\s|:-]+")


def html_from_markdown(text: str, *, top: int = 3) -> str:
    """Renders Markdown.

    Args:
        text: whatever; treated as text.
        top: level of the HTML heading that `#` becomes.
    """
    safe = "".join(c for c in text if c in "\n\t" or c.isprintable())
    lines = html.escape(safe).split("\n")
    parts = []
    for kind, group in groupby(lines, _kind):
        block = [line.strip() for line in group]
        if kind == "heading":
            for line in block:
                marks = len(line) - len(line.lstrip("#"))
                level = min(6, top + marks - 1)
                parts.append(f"<h{level}>{_inline(line[marks:].strip())}</h{level}>")
        elif kind == "item":
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in block)
            parts.append(f"<ul>{items}</ul>")
        elif kind == "row":
            parts.append(_table(block))
        elif kind == "text":
            parts.append(f"<p>{_inline(' '.join(block))}</p>")
    return "\n".join(parts)


def _kind(line: str) -> str:
    line = line.strip()
    if not line:
        return "gap"
    if re.match(r"#{1,6} ", line):
        return "heading"
    if line.startswith(("- ", "* ")):
        return "item"
    return "row" if line.startswith("|") else "text"


def _table(block: list[str]) -> str:
    cells = [[_inline(c.strip()) for c in line.strip("|").split("|")] for line in block]
    ruled = len(block) > 1 and bool(_RULE.fullmatch(block[1]))
    rows = []
    for number, row in enumerate(cells):
        if ruled and number == 1:
            continue
        tag = "th" if ruled and number == 0 else "td"
        rows.append("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in row) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _inline(text: str) -> str:
    """Code first; what lies between the marks is left alone by the rest."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a mark without its partner is a character
        parts[-2:] = ["`".join(parts[-2:])]
    for number, part in enumerate(parts):
        if number % 2:
            parts[number] = f"<code>{part}</code>"
        else:
            parts[number] = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", part)
    return "".join(parts)
