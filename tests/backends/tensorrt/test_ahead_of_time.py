"""The parser and the builder for real, with TensorRT for RTX, which needs no GPU to compile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx.backends.tensorrt import prebuild, vendor
from edge_dx.backends.tensorrt.engine_from_onnx import Options, engine_from_onnx
from edge_dx.bundle import open_bundle
from edge_dx.errors import EngineFailed, EngineRefused
from tests import tiny
from tests.backends.tensorrt import fake, fake_engine, graphs

trt: Any = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed (make peers)"
)
TURING = (7, 5)
CAPABILITIES = (TURING, (8, 0), (8, 6), (8, 9), (12, 0))
ON_EACH = pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: f"SM{c[0]}{c[1]}")
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


def of_chest(variant: str) -> bytes:
    bundle = open_bundle(ZOO / "chest-tb.edx")
    return bundle.members[bundle.manifest.variant(variant).file]


def test_something_is_shipped() -> None:
    names = [name for name, _ in shipped()]
    assert {"chest-tb/tensorrt-fp16", "chest-tb/tensorrt-int8"} <= set(names)


@ON_EACH
@pytest.mark.parametrize(("name", "payload"), shipped(), ids=[name for name, _ in shipped()])
def test_every_shipped_file_compiles(
    name: str, payload: bytes, capability: tuple[int, int]
) -> None:
    plan = prebuild(payload, compute_capability=capability, say=quiet)
    assert len(plan) > len(payload) // 2


ACCEPTED = {
    "fp32": graphs.floating(),
    "fp16": graphs.floating(np.float16),
    "fp16 with a head": graphs.floating(np.float16, head=True),
    "int8": graphs.quantized(head="none"),
    "int8 with a float16 head": graphs.quantized(),
    "int8 without a bias": graphs.quantized(bias="none"),
    "int8 with weights per tensor": graphs.quantized(weights="tensor"),
}


@ON_EACH
@pytest.mark.parametrize("payload", ACCEPTED.values(), ids=ACCEPTED)
def test_these_forms_are_taken(payload: bytes, capability: tuple[int, int]) -> None:
    assert len(prebuild(payload, compute_capability=capability, say=quiet)) > 10_000


FLOAT32_HEADS = {
    "fp32": graphs.floating(head=True),
    "int8": graphs.quantized(head="float32"),
    "int8 throughout": graphs.quantized(head="int8"),
    "chest-tb": of_chest("onnx-fp32"),
}


@ON_EACH
@pytest.mark.parametrize("payload", FLOAT32_HEADS.values(), ids=FLOAT32_HEADS)
def test_a_float32_product_compiles_from_ampere_on(
    payload: bytes, capability: tuple[int, int]
) -> None:
    if capability != TURING:
        prebuild(payload, compute_capability=capability, say=quiet)
        return
    with pytest.raises(EngineFailed, match="FP32 GEMM is not supported"):
        prebuild(payload, compute_capability=capability, say=quiet)


REFUSED = {
    "int32 bias": (graphs.quantized(bias="int32"), r"bias_dq \(DequantizeLinear\).*in float"),
    "uint8 zero point": (graphs.quantized(np.uint8(128)), "image_q.*symmetrically"),
    "shifted activations": (graphs.quantized(np.int8(3)), "image_q.*symmetrically"),
    "shifted weights": (graphs.quantized(weights="shifted"), "kernel_dq.*symmetrically"),
    # The parser takes this one with a warning and computes something else.
    "uint8 without a shift": (graphs.quantized(np.uint8(0)), "would be taken for int8"),
    "image dequantized": (graphs.image_first("DequantizeLinear"), "first.*UINT8.*Cast"),
    "image convolved": (graphs.image_first("Conv"), "first.*UInt8.*Cast"),
    "image subtracted from": (graphs.image_first("Sub"), "first"),
    "image reshaped": (graphs.image_first("Reshape"), "first.*UInt8.*Cast"),
    "unsigned weights": (graphs.quantized(weights="unsigned"), "kernel_dq.*UINT8.*int8"),
    "two precisions": (
        graphs.floating(np.float16, kernel=np.float32),
        r"\(Conv\).*Cast where the precision changes",
    ),
    "image transposed": (graphs.image_first("Transpose"), "first.*UInt8.*Cast"),
    "unknown operators": (
        graphs.unknown(),
        r"first_wobble \(Wobble\).*second_wobble \(Wabble\).*standard ONNX operators",
    ),
    "for processors": (of_chest("onnx-int8"), "UINT8"),
}


@pytest.mark.parametrize(("payload", "told"), REFUSED.values(), ids=REFUSED)
def test_these_forms_are_refused_by_name_and_with_the_fix(payload: bytes, told: str) -> None:
    with pytest.raises(EngineRefused, match=told) as caught:
        prebuild(payload, compute_capability=(8, 6), say=quiet)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "payload", [b"", bytes(1000), b"garbage", tiny.network()[:300], tiny.network()[:-1]],
    ids=["empty", "zeros", "garbage", "truncated", "one byte short"],
)  # fmt: skip
def test_what_is_no_graph_has_failed(payload: bytes) -> None:
    with pytest.raises(EngineFailed, match="cannot read the file") as caught:
        prebuild(payload, compute_capability=(8, 6), say=quiet)
    assert "\n" not in str(caught.value)


def test_a_capability_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(EngineRefused, match=r"SM87.*on the device itself"):  # Orin
        prebuild(tiny.network(), compute_capability=(8, 7), say=quiet)


def test_nothing_is_written_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    prebuild(tiny.network(), compute_capability=(8, 6), say=quiet)
    with pytest.raises(EngineRefused):
        prebuild(graphs.unknown(), compute_capability=(8, 6), say=quiet)
    assert capfd.readouterr().out == ""


def test_phases_come_and_an_interruption_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_dx.backends.tensorrt import watching

    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(watching.Progress, "_beat", lambda self: None)
    told: list[str] = []
    options = Options(compute_capability=(8, 6))
    engine_from_onnx(of_chest("tensorrt-int8"), options, say=told.append, trt=trt)
    assert any(", step " in line for line in told)

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine_from_onnx(of_chest("tensorrt-int8"), options, say=interrupted, trt=trt)
    monkeypatch.undo()
    engine_from_onnx(of_chest("tensorrt-int8"), options, say=quiet, trt=trt)  # none the worse


def test_without_a_gpu_it_is_not_offered() -> None:
    wrong = vendor.problem()
    if wrong is None:
        pytest.skip("there is a GPU")
    assert "docs/tensorrt.md" in wrong or "edge-dx[tensorrt]" in wrong


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fake.Builder, "Builder"),
        (fake.Config, "IBuilderConfig"),
        (fake.Network, "INetworkDefinition"),
        (fake.Parser, "OnnxParser"),
        (fake.Runtime, "Runtime"),
        (fake_engine.Engine, "ICudaEngine"),
        (fake_engine.Context, "IExecutionContext"),
        (fake.ILogger, "ILogger"),
        (fake.IProgressMonitor, "IProgressMonitor"),
        (fake.ErrorCode, "ErrorCode"),
        (fake_engine.TensorIOMode, "TensorIOMode"),
        (fake_engine.DataType, "DataType"),
    ],
)
def test_the_fake_has_no_name_that_the_library_lacks(ours: type, theirs: str) -> None:
    own = {"trt", "cache", "flags_set", "profile", "take"}  # means of the fake
    names = {name for name in vars(ours) if not name.startswith("_")} - own
    assert not names - set(dir(getattr(trt, theirs)))
