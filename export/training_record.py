"""What the makers of the weights wrote down: which films the model has seen.

The recipe's `training` file is JSON. Two keys of it are read: `weights_sha256`, and `films_seen`,
set name → list of the first 16 hex digits of each film's SHA-256.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from edge_dx.manifest import DataSet
from export.datasets import Studies
from export.errors import PatientLeak, RecipeError
from export.recipe import Recipe

PREFIX = 16
"""Hex digits of a SHA-256 that name a film; 64 bits do not collide among thousands."""


class _File(msgspec.Struct):
    weights_sha256: str
    films_seen: dict[str, list[str]]


@dataclass(frozen=True)
class TrainingRecord:
    """The films that the weights were made from.

    Attributes:
        told: their number by set, with a digest over the prefixes; None where nothing is told.
        prefixes: first 16 hex digits of each film's SHA-256.
    """

    told: DataSet | None
    prefixes: tuple[str, ...]


def read_training(recipe: Recipe, weights_sha256: str) -> TrainingRecord:
    """Reads the recipe's `training` file; an empty record where the recipe names none.

    Raises:
        RecipeError: the file is not there, cannot be used, or tells of other weights.
    """
    if recipe.told.training is None:
        return TrainingRecord(None, ())
    path = recipe.beside(recipe.told.training)
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        raise RecipeError(f"{path}: cannot be used as the training record ({error})") from error
    if file.weights_sha256 != weights_sha256:
        raise RecipeError(
            f"{path}: tells of weights with SHA-256 {file.weights_sha256}, "
            f"{recipe.told.model.weights} has {weights_sha256}; one of the two is out of date"
        )
    prefixes = tuple(
        sorted({film[:PREFIX] for films in file.films_seen.values() for film in films})
    )
    told = DataSet(
        name=f"films listed in {path.name} (digest over their {PREFIX}-digit prefixes)",
        n=len(prefixes),
        sha256=hashlib.sha256("".join(prefixes).encode()).hexdigest(),
        classes={name: len(films) for name, films in sorted(file.films_seen.items())},
    )
    return TrainingRecord(told, prefixes)


def check_unseen(record: TrainingRecord, validation: Studies) -> None:
    """Makes sure that no validation film was learned from.

    Raises:
        PatientLeak: some were; the message names them.
    """
    seen = set(record.prefixes)
    leaked = [
        row.file.name
        for row, digest in zip(validation.rows, validation.digests, strict=True)
        if digest[:PREFIX] in seen
    ]
    if leaked:
        raise PatientLeak(
            f"{len(leaked)} films of the validation set were learned from "
            f"({', '.join(leaked[:5])}{', …' if len(leaked) > 5 else ''}): figures measured on "
            "them mean nothing; validate on the fold that training held out"
        )
