"""Model files as they are: format by content, and what they take and give by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_dx.backends import tflite
from edge_dx.bundle import MAX_BYTES
from edge_dx.errors import EngineError
from export.errors import PackError
from export.packing.plan import read_bytes

MAX_OPSET = 20
"""What onnxruntime 1.23 reads, the last one for Python 3.10 (JetPack 6)."""
MAX_IR = 10

_OTHERS = (
    (b"PK\x03\x04", "a zip archive (a .pt or .keras file?)"),
    (b"\x89HDF", "an HDF5 file (.h5, Keras)"),
    (b"\x80", "a pickle"),
)
_NEITHER = "is neither TFLite nor ONNX"
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinear", "ConvInteger", "MatMulInteger",
              "DynamicQuantizeLinear")  # fmt: skip


@dataclass(frozen=True)
class Border:
    """A tensor that a file takes or gives.

    Attributes:
        dtype: numpy's name of its type; empty where numpy has none.
        shape: batch first; None for a free dimension.
        scale: of a quantized tensor, `value = (stored - zero_point) * scale`; None of others.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True)
class ModelFile:
    """A model file that a device can run.

    Attributes:
        path: where it was read.
        undelegated: TFLite operators that no fast kernel takes here.
        quantized: whether 8-bit operators stand in it.
    """

    path: Path
    format: Literal["onnx", "tflite"]
    payload: bytes = field(repr=False)
    inputs: tuple[Border, ...]
    outputs: tuple[Border, ...]
    undelegated: tuple[str, ...] = ()
    quantized: bool = False


def read_model(path: Path) -> ModelFile:
    """Reads a model file.

    Raises:
        PackError: it cannot be read, is no ONNX or TFLite file, or one that devices do not run.
    """
    payload = read_bytes(path, MAX_BYTES)
    if payload[4:8] == b"TFL3":
        return _tflite(path, payload)
    for mark, what in _OTHERS:
        if payload.startswith(mark):
            raise PackError(
                f"{path}: is {what}; convert it to ONNX or TFLite first, or export the PyTorch "
                "module with a recipe (edge-dx-export recipe.toml)"
            )
    return _onnx(path, payload)


def _tflite(path: Path, payload: bytes) -> ModelFile:
    try:
        found = tflite.describe(payload)
    except EngineError as error:
        raise PackError(f"{path}: {error}") from error
    borders = [
        tuple(Border(t.name, t.dtype, t.shape, t.scale, t.zero_point) for t in side)
        for side in (found.inputs, found.outputs)
    ]
    quantized = any(tensor.scale is not None for side in borders for tensor in side)
    return ModelFile(path, "tflite", payload, borders[0], borders[1], found.undelegated, quantized)


def _onnx(path: Path, payload: bytes) -> ModelFile:
    try:
        import onnx
    except ImportError as error:
        raise PackError(
            f"{path}: checking an ONNX file needs the package onnx; pip install onnx"
        ) from error
    try:
        model = onnx.load_model_from_string(payload)  # reads no other file
    except Exception as error:  # protobuf's DecodeError, whose module carries no types
        raise PackError(f"{path}: {_NEITHER} ({error}); give a model file") from error
    if not model.ir_version or not model.graph.output:
        raise PackError(f"{path}: {_NEITHER} (there is no graph in it); give a model file")
    problem = _onnx_problem(model)
    if problem:
        raise PackError(f"{path}: {problem}")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        raise PackError(
            f"{path}: the ONNX checker refuses it ({''.join(first)}); export it again"
        ) from error
    weights = {tensor.name for tensor in model.graph.initializer}
    types = {int(code): _numpy_name(onnx, int(code)) for code in onnx.TensorProto.DataType.values()}
    return ModelFile(
        path,
        "onnx",
        payload,
        tuple(_border(value, types) for value in model.graph.input if value.name not in weights),
        tuple(_border(value, types) for value in model.graph.output),
        quantized=any(node.op_type.startswith(_QUANTIZED) for node in _nodes(model.graph)),
    )


def _onnx_problem(model: Any) -> str | None:
    """What keeps devices from running it, with the fix, or None."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    standard = opsets.get("", opsets.get("ai.onnx", 0))
    if not 0 < standard <= MAX_OPSET:
        return (
            f"opset {standard}; devices read opsets up to {MAX_OPSET}. Convert it "
            "(onnx.version_converter), or export it for that opset"
        )
    if model.ir_version > MAX_IR:
        return (
            f"IR version {model.ir_version}; devices read up to {MAX_IR}. Set ir_version = "
            f"{MAX_IR} and save it again"
        )
    if model.functions:
        return "it has functions of its own; write them out with onnx.inliner"
    graphs = list(_graphs(model.graph))
    custom = sorted({
        node.domain for graph in graphs for node in graph.node
        if node.domain not in ("", "ai.onnx")
    })  # fmt: skip
    if custom:
        return (
            f"operators of the domain {', '.join(custom)}, which not every engine has; export it "
            "with standard operators (and save it before onnxruntime's own optimizer fuses them)"
        )
    if any(tensor.data_location for graph in graphs for tensor in _tensors(graph)):
        return (
            "its weights lie in another file; a bundle carries one file per variant. Save it with "
            "onnx.save(onnx.load(path), path, save_as_external_data=False)"
        )
    return None


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and all graphs inside its nodes."""
    waiting = [graph]
    while waiting:
        found = waiting.pop()
        yield found
        for node in found.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _nodes(graph: Any) -> Iterator[Any]:
    for found in _graphs(graph):
        yield from found.node


def _tensors(graph: Any) -> Iterator[Any]:
    """Every tensor that is stored in a graph itself."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def _border(value: Any, types: dict[int, str]) -> Border:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return Border(value.name, types.get(kind.elem_type, ""), shape)


def _numpy_name(onnx: Any, code: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(code).name)
    except (KeyError, TypeError, ValueError):  # UNDEFINED has none
        return ""
