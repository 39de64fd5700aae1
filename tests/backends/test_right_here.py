"""Whether this device computes what was measured: instruction sets, and what must be installed."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import msgspec
import pytest

from edge_dx import device
from edge_dx.backends import ENGINES, engine_state, open_backend, right_here
from edge_dx.errors import EngineMissing, EngineRefused
from edge_dx.manifest import Manifest, Variant
from tests import tiny

INT8 = ("avx_vnni", "avx512_vnni", "amx_int8", "asimd")


@pytest.fixture
def built() -> tuple[Manifest, Variant, bytes]:
    parts = tiny.parts()
    manifest = parts.built()
    int8 = msgspec.structs.replace(
        manifest.variants[0], name="onnx-int8", precision="int8", runs_on=INT8
    )
    return manifest, int8, parts.members[int8.file]


def has(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(device, "instruction_sets", lambda: names)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_processor_without_any_of_them_is_refused(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    if not engine_state(engine)[0]:
        pytest.skip(f"engine {engine}: {engine_state(engine)[1]}")
    has(monkeypatch, "avx2", "avx512f")
    with pytest.raises(EngineRefused, match="use an fp32 variant") as caught:
        open_backend(engine, *built)
    for name in (*INT8, "avx2", "avx512f"):
        assert name in str(caught.value)


@pytest.mark.parametrize("name", INT8)
def test_any_one_of_them_suffices(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    has(monkeypatch, "avx2", name)
    assert right_here("onnx", built[1]) is None
    open_backend("onnx", *built).close()


def test_a_processor_that_cannot_be_told_is_refused(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch)
    assert "could not be told" in (right_here("onnx", built[1]) or "")


def test_a_variant_that_asks_for_nothing_runs_anywhere(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch)
    manifest, int8, payload = built
    plain = msgspec.structs.replace(int8, precision="fp32", runs_on=())
    open_backend("onnx", manifest, plain, payload).close()


@pytest.mark.parametrize("engine", [n for n, row in ENGINES.items() if not row.on_processor])
def test_what_computes_elsewhere_is_not_asked(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    has(monkeypatch)
    assert right_here(engine, built[1]) is None


def test_the_engines_that_compute_elsewhere_are_these() -> None:
    assert {n for n, row in ENGINES.items() if not row.on_processor} == {
        "tensorrt", "onnx-cuda", "pretend",
    }  # fmt: skip


def test_the_older_tflite_runtime_is_told_where_it_is_too_slow(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"tflite_runtime"}
    both = ENGINES["tflite"].packages
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda n, *a: (n in here or None) if n in both else real(n, *a),
    )  # fmt: skip
    int8 = msgspec.structs.replace(built[1], format="tflite", runs_on=())
    assert "pip install ai-edge-litert" in (right_here("tflite", int8) or "")
    assert right_here("tflite", msgspec.structs.replace(int8, precision="fp32")) is None
    assert right_here("tflite", msgspec.structs.replace(int8, undelegated=3)) is None
    here.add("ai_edge_litert")
    assert right_here("tflite", int8) is None


def test_what_an_engine_needs_besides_is_named(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = changed("onnx", also=("no_such_package_at_all",))
    monkeypatch.setitem(ENGINES, "onnx", row)
    with pytest.raises(EngineMissing, match="onnxruntime is here, no_such_package_at_all is not"):
        open_backend("onnx", *built)


def test_what_a_probe_finds_is_told(
    built: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = changed("onnx", probe="tests.backends.test_right_here:no_luck")
    monkeypatch.setitem(ENGINES, "onnx", row)
    with pytest.raises(EngineMissing, match="engine onnx: no luck today"):
        open_backend("onnx", *built)


def no_luck() -> str:
    return "no luck today"


def changed(name: str, **changes: Any) -> Any:
    return dataclasses.replace(ENGINES[name], **changes)
