"""One contract for every engine of the table; an engine that is not here says why it is skipped."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_dx import backends
from edge_dx.backends import ENGINES, Backend, engine_state, open_backend
from edge_dx.backends import onnx as onnx_backend
from edge_dx.errors import (
    EngineError,
    EngineFailed,
    EngineMissing,
    EngineRefused,
    TensorMismatch,
)
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import TensorSpec
from tests import tiny

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def bundle() -> tuple[Manifest, dict[str, bytes]]:
    parts = tiny.parts()
    if engine_state("tflite")[0]:
        for precision in ("fp32", "int8"):
            variant = tiny.tflite_variant(precision)
            parts.manifest["variants"].append(variant)
            parts.members[variant["file"]] = tiny.tflite_file(precision)
    return parts.built(), parts.members


def variant_for(name: str, manifest: Manifest) -> Variant:
    """The first variant that an engine reads."""
    return next(v for v in manifest.variants if v.format in ENGINES[name].formats)


def opened(
    name: str, bundle: tuple[Manifest, dict[str, bytes]], payload: bytes | None = None
) -> Backend:
    manifest, members = bundle
    variant = variant_for(name, manifest) if name in ENGINES else manifest.variants[0]
    return open_backend(
        name, manifest, variant, members[variant.file] if payload is None else payload
    )


@pytest.mark.parametrize("name", ENGINES)
class TestContract:
    """What every engine promises; a new row of the table is held to it without a new test."""

    @pytest.fixture
    def backend(self, name: str, bundle: tuple[Manifest, dict[str, bytes]]) -> Any:
        there, detail = engine_state(name)
        if not there:
            pytest.skip(f"engine {name}: {detail}")
        found = opened(name, bundle)
        yield found
        found.close()

    @pytest.fixture
    def film(self, name: str, bundle: tuple[Manifest, dict[str, bytes]]) -> Array:
        there, detail = engine_state(name)
        if not there:
            pytest.skip(f"engine {name}: {detail}")
        several = 3 if variant_for(name, bundle[0]).batch == "any" else 1
        return np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(several)])

    def test_it_keeps_the_protocol(self, backend: Backend) -> None:
        assert isinstance(backend, Backend)
        assert not [name for name in vars(backend) if not name.startswith("_")]

    def test_its_tensors_are_those_of_the_manifest(self, backend: Backend) -> None:
        batch = backend.inputs[0].shape[0]
        assert batch in (None, 1)
        assert backend.inputs == (TensorSpec("image", "uint8", (batch, 1, 32, 32)),)
        assert backend.outputs == (
            TensorSpec("logits", "float32", (batch, 1)),
            TensorSpec("cam", "float32", (batch, 1, 8, 8)),
            TensorSpec("features", "float32", (batch, 4)),
        )

    def test_it_computes_the_network(self, name: str, backend: Backend, film: Array) -> None:
        if name == "pretend":
            pytest.skip("the fake knows nothing")
        found = backend.run({"image": film})
        for output, value in tiny.computed(film).items():
            assert found[output] == pytest.approx(value, abs=2e-5), output

    def test_outputs_fit_their_specs_and_are_finite(self, backend: Backend, film: Array) -> None:
        outputs = backend.run({"image": film})
        assert list(outputs) == [spec.name for spec in backend.outputs]
        for spec in backend.outputs:
            assert spec.problem(outputs[spec.name]) is None
            assert len(outputs[spec.name]) == len(film)
            assert np.isfinite(outputs[spec.name]).all()

    def test_the_caller_owns_the_outputs(self, backend: Backend, film: Array) -> None:
        first = backend.run({"image": film})
        kept = {name: value.copy() for name, value in first.items()}
        backend.run({"image": 255 - film})
        for name, value in first.items():
            assert np.array_equal(value, kept[name])
            value[...] = 7  # writable
        again = backend.run({"image": film})
        for name, value in again.items():
            assert np.array_equal(value, kept[name])

    def test_feeds_are_not_written_to(self, backend: Backend, film: Array) -> None:
        before = film.copy()
        film.flags.writeable = False
        feeds = {"image": film}
        backend.run(feeds)
        assert np.array_equal(film, before)
        assert list(feeds) == ["image"]

    def test_memory_layout_does_not_matter(self, backend: Backend, film: Array) -> None:
        wanted = backend.run({"image": film})
        views = (np.asfortranarray(film), np.repeat(film, 2, axis=0)[::2],
                 film[..., ::-1].copy()[..., ::-1])  # fmt: skip
        for view in views:
            # Of one study numpy calls several of these strides contiguous.
            assert len(film) == 1 or not view.flags.c_contiguous
            for name, value in backend.run({"image": view}).items():
                assert np.array_equal(value, wanted[name])

    def test_a_batch_gives_what_singles_give(self, backend: Backend, film: Array) -> None:
        together = backend.run({"image": film})
        for i in range(len(film)):
            for name, value in backend.run({"image": film[i : i + 1]}).items():
                assert value == pytest.approx(together[name][i : i + 1], abs=1e-5)

    def test_it_remembers_nothing(
        self, name: str, backend: Backend, film: Array, bundle: tuple[Manifest, dict[str, bytes]]
    ) -> None:
        for noise in range(3):
            backend.run({"image": np.full_like(film, 80 * noise)})
        used = backend.run({"image": film})
        fresh = opened(name, bundle).run({"image": film})
        for output, value in used.items():
            assert np.array_equal(value, fresh[output])

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda f: {}, "given were none"),
            (lambda f: {"picture": f}, "the model takes image; given were picture"),
            (lambda f: {"image": f, "more": f}, "given were image, more"),
            (lambda f: {"image": f[0]}, r"shape \(1, 32, 32\), the model takes \(('any'|1), 1, 32"),
            (lambda f: {"image": f[..., :31]}, "shape"),
            (lambda f: {"image": f.astype(np.float32)}, "image is float32, the model takes uint8"),
            (lambda f: {"image": f.astype(np.int8)}, "image is int8"),
        ],
    )
    def test_feeds_that_do_not_fit_are_refused(
        self, backend: Backend, film: Array, change: Any, told: str
    ) -> None:
        with pytest.raises(TensorMismatch, match=told):
            backend.run(change(film))
        backend.run({"image": film})  # and the engine is none the worse

    def test_no_images_give_no_answers_or_a_typed_error(self, backend: Backend) -> None:
        try:
            outputs = backend.run({"image": np.zeros((0, 1, 32, 32), np.uint8)})
        except (EngineFailed, TensorMismatch):  # the latter where the file takes one at a time
            return
        assert {len(value) for value in outputs.values()} == {0}

    def test_closing_twice_is_fine_and_running_afterwards_is_not(
        self, backend: Backend, film: Array
    ) -> None:
        backend.close()
        backend.close()
        with pytest.raises(EngineFailed, match="is closed"):
            backend.run({"image": film})

    def test_a_payload_that_is_no_model_fails_with_its_cause(
        self, name: str, bundle: tuple[Manifest, dict[str, bytes]]
    ) -> None:
        if not ENGINES[name].packages:
            pytest.skip(f"{name} reads no file")
        if not engine_state(name)[0]:
            pytest.skip(f"engine {name}: {engine_state(name)[1]}")
        whole = bundle[1][variant_for(name, bundle[0]).file]
        for payload in (b"", b"garbage", whole[: len(whole) // 2], bytes(1000)):
            with pytest.raises(EngineFailed, match=r"variant \S+ on engine") as caught:
                opened(name, bundle, payload)
            assert len(str(caught.value).splitlines()) == 1

    def test_another_models_tensors_are_refused(
        self, name: str, bundle: tuple[Manifest, dict[str, bytes]]
    ) -> None:
        if not ENGINES[name].packages:
            pytest.skip(f"{name} reads no file")
        if not engine_state(name)[0]:
            pytest.skip(f"engine {name}: {engine_state(name)[1]}")
        manifest, members = bundle
        fewer = msgspec.structs.replace(manifest.outputs[2], size=5)
        wrong = msgspec.structs.replace(manifest, outputs=(*manifest.outputs[:2], fewer))
        with pytest.raises(
            TensorMismatch, match=r"the manifest promises .*export the bundle again"
        ):
            opened(name, (wrong, members))

    def test_a_missing_package_is_named_with_the_command_that_brings_it(
        self,
        name: str,
        bundle: tuple[Manifest, dict[str, bytes]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        row = ENGINES[name]
        if not row.packages:
            assert engine_state(name) == (True, "shipped")
            return
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda n, *a: None if n in row.packages else real(n, *a)
        )
        told = f"engine {name}: {' or '.join(row.packages)} is not installed"
        with pytest.raises(EngineMissing, match=told) as caught:
            open_backend(name, bundle[0], draft(name), b"")
        assert row.install in str(caught.value)
        assert "pip install" in row.install or "docs/" in row.install

    def test_a_broken_package_is_told_from_a_missing_one(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = ENGINES[name]
        if not row.packages:
            return
        real, look = importlib.import_module, importlib.util.find_spec
        there_is = types.SimpleNamespace()
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda n, *a: there_is if n in (*row.packages, *row.also) else look(n, *a),
        )

        def broken(wanted: str, *more: Any) -> types.ModuleType:
            if wanted in row.packages:
                raise ImportError("libfoo.so.1: cannot open shared object file")
            return real(wanted, *more)

        monkeypatch.setattr(importlib, "import_module", broken)
        there, detail = engine_state(name)
        assert not there
        assert "broken" in detail
        assert "libfoo.so.1" in detail
        assert row.install in detail


def draft(name: str) -> Variant:
    """A variant of a format that the engine reads, with no file behind it."""
    built = tiny.parts().built().variants[0]
    return msgspec.structs.replace(built, format=ENGINES[name].formats[0])


def _without(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    left = [p for p in onnxruntime.get_available_providers() if p != provider]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: left)


@pytest.mark.parametrize("name", [n for n, row in ENGINES.items() if row.provider])
def test_a_missing_provider_is_an_error_with_the_command(
    name: str, bundle: tuple[Manifest, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ENGINES[name]
    assert row.provider
    _without(row.provider, monkeypatch)
    with pytest.raises(EngineMissing, match=f"has no {row.provider}") as caught:
        opened(name, bundle)
    assert row.install in str(caught.value)


def test_a_provider_that_cannot_be_had_never_becomes_the_cpu(
    bundle: tuple[Manifest, dict[str, bytes]],
) -> None:
    if engine_state("onnx-cuda")[0]:
        pytest.skip("the CUDA provider is here")
    manifest, members = bundle
    variant = manifest.variants[0]
    # Past the table's own check: onnxruntime would warn and give a session on the CPU.
    with pytest.raises(EngineError):
        onnx_backend.OnnxCuda(manifest, variant, members[variant.file], 1)


def test_a_session_on_another_provider_is_refused(
    bundle: tuple[Manifest, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    class Swapped(onnxruntime.InferenceSession):
        def __init__(self, payload: bytes, options: Any, providers: list[str]) -> None:
            super().__init__(payload)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Swapped)
    manifest, members = bundle
    variant = manifest.variants[0]
    with pytest.raises(EngineRefused, match="in place of CUDAExecutionProvider"):
        onnx_backend.OnnxCuda(manifest, variant, members[variant.file], 1)


def test_an_unknown_engine_is_answered_with_those_there_are(
    bundle: tuple[Manifest, dict[str, bytes]],
) -> None:
    with pytest.raises(EngineMissing, match="no engine is called 'warp'; there are: onnx, openv"):
        opened("warp", bundle)


def test_a_format_that_an_engine_does_not_read_is_refused(
    bundle: tuple[Manifest, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = backends.Engine("nowhere", "None", ("tflite",), (), "")
    monkeypatch.setitem(backends.ENGINES, "deaf", deaf)
    with pytest.raises(
        EngineRefused, match=r"deaf does not read onnx files.*engines that do: onnx"
    ):
        open_backend("deaf", bundle[0], bundle[0].variants[0], b"")


def test_every_exception_of_onnxruntime_is_mapped() -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    theirs = {name for name, value in vars(state).items()
              if isinstance(value, type) and issubclass(value, BaseException)}  # fmt: skip
    assert theirs, "onnxruntime moved its exceptions; find them and mend this test"
    assert theirs <= set(onnx_backend.VENDOR_ERRORS), "add the new ones to VENDOR_ERRORS"


def test_an_exception_of_the_engine_comes_out_as_ours_with_its_cause(
    bundle: tuple[Manifest, dict[str, bytes]],
) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    backend: Any = opened("onnx", bundle)
    raised = RuntimeException("out of memory")

    class Session:
        def run(self, *arguments: Any) -> None:
            raise raised

    backend._session = Session()
    with pytest.raises(EngineFailed, match=r"failed while running \(out of memory\)") as caught:
        backend.run({"image": np.zeros((1, 1, 32, 32), np.uint8)})
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("threads", [0, -1])
def test_a_thread_count_below_one_is_refused(
    bundle: tuple[Manifest, dict[str, bytes]], threads: int
) -> None:
    manifest, members = bundle
    variant = manifest.variants[0]
    with pytest.raises(EngineRefused, match="threads is at least 1"):
        open_backend("onnx", manifest, variant, members[variant.file], threads)


def test_the_fake_keeps_the_identity_of_the_heat_map(
    bundle: tuple[Manifest, dict[str, bytes]],
) -> None:
    film = np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(4)])
    outputs = opened("pretend", bundle).run({"image": film})
    assert outputs["cam"].mean(axis=(2, 3)) - 2.1 == pytest.approx(outputs["logits"], abs=1e-5)


def test_the_fake_needs_no_engine(
    bundle: tuple[Manifest, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    opened("pretend", bundle, b"").run({"image": np.zeros((1, 1, 32, 32), np.uint8)})
