"""A step → TFLite with a batch of one, and that → int8.

The converter has no recurrent operator: it writes a GRU out as its products, which for one beat is
a dozen operators. Borders stay in float, so the memory never passes through eight bits.
"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.backends.tflite import describe
from edge_dx.manifest import Wire
from export.errors import GraphError
from export.quantize_tflite import keeping_all
from export.streams.steps import Step
from export.tflite_from_torch import converted, place_of, quiet, require_tools

Arrays = Mapping[str, np.ndarray[Any, Any]]
_WEIGHTED = ("CONV_2D", "FULLY_CONNECTED")
_INPUT, _OUTPUT = "serving_default_args_", "serving_default_output_"


def tflite_from_step(step: Step) -> bytes:
    """Converts a step, which must be one that cuts and does not gather.

    Raises:
        MissingExtra: the converter is not installed.
        GraphError: it refuses the module.
    """
    return converted(step.eval(), step.examples(1))


def wires_of(payload: bytes, step: Step) -> tuple[dict[str, Wire], tuple[str, ...]]:
    """How the step's tensors stand in the file, and which operators no fast kernel takes.

    Raises:
        GraphError: the file has other tensors than the step.
    """
    found = describe(payload)
    wires = {}
    for wanted, tensors, prefix in (
        (step.takes, found.inputs, _INPUT), (step.gives, found.outputs, _OUTPUT),
    ):  # fmt: skip
        by_number = {place_of(tensor.name, prefix): tensor for tensor in tensors}
        if sorted(by_number) != list(range(len(wanted))):
            names = ", ".join(tensor.name for tensor in tensors)
            raise GraphError(
                f"the converted file has the tensors {names}, for {len(wanted)} wanted"
            )
        for place, tensor in enumerate(wanted):
            own = by_number[place]
            if own.dtype != "float32" or own.shape != (1, *tensor.shape):
                raise GraphError(f"{tensor.name} is {own.dtype} {own.shape} in the converted file")
            wires[tensor.name] = Wire(tensor=own.name, dtype="float32")
    return wires, found.undelegated


def layers(payload: bytes, step: Step) -> list[tuple[str, tuple[str, ...]]]:
    """(output, inputs and output) of the operators that hold the step's `quantized` weights.

    Raises:
        GraphError: one of them is not in the file.
    """
    interpreter = keeping_all(payload)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    holders = [
        op for op in interpreter._get_ops_details()
        if op["op_name"] in _WEIGHTED and len(op["inputs"]) > 1
    ]  # fmt: skip
    found = []
    for layer in step.quantized:
        weight = layer.weight.numpy()
        if weight.ndim == 3:
            weight = weight.transpose(0, 2, 1)[:, None]
        same = [op for op in holders if np.array_equal(_tensor(interpreter, op), weight)]
        if len(same) != 1:
            raise GraphError(
                f"a layer of {type(step).__name__} stands {len(same)} times in its file"
            )
        told = [int(same[0]["outputs"][0]), int(same[0]["inputs"][0])]
        names = tuple(str(details[index]["name"]) for index in told)
        found.append((names[0], names))
    return found


def observe(payload: bytes, step: Step, calls: Sequence[Arrays]) -> Iterator[dict[str, Any]]:
    """Runs calls, row by row of their batch, and gives what the layers take and give."""
    interpreter = keeping_all(payload)
    wires, _ = wires_of(payload, step)
    places = {d["name"]: d["index"] for d in interpreter.get_tensor_details()}
    shown = sorted({name for _, names in layers(payload, step) for name in names})
    for feeds in calls:
        rows: dict[str, list[Any]] = {name: [] for name in shown}
        for row in range(len(next(iter(feeds.values())))):
            for name, array in feeds.items():
                interpreter.set_tensor(places[wires[name].tensor], array[row : row + 1])
            interpreter.invoke()
            for name in shown:
                rows[name].append(interpreter.get_tensor(places[name]).copy())
        yield {name: np.stack(found) for name, found in rows.items()}


def quantize(payload: bytes, step: Step, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """Quantizes the step's layers with these activation ranges; all else stays in float.

    Raises:
        MissingExtra: the quantizer is not installed.
        GraphError: it refuses the graph.
    """
    require_tools()
    from ai_edge_quantizer import quantizer, recipe

    rule = recipe.static_wi8_ai8()[0]
    rules = [
        {**copy.deepcopy(rule), "regex": f"^{re.escape(name)};?$"}
        for name, _ in layers(payload, step)
    ]
    ranks = {d["name"]: len(d["shape"]) for d in keeping_all(payload).get_tensor_details()}
    seen = {
        name: {
            side: np.full((1,) * ranks[name], value, np.float32)
            for side, value in zip(("min", "max"), ends, strict=True)
        }
        for name, ends in ranges.items()
    }
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "float.tflite", Path(directory) / "int8.tflite"
        source.write_bytes(payload)
        with quiet():
            try:
                quantizer.Quantizer(str(source), rules).quantize(seen).export_model(str(target))
            except Exception as error:
                raise GraphError(
                    f"ai-edge-quantizer refused the graph ({type(error).__name__}: {error})"
                ) from error
        return target.read_bytes()


def _tensor(interpreter: Any, op: Mapping[str, Any]) -> Any:
    try:
        return interpreter.get_tensor(int(op["inputs"][1]))
    except ValueError:  # no constant, and nothing has run
        return None
