"""Networks that were fitted without some patients, and which of them may judge a recording."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_dx.manifest.stream import NetworkName
from export.errors import RecipeError
from export.network import load_module
from export.streams.files import Maker
from export.streams.modules import Networks
from export.streams.recipe import Recipe


class _File(msgspec.Struct):
    weights_sha256: str
    held_out: list[str]


@dataclass(frozen=True, eq=False)
class Fold:
    """One network.

    Attributes:
        held_out: patients that it has not learned from; None: it has learned from all.
        maker: makes its files.
        networks: the module, alone.
    """

    held_out: frozenset[str] | None
    maker: Maker = field(repr=False)
    networks: Networks = field(repr=False)

    def judges(self, patient: str) -> bool:
        """Whether it may judge a patient: it has not learned from that one, or there is no other
        network."""
        return self.held_out is None or patient in self.held_out


def read_folds(
    recipe: Recipe, name: NetworkName, whole: Networks, patients: Sequence[str]
) -> list[Fold]:
    """The networks that judge: those of the folds, or the shipped one where the recipe has none.

    Raises:
        RecipeError: a fold's record cannot be used, is of other weights, or patients stand in none
            or in several.
    """
    part = recipe.told.networks[name]
    if not part.folds:
        alone = Networks({name: whole.modules[name]}, {name: whole.digests[name]})
        return [Fold(None, Maker(alone, reduce_range=recipe.told.calibration.reduce_range), alone)]
    found = []
    for stem in part.folds:
        weights = recipe.beside(f"{stem}.safetensors")
        told = _read(recipe, recipe.beside(f"{stem}.json"), weights)
        module = load_module(recipe.path, part.factory, weights)
        alone = Networks({name: module}, {name: told.weights_sha256})
        maker = Maker(alone, reduce_range=recipe.told.calibration.reduce_range)
        found.append(Fold(frozenset(told.held_out), maker, alone))
    for patient in patients:
        judges = sum(fold.judges(patient) for fold in found)
        if judges != 1:
            raise RecipeError(
                f"{recipe.path}: {name}.folds: patient {patient} is held out of {judges} of them; "
                "each patient of data.records must be held out of exactly one"
            )
    return found


def _read(recipe: Recipe, path: Path, weights: Path) -> _File:
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_File)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except (OSError, msgspec.MsgspecError) as error:
        raise RecipeError(
            f"{path}: cannot be used as the record of a fold ({error}). Folds are not kept with "
            "the recipe, they are fitted where the recordings are: docs/exporting.md (Streams) has "
            "the commands"
        ) from error
    if digest != told.weights_sha256:
        raise RecipeError(
            f"{path}: tells of weights with SHA-256 {told.weights_sha256}, {weights} has {digest}; "
            "one of the two is out of date"
        )
    return told
