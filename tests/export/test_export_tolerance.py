"""The int8 tolerance: wide enough for other honest processors, too narrow for saturating ones.

x86 without VNNI multiplies uint8 by int8 and adds neighbouring products in 16 bits, which
overflows. Such a processor is not at hand, so its arithmetic is written out here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.tolerance import tolerances
from tests.export.conftest import Graphs

Array = np.ndarray[Any, Any]


def integer_run(payload: bytes, image: Array, saturating: bool) -> dict[str, Array]:
    """Runs the tiny int8 graph on one image `(1, 1, H, W)` in plain integer arithmetic."""
    graph = onnx.load_from_string(payload).graph
    known: dict[str, Any] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    known["image"] = image
    codes: dict[str, tuple[Array, Array, Array]] = {}  # dequantized tensor → value, scale, zero
    for node in graph.node:
        given, out = node.input, node.output[0]
        if node.op_type == "DequantizeLinear":
            value = known[given[0]].astype(np.int64)
            codes[out] = (value, known[given[1]], known[given[2]].astype(np.int64))
            if codes[out][2].ndim == 0:  # an activation
                known[out] = ((value - codes[out][2]) * known[given[1]]).astype(np.float32)
        elif node.op_type == "QuantizeLinear":
            code = np.rint(known[given[0]] / known[given[1]]) + known[given[2]]
            known[out] = np.clip(code, 0, 255)
        elif node.op_type == "Conv" and given[1] in codes:
            known[out] = convolve(node, [codes[name] for name in given], saturating)
        elif node.op_type == "Conv":  # the heat map's 1×1 convolution, in float
            known[out] = np.einsum("oc,nchw->nohw", known[given[1]][:, :, 0, 0], known[given[0]])
        elif node.op_type == "ReduceMean":
            known[out] = known[given[0]].mean((2, 3))
        else:
            assert node.op_type == "Gemm"
            known[out] = known[given[0]] @ known[given[1]].T + known[given[2]]
    return {value.name: known[value.name] for value in graph.output}


def convolve(node: Any, codes: list[tuple[Array, Array, Array]], saturating: bool) -> Array:
    (x, x_scale, zero), (w, w_scale, _), (bias, _, _) = codes
    told = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    stride, pads = told.get("strides", [1, 1])[0], told.get("pads", [0, 0, 0, 0])
    padded = np.pad(
        x[0], ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=int(zero)
    )
    size = w.shape[2]
    height, width = ((n - size) // stride + 1 for n in padded.shape[1:])
    taps = np.stack(
        [
            padded[:, i : i + stride * height : stride, j : j + stride * width : stride]
            for i in range(size)
            for j in range(size)
        ]
    )  # (taps, channels, height, width)
    kernel = w.transpose(2, 3, 1, 0).reshape(size * size, w.shape[1], w.shape[0])
    if told.get("group", 1) > 1:  # depthwise kernels add in 32 bits everywhere
        total = np.einsum("tchw,tc->chw", taps - zero, kernel[:, 0])
    else:
        rows = taps.reshape(-1, height * width)
        columns = kernel.reshape(-1, w.shape[0])
        if len(rows) % 2:
            rows, columns = (np.pad(a, ((0, 1), (0, 0))) for a in (rows, columns))
        pairs = (
            columns[0::2, :, None] * rows[0::2, None] + columns[1::2, :, None] * rows[1::2, None]
        )
        if saturating:
            pairs = np.clip(pairs, -(2**15), 2**15 - 1)
        total = (pairs.sum(0) - zero * columns.sum(0)[:, None]).reshape(-1, height, width)
    total = total + bias[:, None, None]
    scale = (float(x_scale) * w_scale.astype(np.float64))[:, None, None]
    return (total * scale).astype(np.float32)[None]


@pytest.fixture(scope="module")
def allowed(graphs: Graphs) -> dict[str, float]:
    found = graphs.run(graphs.int8)
    return tolerances(graphs.int8, graphs.inputs, found, graphs.expected, graphs.feeds)


def test_exact_integers_lie_within_the_tolerance(graphs: Graphs, allowed: dict[str, float]) -> None:
    found = graphs.run(graphs.int8)
    for i, image in enumerate(graphs.feeds["image"]):
        exact = integer_run(graphs.int8.payload, image[None], saturating=False)
        for name, limit in allowed.items():
            assert np.abs(exact[name][0] - found[name][i]).max() <= limit


def test_saturated_sums_lie_outside_it(graphs: Graphs, allowed: dict[str, float]) -> None:
    found = graphs.run(graphs.int8)
    beyond = 0
    for i, image in enumerate(graphs.feeds["image"]):
        wrong = integer_run(graphs.int8.payload, image[None], saturating=True)
        beyond += any(
            np.abs(wrong[name][0] - found[name][i]).max() > limit for name, limit in allowed.items()
        )
    assert beyond >= len(graphs.feeds["image"]) // 2
