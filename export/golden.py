"""Golden cases: raw inputs that a device answers before it is trusted with patients.

They are drawn, never taken from a data set, and run from raw pixels through the whole runtime
here, so what a device compares itself with is the runtime's own answer.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx import sources
from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle
from edge_dx.interpret import probabilities, status_of
from edge_dx.manifest import (
    AnyInput,
    ArrayInput,
    GoldenCase,
    ImageInput,
    Manifest,
    Scores,
    VectorField,
    VectorInput,
    WaveformInput,
)
from edge_dx.model import Model
from edge_dx.result import Result, Status
from export.errors import GraphError, ParityFailed, RecipeError
from export.recipe import Recipe
from export.running import Arrays, Made
from export.tolerance import as_written
from export.vocabulary import GoldenPart

MAX_BYTES = 600_000
_NEAR = 0.05
"""Share of the limit by which a golden case keeps away from it. Quantizing the whole reference
model moves no film's distance by more than half of that, and devices differ by less."""
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)

_DEFAULTS = (
    GoldenPart(name="texture-0", what="smooth random texture", pattern="texture", seed=0),
    GoldenPart(name="texture-1", what="smooth random texture", pattern="texture", seed=1),
    GoldenPart(name="ramp", what="horizontal ramp", pattern="ramp"),
)
"""Where the recipe gives none. One that lies too near to a threshold is left out."""

Raw = dict[str, np.ndarray[Any, Any]]


def golden(
    recipe: Recipe, manifest: Manifest, files: Mapping[str, Made], members: dict[str, bytes]
) -> tuple[tuple[GoldenCase, ...], bytes]:
    """Runs the recipe's golden cases through every variant.

    Args:
        recipe: lists the cases.
        manifest: complete but for its golden cases and members.
        files: variant → the file.
        members: what the model reads beside it.

    Returns:
        The manifest's cases and the bytes of `golden.npz`.

    Raises:
        RecipeError: a case cannot be made, or lies so near to a threshold that other devices
            may answer differently, or all together are too large.
        GraphError: the runtime itself declared a case failed.
        ParityFailed: this workstation's int8 kernels cannot be trusted.
    """
    models = [golden_model(manifest, files[variant.name], members) for variant in manifest.variants]
    given = bool(recipe.told.golden)
    cases: list[GoldenCase] = []
    arrays: Arrays = {}
    for part in recipe.told.golden or _DEFAULTS:
        source, raw = case_of(part, recipe, manifest.inputs)
        status: dict[str, Any] = {}
        reasons: dict[str, tuple[str, ...]] = {}
        outputs: Arrays = {}
        problem = None
        for model in models:
            result, found = model.run_case(source)
            if result.status is Status.FAILED:
                why = "; ".join(reason.detail for reason in result.reasons)
                raise GraphError(f"golden case {part.name}: {model.variant.name} failed ({why})")
            problem = problem or _shaky(model, result, found)
            if found is not None and model.variant.precision == "int8":
                _check_kernels(model, files[model.variant.name], source, found)
            status[model.variant.name] = result.status.value
            reasons[model.variant.name] = tuple(r.code.value for r in result.reasons)
            for name, values in (found or {}).items():
                outputs[f"{model.variant.name}/{part.name}/{name}"] = values
        if problem and given:
            raise RecipeError(f"{recipe.path}: golden: {part.name!r} {problem}")
        if problem:
            continue
        declined = all(value == "not_analysed" for value in status.values())
        cases.append(
            GoldenCase(
                name=part.name, what=part.what, modality=part.modality,
                photometric=part.photometric, status=status,
                reasons=next(iter(reasons.values())) if declined else (),
            )
        )  # fmt: skip
        arrays.update(raw)
        arrays.update(outputs)
    for model in models:
        model.close()
    if not any("not_analysed" not in case.status.values() for case in cases):
        raise RecipeError(f"{recipe.path}: golden: no case reaches the model; add one that does")
    packed = npz(arrays)
    if len(packed) > MAX_BYTES:
        raise RecipeError(
            f"{recipe.path}: golden: the cases take {len(packed)} bytes, more than {MAX_BYTES}; "
            "use smaller pictures (side_px) or fewer"
        )
    return tuple(cases), packed


def case_of(part: GoldenPart, recipe: Recipe, inputs: tuple[AnyInput, ...]) -> tuple[Any, Raw]:
    """A case as the model takes it, and its raw arrays as `golden.npz` keeps them.

    The recipe's case draws the image; facts and arrays beside it are drawn from its seed.
    """
    rng = np.random.default_rng(part.seed)
    given: dict[str, Any] = {}
    raw: Raw = {}
    for item in inputs:
        key = f"raw/{part.name}" if len(inputs) == 1 else f"raw/{part.name}/{item.name}"
        if isinstance(item, ImageInput):
            raw[key] = draw(part, recipe)
            given[item.name] = sources.from_array(
                raw[key], modality=part.modality, photometric=part.photometric
            )
        elif isinstance(item, VectorInput):
            facts = {field.name: _fact(field, rng) for field in item.fields}
            numbers = [
                field.choices.get(str(v), v)
                for field, v in zip(item.fields, facts.values(), strict=True)
            ]
            raw[key] = np.array(numbers, np.float64)
            given[item.name] = facts
        else:
            assert not isinstance(item, WaveformInput), "signals go another way"
            raw[key] = _values(item, rng)
            given[item.name] = raw[key]
    return (next(iter(given.values())) if len(inputs) == 1 else given), raw


