"""fp32 ONNX → int8 ONNX: static Q/DQ, weights per channel.

For processors activations are asymmetric and may be uint8, so that the first convolution takes
the image itself. For TensorRT they are symmetric int8 with zero point 0 and biases stay in float:
it refuses an int32 `DequantizeLinear` (onnxruntime#17738). The two are different files, because
each is slower in the other's place.

With a float head everything behind the last feature map stays in float. There the quantization
error would reach the scores undivided, and it costs next to nothing: pooling, one matrix product,
one 1×1 convolution. For TensorRT that head is float16: TensorRT for RTX has no float32 matrix
product for Turing, and half precision is what a GPU is quick at.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edge_dx.manifest import AnyOutput, Features
from export.calibrate import tensors_data
from export.float16 import in_float16
from export.graph import (
    constant,
    front_nodes,
    named_nodes,
    serialise,
    tidy,
    without_zero_points,
)
from export.scheme import Layer, Scheme

QUANTIZED_OPS = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "Relu", "Clip",
    "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose",
)  # fmt: skip
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_AROUND_HEAD = (
    "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "AveragePool", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Transpose", "Identity", "Sigmoid", "Softmax", "Concat",
)  # fmt: skip


def preprocess(graph: bytes) -> bytes:
    """Shape inference and graph optimization before calibration, as the quantizer wants it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "preprocessed.onnx")
        quant_pre_process(named_nodes(onnx.load_from_string(graph)), path)
        raw: bytes = Path(path).read_bytes()
        return raw


def observe(
    preprocessed: bytes, feeds: Mapping[str, np.ndarray[Any, Any]]
) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
    """Runs studies one at a time and gives every activation that may get a range.

    Args:
        preprocessed: the graph.
        feeds: input → (N, …).
    """
    import onnxruntime as ort

    model = onnx.load_from_string(preprocessed)
    constants = {tensor.name for tensor in model.graph.initializer}
    shown = {
        name
        for node in model.graph.node
        if node.op_type in QUANTIZED_OPS
        for name in (*node.input, *node.output)
        if name and name not in constants
    }
    outputs = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(shown - outputs))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # The graph as it is: fused operators would hide activations.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs() if value.type == "tensor(float)"]
    names = [name for name in names if name in shown]
    inputs = [v.name for v in session.get_inputs() if v.name in shown and v.type == "tensor(float)"]
    for k in range(len(next(iter(feeds.values())))):
        one = {name: array[k : k + 1] for name, array in feeds.items()}
        found = session.run(names, one)
        yield {**dict(zip(names, found, strict=True)), **{name: one[name] for name in inputs}}


