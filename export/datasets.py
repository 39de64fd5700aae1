"""Data sets: a table of studies → prepared inputs, truths, patients and groups.

Images, facts and arrays pass through `edge_dx.sources`, `edge_dx.image` and `edge_dx.vector`, the
same code that the device runs.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx import sources
from edge_dx.errors import EdgeDxError
from edge_dx.image import Preparation, compile_steps, to_tensor
from edge_dx.manifest import (
    AnyInput,
    ArrayInput,
    DataSet,
    ImageInput,
    VectorInput,
    WaveformInput,
)
from edge_dx.sources import view
from export.errors import DataError, PatientLeak
from export.vocabulary import DataPart


@dataclass(frozen=True)
class Row:
    """One study of a table: its file, the labels that it carries, and whose it is.

    Attributes:
        file: the image's file; the table's own path where the model takes no image.
        root: directory that the table's files are relative to.
        place: file and line of the table, for messages.
        record: the line itself.
    """

    file: Path
    labels: frozenset[str]
    patient: str
    group: str | None
    root: Path
    place: str = ""
    record: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Studies:
    """A data set, prepared.

    Attributes:
        told: name, size, digest and class mix, for the manifest.
        feeds: input → (N, …), as the graph takes them.
        rows: one per study.
        digests: SHA-256 of each study's file, or of all that went into it.
        masks: label → (N, H, W), on the prepared image.
        values: field → (N,), in its unit.
    """

    told: DataSet
    feeds: Mapping[str, np.ndarray[Any, Any]]
    rows: tuple[Row, ...]
    digests: tuple[str, ...]
    masks: Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]] = field(default_factory=dict)
    values: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def patients(self) -> list[str]:
        """Whose each study is."""
        return [row.patient for row in self.rows]

    def truth(self, label: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(N,) True where the study carries the label."""
        return np.array([label in row.labels for row in self.rows], bool)


def rows_of(part: DataPart, data_root: Path, *, image: bool = True) -> tuple[Row, ...] | None:
    """The rows that the recipe means, or None where the table or its directory is absent.

    Args:
        part: the recipe's set.
        data_root: directory that its paths are relative to.
        image: whether a study has an image file.

    Raises:
        DataError: the table has not the columns or values that the recipe names, or no row fits.
    """
    table = data_root / part.csv
    root = data_root / part.root
    if not table.is_file() or not root.is_dir():
        return None
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = [*part.where, *(c for c in (part.patient, part.group) if c)]
        wanted += [*([part.label] if part.positive else []), *([part.file] if image else [])]
        for columns in (part.facts, part.arrays, part.masks, part.values):
            wanted += list(columns.values())
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{table}: has no column {', '.join(missing)}; it has "
                f"{', '.join(reader.fieldnames or ())}"
            )
        found = [
            _row(record, part, root, f"{table}:{reader.line_num}", image)
            for record in reader
            if all(
                record[column] in {str(value) for value in values}
                for column, values in part.where.items()
            )
        ]
    if not found:
        raise DataError(f"{table}: no row fits {dict(part.where)}")
    found.sort(key=lambda row: str(row.file))  # a stable order; without images the table's own
    if part.size is not None and part.size < len(found):
        drawn = np.random.default_rng(part.seed).permutation(len(found))[: part.size]
        found = [found[i] for i in sorted(drawn)]
    return tuple(found)


