"""Small graphs in the forms that exporters write: what TensorRT takes, and what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_NODE = helper.make_node
_SYMMETRIC = np.int8(0)  # the zero point that symmetric quantization has
Array = np.ndarray[Any, Any]


def _packed(nodes: list[Any], constants: dict[str, Any], kind: int = TensorProto.UINT8) -> bytes:
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("image", kind, ["N", 1, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    raw: bytes = model.SerializeToString()
    return raw


def _kernel() -> Array:
    return np.random.default_rng(0).normal(0, 0.3, (4, 1, 4, 4)).astype(np.float32)


def floating(kind: type = np.float32, *, head: bool = False, kernel: type | None = None) -> bytes:
    """uint8 → Cast → normalise → Conv → ReLU → mean (→ Gemm) → float32, in one precision.

    Args:
        kind: the precision.
        head: whether there is a product at the end.
        kernel: precision of the weights, where it is another.
    """
    to = TensorProto.FLOAT if kind is np.float32 else TensorProto.FLOAT16
    nodes = [
        _NODE("Cast", ["image"], ["f"], to=to),
        _NODE("Sub", ["f", "mean"], ["s"]),
        _NODE("Mul", ["s", "reciprocal"], ["x"]),
        _NODE("Conv", ["x", "kernel"], ["c"], strides=[4, 4]),
        _NODE("Relu", ["c"], ["r"]),
        _NODE("GlobalAveragePool", ["r"], ["g"]),
        _NODE("Flatten", ["g"], ["l"]),
    ]
    constants = {
        "mean": kind(128),
        "reciprocal": kind(1 / 64),
        "kernel": _kernel().astype(kernel or kind),
    }
    if head:
        nodes.append(_NODE("Gemm", ["l", "head"], ["h"], transB=1, name="the_head"))
        constants["head"] = np.ones((1, 4), kind)
    nodes.append(_NODE("Cast", ["h" if head else "l"], ["y"], to=TensorProto.FLOAT))
    return _packed(nodes, constants)


def quantized(
    zero: Any = _SYMMETRIC, *, bias: str = "float", weights: str = "channel", head: str = "float16"
) -> bytes:
    """The same with Q/DQ around the convolution.

    Args:
        zero: zero point of the activations; None writes none.
        bias: `float`, `int32` (as ordinary quantizers do) or `none`.
        weights: `channel`, `tensor`, `shifted` or `unsigned`.
        head: precision of the product at the end (of `int8` the result is float32), or `none`.
    """
    pair = ["s", "z"] if zero is not None else ["s"]
    levels = np.rint(_kernel() / 0.01).clip(-127, 127).astype(np.int8)
    shift = {"shifted": np.int8(2), "unsigned": np.uint8(128)}.get(weights, np.int8(0))
    if weights == "unsigned":
        levels = (levels.astype(np.int16) + 128).astype(np.uint8)
    per_channel = weights != "tensor"
    constants: dict[str, Any] = {
        "mean": np.float32(128), "reciprocal": np.float32(1 / 64), "s": np.float32(2 / 127),
        "kernel": levels,
        "ks": np.full(4, 0.01, np.float32) if per_channel else np.float32(0.01),
        "kz": np.full(4, shift) if per_channel else shift,
    }  # fmt: skip
    if zero is not None:
        constants["z"] = zero
    nodes = [
        _NODE("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        _NODE("Sub", ["f", "mean"], ["a"]),
        _NODE("Mul", ["a", "reciprocal"], ["x"]),
        _NODE("QuantizeLinear", ["x", *pair], ["q"], name="image_q"),
        _NODE("DequantizeLinear", ["q", *pair], ["d"], name="image_dq"),
        _NODE("DequantizeLinear", ["kernel", "ks", "kz"], ["kd"], name="kernel_dq",
              **({"axis": 0} if per_channel else {})),
    ]  # fmt: skip
    given = ["d", "kd"]
    if bias == "int32":
        constants |= {"b": np.zeros(4, np.int32), "bs": np.full(4, 1e-4, np.float32)}
        nodes.append(_NODE("DequantizeLinear", ["b", "bs"], ["bd"], axis=0, name="bias_dq"))
        given.append("bd")
    elif bias == "float":
        constants["bd"] = np.zeros(4, np.float32)
        given.append("bd")
    nodes += [
        _NODE("Conv", given, ["c"], strides=[4, 4]),
        _NODE("Relu", ["c"], ["r"]),
        _NODE("QuantizeLinear", ["r", *pair], ["rq"]),
        _NODE("DequantizeLinear", ["rq", *pair], ["rd"]),
        _NODE("GlobalAveragePool", ["rd"], ["g"]),
        _NODE("QuantizeLinear", ["g", *pair], ["gq"]),
        _NODE("DequantizeLinear", ["gq", *pair], ["gd"]),
        _NODE("Flatten", ["gd"], ["l"]),
    ]
    last = "l"
    if head == "int8":
        constants |= {"head": np.ones((1, 4), np.int8), "hs": np.float32(0.02)}
        nodes += [
            _NODE("DequantizeLinear", ["head", "hs"], ["hd"]),
            _NODE("Gemm", ["l", "hd"], ["h"], transB=1, name="the_head"),
        ]
        last = "h"
    elif head != "none":
        kind = TensorProto.FLOAT16 if head == "float16" else TensorProto.FLOAT
        constants["head"] = np.ones((1, 4), head)
        nodes += [
            _NODE("Cast", ["l"], ["lh"], to=kind),
            _NODE("Gemm", ["lh", "head"], ["h"], transB=1, name="the_head"),
        ]
        last = "h"
    nodes.append(_NODE("Cast", [last], ["y"], to=TensorProto.FLOAT))
    return _packed(nodes, constants)


def image_first(operator: str) -> bytes:
    """A uint8 image that goes straight into another operator than Cast."""
    nodes = {
        "Sub": _NODE("Sub", ["image", "z"], ["f"], name="first"),
        "Reshape": _NODE("Reshape", ["image", "shape"], ["f"], name="first"),
        "DequantizeLinear": _NODE("DequantizeLinear", ["image", "s", "z"], ["f"], name="first"),
        "Conv": _NODE("Conv", ["image", "kernel"], ["f"], strides=[4, 4], name="first"),
        "Transpose": _NODE("Transpose", ["image"], ["t"], perm=[0, 1, 3, 2], name="first"),
    }
    last = "t" if operator == "Transpose" else "f"
    constants = {"DequantizeLinear": {"s": np.float32(1 / 64), "z": np.uint8(128)},
                 "Conv": {"kernel": _kernel()}, "Transpose": {}, "Sub": {"z": np.uint8(3)},
                 "Reshape": {"shape": np.array([-1, 1024])}}[operator]  # fmt: skip
    return _packed([nodes[operator], _NODE("Cast", [last], ["y"], to=TensorProto.FLOAT)], constants)


def unknown() -> bytes:
    """Two operators that nobody has."""
    nodes = [
        _NODE("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        _NODE("Wobble", ["f"], ["w"], name="first_wobble"),
        _NODE("Wabble", ["w"], ["y"], name="second_wobble"),
    ]
    return _packed(nodes, {})
