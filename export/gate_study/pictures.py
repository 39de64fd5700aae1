"""Pictures that the gate is tried on, each with whose it is."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx import sources
from export.datasets import Row
from export.errors import DataError
from export.gate_study import traces
from export.gate_study.altered import ALTERATIONS, grey
from export.vocabulary import PicturesPart


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        group: patient, or whatever else makes pictures alike.
        source: gives what a caller would hand to the model: a path or an array, without a header.
        labels: what it carries, where it is a film of the validation set.
    """

    group: str
    source: Callable[[], Any]
    labels: frozenset[str] = frozenset()

    @property
    def shapes(self) -> bool:
        """Whether limits may see it: a half of the groups, whatever else is in the set."""
        return hashlib.sha256(self.group.encode()).digest()[0] % 2 == 0


def pictures_of(part: PicturesPart, data_root: Path) -> tuple[Picture, ...] | None:
    """The pictures of a set, or None where its table is not here.

    Raises:
        DataError: the table has not the columns that the recipe names, or no row fits.
    """
    table = data_root / part.csv
    if not table.is_file():
        return None
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = [part.file, *part.where, *([part.patient] if part.patient else [])]
        if missing := [name for name in wanted if name not in (reader.fieldnames or ())]:
            raise DataError(f"{table}: has no column {', '.join(missing)}")
        rows = [
            row
            for row in reader
            if all(row[c] in {str(v) for v in values} for c, values in part.where.items())
        ]
    if not rows:
        raise DataError(f"{table}: no row fits {dict(part.where)}")
    rows.sort(key=lambda row: row[part.file])
    found = []
    for row in rows:
        path = data_root / part.root / row[part.file]
        group = row[part.patient] if part.patient else row[part.file]
        for k in range(part.each):
            found.append(Picture(group, _drawn(path, k) if part.drawn else _as_it_is(path)))
    return tuple(found)


def films(rows: Sequence[Row]) -> tuple[Picture, ...]:
    """The films of a data set as they are."""
    return tuple(Picture(row.patient, _as_it_is(row.file), row.labels) for row in rows)


def altered(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[Picture, ...]]]:
    """Name of an alteration → the films of a data set after it, each from a seed of its own."""
    for name in ALTERATIONS:
        yield (
            name,
            tuple(Picture(row.patient, _altered(row.file, name, k)) for k, row in enumerate(rows)),
        )


def _as_it_is(path: Path) -> Callable[[], Any]:
    return lambda: path


def _drawn(path: Path, seed: int) -> Callable[[], Any]:
    # The name is part of the seed, so that two records are not drawn in the same colours.
    key = int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4], "big")
    return lambda: traces.sheet(path.with_suffix(".dat"), np.random.default_rng([key, seed]))


def _altered(path: Path, name: str, seed: int) -> Callable[[], Any]:
    def made() -> Any:
        film = grey(sources.read(path).pixels)
        return ALTERATIONS[name](film, np.random.default_rng(seed))

    return made
