"""From a graph to an engine on the fake: flags, progress, and what goes wrong."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_dx.backends.tensorrt import engine_from_onnx as building
from edge_dx.backends.tensorrt import prebuild, vendor, watching
from edge_dx.backends.tensorrt.engine_from_onnx import Options, engine_from_onnx
from edge_dx.errors import EngineFailed, EngineMissing, EngineRefused
from tests import tiny
from tests.backends.tensorrt import fake
from tests.backends.tensorrt.opening import Install, Parts, opened


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


@pytest.mark.parametrize("version", fake.VERSIONS)
def test_the_network_is_strong_and_float32_is_float32(install: Install, version: str) -> None:
    fault, _ = install(version)
    engine_from_onnx(
        tiny.network(), Options(max_batch=6, opt_batch=3, workspace_bytes=99), say=quiet
    )
    assert fault.flags == [2 if version.startswith("10") else 0]
    assert fault.builder_flags == [set()]  # TF32 is cleared, nothing was set
    assert fault.limits == [99]
    assert fault.profiles == [{"image": tuple((n, 1, 32, 32) for n in (1, 3, 6))}]


def test_the_versions_differ_where_the_real_ones_do(install: Install) -> None:
    """The fake would not notice a forbidden name otherwise."""
    install("11.4.1")
    trt = vendor.library()
    for forbidden in ("FP16", "INT8"):
        assert not hasattr(trt.BuilderFlag, forbidden)
    assert not hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH")
    config = trt.Builder(watching.log_of(trt)).create_builder_config()
    with pytest.raises(AttributeError):
        config.int8_calibrator = None
    install("10.3.0")
    assert hasattr(vendor.library().BuilderFlag, "FP16")


@pytest.mark.parametrize("batch", [(0, 8), (9, 8)])
def test_batches_ascend(batch: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="do not ascend"):
        Options(opt_batch=batch[0], max_batch=batch[1])


def test_only_the_batch_may_be_free(install: Install) -> None:
    install()
    model = onnx.load_from_string(tiny.network())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    with pytest.raises(
        EngineRefused, match=r"image has the shape.*only the batch may be left free"
    ):
        engine_from_onnx(model.SerializeToString(), Options(), say=quiet)


# --- refusals ---


@pytest.mark.parametrize("version", fake.VERSIONS)
@pytest.mark.parametrize(
    "payload", [b"", bytes(1000), b"garbage", tiny.network()[:300]],
    ids=["empty", "zeros", "garbage", "truncated"],
)  # fmt: skip
def test_what_is_no_graph_has_failed_and_was_not_refused(
    install: Install, bundle: Parts, version: str, payload: bytes
) -> None:
    fault, gpu = install(version)
    with pytest.raises(EngineFailed, match=r"^variant onnx-fp32 on engine tensorrt: .*cannot read"):
        opened(bundle, payload)
    assert (gpu.held, gpu.streams, fault.builds) == ({}, set(), 0)


def test_a_uint8_zero_point_is_refused_though_the_parser_takes_it(install: Install) -> None:
    fault, _ = install()
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(0), "z")],
    )  # fmt: skip
    payload = helper.make_model(graph).SerializeToString()
    with pytest.raises(EngineRefused, match=r"would be taken for int8.*int8 with zero point 0"):
        engine_from_onnx(payload, Options(), say=quiet)
    assert fault.builds == 0
    engine_from_onnx(tiny.network(), Options(), say=quiet)  # and that is forgotten afterwards


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("b: input has type Int32 but must have type FP8, Int8", "leave biases in float"),
        ("Found unsupported input type of UINT8", "convert a uint8 image with Cast"),
        ("shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported", "symmetrically"),
        ("Plugin not found, are the plugin name", "standard ONNX operators"),
        ("`input` and `kernel` must be of same type", "Cast where the precision changes"),
    ],
)
def test_an_error_of_the_parser_comes_with_its_fix(install: Install, said: str, fix: str) -> None:
    fault, _ = install("11.4.1")
    fault.parser = [("Some", "n1", said), ("Other", "", "something else")]
    with pytest.raises(EngineRefused) as caught:
        engine_from_onnx(tiny.network(), Options(), say=quiet)
    told = str(caught.value)
    assert f"node n1 (Some): {said} → " in told
    assert fix in told
    assert "node 1 (Other): something else" in told


def test_a_build_that_fails_beside_an_open_engine_says_why(install: Install, bundle: Parts) -> None:
    fault, _ = install()
    backend = opened(bundle)  # from now on the library listens to this one's logger alone
    fault.builds_nothing = True
    with pytest.raises(EngineFailed, match="Could not find any implementation for node Conv_3"):
        engine_from_onnx(tiny.network(seed=1), Options(), say=quiet)
    backend.close()


def test_what_the_library_raises_comes_out_as_ours(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    raised = TypeError("pybind11::init():\n factory function returned nullptr")

    def broken(*arguments: Any) -> None:
        raise raised

    monkeypatch.setattr(fake.Builder, "create_network", broken)
    with pytest.raises(EngineFailed, match="failed while building") as caught:
        engine_from_onnx(tiny.network(), Options(), say=quiet)
    assert caught.value.__cause__ is raised
    assert "\n" not in str(caught.value)


def test_ahead_of_time_takes_the_other_library(install: Install) -> None:
    install("11.4.1")
    options = Options(compute_capability=(8, 6))
    with pytest.raises(EngineRefused, match="compiles for the GPU that is here alone"):
        engine_from_onnx(tiny.network(), options, say=quiet)


def test_prebuild_never_takes_the_library_for_this_device(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, _ = install("11.4.1")
    monkeypatch.setattr(vendor, "RTX", "not_installed_rtx")
    with pytest.raises(EngineMissing, match="not_installed_rtx is not installed"):
        prebuild(tiny.network(), compute_capability=(8, 6), say=quiet)
    assert fault.builds == 0


@pytest.mark.parametrize("version", ["8.6.1", "9.3.0", "of unknown version"])
def test_a_library_that_is_too_old_is_told(install: Install, version: str) -> None:
    fault, _ = install()
    vendor.library().__version__ = version
    assert "is too old, 10.3 and newer will do" in str(vendor.problem())
    assert fault.builds == 0


@pytest.mark.parametrize(
    ("codes", "devices", "told"),
    [
        ({"cudaGetDeviceCount": 35}, 1, "older than the installed cuda-bindings"),
        ({"cudaGetDeviceCount": 100}, 1, "cudaErrorNoDevice"),
        ({}, 0, "cudaSuccess, 0 devices"),
    ],
)
def test_why_there_is_no_gpu(
    install: Install, codes: dict[str, int], devices: int, told: str
) -> None:
    fault, _ = install(devices=devices)
    fault.cuda.update(codes)
    wrong = vendor.problem()
    assert wrong is not None
    assert told in wrong
    assert "docs/tensorrt.md" in wrong


# --- progress ---


def test_the_phases_are_told(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(watching.Progress, "_beat", lambda self: None)  # the builder's calls alone
    fault, _ = install()
    told: list[str] = []
    engine_from_onnx(tiny.network(), Options(), say=told.append)
    assert len(told) == 1
    assert "Building Engine, step 1 of 2" in told[0]
    assert fault.progress == [True]


def test_a_heart_beats_where_no_phases_are_told(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.01)
    install()
    monkeypatch.delattr(vendor.library(), "IProgressMonitor")
    real = fake.Builder.build_serialized_network

    def slow(self: Any, network: Any, config: Any) -> Any:
        assert config.progress_monitor is None
        time.sleep(0.1)
        return real(self, network, config)

    monkeypatch.setattr(fake.Builder, "build_serialized_network", slow)
    told: list[str] = []
    engine_from_onnx(tiny.network(), Options(), say=told.append)
    assert told
    assert all("building this device's engine: starting, 0 s" in line for line in told)


def test_a_build_can_be_interrupted(
    install: Install, bundle: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, gpu = install()

    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.Progress, "_tell_if_due", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(bundle)
    assert fault.progress == [False]  # the builder was asked to stop
    assert (gpu.held, gpu.streams) == ({}, set())


def test_whoever_cannot_be_told_stops_the_build(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_S", 0.01)
    install()
    monkeypatch.delattr(vendor.library(), "IProgressMonitor")
    real = fake.Builder.build_serialized_network

    def slow(self: Any, network: Any, config: Any) -> Any:
        time.sleep(0.1)
        return real(self, network, config)

    monkeypatch.setattr(fake.Builder, "build_serialized_network", slow)
    raised = BrokenPipeError("nobody listens")

    def deaf(line: str) -> None:
        raise raised

    with pytest.raises(BrokenPipeError) as caught:
        engine_from_onnx(tiny.network(), Options(), say=deaf)
    assert caught.value is raised


def test_every_hint_is_used_once() -> None:
    assert len(set(building._FIXES.values())) == len(building._FIXES)
