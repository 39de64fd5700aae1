"""`torch.nn.Module` → fp32 TFLite, through litert-torch.

The file takes the normalised image: XNNPACK has no kernel that casts uint8 to float, so the
normalisation would run on a reference loop in front of the fast kernels. The runtime does it from
a table instead (`edge_dx.backends.wires`), with the same arithmetic. The batch is fixed to 1, as
TFLite's kernels are prepared for one shape.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from edge_dx.backends.tflite import TensorOfFile, describe
from edge_dx.errors import MissingExtra
from edge_dx.manifest import AnyInput, AnyOutput, ImageInput, Wire
from export.errors import GraphError
from export.network import FromInputs


def require_tools() -> None:
    """Makes sure that the converter is installed.

    Raises:
        MissingExtra: it is not; the message has the command.
    """
    for package in ("litert_torch", "ai_edge_quantizer"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "tflite-export", "exporting the tflite variants")


def tflite_from_torch(network: FromInputs) -> bytes:
    """Converts the module behind its normalisation; the same bytes every time.

    Raises:
        MissingExtra: the converter is not installed.
        GraphError: it refuses the module.
    """
    return converted(_Positional(network).eval(), network.examples(1, normalised=True))


def converted(module: nn.Module, examples: tuple[torch.Tensor, ...]) -> bytes:
    """Converts a float module for inputs of these shapes; the same bytes every time.

    Raises:
        MissingExtra: the converter is not installed.
        GraphError: it refuses the module.
    """
    require_tools()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.tflite"
        with quiet() as said:
            try:
                import litert_torch

                litert_torch.convert(module, examples).export(str(path))
            except Exception as error:  # the converter's errors are many and private
                told = said.getvalue().strip().splitlines()[-1:] or [""]
                raise GraphError(
                    f"litert-torch refused the module ({type(error).__name__}: "
                    f"{_first_line(error)}) {told[0]}; rewrite the operation that it cannot lower, "
                    "or leave the tflite variants out"
                ) from error
        return tidy(path.read_bytes())


def tidy(payload: bytes) -> bytes:
    """The same graph with short names inside; inputs and outputs keep theirs.

    The converter names tensors after the Python path of the layer that made them: more bytes than
    an int8 file has to spare, and other bytes whenever a class is moved.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(payload))
    for graph in model.subgraphs:
        border = {int(k) for k in (*graph.inputs, *graph.outputs)}
        for number, tensor in enumerate(graph.tensors):
            if number not in border:
                tensor.name = f"t{number}".encode()
    builder = flatbuffers.Builder(len(payload))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class _Positional(nn.Module):
    """The float network with its inputs in the recipe's order, in float32."""

    def __init__(self, network: FromInputs) -> None:
        super().__init__()
        self.network = network.network

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = self.network(*inputs)
        return (given,) if isinstance(given, torch.Tensor) else tuple(given)


def wires_of(
    payload: bytes, inputs: tuple[AnyInput, ...], outputs: tuple[AnyOutput, ...]
) -> tuple[dict[str, Wire], tuple[str, ...]]:
    """How the recipe's tensors stand in a file of litert-torch, and what no fast kernel takes.

    Raises:
        GraphError: the file has other tensors than the recipe.
    """
    found = describe(payload)
    wires = {}
    for items, tensors, prefix in (
        (inputs, found.inputs, "serving_default_args_"),
        (outputs, found.outputs, "serving_default_output_"),
    ):
        by_number = {place_of(tensor.name, prefix): tensor for tensor in tensors}
        if sorted(by_number) != list(range(len(items))):
            names = ", ".join(tensor.name for tensor in tensors)
            raise GraphError(f"the converted file has the tensors {names}, for {len(items)} wanted")
        for number, item in enumerate(items):
            wires[item.name] = _wire(by_number[number], item)
    return wires, found.undelegated


def place_of(name: str, prefix: str) -> int:
    """`serving_default_output_2_output` → 2."""
    digits = name.removeprefix(prefix).partition("_")[0].partition(":")[0]
    return int(digits) if name.startswith(prefix) and digits.isdigit() else -1


def _wire(tensor: TensorOfFile, item: AnyInput | AnyOutput) -> Wire:
    normalised = isinstance(item, ImageInput) and bool(item.in_graph)
    if tensor.dtype not in ("float32", "int8", "uint8"):
        raise GraphError(f"the converted file stores {tensor.name} as {tensor.dtype}")
    return Wire(
        tensor=tensor.name,
        dtype=tensor.dtype,  # type: ignore[arg-type]  # one of the three, checked above
        scale=tensor.scale,
        zero_point=tensor.zero_point,
        normalised=normalised,
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Silences the converter, which prints a progress line for each of its passes.

    Its C++ half writes to the file descriptor itself, so that one is turned away too.
    """
    said = io.StringIO()
    sys.stderr.flush()
    kept = os.dup(2)
    loggers = [logging.getLogger(), *(logging.getLogger(n) for n in ("jax", "absl", "torch"))]
    before = [logger.level for logger in loggers]
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(sink.fileno(), 2)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
