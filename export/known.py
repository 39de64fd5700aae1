"""What the gate knows of the training films: fitted from the calibration set, tried on the
validation set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.gate import correlation, template_of
from edge_dx.manifest import AnyInput, AnyOutput, Eligibility, ImageInput, Likeness
from export.datasets import Studies
from export.errors import DataError
from export.familiarity import Known, distances, fitted, limit_of, output_of
from export.gate_study.study import passing, set_of
from export.running import Arrays, Made, open_made, run_each
from export.vocabulary import RecipeFile

Say = Callable[[str], None]
Template = tuple[float, ...]


def likeness(
    told: RecipeFile,
    inputs: Sequence[AnyInput],
    calibration: Studies | None,
    validation: Studies,
    say: Say,
) -> Template | None:
    """The template of the look before inference; None where the recipe wants none.

    Raises:
        DataError: the films share nothing.
    """
    part = told.eligibility.likeness
    image = next((item for item in inputs if isinstance(item, ImageInput)), None)
    if part is None or image is None:
        return None
    films = (calibration or validation).feeds[image.name]
    try:
        template = template_of(films, part.side)
    except ValueError as error:
        raise DataError(
            f"eligibility.likeness: no template can be made ({error}); look at the calibration "
            "set, or leave likeness out"
        ) from error
    limit = Likeness(side=part.side, template=template, min_correlation=part.min_correlation)
    found = sorted(correlation(f[None], limit) for f in validation.feeds[image.name])
    refused = sum(value < part.min_correlation for value in found)
    say(
        f"  likeness: validation films correlate from {found[0]:.2f} (median "
        f"{found[len(found) // 2]:.2f}); {refused} of {len(found)} lie below "
        f"{part.min_correlation:g}"
    )
    return template


def familiarity(
    told: RecipeFile,
    tensors: tuple[tuple[AnyInput, ...], tuple[AnyOutput, ...]],
    files: Mapping[str, Made],
    parent: Made,
    calibration: Studies,
    validation: Mapping[str, Arrays],
    strangers: Mapping[str, tuple[int, np.ndarray[Any, Any]]],
    say: Say,
) -> Known | None:
    """Mean and axes of the features, and each variant's limit; None where the recipe wants none.

    Args:
        told: the recipe.
        tensors: inputs and outputs of the manifest.
        files: variant → the file.
        parent: the fp32 file whose features of the calibration films are described.
        calibration: the films.
        validation: variant → its outputs for the validation films.
        strangers: class → how many there were, and the prepared `(n, C, H, W)` that passed every
            look before inference.
        say: takes progress lines.
    """
    part = told.eligibility.familiarity
    if part is None:
        return None
    inputs, outputs = tensors
    name = output_of(part, outputs).name

    def features(made: Made, feeds: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        backend = open_made(made, inputs, outputs)
        found = run_each(backend, feeds)[name]
        backend.close()
        return found

    member = fitted(features(parent, calibration.feeds), part.components)
    limits = {}
    for variant, made in files.items():
        beyond = {
            kind: (n, distances(member, features(made, {inputs[0].name: there})))
            for kind, (n, there) in strangers.items()
            if len(there)
        }
        own = distances(member, validation[variant][name])
        limits[variant] = found = limit_of(part, own, beyond)
        allowed = "no stranger comes this far" if found.refuses is None else f"{found.refuses:.3f}"
        say(
            f"  familiarity of {variant}: the validation films need {found.covers:.3f}, strangers "
            f"allow {allowed}; limit {found.max_distance:.3f} ({found.told})"
        )
    return Known(output=name, member=member, limits=limits)


def shaping_strangers(
    told: RecipeFile, image: ImageInput, limits: Eligibility, root: Path
) -> dict[str, tuple[int, np.ndarray[Any, Any]]]:
    """Class → how many strangers may shape limits, and the prepared ones that come to inference.

    Raises:
        DataError: a set is not here.
    """
    found = {}
    for part in told.data.strangers:
        pictures = [picture for picture in set_of(part, root) if picture.shapes]
        there = passing(pictures, limits, image)
        nothing = np.zeros((0, *image.shape), np.uint8)
        found[part.name] = (len(pictures), np.concatenate(there) if there else nothing)
    return found
