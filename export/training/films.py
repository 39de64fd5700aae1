"""Chest films and what is known of each, read from the data folders' `labels.csv`."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_dx.image import Pixels, compile_steps
from edge_dx.steps import AnyStep

TB_SET = "xray_tb_lungmask"
NIH_SET = "xray_nih_pneumonia"

NIH_TARGETS = (
    "Pneumonia", "Infiltration", "Atelectasis", "Edema", "Effusion", "Consolidation",
    "Nodule", "Mass", "Pleural_Thickening", "Fibrosis", "view_AP", "sex_M", "age",
)  # fmt: skip
"""What the helper task predicts on NIH films; `age` is years / 100, the others 0 or 1.

The set's `rsna_class` and RSNA boxes are non-commercial and not read.
"""


@dataclass(frozen=True)
class Film:
    """One film.

    Attributes:
        name: file name, unique within its set.
        site: `Shenzhen`, `Montgomery` or `NIH`.
        fold: patient-wise fold of the set's `labels.csv`, 0 to 4.
        tuberculosis: the reading; None where the set has none.
        findings: one number per `NIH_TARGETS`; empty for other sets.
        pixels: grey uint8 as stored.
        sha256: digest of the file's bytes.
    """

    name: str
    site: str
    fold: int
    tuberculosis: bool | None
    findings: tuple[float, ...]
    pixels: NDArray[np.uint8]
    sha256: str


def tuberculosis_films(data: Path) -> list[Film]:
    """Shenzhen and Montgomery films (Jaeger et al. 2014), in the order of the list."""
    return [
        _film(data / TB_SET, row, row["source"], row["label"] == "tuberculosis", ())
        for row in _rows(data / TB_SET)
    ]


def nih_films(data: Path) -> list[Film]:
    """NIH ChestX-ray14 films (Wang et al. 2017) with their text-mined findings."""
    films = []
    for row in _rows(data / NIH_SET):
        told = set(row["findings"].split("|"))
        findings = [float(name in told) for name in NIH_TARGETS[:-3]]
        findings += [row["view"] == "AP", row["sex"] == "M", min(float(row["age"]), 100) / 100]
        films.append(_film(data / NIH_SET, row, "NIH", None, tuple(findings)))
    return films


def after(films: list[Film], steps: tuple[AnyStep, ...]) -> list[Film]:
    """The films with these preparation steps already run."""
    prepare = compile_steps(steps)
    return [replace(film, pixels=prepare(film.pixels)) for film in films]


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _film(
    folder: Path,
    row: dict[str, str],
    site: str,
    tuberculosis: bool | None,
    findings: tuple[float, ...],
) -> Film:
    import cv2

    raw = (folder / row["file"]).read_bytes()
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError(f"{folder / row['file']}: not a readable image")
    return Film(
        name=Path(row["file"]).name,
        site=site,
        fold=int(row["fold"]),
        tuberculosis=tuberculosis,
        findings=findings,
        pixels=pixels,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
