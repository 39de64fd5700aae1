"""The recipe: what to export, as a TOML file. Data about a model, never hidden behaviour.

Every key is known and typed (`export.vocabulary`); an unknown one is refused with its place.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_dx.manifest import ArrayInput, Reconstruction, Values, VectorInput
from edge_dx.steps import Intensity, Normalise
from export.errors import RecipeError
from export.vocabulary import (
    DataPart,
    FeaturesPart,
    HeatMapPart,
    InputPart,
    MaskPart,
    PointPart,
    RecipeFile,
    ScoresPart,
)

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


Judged = ScoresPart | Reconstruction
"""Outputs that an operating point can read."""


def scores_of(told: RecipeFile, point: PointPart) -> Judged:
    """The output that an operating point reads: the one it names, or the first."""
    judged = [o for o in told.outputs if isinstance(o, (ScoresPart, Reconstruction))]
    return next(s for s in judged if point.output in (None, s.name))


def labels_of(output: Judged) -> tuple[str, ...]:
    """What an output gives one number each for."""
    return output.labels if isinstance(output, ScoresPart) else (output.label,)


def _contradiction(told: RecipeFile) -> str | None:
    """What the recipe says against itself, or None."""
    checks = (_input_problem, _output_problem, _point_problem, _data_problem, _gate_problem,
              _golden_problem)  # fmt: skip
    return next((problem for check in checks if (problem := check(told))), None)


def _input_problem(told: RecipeFile) -> str | None:
    if (told.input is None) == (not told.inputs):
        return "input, inputs: give one image as [input], or several inputs as [[inputs]]"
    names = [part.name for part in told.all_inputs]
    if len(set(names)) != len(names):
        return "inputs: two have the same name"
    images = [part for part in told.all_inputs if isinstance(part, InputPart)]
    if len(images) > 1:
        return "inputs: at most one of them may be an image"
    for part in images:
        if problem := _image_problem(part):
            return problem
    return None


def _image_problem(part: InputPart) -> str | None:
    prepare = part.prepare
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
    channels = part.shape[0]
    if channels not in (1, 3) or len(part.normalise.mean) not in (1, channels):
        return (
            f"input.shape: {channels} channels do not go with a normalise step of "
            f"{len(part.normalise.mean)}; an image has 1 or 3"
        )
    return None


def _output_problem(told: RecipeFile) -> str | None:
    answers = [o for o in told.outputs if not isinstance(o, (HeatMapPart, FeaturesPart))]
    if not answers:
        return "outputs: at least one must be scores, mask, values or reconstruction"
    scores = {o.name: o for o in told.outputs if isinstance(o, ScoresPart)}
    arrays = {part.name for part in told.all_inputs if isinstance(part, ArrayInput)}
    for output in told.outputs:
        if isinstance(output, HeatMapPart) and output.of not in scores:
            return f"outputs: heat map {output.name!r} belongs to {output.of!r}, which is no scores"
        if isinstance(output, Reconstruction) and output.of not in arrays:
            return f"outputs: {output.name!r} draws {output.of!r} again, which is no array input"
        if isinstance(output, (HeatMapPart, MaskPart)) and told.image is None:
            return f"outputs: {output.name!r} is a map, and the model takes no image"
    return None


def _point_problem(told: RecipeFile) -> str | None:
    judged = {o.name: o for o in told.outputs if isinstance(o, (ScoresPart, Reconstruction))}
    for point in told.operating_points:
        where = f"operating_points: {point.name!r}"
        if point.output not in (None, *judged) or not judged:
            return f"{where} reads a label or output that the model does not give"
        if point.label not in labels_of(scores_of(told, point)):
            return f"{where} reads a label or output that the model does not give"
        rules = [point.sensitivity is not None, point.specificity is not None, point.youden]
        if sum(rules) != 1:
            return f"{where} needs exactly one of sensitivity, specificity, youden = true"
    for name, output in judged.items():
        decided = isinstance(output, ScoresPart) and output.decision == "top1"
        if not decided and not any(scores_of(told, p).name == name for p in told.operating_points):
            return f"operating_points: none reads the scores {name!r}"
    return None


def _data_problem(told: RecipeFile) -> str | None:
    labels = {
        label
        for output in told.outputs
        if isinstance(output, (ScoresPart, Reconstruction))
        for label in labels_of(output)
    }
    for role in ("validation", "calibration"):
        part: DataPart | None = getattr(told.data, role)
        if part is not None and (unknown := set(part.positive) - labels):
            return f"data.{role}.positive: {', '.join(sorted(unknown))} is no label of the model"
        if part is not None and (problem := _column_problem(told, part)):
            return f"data.{role}.{problem}"
    if len(set(told.variants)) != len(told.variants):
        return "variants: one is listed twice"
    int8 = [name for name in told.variants if name.endswith("int8")]
    if int8 and told.data.calibration is None:
        return f"data.calibration: is needed for the variant {int8[0]!r}"
    return None


def _gate_problem(told: RecipeFile) -> str | None:
    """Why the gate cannot be fitted or tried, or None."""
    if told.eligibility.familiarity is not None:
        if not any(isinstance(output, FeaturesPart) for output in told.outputs):
            return "eligibility.familiarity: needs an output of the kind 'features'"
        if told.data.calibration is None:
            return "eligibility.familiarity: is fitted to the training films of data.calibration"
    tried = (*told.data.strangers, *told.data.elsewhere)
    if tried and (told.image is None or len(told.all_inputs) != 1):
        return "data.strangers, data.elsewhere: the gate is tried on models of one image"
    if len({part.name for part in tried}) != len(tried):
        return "data.strangers, data.elsewhere: two have the same name"
    return None


def _column_problem(told: RecipeFile, part: DataPart) -> str | None:
    """Which input has no column to read it from, or which column has nothing to be read for."""
    facts = {f.name for i in told.all_inputs if isinstance(i, VectorInput) for f in i.fields}
    arrays = {item.name for item in told.all_inputs if isinstance(item, ArrayInput)}
    masks = {label for o in told.outputs if isinstance(o, MaskPart) for label in o.labels}
    values = {f.name for o in told.outputs if isinstance(o, Values) for f in o.fields}
    for key, wanted, whole in (
        ("facts", facts, True),
        ("arrays", arrays, True),
        ("masks", masks, False),
        ("values", values, False),
    ):
        given = set(getattr(part, key))
        if unknown := given - wanted:
            return f"{key}: {', '.join(sorted(unknown))} is nothing that the model has"
        if whole and (missing := wanted - given):
            return f"{key}: no column is given for {', '.join(sorted(missing))}"
    return None


def _golden_problem(told: RecipeFile) -> str | None:
    for case in told.golden:
        if sum(x is not None for x in (case.phantom, case.pattern, case.file)) != 1:
            return f"golden: {case.name!r} needs exactly one of phantom, pattern, file"
    return None
