"""`torch.nn.Module` → ONNX with a free batch dimension, the same bytes every time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from edge_dx.image import compile_steps, to_tensor
from edge_dx.manifest import AnyOutput, Features, HeatMap, ImageInput, Scores
from export.errors import FactoryError, GraphError, RecipeError
from export.graph import MAX_OPSET, serialise, tidy
from export.network import FromUint8
from export.recipe import Recipe
from export.vocabulary import FeaturesPart, HeatMapPart, InputPart, ScoresPart

EXAMPLE_BATCH = 2
"""Batch size of the example that is traced; parity is checked on others."""


def input_of(part: InputPart) -> ImageInput:
    """The manifest's input: what the device runs before the graph, and what is told of the rest.

    Raises:
        RecipeError: the steps do not give the uint8 image of the stated shape.
    """
    steps = part.prepare[:-1]
    _, height, width = part.shape
    sides = (height + 37, width + 11)
    probe = np.random.default_rng(0).integers(0, 65536, sides).astype(np.uint16)
    found = to_tensor(compile_steps(steps)(probe))[0]
    if found.dtype != np.uint8 or found.shape != part.shape:
        raise RecipeError(
            f"input.prepare: gives a {found.dtype} image of shape {found.shape}, input.shape says "
            f"uint8 {part.shape}; mind the resize, colour and intensity steps"
        )
    return ImageInput(
        name=part.name, shape=part.shape, dtype="uint8", unit=part.unit,
        prepare=steps, in_graph=(part.normalise,),
    )  # fmt: skip


def outputs_of(recipe: Recipe, network: FromUint8) -> tuple[AnyOutput, ...]:
    """The manifest's outputs, with the sizes that the module really gives.

    A heat map's `scale` and `identity_tolerance` stand at placeholders: they are measured later.

    Raises:
        FactoryError: the module gives something else than the recipe lists.
        RecipeError: a bias key that the module does not have.
    """
    told = recipe.told
    with torch.inference_mode():
        try:
            given = network(torch.zeros(EXAMPLE_BATCH, *told.input.shape, dtype=torch.uint8))
        except Exception as error:
            raise FactoryError(
                f"{recipe.path}: the module does not take an image of shape {told.input.shape} "
                f"({type(error).__name__}: {error})"
            ) from error
    if len(given) != len(told.outputs):
        raise FactoryError(
            f"{recipe.path}: the module gives {len(given)} outputs, the recipe lists "
            f"{len(told.outputs)} ({', '.join(o.name for o in told.outputs)}); list them all, in "
            "the order of forward's tuple"
        )
    labels = {o.name: len(o.labels) for o in told.outputs if isinstance(o, ScoresPart)}
    state = network.network.state_dict()
    outputs: list[AnyOutput] = []
    for part, tensor in zip(told.outputs, given, strict=True):
        shape = tuple(tensor.shape[1:])
        if isinstance(part, ScoresPart):
            expected: tuple[int, ...] = (len(part.labels),)
            made: AnyOutput = msgspec.convert(part, Scores, from_attributes=True)
        elif isinstance(part, HeatMapPart):
            expected = (labels[part.of], *shape[-2:])
            bias = state.get(part.bias_from)
            if bias is None or bias.numel() != labels[part.of]:
                raise RecipeError(
                    f"{recipe.path}: outputs: bias_from {part.bias_from!r} is no bias of "
                    f"{labels[part.of]} values; the module has: "
                    f"{', '.join(k for k in state if 'bias' in k) or 'none'}"
                )
            made = HeatMap(
                name=part.name, of=part.of, shape=(shape[-2], shape[-1]),
                bias=tuple(float(v) for v in bias.reshape(-1)),
                scale=(0.0, 1.0), identity_tolerance=1e-3,
            )  # fmt: skip
        else:
            assert isinstance(part, FeaturesPart)
            expected = shape[:1]
            made = Features(name=part.name, size=shape[0])
        if shape != expected or tensor.dtype != torch.float32 or len(tensor) != EXAMPLE_BATCH:
            raise FactoryError(
                f"{recipe.path}: output {part.name!r} is {tensor.dtype} of shape "
                f"{tuple(tensor.shape)}, expected float32 ({EXAMPLE_BATCH}, "
                f"{', '.join(map(str, expected))})"
            )
        outputs.append(made)
    return tuple(outputs)


def onnx_from_torch(network: nn.Module, part: InputPart, outputs: tuple[AnyOutput, ...]) -> bytes:
    """Exports the module; the graph takes `(batch, C, H, W)` uint8.

    Raises:
        GraphError: torch cannot trace it, or the graph is not one that devices can run.
    """
    example = torch.zeros(EXAMPLE_BATCH, *part.shape, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=1024)
    with _quiet():
        try:
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                external_data=False,
                opset_version=MAX_OPSET,
                input_names=[part.name],
                output_names=[output.name for output in outputs],
                dynamic_shapes=({0: batch},),
                verbose=False,
            )
        except Exception as error:  # the exporter's errors are many and private
            raise GraphError(
                f"torch.onnx.export refused the module ({type(error).__name__}: {error}); its "
                "forward must be traceable with a free batch size"
            ) from error
    assert program is not None, "dynamo=True gives a program"
    return serialise(tidy(program.model_proto))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter says about itself: nothing in it is about the user's model."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch 2.13 copies its own deprecated tree specs while it exports.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnx)")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def torch_outputs(
    network: nn.Module, names: tuple[str, ...], images: np.ndarray[Any, Any], batch: int = 8
) -> dict[str, np.ndarray[Any, Any]]:
    """What the module itself gives for uint8 images `(N, C, H, W)`: the reference of all checks."""
    parts: list[tuple[torch.Tensor, ...]] = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            parts.append(network(torch.from_numpy(images[start : start + batch])))
    return {name: torch.cat([part[i] for part in parts]).numpy() for i, name in enumerate(names)}
