"""The recipe: what to export, as a TOML file. Data about a model, never hidden behaviour.

Every key is known and typed (`export.vocabulary`); an unknown one is refused with its place.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_dx.steps import Intensity, Normalise
from export.errors import RecipeError
from export.vocabulary import DataPart, HeatMapPart, PointPart, RecipeFile, ScoresPart

if sys.version_info >= (3, 11):
    import tomllib
else:  # the standard library has no TOML reader before 3.11
    import tomli as tomllib


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read.

    Attributes:
        path: the file.
        sha256: of its bytes.
        told: what it says.
    """

    path: Path
    sha256: str
    told: RecipeFile

    def beside(self, name: str) -> Path:
        """A path that the recipe gives relative to itself."""
        return self.path.parent / name


def read_recipe(path: str | Path) -> Recipe:
    """Reads and checks a recipe.

    Raises:
        RecipeError: not readable, not TOML, an unknown or missing key, or a contradiction. The
            message names the file and the key.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        told = msgspec.convert(tomllib.loads(raw.decode()), RecipeFile)
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    except msgspec.ValidationError as error:
        raise RecipeError(f"{path}: {str(error).replace('$.', '')}") from error
    problem = _contradiction(told)
    if problem:
        raise RecipeError(f"{path}: {problem}")
    return Recipe(path, hashlib.sha256(raw).hexdigest(), told)


def scores_of(told: RecipeFile, point: PointPart) -> ScoresPart:
    """The scores output that an operating point reads: the one it names, or the first."""
    scores = [output for output in told.outputs if isinstance(output, ScoresPart)]
    return next(s for s in scores if point.output in (None, s.name))


def _contradiction(told: RecipeFile) -> str | None:
    scores = {o.name: o for o in told.outputs if isinstance(o, ScoresPart)}
    if not scores:
        return "outputs: at least one must be of the kind 'scores'"
    prepare = told.input.prepare
    if not prepare or not isinstance(prepare[-1], Normalise):
        return (
            "input.prepare: the last step must be 'normalise', which goes into the graph; for a "
            "network that takes grey levels as they are, write mean 0 and std 1"
        )
    if sum(isinstance(step, Normalise) for step in prepare) > 1:
        return "input.prepare: only the last step may be 'normalise'"
    if not any(isinstance(step, Intensity) for step in prepare):
        return (
            "input.prepare: needs an 'intensity' step, so that 8 and 16 bit sources both become "
            "the uint8 image that the graph takes (kind 'fixed', 0 to 255, leaves 8 bit alone)"
        )
    channels = told.input.shape[0]
    if channels not in (1, 3) or len(told.input.normalise.mean) not in (1, channels):
        return (
            f"input.shape: {channels} channels do not go with a normalise step of "
            f"{len(told.input.normalise.mean)}; an image has 1 or 3"
        )
    for output in told.outputs:
        if isinstance(output, HeatMapPart) and output.of not in scores:
            return f"outputs: heat map {output.name!r} belongs to {output.of!r}, which is no scores"
    for point in told.operating_points:
        where = f"operating_points: {point.name!r}"
        if point.output not in (None, *scores) or point.label not in scores_of(told, point).labels:
            return f"{where} reads a label or output that the model does not give"
        rules = [point.sensitivity is not None, point.specificity is not None, point.youden]
        if sum(rules) != 1:
            return f"{where} needs exactly one of sensitivity, specificity, youden = true"
    for name, output in scores.items():
        if output.activation != "none" and not any(
            scores_of(told, point).name == name for point in told.operating_points
        ):
            return f"operating_points: none reads the scores {name!r}"
    for role in ("validation", "calibration"):
        part: DataPart | None = getattr(told.data, role)
        labels = {label for output in scores.values() for label in output.labels}
        if part is not None and (unknown := set(part.positive) - labels):
            return f"data.{role}.positive: {', '.join(sorted(unknown))} is no label of the model"
    if "onnx-int8" in told.variants and told.data.calibration is None:
        return "data.calibration: is needed for the variant 'onnx-int8'"
    for case in told.golden:
        if sum(x is not None for x in (case.phantom, case.pattern, case.file)) != 1:
            return f"golden: {case.name!r} needs exactly one of phantom, pattern, file"
    return None
