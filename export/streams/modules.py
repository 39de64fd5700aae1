"""The recipe's modules with their weights, and the same as steps for each format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import nn

from edge_dx.ecg import beats, rhythm
from edge_dx.ecg.events import LABELS
from edge_dx.manifest.stream import NetworkName
from export.errors import FactoryError, RecipeError
from export.network import load_module
from export.streams.recipe import Recipe
from export.streams.steps import BeatStep, DetectorStep, RhythmStep, Step

Format = Literal["onnx", "tflite"]


@dataclass(frozen=True, eq=False)
class Networks:
    """Modules by the manifest's name of the network.

    Attributes:
        modules: with weights, in eval mode.
        digests: SHA-256 of each weights file.
    """

    modules: Mapping[NetworkName, nn.Module]
    digests: Mapping[NetworkName, str]

    def steps(self, kind: Format) -> dict[NetworkName, Step]:
        """The networks as a format's files hold them.

        Raises:
            FactoryError: a module is not of the kind that its place asks for.
        """
        return {name: step_of(name, module, kind) for name, module in self.modules.items()}


def step_of(name: NetworkName, module: Any, kind: Format) -> Step:
    """A module as a step.

    Raises:
        FactoryError: it is not of the kind that its place asks for.
    """
    made: Step
    try:
        if name == "detector":
            made = DetectorStep(module, slices=kind == "tflite")
        elif name == "rhythm":
            made = RhythmStep(module, len(rhythm.FEATURES), 1)
        else:
            made = BeatStep(module, (2, beats.WINDOW), len(beats.FEATURES), len(LABELS))
        made.eval().requires_grad_(requires_grad=False)
        with torch.inference_mode():
            given = made(*made.examples(3))
    except (AttributeError, RuntimeError, TypeError, AssertionError) as error:
        raise FactoryError(
            f"{name}: {type(module).__name__} is no network that can stand there "
            f"({type(error).__name__}: {error}); take the factories of export.networks as a pattern"
        ) from error
    found = [tuple(tensor.shape) for tensor in given]
    wanted = [(3, *tensor.shape) for tensor in made.gives]
    if found != wanted or any(tensor.dtype != torch.float32 for tensor in given):
        raise FactoryError(f"{name}: the module gives {found}, not float32 of {wanted}")
    return made


def read_networks(recipe: Recipe, weights: Mapping[NetworkName, Path] | None = None) -> Networks:
    """Builds the recipe's modules.

    Args:
        recipe: names factories and weights.
        weights: other weights for some of the networks.

    Raises:
        FactoryError: a factory is not there, raises, or gives no module.
        WeightsMismatch: weights cannot be read or do not fit.
        RecipeError: what is told of their training is told of other weights.
    """
    modules, digests = dict[NetworkName, nn.Module](), dict[NetworkName, str]()
    for name, part in recipe.told.networks.items():
        path = (weights or {}).get(name, recipe.beside(part.weights))
        modules[name] = load_module(recipe.path, part.factory, path)
        digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if part.training is not None and name not in (weights or {}):
            _check_training(recipe.beside(part.training), path, digests[name])
    return Networks(modules, digests)


class _Training(msgspec.Struct):
    weights_sha256: str


def _check_training(path: Path, weights: Path, digest: str) -> None:
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_Training)
    except (OSError, msgspec.MsgspecError) as error:
        raise RecipeError(f"{path}: cannot be used as the training record ({error})") from error
    if told.weights_sha256 != digest:
        raise RecipeError(
            f"{path}: tells of weights with SHA-256 {told.weights_sha256}, {weights} has {digest}; "
            "one of the two is out of date"
        )
