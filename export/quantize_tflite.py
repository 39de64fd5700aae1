"""fp32 TFLite → full-integer TFLite (int8 to its borders), through ai-edge-quantizer.

Weights are symmetric per channel, activations asymmetric per tensor (`static_wi8_ai8`). The ranges
are ours: see `export.calibrate`. An image that is normalised with one integer mean and one std
gets the range whose levels are the grey levels themselves, so the device's table only moves them
by -128 and nothing is rounded.
"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.backends.tflite import PACKAGES, describe
from edge_dx.image import normalise_constants
from edge_dx.manifest import ImageInput, Wire
from edge_dx.tensors import TensorSpec
from export.errors import GraphError
from export.scheme import Layer, Scheme
from export.tflite_from_torch import quiet, require_tools

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def observe(
    payload: bytes, feeds: Mapping[str, np.ndarray[Any, Any]]
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Runs studies one at a time and gives every activation of the graph.

    Args:
        payload: the fp32 file.
        feeds: tensor of the file → (N, …) float32.
    """
    interpreter = keeping_all(payload)
    inputs = {d["name"]: d["index"] for d in interpreter.get_input_details()}
    tensors = {d["index"]: d["name"] for d in interpreter.get_tensor_details()}
    shown = set(inputs.values()) | {
        int(tensor)
        for op in interpreter._get_ops_details()
        if op["op_name"] != "DELEGATE"
        for tensor in op["outputs"]
    }
    for k in range(len(next(iter(feeds.values())))):
        for name, array in feeds.items():
            interpreter.set_tensor(inputs[name], array[k : k + 1])
        interpreter.invoke()
        yield {tensors[index]: interpreter.get_tensor(index) for index in sorted(shown)}


def quantize(
    payload: bytes,
    ranges: Mapping[str, tuple[float, float]],
    scheme: Scheme,
    only: str | None = None,
) -> bytes:
    """Quantizes a float file with these activation ranges.

    Args:
        payload: the fp32 file.
        ranges: tensor → (lowest, highest).
        scheme: how; its `reverted` are layers of `layers`.
        only: quantize this layer alone.

    Raises:
        MissingExtra: the quantizer is not installed.
        GraphError: it refuses the graph.
    """
    require_tools()
    from ai_edge_quantizer import quantizer, recipe

    everything = recipe.static_wi8_ai8()
    rules = list(everything)
    if only is not None:
        rules = [{**copy.deepcopy(everything[0]), "regex": _scope(only)}]
    for name in scheme.reverted:
        rules.append(
            {**copy.deepcopy(everything[0]), "regex": _scope(name), "algorithm_key": "no_quantize"}
        )
    ranks = _ranks(payload)
    seen = {
        name: {
            "min": np.full((1,) * ranks[name], low, np.float32),
            "max": np.full((1,) * ranks[name], high, np.float32),
        }
        for name, (low, high) in ranges.items()
    }
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "float.tflite", Path(directory) / "int8.tflite"
        source.write_bytes(payload)
        with quiet():
            try:
                made = quantizer.Quantizer(str(source), rules).quantize(seen)
                made.export_model(str(target))
            except Exception as error:
                raise GraphError(
                    f"ai-edge-quantizer refused the graph ({type(error).__name__}: {error})"
                ) from error
        return target.read_bytes()


def layers(payload: bytes) -> tuple[Layer, ...]:
    """The layers with weights, in the graph's order; each is named by the tensor it writes."""
    interpreter = keeping_all(payload)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    found: list[Layer] = []
    for op in interpreter._get_ops_details():
        if op["op_name"] in _WEIGHTED and len(op["inputs"]) > 1:
            shape = details[int(op["inputs"][1])]["shape"]
            told = f"{op['op_name']} {len(found) + 1} ({'×'.join(str(n) for n in shape)})"
            found.append(Layer(name=details[int(op["outputs"][0])]["name"], told=told))
    return tuple(found)


def image_range(item: ImageInput, wire: Wire, found: tuple[float, float]) -> tuple[float, float]:
    """The range that makes int8 levels of grey levels, where there is one; else the one found."""
    if not wire.normalised or len(item.in_graph) != 1:
        return found
    mean, reciprocal = normalise_constants(item.in_graph[0])
    zero = float(np.ravel(mean)[0])
    if np.unique(mean).size != 1 or np.unique(reciprocal).size != 1 or not zero.is_integer():
        return found
    if not 0 <= zero <= 255:
        return found
    scale = float(np.ravel(reciprocal)[0])
    return (0 - zero) * scale, (255 - zero) * scale


def spec_of(payload: bytes) -> tuple[TensorSpec, ...]:
    """The file's inputs."""
    return tuple(tensor.spec for tensor in describe(payload).inputs)


def _scope(name: str) -> str:
    """ai-edge-quantizer matches a rule against the names of an operator's outputs."""
    return f"^{re.escape(name)};?$"


def _ranks(payload: bytes) -> dict[str, int]:
    details = keeping_all(payload).get_tensor_details()
    return {d["name"]: len(d["shape"]) for d in details}


def keeping_all(payload: bytes) -> Any:
    """An interpreter that keeps every activation for reading."""
    import importlib

    for package in PACKAGES:
        if importlib.util.find_spec(package) is not None:
            module = importlib.import_module(f"{package}.interpreter")
            with quiet():
                interpreter = module.Interpreter(
                    model_content=payload, num_threads=1, experimental_preserve_all_tensors=True
                )
                interpreter.allocate_tensors()
            return interpreter
    raise GraphError("neither ai_edge_litert nor tflite_runtime is installed")
