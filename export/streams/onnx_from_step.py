"""A step → ONNX with a free batch dimension, and that → int8, the same bytes every time.

Of int8 files the matrix products and convolutions are int8, static Q/DQ with weights per channel;
what they give, the sums, the memory and the recurrent unit stay in float: onnxruntime has no
quantized GRU, and a recurrent state in eight bits drifts (docs/exporting.md has the figures). The
step says which layers those are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from export.calibrate import tensors_data
from export.errors import GraphError
from export.graph import MAX_OPSET, serialise, tidy
from export.onnx_from_torch import quiet
from export.quantize import preprocess
from export.streams.steps import Step

EXAMPLE_BATCH = 3
"""Batch size of the example that is traced; parity is checked on others."""
WEIGHTED = ("Conv", "Gemm", "MatMul")
Arrays = Mapping[str, np.ndarray[Any, Any]]

__all__ = [
    "EXAMPLE_BATCH",
    "kinds",
    "layers",
    "observe",
    "onnx_from_step",
    "preprocess",
    "quantize",
]


def onnx_from_step(step: Step) -> bytes:
    """Exports a step.

    Raises:
        GraphError: torch cannot trace it, or the graph is not one that devices can run.
    """
    batch = torch.export.Dim("batch", min=1, max=4096)
    with quiet(), warnings.catch_warnings():
        # Both are about what torch's exporter does itself while it traces.
        warnings.filterwarnings("ignore", "_check_is_size", FutureWarning)
        warnings.filterwarnings("ignore", "The tensor attributes? .*_flat_weights", UserWarning)
        try:
            program = torch.onnx.export(
                step, step.examples(EXAMPLE_BATCH), dynamo=True, external_data=False,
                opset_version=MAX_OPSET, verbose=False,
                input_names=[tensor.name for tensor in step.takes],
                output_names=[tensor.name for tensor in step.gives],
                dynamic_shapes=tuple({0: batch} for _ in step.takes),
            )  # fmt: skip
        except Exception as error:  # the exporter's errors are many and private
            raise GraphError(
                f"torch.onnx.export refused {type(step).__name__} ({type(error).__name__}: "
                f"{error}); its forward must be traceable with a free batch size"
            ) from error
    assert program is not None, "dynamo=True gives a program"
    return serialise(tidy(program.model_proto))


def layers(model: Any, step: Step) -> list[str]:
    """Names of the nodes that are to be quantized: those that hold the step's `quantized` weights.

    Raises:
        GraphError: one of them is not in the graph.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    holders = [
        (node.name, constants[node.input[1]])
        for node in model.graph.node
        if node.op_type in WEIGHTED and node.input[1] in constants
    ]
    found = []
    for layer in step.quantized:
        weight = layer.weight.numpy()
        same = [
            name for name, array in holders
            if np.array_equal(array, weight) or np.array_equal(array.T, weight)
        ]  # fmt: skip
        if len(same) != 1:
            raise GraphError(
                f"a layer of {type(step).__name__} stands {len(same)} times in its graph"
            )
        found += same
    return found


def observe(
    preprocessed: bytes, calls: Sequence[Arrays]
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Runs calls and gives what each product or convolution takes.

    Args:
        preprocessed: the graph.
        calls: inputs of each call, states included.
    """
    import onnxruntime as ort

    model = onnx.load_from_string(preprocessed)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input}
    shown = {
        name
        for node in model.graph.node
        if node.op_type in WEIGHTED
        for name in (*node.input, *node.output)
        if name and name not in constants | inputs
    }
    borders = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(shown - borders))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # The graph as it is: fused operators would hide activations.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = sorted(shown)
    for feeds in calls:
        found = dict(zip(names, session.run(names, dict(feeds)), strict=True))
        yield {**found, **{name: np.asarray(feeds[name]) for name in inputs}}


def quantize(
    preprocessed: bytes,
    step: Step,
    ranges: Mapping[str, tuple[float, float]],
    *,
    reduce_range: bool,
) -> bytes:
    """Quantizes a preprocessed graph with these activation ranges.

    Args:
        preprocessed: the graph.
        step: that it came from.
        ranges: activation → (lowest, highest).
        reduce_range: 7 bits for the weights, so that x86 without VNNI does not saturate.

    Raises:
        GraphError: the result is not one that devices can run.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load_from_string(preprocessed)
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=tensors_data(ranges),
        nodes_to_quantize=layers(model, step),
        nodes_to_exclude=[],
        op_types_to_quantize=list(WEIGHTED),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            # Sums stay in float: what follows adds to them, and one rounding less is one less.
            "OpTypesToExcludeOutputQuantization": list(WEIGHTED),
        },
    )
    quantizer.quantize_model()
    return serialise(tidy(quantizer.model.model))


def kinds(payload: bytes) -> dict[str, int]:
    """Operators of a graph and how many there are of each."""
    found: dict[str, int] = {}
    for node in onnx.load_from_string(payload).graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    return found