def quantize(
    preprocessed: bytes,
    ranges: Mapping[str, tuple[float, float]],
    outputs: tuple[AnyOutput, ...],
    scheme: Scheme,
    only: str | None = None,
) -> bytes:
    """Quantizes a preprocessed graph with these activation ranges.

    Args:
        preprocessed: the graph.
        ranges: activation → (lowest, highest).
        outputs: the graph's outputs.
        scheme: how.
        only: quantize this layer alone, to see what it does to the answer.

    Raises:
        GraphError: the result is not one that devices can run.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load_from_string(preprocessed)
    kept = float_nodes(model, outputs) if scheme.head == "float" else front_nodes(model)
    kept |= set(scheme.reverted)
    options = {"WeightSymmetric": True, "ActivationSymmetric": scheme.symmetric}
    if scheme.symmetric:
        options |= {"QuantizeBias": False}
    types = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=scheme.reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=types[scheme.activation],
        tensors_range=tensors_data(ranges),
        nodes_to_quantize=[only] if only else [],
        nodes_to_exclude=sorted(kept - {only}),
        op_types_to_quantize=QUANTIZED_OPS,
        extra_options=options,
    )
    quantizer.quantize_model()
    whole = quantizer.model.model
    if scheme.symmetric and scheme.head == "float":
        whole = in_float16(whole, float_nodes(model, outputs) - front_nodes(model))
    if scheme.symmetric:
        whole = without_zero_points(whole)
    quantized = tidy(whole)
    if scheme.activation == "uint8" and not scheme.symmetric:
        take_image_directly(quantized)
    return serialise(tidy(quantized))


def layers(preprocessed: bytes, outputs: tuple[AnyOutput, ...], head: str) -> tuple[Layer, ...]:
    """The layers with weights that a scheme with this head quantizes, in the graph's order."""
    model = onnx.load_from_string(preprocessed)
    kept = float_nodes(model, outputs) if head == "float" else front_nodes(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found: list[Layer] = []
    for node in model.graph.node:
        weights = [shapes[name] for name in node.input if len(shapes.get(name, ())) > 1]
        if node.op_type in _WEIGHTED and weights and node.name not in kept:
            told = f"{node.op_type} {len(found) + 1} ({'×'.join(map(str, weights[0]))})"
            found.append(Layer(name=node.name, told=told))
    return tuple(found)


def float_nodes(model: Any, outputs: tuple[AnyOutput, ...]) -> set[str]:
    """Names of the nodes that stay in float: the normalisation and the head."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    kept: set[str] = set()

    def walk(tensor: str, through_weights: bool) -> None:
        node = maker.get(tensor)
        if node is None:
            return
        weighted = node.op_type in _WEIGHTED and any(name in weights for name in node.input)
        if weighted and through_weights:
            kept.add(node.name)
            for name in node.input:
                walk(name, False)
        elif node.op_type in _AROUND_HEAD:
            kept.add(node.name)
            for name in node.input:
                walk(name, through_weights)

    for output in outputs:
        walk(output.name, not isinstance(output, Features))
    return kept | front_nodes(model)


def take_image_directly(model: Any) -> bool:
    """Lets the first convolution take the uint8 image itself, where that is exact to the bit.

    `DequantizeLinear(image, scale, zero_point)` computes `(image - zero_point) * scale`. With
    scale = 1/std and zero_point = mean that is the normalisation itself, if the mean is one
    integer from 0 to 255 for all channels. It replaces Cast, Sub, Mul, QuantizeLinear and
    DequantizeLinear, so the image is not quantized a second time at all.

    Returns:
        Whether the graph was changed.
    """
    graph = model.graph
    image = graph.input[0].name
    chain = _single_chain(graph, image)
    if chain is None:
        return False
    mean = constant(model, chain[1].input[1])
    reciprocal = constant(model, chain[2].input[1])
    if mean is None or reciprocal is None:
        return False
    if np.unique(mean).size != 1 or np.unique(reciprocal).size != 1:
        return False
    zero = float(mean.flat[0])
    if not (zero.is_integer() and 0 <= zero <= 255):
        return False
    scale = np.array(reciprocal.flat[0], np.float32)
    graph.initializer.append(numpy_helper.from_array(scale, "__image_scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(zero, np.uint8), "__image_mean"))
    last = chain[-1]
    replacement = onnx.helper.make_node(
        "DequantizeLinear", [image, "__image_scale", "__image_mean"], [last.output[0]]
    )
    kept = [node for node in graph.node if not any(node is old for old in chain)]
    del graph.node[:]
    graph.node.extend([replacement, *kept])
    used = {name for node in graph.node for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    return True


def _single_chain(graph: Any, tensor: str) -> list[Any] | None:
    """The nodes Cast, Sub, Mul, QuantizeLinear, DequantizeLinear behind a tensor, if that is
    what stands there and nothing else reads the tensors between."""
    chain = []
    for op in ("Cast", "Sub", "Mul", "QuantizeLinear", "DequantizeLinear"):
        readers = [node for node in graph.node if tensor in node.input]
        if len(readers) != 1 or readers[0].op_type != op or readers[0].input[0] != tensor:
            return None
        chain.append(readers[0])
        tensor = readers[0].output[0]
    return chain
