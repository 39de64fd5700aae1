"""Golden cases: raw inputs, and what each variant answers to them on this workstation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from edge_dx import sources, vector
from edge_dx.errors import EdgeDxError
from edge_dx.interpret import probabilities, reconstruction_error, status_of
from edge_dx.manifest import (
    ArrayInput,
    GoldenCase,
    ImageInput,
    Manifest,
    Reconstruction,
    Scores,
    WaveformInput,
)
from edge_dx.model import Model
from edge_dx.result import Status
from edge_dx.sources import arrays as npy
from edge_dx.tensors import Array
from export.errors import PackError
from export.packing.plan import Plan
from export.packing.vocabulary import ArrayPart, GoldenPart

MAX_BYTES = 8 * 2**20
"""All golden arrays together: they travel with every copy of the bundle."""

_Answer = Literal["positive", "negative", "indeterminate", "measured", "not_analysed"]


@dataclass(frozen=True)
class Drawn:
    """A golden case before it was answered.

    Attributes:
        part: its description.
        source: as a model takes it.
        raw: name in `golden.npz` → array.
    """

    part: GoldenPart
    source: Any
    raw: Mapping[str, Array]


def drawn(plan: Plan) -> tuple[Drawn, ...]:
    """All cases, drawn or read.

    Raises:
        PackError: a file cannot be read or does not fit, or a fact is none that the model takes.
    """
    return tuple(_case(plan, part) for part in plan.told.golden)


def answered(
    plan: Plan, cases: Sequence[Drawn], models: Sequence[Model]
) -> tuple[tuple[GoldenCase, ...], dict[str, Array], dict[str, list[dict[str, Array]]]]:
    """What every variant answers.

    Args:
        plan: the description.
        cases: the inputs.
        models: one for each variant.

    Returns:
        The manifest's cases, the expected outputs by their name in `golden.npz`, and the same by
        variant.

    Raises:
        PackError: a case failed or cannot be analysed by any variant.
    """
    told: list[GoldenCase] = []
    arrays: dict[str, Array] = {}
    by_variant: dict[str, list[dict[str, Array]]] = {model.variant.name: [] for model in models}
    for case in cases:
        name = case.part.name
        status: dict[str, _Answer] = {}
        reasons: tuple[str, ...] = ()
        for model in models:
            try:
                result, outputs = model.run_case(case.source)
            except EdgeDxError as error:
                raise PackError(f"{plan.path}: golden: {name!r}: {error}") from error
            said = "; ".join(why.detail for why in result.reasons)
            if result.status is Status.FAILED:
                raise PackError(
                    f"{plan.path}: golden: {name!r} failed on {model.variant.name} ({said}); "
                    "compare the description of the outputs with the file"
                )
            variant = model.variant.name
            status[variant] = cast("_Answer", result.status.value)
            if outputs is None:
                reasons = tuple(why.code.value for why in result.reasons)
                continue
            by_variant[variant].append(outputs)
            arrays.update({f"{variant}/{name}/{key}": value for key, value in outputs.items()})
        told.append(GoldenCase(
            name=name, what=case.part.what, modality=case.part.modality,
            photometric=case.part.photometric, status=dict(status), reasons=reasons,
        ))  # fmt: skip
    if not all(by_variant.values()):
        raise PackError(
            f"{plan.path}: golden: no case reaches the model (all are "
            f"{', '.join(sorted({r for case in told for r in case.reasons}))}); add one that does"
        )
    return tuple(told), arrays, by_variant


def check_steady(plan: Plan, manifest: Manifest, cases: Sequence[Drawn], models: Sequence[Model],
                 outputs: Mapping[str, Array]) -> None:  # fmt: skip
    """Makes sure that no device within the tolerance answers a case otherwise.

    Raises:
        PackError: a case lies too near to a threshold.
    """
    by_name = {output.name: output for output in manifest.outputs}
    for case in cases:
        for model in models:
            variant = manifest.variant(model.variant.name)
            for point in variant.operating_points:
                output = by_name[point.output]
                values = outputs.get(f"{variant.name}/{case.part.name}/{output.name}")
                if values is None:
                    continue
                allowed = variant.tolerance[output.name]
                if isinstance(output, Scores):
                    column = output.labels.index(point.label)
                    # Up while the others go down moves the probability most.
                    move = np.full(values.shape, -allowed, np.float64)
                    move[0, column] = allowed
                    scores = [
                        float(probabilities(output, values + step)[0, column])
                        for step in (-move, 0 * move, move)
                    ]
                elif isinstance(output, Reconstruction):
                    feeds = model.feeds_of(case.source)
                    root = reconstruction_error(output, feeds, values) ** 0.5
                    scores = [max(0.0, root + step) ** 2 for step in (-allowed, 0.0, allowed)]
                else:
                    continue  # a mask's point cuts pixels and gives no answer
                if len({status_of(score, point) for score in scores}) > 1:
                    raise PackError(
                        f"{plan.path}: golden: {case.part.name!r} scores {scores[1]:.4g}, too near "
                        f"to the threshold {point.threshold:.4g} of {variant.name}: another device "
                        "may answer otherwise. Draw another (seed), or take another file"
                    )


def _case(plan: Plan, part: GoldenPart) -> Drawn:
    inputs = plan.inputs
    given: dict[str, Any] = {}
    raw: dict[str, Array] = {}
    for item in inputs:
        key = f"raw/{part.name}" if len(inputs) == 1 else f"raw/{part.name}/{item.name}"
        try:
            if isinstance(item, ImageInput):
                raw[key] = _picture(plan, part, item)
                given[item.name] = sources.from_array(
                    raw[key], modality=part.modality, photometric=part.photometric
                )
            elif isinstance(item, ArrayInput):
                raw[key] = _array(plan, part.arrays[item.name], item)
                given[item.name] = raw[key]
            else:
                assert not isinstance(item, WaveformInput), "signals go another way"
                facts = part.facts[item.name]
                vector.to_tensor(item, facts)  # words and gaps could not be kept as numbers
                given[item.name] = facts
                pairs = [(field, facts[field.name]) for field in item.fields]
                numbers = [f.choices[v] if isinstance(v, str) else v for f, v in pairs]
                raw[key] = np.array(numbers, np.float64)
        except EdgeDxError as error:
            raise PackError(f"{plan.path}: golden: {part.name!r}: {error}") from error
    total = sum(array.nbytes for array in raw.values())
    if total > MAX_BYTES:
        raise PackError(
            f"{plan.path}: golden: {part.name!r} has {total} bytes, more than {MAX_BYTES}; use a "
            "smaller picture or array"
        )
    return Drawn(part, given if len(inputs) > 1 else next(iter(given.values())), raw)


def _picture(plan: Plan, part: GoldenPart, item: ImageInput) -> Array:
    if part.file is not None:
        return np.ascontiguousarray(sources.read(plan.beside(part.file)).pixels)
    rng = np.random.default_rng(part.seed)
    rows, columns = np.mgrid[: part.side_px, : part.side_px]
    planes = []
    for _ in range(3 if part.photometric == "RGB" else 1):  # of different content: order shows
        if part.pattern == "blank":
            plane = np.full(rows.shape, 128.0)
        elif part.pattern == "ramp":
            plane = np.roll(columns, int(rng.integers(part.side_px)), 1) * (255 / part.side_px)
        elif part.pattern == "checkerboard":
            size = int(rng.integers(8, 33))
            plane = 40.0 + 170 * ((rows // size + columns // size) % 2)
        else:
            plane = 255 * _smooth(rng, rows.shape)
        planes.append(np.rint(plane).astype(np.uint8))
    pixels = planes[0] if len(planes) == 1 else np.stack(planes, axis=2)
    if part.photometric == "MONOCHROME1":
        pixels = sources.inverted(pixels)
    return np.ascontiguousarray(pixels)


def _array(plan: Plan, part: ArrayPart, item: ArrayInput) -> Array:
    if part.file is not None:
        return np.ascontiguousarray(npy.read(item, plan.beside(part.file))[0])
    if math.prod(item.shape) > MAX_BYTES:
        raise PackError(f"{plan.path}: {item.name} is too large to draw; give a file")
    rng = np.random.default_rng(part.seed)
    if part.pattern == "ramp":
        share = np.linspace(0, 1, math.prod(item.shape)).reshape(item.shape)
    elif part.pattern == "waves":
        share = _smooth(rng, item.shape)
    else:
        share = rng.uniform(size=item.shape)
    values = part.low + share * (part.high - part.low)
    if item.dtype == "float32":
        return values.astype(np.float32)
    ends = np.iinfo(item.dtype)
    return np.clip(np.rint(values), ends.min, ends.max).astype(item.dtype)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A sum of few waves over all axes, from 0 to 1."""
    grids = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    waves = np.zeros(shape)
    for _ in range(6):
        phase = sum(rng.uniform(0.3, 4) * grid for grid in grids) + rng.uniform(0, 1)
        waves += rng.normal() * np.sin(2 * np.pi * phase)
    span = float(np.ptp(waves))
    return (waves - waves.min()) / span if span > 0 else waves
