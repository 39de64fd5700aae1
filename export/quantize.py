"""fp32 ONNX → int8 ONNX: static, Q/DQ, weights per channel, float head.

Activations are uint8 and weights int8 (U8S8): measured as fast and as exact as S8S8 on x86 and
bit-equal on aarch64, and only with uint8 activations can the first convolution take the image
itself. `reduce_range` stays off: with the dot-product instructions (VNNI, SDOT) nothing
saturates, and on processors without them the golden proof notices.

Everything behind the last feature map stays in float. There the quantization error would reach
the scores undivided, and it costs next to nothing: pooling, one matrix product, one 1×1
convolution.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edge_dx.manifest import AnyOutput, Features
from export.calibrate import tensors_data
from export.graph import constant, named_nodes, serialise, tidy

QUANTIZED_OPS = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "Relu", "Clip",
    "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Transpose",
)  # fmt: skip
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_AROUND_HEAD = (
    "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "AveragePool", "Flatten", "Reshape",
    "Squeeze", "Unsqueeze", "Transpose", "Identity", "Sigmoid", "Softmax",
)  # fmt: skip


def preprocess(graph: bytes) -> bytes:
    """Shape inference and graph optimization before calibration, as the quantizer wants it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "preprocessed.onnx")
        quant_pre_process(named_nodes(onnx.load_from_string(graph)), path)
        raw: bytes = Path(path).read_bytes()
        return raw


def quantize(
    preprocessed: bytes,
    ranges: Mapping[str, tuple[float, float]],
    outputs: tuple[AnyOutput, ...],
) -> bytes:
    """Quantizes a preprocessed graph with these activation ranges.

    Raises:
        GraphError: the result is not one that devices can run.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load_from_string(preprocessed)
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=tensors_data(ranges),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(float_nodes(model, outputs)),
        op_types_to_quantize=QUANTIZED_OPS,
        extra_options={"WeightSymmetric": True, "ActivationSymmetric": False},
    )
    quantizer.quantize_model()
    quantized = tidy(quantizer.model.model)
    take_image_directly(quantized)
    return serialise(tidy(quantized))


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
    # The normalisation: what stands between the uint8 input and the first other operator.
    front = {value.name for value in graph.input}
    for node in graph.node:
        data = [name for name in node.input if name not in weights]
        if node.op_type in ("Cast", "Sub", "Mul") and data and set(data) <= front:
            kept.add(node.name)
            front.update(node.output)
    return kept


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
