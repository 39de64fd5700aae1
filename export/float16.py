"""fp32 ONNX → fp16 ONNX for engines that take the precision from the graph (TensorRT).

Weights and activations become float16, inputs and outputs keep their types, and so does the
normalisation of the image: it is over before the first layer and decides what all others see.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx

from export.errors import GraphError
from export.graph import front_nodes, named_nodes, serialise, tidy

_LARGEST = float(np.finfo(np.float16).max)


def to_float16(graph: bytes) -> bytes:
    """Converts a float graph.

    Raises:
        GraphError: a weight does not fit into float16, or devices cannot run the result.
    """
    model = named_nodes(onnx.load_from_string(graph))
    nodes = {node.name for node in model.graph.node}
    return serialise(tidy(in_float16(model, nodes - front_nodes(model))))


def in_float16(model: Any, nodes: set[str]) -> Any:
    """The model with these nodes in float16, with casts where they meet the others.

    Raises:
        GraphError: a weight of theirs does not fit.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        for name in node.input if node.name in nodes else ():
            values = constants.get(name)
            if values is None or values.dtype.kind != "f" or not values.size:
                continue
            if not np.abs(values).max() <= _LARGEST:
                raise GraphError(
                    f"a weight of {np.abs(values).max():.3g} does not fit into float16 (largest "
                    f"{_LARGEST:g}); leave the tensorrt variants out, or scale the layer"
                )
    others = sorted({node.name for node in model.graph.node} - nodes)
    with warnings.catch_warnings():
        # It tells of every weight that is rounded to zero; the gates measure what that does.
        warnings.simplefilter("ignore")
        return convert_float_to_float16(model, keep_io_types=True, node_block_list=others)
