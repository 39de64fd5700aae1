"""The parser and the builder for real, with TensorRT for RTX, which needs no GPU to compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_dx
from edge_dx.backends.tensorrt import prebuild
from edge_dx.bundle import open_bundle
from edge_dx.errors import EngineFailed, EngineRefused
from tests import tiny

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed (make peers)"
)
CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0))
ZOO = Path(edge_dx.__file__).parent / "zoo"


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


def shipped() -> list[tuple[str, bytes]]:
    """Every tensorrt variant of every shipped bundle."""
    found = []
    for path in sorted(ZOO.glob("*.edx")):
        bundle = open_bundle(path)
        found += [
            (f"{bundle.manifest.name}/{v.name}", bundle.members[v.file])
            for v in bundle.manifest.variants
            if "tensorrt" in v.engines
        ]
    return found


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: f"SM{c[0]}{c[1]}")
@pytest.mark.parametrize(("name", "payload"), shipped(), ids=[name for name, _ in shipped()])
def test_every_shipped_file_compiles(
    name: str, payload: bytes, capability: tuple[int, int]
) -> None:
    plan = prebuild(payload, compute_capability=capability, say=quiet)
    assert len(plan) > len(payload) // 2


def test_something_is_shipped() -> None:
    assert [name for name, _ in shipped()] == ["chest-tb/tensorrt-fp16", "chest-tb/tensorrt-int8"]


def quantized_bias() -> bytes:
    """A convolution whose bias is an int32 DequantizeLinear, as ordinary quantizers write it."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.integers(-127, 128, (8, 1, 3, 3)).astype(np.int8),
        "ws": np.full(8, 0.01, np.float32),
        "b": rng.integers(-999, 999, 8).astype(np.int32),
        "s": np.array(0.02, np.float32),
        "z": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "ws"], ["bd"], axis=0, name="bias_dq"),
        helper.make_node("Conv", ["d", "wd", "bd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 14, 14])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    raw: bytes = model.SerializeToString()
    return raw


def test_a_quantized_bias_is_refused_by_its_name() -> None:
    with pytest.raises(EngineRefused, match=r"bias_dq.*no quantized biases"):
        prebuild(quantized_bias(), compute_capability=(8, 6), say=quiet)


def test_the_files_for_processors_are_refused() -> None:
    bundle = open_bundle(ZOO / "chest-tb.edx")
    payload = bundle.members[bundle.manifest.variant("onnx-int8").file]
    with pytest.raises(EngineRefused, match="UINT8"):
        prebuild(payload, compute_capability=(8, 6), say=quiet)


@pytest.mark.parametrize("spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", None])
def test_what_is_no_graph_is_a_typed_error(spoil: Any) -> None:
    payload = tiny.network()
    if spoil is None:
        model = onnx.load_from_string(payload)
        model.graph.node[4].op_type = "Mystery"
        payload = model.SerializeToString()
    else:
        payload = spoil(payload)
    with pytest.raises((EngineRefused, EngineFailed)):
        prebuild(payload, compute_capability=(8, 6), say=quiet)


def test_a_capability_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(EngineRefused, match="SM87"):  # Orin: built on the device itself
        prebuild(tiny.network(), compute_capability=(8, 7), say=quiet)