def read_studies(
    part: DataPart, rows: Sequence[Row], inputs: Sequence[AnyInput], workers: int = 2
) -> Studies:
    """Reads and prepares the studies of these rows.

    Raises:
        DataError: a file is missing or cannot be read, a fact or a value is none.
    """
    image = next((item for item in inputs if isinstance(item, ImageInput)), None)
    preparation = compile_steps(image.prepare) if image else None

    def one(row: Row) -> _One:
        feeds: dict[str, np.ndarray[Any, Any]] = {}
        digests: list[str] = []
        masks: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {}
        try:
            for item in inputs:
                if isinstance(item, ImageInput):
                    assert preparation is not None, "it was made for this input"
                    study = view.of(sources.read(row.file), item.view)
                    pixels = study.pixels
                    feeds[item.name] = to_tensor(preparation(pixels))
                    digests.append(study.digest)
                    masks = {
                        label: _mask(row, column, part, pixels, preparation, item)
                        for label, column in part.masks.items()
                    }
                elif isinstance(item, VectorInput):
                    feeds[item.name] = _facts(item, part, row)
                    digests.append(hashlib.sha256(feeds[item.name].tobytes()).hexdigest())
                else:
                    assert not isinstance(item, WaveformInput), "signals go another way"
                    feeds[item.name] = _array(item, part, row)
                    digests.append(hashlib.sha256(feeds[item.name].tobytes()).hexdigest())
        except EdgeDxError as error:
            raise DataError(f"data set {part.name}: {error}") from error
        if image is not None and feeds[image.name].shape[1:] != image.shape:
            raise DataError(
                f"{row.file}: prepared it has shape {feeds[image.name].shape[1:]}, not "
                f"{image.shape}; put a colour step into input.prepare"
            )
        values = {name: _number(row, column) for name, column in part.values.items()}
        one_digest = digests[0]
        if len(digests) > 1:
            one_digest = hashlib.sha256("".join(digests).encode()).hexdigest()
        return _One(one_digest, feeds, masks, values)

    with ThreadPoolExecutor(workers) as pool:  # decoding releases the interpreter lock
        done = list(pool.map(one, rows))
    digest = hashlib.sha256("".join(sorted(each.digest for each in done)).encode()).hexdigest()
    classes = Counter("+".join(sorted(row.labels)) or "none" for row in rows)
    told = DataSet(
        name=part.name, n=len(rows), sha256=digest, classes=dict(sorted(classes.items()))
    )
    return Studies(
        told,
        {item.name: np.concatenate([each.feeds[item.name] for each in done]) for item in inputs},
        tuple(rows),
        tuple(each.digest for each in done),
        {label: np.stack([each.masks[label] for each in done]) for label in part.masks},
        {name: np.array([each.values[name] for each in done]) for name in part.values},
    )


@dataclass(frozen=True)
class _One:
    digest: str
    feeds: dict[str, np.ndarray[Any, Any]]
    masks: dict[str, np.ndarray[Any, np.dtype[np.bool_]]]
    values: dict[str, float]


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


def _row(record: dict[str, str], part: DataPart, root: Path, place: str, image: bool) -> Row:
    labels: frozenset[str] = frozenset()
    if part.positive:
        value = record[part.label]
        labels = frozenset(label for label, values in part.positive.items() if value in values)
        if not labels and value not in part.negative:
            raise DataError(
                f"{place}: {part.label} is {value!r}, which the recipe names neither under "
                f"positive nor under negative (data: {part.name})"
            )
    file = root / record[part.file] if image else root / Path(place).name
    patient = record[part.patient] if part.patient else str(file) if image else place
    return Row(
        file, labels, patient, record[part.group] if part.group else None, root, place, record
    )


def _facts(item: VectorInput, part: DataPart, row: Row) -> np.ndarray[Any, Any]:
    """(1, fields) float32 as the runtime scales them."""
    from edge_dx import vector

    facts: dict[str, Any] = {}
    for entry in item.fields:
        text = row.record[part.facts[entry.name]]
        facts[entry.name] = text if text in entry.choices else _number(row, part.facts[entry.name])
    return vector.to_tensor(item, facts)


def _array(item: ArrayInput, part: DataPart, row: Row) -> np.ndarray[Any, Any]:
    """(1, …) as the graph takes it."""
    from edge_dx.sources import arrays

    return arrays.read(item, row.root / row.record[part.arrays[item.name]])


def _number(row: Row, column: str) -> float:
    try:
        value = float(row.record[column])
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(f"{row.place}: {column} is {row.record[column]!r}, which is no number")
    return value


def _mask(
    row: Row, column: str, part: DataPart, pixels: Any, preparation: Preparation, item: ImageInput
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W) of the prepared image: True where the picture in that column is bright."""
    import cv2

    path = row.root / row.record[column]
    drawn = sources.read(path).pixels
    if drawn.ndim == 3:
        drawn = drawn.max(axis=2)
    if drawn.shape != pixels.shape[:2]:
        raise DataError(f"{path}: the mask is {drawn.shape}, its image {pixels.shape[:2]}")
    _, height, width = item.shape
    found = cv2.warpAffine(
        (drawn > drawn.max() / 2).astype(np.uint8),
        preparation.to_source(pixels)[:2],
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return found.astype(bool)
