"""Data sets: a table of studies → prepared images, targets, patients and groups.

Images pass through `edge_dx.sources` and `edge_dx.image`, the same code that the device runs.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx import sources
from edge_dx.errors import EdgeDxError
from edge_dx.image import compile_steps, to_tensor
from edge_dx.manifest import DataSet, ImageInput
from export.errors import DataError, PatientLeak
from export.vocabulary import DataPart


@dataclass(frozen=True)
class Row:
    """One study of a table: its file, the labels that it carries, and whose it is."""

    file: Path
    labels: frozenset[str]
    patient: str
    group: str | None


@dataclass(frozen=True)
class Studies:
    """A data set, prepared.

    Attributes:
        told: name, size, digest and class mix, for the manifest.
        images: (N, C, H, W) uint8, as the graph takes them.
        rows: one per image.
        digests: SHA-256 of each file.
    """

    told: DataSet
    images: np.ndarray[Any, Any]
    rows: tuple[Row, ...]
    digests: tuple[str, ...]

    @property
    def patients(self) -> list[str]:
        """Whose each image is."""
        return [row.patient for row in self.rows]

    def truth(self, label: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,) True where the study carries the label."""
        return np.array([label in row.labels for row in self.rows], bool)


def rows_of(part: DataPart, data_root: Path) -> tuple[Row, ...] | None:
    """The rows that the recipe means, or None where the table or its directory is absent.

    Raises:
        DataError: the table has not the columns or values that the recipe names, or no row fits.
    """
    table = data_root / part.csv
    root = data_root / part.root
    if not table.is_file() or not root.is_dir():
        return None
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = [part.file, part.label, *part.where, *(c for c in (part.patient, part.group) if c)]
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{table}: has no column {', '.join(missing)}; it has "
                f"{', '.join(reader.fieldnames or ())}"
            )
        found = [
            _row(record, part, root, f"{table}:{reader.line_num}")
            for record in reader
            if all(
                record[column] in {str(value) for value in values}
                for column, values in part.where.items()
            )
        ]
    if not found:
        raise DataError(f"{table}: no row fits {dict(part.where)}")
    found.sort(key=lambda row: str(row.file))
    if part.size is not None and part.size < len(found):
        drawn = np.random.default_rng(part.seed).permutation(len(found))[: part.size]
        found = [found[i] for i in sorted(drawn)]
    return tuple(found)


def read_studies(
    part: DataPart, rows: Sequence[Row], image: ImageInput, workers: int = 2
) -> Studies:
    """Reads and prepares the studies of these rows.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    preparation = compile_steps(image.prepare)

    def one(row: Row) -> tuple[str, np.ndarray[Any, Any]]:
        try:
            study = sources.read(row.file)
            tensor = to_tensor(preparation(study.pixels))
        except EdgeDxError as error:
            raise DataError(f"data set {part.name}: {error}") from error
        if tensor.shape[1:] != image.shape:
            raise DataError(
                f"{row.file}: prepared it has shape {tensor.shape[1:]}, not {image.shape}; "
                "put a colour step into input.prepare"
            )
        return study.digest, tensor

    with ThreadPoolExecutor(workers) as pool:  # decoding releases the interpreter lock
        done = list(pool.map(one, rows))
    digest = hashlib.sha256("".join(sorted(d for d, _ in done)).encode()).hexdigest()
    classes = Counter("+".join(sorted(row.labels)) or "none" for row in rows)
    told = DataSet(
        name=part.name, n=len(rows), sha256=digest, classes=dict(sorted(classes.items()))
    )
    images = np.concatenate([tensor for _, tensor in done])
    return Studies(told, images, tuple(rows), tuple(digest for digest, _ in done))


def check_no_leak(first: Sequence[Row], second: Sequence[Row], names: tuple[str, str]) -> None:
    """Makes sure that no patient and no file stands in both sets.

    Raises:
        PatientLeak: some do; the message names them.
    """
    both = {row.patient for row in first} & {row.patient for row in second}
    if both:
        shown = ", ".join(sorted(both)[:5]) + (", …" if len(both) > 5 else "")
        raise PatientLeak(
            f"{len(both)} patients stand in both {names[0]} and {names[1]} ({shown}): figures "
            "measured on films that shaped the model mean nothing; split by patient (data.*.where)"
        )


def _row(record: dict[str, str], part: DataPart, root: Path, place: str) -> Row:
    value = record[part.label]
    labels = frozenset(label for label, values in part.positive.items() if value in values)
    if not labels and value not in part.negative:
        raise DataError(
            f"{place}: {part.label} is {value!r}, which the recipe names neither under positive "
            f"nor under negative (data: {part.name})"
        )
    file = root / record[part.file]
    patient = record[part.patient] if part.patient else str(file)
    return Row(file, labels, patient, record[part.group] if part.group else None)
