"""Housekeeping on ONNX graphs: small files, the same bytes each time, within what devices read.

The exporter's and the quantizer's graphs carry names, traces and shapes that no engine needs; for
a network of a few hundred thousand parameters they weigh as much as a third of an int8 file.
`tidy` removes them and leaves one byte sequence for one graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from export.errors import GraphError

MAX_OPSET = 20
MAX_IR = 10
"""What onnxruntime 1.23 reads, the last one for Python 3.10 (JetPack 6)."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def tidy(model: Any) -> Any:
    """A copy of an ONNX model with short names, shared constants and nothing unneeded.

    Inputs and outputs keep their names. Nodes come in topological order, ties in the order they
    had; constants in the order of their first use.
    """
    source = model.graph
    nodes = _ordered(source)
    constants = {tensor.name: _raw(tensor) for tensor in source.initializer}
    kept = [value.name for value in (*source.input, *source.output)]
    renamed = {name: name for name in kept}
    by_content: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    initializers = []
    new_nodes = []
    for node in nodes:
        node = _copy(node)
        for i, name in enumerate(node.input):
            if name in constants and name not in renamed:
                tensor = constants[name]
                content = (tensor.data_type, tuple(tensor.dims), tensor.raw_data)
                if content in by_content:  # the quantizer writes the same zero points many times
                    renamed[name] = by_content[content]
                else:
                    renamed[name] = by_content[content] = _short(len(renamed), kept)
                    tensor.name = renamed[name]
                    initializers.append(tensor)
            node.input[i] = renamed.get(name, name) if name else ""
        for i, name in enumerate(node.output):
            if name and name not in renamed:
                renamed[name] = _short(len(renamed), kept)
            node.output[i] = renamed.get(name, name)
        node.name = ""
        node.doc_string = ""
        del node.metadata_props[:]
        new_nodes.append(node)
    graph = onnx.helper.make_graph(
        new_nodes,
        "edge_dx",
        [_plain_value(value) for value in source.input],
        [_plain_value(value) for value in source.output],
        initializers,
    )
    domains = {node.domain for node in new_nodes} | {""}
    opsets = [
        onnx.helper.make_opsetid(entry.domain, entry.version)
        for entry in sorted(model.opset_import, key=lambda entry: entry.domain)
        if entry.domain in domains
    ]
    return onnx.helper.make_model(
        graph, producer_name="edge_dx", ir_version=model.ir_version, opset_imports=opsets
    )


def serialise(model: Any) -> bytes:
    """The model's bytes, the same for the same graph.

    Raises:
        GraphError: the checker refuses it, or it is newer than what the devices read.
    """
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if set(opsets) != {""} or opsets[""] > MAX_OPSET or model.ir_version > MAX_IR:
        raise GraphError(
            f"the graph needs opsets {opsets} and IR {model.ir_version}; devices read the "
            f"standard domain up to opset {MAX_OPSET} and IR {MAX_IR}. Replace the operators "
            "that only newer ones have"
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"the ONNX checker refuses the exported graph: {error}") from error
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


def named_nodes(model: Any) -> Any:
    """A copy whose nodes are called n0, n1, …: the quantizer refers to nodes by name."""
    model = _copy(model)
    for i, node in enumerate(model.graph.node):
        node.name = f"n{i}"
    return model


def front_nodes(model: Any) -> set[str]:
    """Names of the nodes of the normalisation, between the input and the first other operator."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    kept: set[str] = set()
    front = {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    }
    for node in graph.node:
        data = [name for name in node.input if name not in weights]
        if node.op_type in ("Cast", "Sub", "Mul") and data and set(data) <= front:
            kept.add(node.name)
            front.update(node.output)
    return kept


def without_zero_points(model: Any) -> Any:
    """The model with the zero points of its `DequantizeLinear`s left out where they are all 0.

    That is what the operator takes them for by itself; one byte per channel adds up.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) > 2:
            zero = constants.get(node.input[2])
            if zero is not None and not zero.any() and node.input[0] in constants:
                del node.input[2:]
    return model


def constant(model: Any, name: str) -> np.ndarray[Any, Any] | None:
    """The value of an initializer, or None where no initializer has that name."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            value: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
            return value
    return None


def _short(number: int, taken: list[str]) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            break
    # A leading underscore keeps clear of the names that a recipe may give.
    return "_" + text if text not in taken else "__" + text


def _ordered(graph: Any) -> list[Any]:
    known = {value.name for value in graph.input} | {t.name for t in graph.initializer} | {""}
    waiting = list(graph.node)
    done: list[Any] = []
    while waiting:
        later = []
        for node in waiting:
            if any(attribute.HasField("g") for attribute in node.attribute):
                raise GraphError(
                    f"the exported graph has control flow ({node.op_type}); not every engine runs "
                    "that. Write the branch as arithmetic, for example with torch.where"
                )
            if all(name in known for name in node.input):
                known.update(node.output)
                done.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise GraphError("the exported graph has a cycle or reads a tensor that nobody writes")
        waiting = later
    return done


def _raw(tensor: Any) -> Any:
    """The tensor with its values as raw bytes: as varints a negative int8 takes ten of them."""
    raw = numpy_helper.from_array(np.asarray(numpy_helper.to_array(tensor), order="C"))
    assert (raw.data_type, raw.dims) == (tensor.data_type, tensor.dims)
    return raw


def _plain_value(value: Any) -> Any:
    """An input or output with its name, type and shape alone."""
    kind = value.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim]
    return onnx.helper.make_tensor_value_info(value.name, kind.elem_type, shape)


def _copy(message: Any) -> Any:
    other = type(message)()
    other.CopyFrom(message)
    return other
