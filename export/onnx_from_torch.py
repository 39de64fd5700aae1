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

from edge_dx.image import compile_steps, to_tensor
from edge_dx.manifest import (
    AnyInput,
    AnyOutput,
    ArrayInput,
    Features,
    HeatMap,
    ImageInput,
    Mask,
    Reconstruction,
    Scores,
    Values,
)
from export.calibrate import Arrays
from export.errors import FactoryError, GraphError, RecipeError
from export.graph import MAX_OPSET, serialise, tidy
from export.network import FromInputs
from export.recipe import Recipe
from export.vocabulary import HeatMapPart, InputPart, MaskPart, RecipeFile, ScoresPart

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
        name=part.name, shape=part.shape, dtype="uint8", unit=part.unit, view=part.view,
        prepare=steps, in_graph=(part.normalise,),
    )  # fmt: skip


def inputs_of(told: RecipeFile) -> tuple[AnyInput, ...]:
    """The manifest's inputs.

    Raises:
        RecipeError: an image's steps do not give the uint8 image of the stated shape.
    """
    return tuple(
        input_of(part) if isinstance(part, InputPart) else part for part in told.all_inputs
    )


def outputs_of(recipe: Recipe, network: FromInputs) -> tuple[AnyOutput, ...]:
    """The manifest's outputs, with the sizes that the module really gives.

    A heat map's `scale` and `identity_tolerance` stand at placeholders: they are measured later.

    Raises:
        FactoryError: the module gives something else than the recipe lists.
        RecipeError: a bias key that the module does not have.
    """
    told = recipe.told
    with torch.inference_mode():
        try:
            given = network(*network.examples(EXAMPLE_BATCH))
        except Exception as error:
            shapes = ", ".join(str(tuple(e.shape[1:])) for e in network.examples(1))
            raise FactoryError(
                f"{recipe.path}: the module does not take inputs of shape {shapes} "
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
        elif isinstance(part, MaskPart):
            expected = (len(part.labels), *shape[-2:])
            made = Mask(name=part.name, labels=part.labels, activation=part.activation,
                        shape=(shape[-2], shape[-1]))  # fmt: skip
        elif isinstance(part, Values):
            expected, made = (len(part.fields),), part
        elif isinstance(part, Reconstruction):
            drawn = next(item for item in told.all_inputs if item.name == part.of)
            assert isinstance(drawn, ArrayInput), "the recipe's own check holds this"
            expected, made = drawn.shape, part
        else:
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


def onnx_from_torch(network: FromInputs, outputs: tuple[AnyOutput, ...]) -> bytes:
    """Exports the module with a free batch dimension; an image comes as uint8.

    Raises:
        GraphError: torch cannot trace it, or the graph is not one that devices can run.
    """
    batch = torch.export.Dim("batch", min=1, max=1024)
    with quiet():
        try:
            program = torch.onnx.export(
                network,
                network.examples(EXAMPLE_BATCH),
                dynamo=True,
                external_data=False,
                opset_version=MAX_OPSET,
                input_names=[part.name for part in network.parts],
                output_names=[output.name for output in outputs],
                # One entry: `forward` takes its inputs as one starred argument.
                dynamic_shapes=(tuple({0: batch} for _ in network.parts),),
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
def quiet() -> Iterator[None]:
    """Silences what the exporter says about itself: nothing in it is about the user's model."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch 2.13 copies its own deprecated tree specs while it exports.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnx)")
        # Several inputs share the one batch, as they are meant to.
        warnings.filterwarnings("ignore", ".*will not be used, since it shares the same shape")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def torch_outputs(
    network: FromInputs, names: tuple[str, ...], feeds: Arrays, batch: int = 8
) -> dict[str, np.ndarray[Any, Any]]:
    """What the module itself gives: the reference of all checks.

    Args:
        network: the module behind its normalisation.
        names: of the outputs.
        feeds: input → (N, …), as the runtime gives them to the graph.
        batch: studies at once.
    """
    inputs = [torch.from_numpy(feeds[part.name]) for part in network.parts]
    parts: list[tuple[torch.Tensor, ...]] = []
    with torch.inference_mode():
        for start in range(0, len(inputs[0]), batch):
            parts.append(network(*(tensor[start : start + batch] for tensor in inputs)))
    return {name: torch.cat([part[i] for part in parts]).numpy() for i, name in enumerate(names)}
