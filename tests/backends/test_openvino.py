"""OpenVINO: fp32 stays fp32, int8 is for x86 alone, what it raises is ours."""

from __future__ import annotations

import platform
import threading
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_dx.backends import engine_state, open_backend
from edge_dx.backends.openvino import OpenVino, _first
from edge_dx.errors import EngineFailed, EngineRefused
from edge_dx.manifest import Features, Manifest, Variant
from tests import tiny

Array = np.ndarray[Any, Any]

THERE, WHY = engine_state("openvino")
pytestmark = pytest.mark.skipif(not THERE, reason=f"engine openvino: {WHY}")


@pytest.fixture
def bundle() -> tuple[Manifest, Variant, bytes]:
    parts = tiny.parts()
    manifest = parts.built()
    return manifest, manifest.variants[0], parts.members[manifest.variants[0].file]


@pytest.fixture
def film() -> Array:
    return np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(2)])


def test_fp32_stays_fp32(bundle: tuple[Manifest, Variant, bytes], film: Array) -> None:
    """bfloat16 and half precision would be a thousand times further off."""
    found = open_backend("openvino", *bundle).run({"image": film})
    for name, value in tiny.computed(film).items():
        assert found[name] == pytest.approx(value, abs=5e-6), name


def test_the_precision_hint_is_what_the_engine_was_compiled_with(
    bundle: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    real = openvino.Core.compile_model
    seen: list[Any] = []

    def kept(*arguments: Any) -> Any:
        seen.append(real(*arguments))
        return seen[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", kept)
    open_backend("openvino", *bundle, 2)
    assert str(seen[0].get_property("INFERENCE_PRECISION_HINT")) == "<Type: 'float32'>"
    assert seen[0].get_property("INFERENCE_NUM_THREADS") == 2
    assert seen[0].get_property("NUM_STREAMS") == 1


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_int8_is_refused_on_arm(
    bundle: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    manifest, variant, payload = bundle
    int8 = msgspec.structs.replace(variant, precision="int8")
    open_backend("openvino", manifest, int8, payload)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(EngineRefused, match=f"half precision on {machine}.*use the engine onnx"):
        OpenVino(manifest, int8, payload, 1)
    OpenVino(manifest, variant, payload, 1)  # fp32 is fp32 everywhere


def broken_files() -> dict[str, bytes]:
    whole = tiny.network()
    unknown = onnx.load_from_string(whole)
    unknown.graph.node[3].op_type = "Frobnicate"
    dangling = onnx.load_from_string(whole)
    dangling.graph.node[3].input[0] = "nowhere"
    shapes = onnx.load_from_string(whole)
    shapes.graph.initializer[2].dims[:] = [1, 1, 1, 64]
    return {"nothing": b"", "noise": bytes(range(256)) * 8, "half": whole[: len(whole) // 2],
            "operator": unknown.SerializeToString(), "tensor": dangling.SerializeToString(),
            "shapes": shapes.SerializeToString()}  # fmt: skip


@pytest.mark.parametrize("what", broken_files())
def test_a_broken_file_fails_in_one_line(
    bundle: tuple[Manifest, Variant, bytes], what: str
) -> None:
    manifest, variant, _ = bundle
    with pytest.raises(EngineFailed, match="OpenVINO cannot load it") as caught:
        open_backend("openvino", manifest, variant, broken_files()[what])
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500
    assert caught.value.__cause__ is not None


def test_of_a_long_message_the_line_that_says_something_is_told() -> None:
    told = _first(
        RuntimeError("Exception from src/a.cpp:1:\nCheck 'x' failed\n\n what happened \n")
    )
    assert told == "what happened"
    assert _first(RuntimeError("Exception from src/a.cpp:1:")) == "Exception from src/a.cpp:1:"
    assert _first(RuntimeError("")) == "RuntimeError"
    assert len(_first(RuntimeError("x" * 10_000))) < 400


def test_a_tensor_with_two_names_is_found_by_the_promised_one(
    bundle: tuple[Manifest, Variant, bytes],
) -> None:
    """OpenVINO merges an Identity with what it copies, and gives the port both names."""
    model = onnx.load_from_string(tiny.network())
    model.graph.node.append(helper.make_node("Identity", ["features"], ["a_copy"]))
    model.graph.output.append(
        helper.make_tensor_value_info("a_copy", TensorProto.FLOAT, ["N", tiny.CHANNELS])
    )
    manifest, variant, _ = bundle
    more = (*manifest.outputs, Features(name="a_copy", size=tiny.CHANNELS))
    manifest = msgspec.structs.replace(manifest, outputs=more)
    backend = open_backend("openvino", manifest, variant, model.SerializeToString())
    found = backend.run({"image": np.full((1, 1, 32, 32), 200, np.uint8)})
    assert np.array_equal(found["a_copy"], found["features"])


def test_two_threads_may_share_one_backend(
    bundle: tuple[Manifest, Variant, bytes], film: Array
) -> None:
    backend = open_backend("openvino", *bundle)
    films = [film[:1], film[1:]]
    wanted = [backend.run({"image": one}) for one in films]
    wrong: list[str] = []

    def work(k: int) -> None:
        for _ in range(100):
            found = backend.run({"image": films[k]})
            wrong.extend(n for n, v in found.items() if not np.array_equal(v, wanted[k][n]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_it_raises_while_running_is_ours(
    bundle: tuple[Manifest, Variant, bytes], film: Array
) -> None:
    backend: Any = open_backend("openvino", *bundle)
    raised = RuntimeError("Exception from src/a.cpp:1:\nout of memory\n")

    class Request:
        def infer(self, *arguments: Any, **named: Any) -> None:
            raise raised

    backend._request = Request()
    with pytest.raises(EngineFailed, match=r"OpenVINO failed \(out of memory\)") as caught:
        backend.run({"image": film})
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("threads", [0, -1])
def test_a_thread_count_below_one_is_refused(
    bundle: tuple[Manifest, Variant, bytes], threads: int
) -> None:
    with pytest.raises(EngineRefused, match="threads is at least 1"):
        open_backend("openvino", *bundle, threads)
