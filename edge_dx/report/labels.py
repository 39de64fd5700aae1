"""The truth about a directory of films: its `labels.csv`, and which films the model has seen."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from edge_dx.bundle import Bundle
from edge_dx.errors import UnreadableInput

NAME = "labels.csv"
_MAX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Truth:
    """What labels.csv says about a film.

    Attributes:
        label: as written.
        positive: whether it is the operating point's label; anything else is negative.
        patient: who the film belongs to; empty where nothing says it.
        source: site or data set; empty where nothing says it.
    """

    label: str
    positive: bool
    patient: str = ""
    source: str = ""


@dataclass(frozen=True)
class Listed:
    """The films that labels.csv lists.

    Attributes:
        films: each file with what is said about it, in the order of the list.
        refused: lines that were left out, and why, in words.
    """

    films: tuple[tuple[Path, Truth], ...]
    refused: tuple[str, ...]


def read_labels(directory: Path, positive: str) -> Listed | None:
    """Reads `labels.csv`; None where the directory has none.

    Args:
        directory: of the films; `file` is relative to it and may not lead out of it.
        positive: the label that counts as positive.

    Raises:
        UnreadableInput: the list is damaged, too large or lacks its columns.
    """
    path = directory / NAME
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > _MAX_BYTES:
            raise UnreadableInput(f"{path}: larger than {_MAX_BYTES} bytes", "too_large")
        text = path.read_text("utf-8-sig", "replace").replace("\0", "\ufffd")
        lines = csv.DictReader(io.StringIO(text, newline=""))
        lacking = {"file", "label"} - set(lines.fieldnames or ())
        if lacking:
            raise UnreadableInput(
                f"{path}: has no column {' and '.join(sorted(lacking))}; its first line names the "
                "columns, at least file,label",
                "format",
            )
        entries = list(lines)
    except (OSError, csv.Error) as error:
        raise UnreadableInput(f"{path}: cannot be read ({error})", "unreadable") from error
    films: list[tuple[Path, Truth]] = []
    refused = []
    named: set[Path] = set()
    for number, entry in enumerate(entries, 2):
        name = (entry["file"] or "").strip()
        told = Path(name)
        inside = bool(name) and not told.is_absolute() and ".." not in told.parts
        file = directory / told
        if not inside or file in named:
            why = "listed twice" if inside else "not a file of the directory"
            refused.append(f"{NAME} line {number}: {name[:80]!r} is {why}")
            continue
        named.add(file)
        label = (entry["label"] or "").strip()
        films.append((file, Truth(
            label, label == positive,
            (entry.get("patient_id") or "").strip(), (entry.get("source") or "").strip(),
        )))  # fmt: skip
    return Listed(tuple(films), tuple(refused))


def training_digests(bundle: Bundle) -> frozenset[str] | None:
    """First 16 hex digits of the SHA-256 of each training film; None where the card is silent."""
    try:
        card = json.loads(bundle.members["card.json"])
        listed = card["training_files"]
        if not listed or not all(isinstance(digest, str) for digest in listed):
            return None
    except (KeyError, TypeError, ValueError):
        return None
    return frozenset(digest[:16].lower() for digest in listed)
