"""From the recipe's factory and weights to the module that is exported: uint8 image in."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_dx.image import normalise_constants
from edge_dx.manifest import ArrayInput, VectorInput
from export.errors import FactoryError, WeightsMismatch
from export.recipe import Recipe
from export.vocabulary import InputPart

AnyPart = InputPart | VectorInput | ArrayInput
_TORCH = {"uint8": torch.uint8, "int8": torch.int8, "float32": torch.float32}


class FromInputs(nn.Module):
    """The recipe's `normalise` step in front of a float network: an image comes as uint8.

    The constants and the order of operations are those of `edge_dx.image`, so what the network
    sees is the same to the bit as if the device had run the step. Vectors and arrays come as the
    runtime scales them.
    """

    mean: torch.Tensor
    reciprocal: torch.Tensor

    def __init__(self, network: nn.Module, parts: tuple[AnyPart, ...]) -> None:
        super().__init__()
        self.network = network
        self.parts = parts
        for part in parts:
            if isinstance(part, InputPart):
                mean, reciprocal = normalise_constants(part.normalise)
                self.register_buffer("mean", torch.from_numpy(mean).reshape(1, -1, 1, 1))
                self.register_buffer(
                    "reciprocal", torch.from_numpy(reciprocal).reshape(1, -1, 1, 1)
                )

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Runs the inputs, batch first, through the network; always gives a tuple."""
        given = self.network(*self.normalised(*inputs))
        return (given,) if isinstance(given, torch.Tensor) else tuple(given)

    def normalised(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the network itself takes."""
        return tuple(
            (tensor.to(torch.float32) - self.mean) * self.reciprocal
            if isinstance(part, InputPart)
            else tensor
            for part, tensor in zip(self.parts, inputs, strict=True)
        )

    def examples(self, batch: int, *, normalised: bool = False) -> tuple[torch.Tensor, ...]:
        """Zeros of the inputs' types and shapes."""
        found = tuple(
            torch.zeros(batch, *shape, dtype=_TORCH[dtype])
            for shape, dtype in map(_form, self.parts)
        )
        return self.normalised(*found) if normalised else found


def _form(part: AnyPart) -> tuple[tuple[int, ...], str]:
    """Shape without the batch, and type."""
    if isinstance(part, InputPart):
        return part.shape, "uint8"
    if isinstance(part, VectorInput):
        return (len(part.fields),), "float32"
    return part.shape, part.dtype


def load_network(recipe: Recipe) -> tuple[FromInputs, str]:
    """Builds the recipe's module with its weights, in eval mode.

    Returns:
        The module and the SHA-256 of the weights file.

    Raises:
        FactoryError: the factory is not there, raises, or gives no module.
        WeightsMismatch: the weights are not readable or do not fit.
    """
    part = recipe.told.model
    path = recipe.beside(part.weights)
    network = load_module(recipe.path, part.factory, path, part.kwargs)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FromInputs(network, recipe.told.all_inputs).eval(), digest


def load_module(
    recipe: Path, spec: str, weights: Path, kwargs: Mapping[str, Any] | None = None
) -> nn.Module:
    """Builds a module with its weights, in eval mode.

    Args:
        recipe: the file that names it; the factory may lie beside it.
        spec: the factory, as `ModelPart.factory`.
        weights: the file with its weights.
        kwargs: passed to the factory.

    Raises:
        FactoryError: the factory is not there, raises, or gives no module.
        WeightsMismatch: the weights file is not readable or does not fit.
    """
    with _importable(recipe.parent):
        factory = _find(spec, recipe.parent)
        try:
            network = factory(**(kwargs or {}))
        except Exception as error:
            raise FactoryError(
                f"{recipe}: model.factory {spec} raised {type(error).__name__}: {error}"
            ) from error
    if not isinstance(network, nn.Module):
        raise FactoryError(
            f"{recipe}: model.factory {spec} gave {type(network).__name__}, not a torch.nn.Module"
        )
    _fill(network, _read_weights(weights), weights, spec)
    return network.eval().requires_grad_(False)


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    """Lets the factory's code import what lies beside the recipe or where the user stands."""
    before = list(sys.path)
    sys.path[:0] = [str(directory.resolve()), str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def _find(spec: str, base: Path) -> Callable[..., Any]:
    where, _, name = spec.rpartition(":")
    try:
        if where.endswith(".py"):
            path = (base / where).resolve()
            if not path.is_file():
                raise FactoryError(f"model.factory {spec}: there is no file {path}")
            # Named after the path, so that two recipes' model.py do not meet.
            unique = hashlib.sha256(str(path).encode()).hexdigest()[:12]
            found = importlib.util.spec_from_file_location(f"_factory_{unique}", path)
            assert found is not None, "the file is there and ends in .py"
            assert found.loader is not None, "so Python has a loader for it"
            module = importlib.util.module_from_spec(found)
            sys.modules[found.name] = module
            found.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
    except FactoryError:
        raise
    except Exception as error:
        raise FactoryError(
            f"model.factory {spec}: importing {where} raised {type(error).__name__}: {error}; "
            "write package.module:function or path/to/file.py:function"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise FactoryError(f"model.factory {spec}: {where} has no function {name!r}")
    result: Callable[..., Any] = factory
    return result


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise WeightsMismatch(f"{path}: no such weights file; model.weights names it")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsMismatch(
            f"{path}: cannot be read as weights ({error}); save a state_dict as .safetensors, "
            "or with torch.save"
        ) from error
    except Exception as error:  # safetensors' own error type derives from Exception alone
        if type(error).__name__ != "SafetensorError":
            raise
        raise WeightsMismatch(f"{path}: not a safetensors file ({error})") from error
    # What training scripts commonly wrap around the state_dict.
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise WeightsMismatch(f"{path}: holds no state_dict (names to tensors)")
    return state


def _fill(network: nn.Module, state: dict[str, torch.Tensor], path: Path, factory: str) -> None:
    own = network.state_dict()
    problems = [f"{name} is missing" for name in own if name not in state]
    problems += [f"{name} is not in the module" for name in state if name not in own]
    problems += [
        f"{name} is {tuple(state[name].shape)}, the module has {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if problems:
        told = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" * (len(problems) > 5))
        raise WeightsMismatch(f"{path}: does not fit what {factory} builds: {told}")
    network.load_state_dict(state)