def _fact(field: VectorField, rng: np.random.Generator) -> float | str:
    if field.choices:
        return sorted(field.choices)[int(rng.integers(len(field.choices)))]
    return float(f"{rng.uniform(field.low, field.high):.6g}")


def _values(item: ArrayInput, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if item.dtype == "float32":
        return rng.normal(size=item.shape).astype(np.float32)
    ends = np.iinfo(item.dtype)
    return rng.integers(ends.min, ends.max + 1, item.shape).astype(item.dtype)


def draw(part: GoldenPart, recipe: Recipe) -> np.ndarray[Any, Any]:
    """The raw pixels of a case, as its photometric interpretation stores them.

    Raises:
        RecipeError: the file that it names cannot be read, or no phantom is drawn so.
    """
    if part.file is not None:
        try:
            return np.ascontiguousarray(sources.read(recipe.beside(part.file)).pixels)
        except Exception as error:
            raise RecipeError(f"{recipe.path}: golden: {part.name!r}: {error}") from error
    if part.phantom is not None:
        from edge_dx import phantom

        try:
            pixels = phantom.draw(part.phantom, part.side_px, part.opacities, part.bits).pixels
        except ValueError as error:
            raise RecipeError(f"{recipe.path}: golden: {part.name!r}: {error}") from error
    else:
        pixels = _pattern(part)
    if part.photometric == "MONOCHROME1":
        pixels = sources.inverted(pixels)
    return np.ascontiguousarray(pixels)


def npz(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """An uncompressed `.npz` with one byte sequence for given arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), version=(1, 0))
            info = zipfile.ZipInfo(f"{name}.npy", _FIXED_TIME)
            info.create_system = 3  # the default depends on the platform
            archive.writestr(info, data.getvalue())
    return buffer.getvalue()


def _check_kernels(model: Model, made: Made, source: Any, found: Arrays) -> None:
    """Makes sure that this workstation itself does not saturate: its answers become the golden.

    Raises:
        ParityFailed: the integer kernels give something else than the graph as it is written.
    """
    inputs = model.bundle.manifest.inputs
    literal = as_written(made, inputs, tuple(found), model.feeds_of(source))
    for name, allowed in model.variant.tolerance.items():
        off = float(np.abs(literal[name] - found[name]).max())
        if not off <= allowed:
            raise ParityFailed(
                f"variant {made.name}: this processor's int8 kernels give {name} {off:.3g} away "
                f"from what the file says (allowed {allowed:.3g}), as x86 without VNNI does; "
                "export on another machine, or leave this variant out"
            )


def golden_model(manifest: Manifest, made: Made, members: dict[str, bytes]) -> Model:
    """A variant as the bundle will hold it."""
    variant = manifest.variant(made.name)
    backend = open_backend(made.engine, manifest, variant, made.payload, 1)
    bundle = Bundle(Path("(being exported)"), manifest, members, "0" * 64, None)
    return Model(bundle, variant, backend, made.engine)


def _shaky(model: Model, result: Result, found: Arrays | None) -> str | None:
    """Why another device within the tolerance may give another status, or None."""
    if found is None:
        return None
    if problem := _strange_by_chance(model, found):
        return problem
    if result.status is Status.NOT_ANALYSED:
        return None
    manifest, variant = model.bundle.manifest, model.variant
    for point in variant.operating_points:
        output = next(o for o in manifest.outputs if o.name == point.output)
        if not isinstance(output, Scores):
            continue  # a mask gives no status; a reconstruction's error moves smoothly
        column = output.labels.index(point.label)
        allowed = variant.tolerance[output.name]
        answers = {
            status_of(float(probabilities(output, found[output.name] + move)[0, column]), point)
            for move in _moves(len(output.labels), column, allowed)
        }
        if len(answers) > 1:
            return (
                f"scores {result.score:.4f}, too near to the threshold {point.threshold:.4f} of "
                f"{variant.name}: a device within the tolerance may answer otherwise. Draw "
                "another (seed, opacities)"
            )
    return None


def _strange_by_chance(model: Model, found: Arrays) -> str | None:
    """Why another device may find the features familiar or not, or None."""
    known = model.familiar
    if known is None:
        return None
    distance = known.distance(found[known.output][0])
    if abs(distance - known.limit) > _NEAR * known.limit:
        return None
    return (
        f"lies {distance:.3f} from the training films, too near to the limit {known.limit:.3f} of "
        f"{model.variant.name}: another device may answer otherwise. Draw another (seed, opacities)"
    )


def _moves(labels: int, column: int, by: float) -> list[np.ndarray[Any, Any]]:
    """Moves of the scores that shift one label's probability most: it up and the others down."""
    direction = np.full(labels, -by, np.float32)
    direction[column] = by
    return [np.zeros(labels, np.float32), direction, -direction]


def _pattern(part: GoldenPart) -> np.ndarray[Any, Any]:
    side = part.side_px
    rows, columns = np.mgrid[:side, :side]
    if part.pattern == "blank":
        grey: np.ndarray[Any, Any] = np.full((side, side), 128.0)
    elif part.pattern == "ramp":
        grey = columns * (255 / max(1, side - 1))
    elif part.pattern == "checkerboard":
        grey = 40.0 + 170 * ((rows // 32 + columns // 32) % 2)
    else:
        import cv2

        coarse = np.random.default_rng(part.seed).integers(0, 256, (9, 9)).astype(np.uint8)
        grey = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
    pixels = np.rint(grey).astype(np.uint8)
    return np.repeat(pixels[:, :, None], 3, axis=2) if part.photometric == "RGB" else pixels
