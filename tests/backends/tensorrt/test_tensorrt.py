"""The engine `tensorrt` end to end on a fake of the library, in four of its versions."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_dx import device, proof
from edge_dx.backends import ENGINES, engine_state, open_backend
from edge_dx.backends.tensorrt import backend as room
from edge_dx.backends.tensorrt import cache
from edge_dx.errors import EngineFailed, EngineRefused, TensorMismatch
from edge_dx.manifest import Manifest, Variant
from edge_dx.model import load
from tests import tiny
from tests.backends.tensorrt import fake

VERSIONS = ("10.3.0", "10.13.2", "10.16.2", "11.4.1")
Array = np.ndarray[Any, Any]
Install = Callable[..., tuple[fake.Fault, Any]]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a version of the fake where the library would be."""
    real = importlib.util.find_spec

    def call(version: str = "10.3.0", **gpu: Any) -> tuple[fake.Fault, Any]:
        fault = fake.Fault()
        cuda = fake.cuda(fault, **gpu)
        here = {
            "tensorrt": fake.tensorrt(version, fault),
            "cuda": types.ModuleType("cuda"),
            "cuda.bindings": types.ModuleType("cuda.bindings"),
            "cuda.bindings.runtime": cuda,
        }
        for name, module in here.items():
            monkeypatch.setitem(sys.modules, name, module)
        found = types.SimpleNamespace()
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *a: found if name in here else real(name, *a),
        )
        return fault, cuda

    return call


@pytest.fixture
def bundle() -> tuple[Manifest, Variant, bytes]:
    parts = tiny.parts()
    manifest = parts.built()
    variant = manifest.variants[0]
    return manifest, variant, parts.members[variant.file]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def opened(bundle: tuple[Manifest, Variant, bytes], payload: bytes | None = None) -> Any:
    manifest, variant, own = bundle
    return open_backend("tensorrt", manifest, variant, own if payload is None else payload)


def films(n: int) -> Array:
    return np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(n)])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("integrated", [0, 1])
def test_the_same_path_runs_on_every_version(
    install: Install, bundle: tuple[Manifest, Variant, bytes], version: str, integrated: int
) -> None:
    fault, cuda = install(version, integrated=integrated)
    assert engine_state("tensorrt") == (True, version)
    backend = opened(bundle)
    for n in (1, 3, 8, 19):  # more than the profile holds is cut in pieces
        found = backend.run({"image": films(n)})
        for name, expected in tiny.computed(films(n)).items():
            assert found[name] == pytest.approx(expected, abs=2e-5)
    assert len(backend.built) == 64
    assert bool(cuda.copies) == (not integrated)  # shared memory is not copied
    assert fault.builds == 1
    backend.close()
    backend.close()
    assert not cuda.held  # everything was given back
    with pytest.raises(EngineFailed, match="is closed"):
        backend.run({"image": films(1)})


def test_outputs_belong_to_the_caller_and_feeds_are_checked(
    install: Install, bundle: tuple[Manifest, Variant, bytes]
) -> None:
    install()
    backend = opened(bundle)
    first = backend.run({"image": films(2)})
    kept = {name: value.copy() for name, value in first.items()}
    backend.run({"image": 255 - films(2)})
    for name, value in first.items():
        assert np.array_equal(value, kept[name])
        value[...] = 7
    with pytest.raises(TensorMismatch):
        backend.run({"image": films(2).astype(np.float32)})
    with pytest.raises(EngineFailed, match="no study was given"):
        backend.run({"image": films(2)[:0]})
    turned = np.asfortranarray(films(2))
    assert np.array_equal(backend.run({"image": turned})["logits"], kept["logits"])


# --- the cache ---


def test_an_engine_is_kept_and_found_again(
    install: Install, bundle: tuple[Manifest, Variant, bytes], tmp_path: Path
) -> None:
    fault, _ = install()
    digests = {opened(bundle).built for _ in range(3)}
    assert fault.builds == 1
    assert len(digests) == 1
    directory = tmp_path / "state" / "edge-dx" / "engines"
    (sidecar,) = directory.glob("*.json")
    told = json.loads(sidecar.read_bytes())
    assert told["gpu"] == "Orin (fake)"
    assert told["library"] == "tensorrt 10.3.0"
    assert told["compute_capability"] == "8.7"
    assert {told["engine_sha256"]} == digests
    assert not list(directory.glob(".*"))  # nothing half written


@pytest.mark.parametrize(
    "change",
    [
        lambda install, bundle: (install("10.13.2"), bundle),
        lambda install, bundle: (install(gpu="Thor (fake)"), bundle),
        lambda install, bundle: (install(), (*bundle[:2], tiny.network(seed=1))),
    ],
    ids=["version", "GPU", "file"],
)
def test_whatever_changes_builds_anew(
    install: Install, bundle: tuple[Manifest, Variant, bytes], change: Any
) -> None:
    install()
    before = opened(bundle).built
    (fault, _), other = change(install, bundle)
    assert opened(other).built != before
    assert fault.builds == 1


def test_other_flags_build_anew(
    install: Install, bundle: tuple[Manifest, Variant, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, _ = install()
    opened(bundle)
    monkeypatch.setattr(room, "MAX_BATCH", 4)
    opened(bundle)
    assert fault.builds == 2


@pytest.mark.parametrize("damage", ["plan", "sidecar", "no sidecar", "empty sidecar"])
def test_a_damaged_engine_is_never_trusted(
    install: Install, bundle: tuple[Manifest, Variant, bytes], tmp_path: Path, damage: str
) -> None:
    fault, _ = install()
    opened(bundle)
    directory = tmp_path / "state" / "edge-dx" / "engines"
    (plan,), (sidecar,) = directory.glob("*.plan"), directory.glob("*.json")
    if damage == "plan":
        plan.write_bytes(plan.read_bytes()[:-1])
    elif damage == "sidecar":
        sidecar.write_text("[1")
    elif damage == "empty sidecar":
        sidecar.write_text("[]")
    else:
        sidecar.unlink()
    assert opened(bundle).run({"image": films(1)})["logits"].shape == (1, 1)
    assert fault.builds == 2
    opened(bundle)
    assert fault.builds == 2


def test_where_nothing_can_be_written_each_start_builds(
    install: Install, bundle: tuple[Manifest, Variant, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    fault, _ = install()
    opened(bundle)
    opened(bundle)
    assert fault.builds == 2
    told = capsys.readouterr()
    assert "each start builds anew" in told.err
    assert told.out == ""


def test_the_timing_cache_is_handed_on(
    install: Install, bundle: tuple[Manifest, Variant, bytes]
) -> None:
    fault, _ = install()
    opened(bundle)
    opened((*bundle[:2], tiny.network(seed=1)))
    assert fault.timing_caches == [b"", b"measured"]


def test_a_timing_cache_of_elsewhere_is_dropped(
    install: Install, bundle: tuple[Manifest, Variant, bytes], tmp_path: Path
) -> None:
    fault, _ = install()
    opened(bundle)
    (kept,) = (tmp_path / "state" / "edge-dx" / "engines").glob("*.cache")
    kept.write_bytes(b"of another device")
    opened((*bundle[:2], tiny.network(seed=1)))
    assert fault.timing_caches[1:] == [b"of another device", b""]


def test_pruning_leaves_what_is_not_ours(
    install: Install, bundle: tuple[Manifest, Variant, bytes], tmp_path: Path
) -> None:
    install()
    opened(bundle)
    install("10.13.2")
    backend = opened(bundle)
    directory = cache.here()
    (directory / "notes.json").write_text("[]")
    (directory / "broken.json").write_text("{")
    assert len(list(directory.glob("*.plan"))) == 2
    assert cache.prune(directory, backend.facts) == 1
    assert cache.prune(directory, backend.facts) == 0
    assert (directory / "notes.json").exists()
    opened(bundle)
    assert len(list(directory.glob("*.plan"))) == 1


# --- beside the bundle, in results, proved anew ---


def test_a_bundle_keeps_its_engines_beside_it_and_results_carry_the_digest(
    install: Install, tmp_path: Path
) -> None:
    from edge_dx.bundle import write_bundle

    fault, _ = install()
    parts = tiny.parts()
    parts.manifest["variants"][0]["engines"] = ["tensorrt", "onnx"]
    path = tmp_path / "tiny.edx"
    write_bundle(path, parts.built(), parts.members)
    with load(path, allow_unsigned=True) as model:
        assert model.engine == "tensorrt"
        assert "a GPU with TensorRT is here" in model.choice
        result = model(tiny.film(3))
        assert result.engine_digest == model.backend.built
        assert result.to_dict()["engine_digest"] == model.backend.built
    assert len(list((tmp_path / "tiny.edx.engines").glob("*.plan"))) == 1
    proofs = device.state_directory() / "proofs"
    assert len(list(proofs.iterdir())) == 1
    load(path, allow_unsigned=True).close()
    assert (fault.builds, len(list(proofs.iterdir()))) == (1, 1)
    for plan in (tmp_path / "tiny.edx.engines").glob("*.plan"):
        plan.unlink()  # a rebuilt engine is another one, so it is proved again
    load(path, allow_unsigned=True).close()
    assert (fault.builds, len(list(proofs.iterdir()))) == (2, 2)


def test_an_engine_that_computes_something_else_is_not_used(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_dx.bundle import write_bundle
    from edge_dx.errors import ProofFailed

    install()
    parts = tiny.parts()
    parts.manifest["variants"][0]["engines"] = ["tensorrt"]
    path = tmp_path / "tiny.edx"
    write_bundle(path, parts.built(), parts.members)
    real = fake.Engine.__init__

    def other(self: Any, plan: bytes, fault: fake.Fault) -> None:
        real(self, plan[:8] + tiny.network(bias=-1.0), fault)

    monkeypatch.setattr(fake.Engine, "__init__", other)
    with pytest.raises(ProofFailed, match="is not proved on this device"):
        load(path, allow_unsigned=True)
    assert proof.GOLDEN in parts.members


# --- what goes wrong ---


def test_no_gpu_is_told_before_anything_is_built(
    install: Install, bundle: tuple[Manifest, Variant, bytes]
) -> None:
    fault, _ = install()
    fault.cuda["cudaGetDeviceCount"] = 100
    there, detail = engine_state("tensorrt")
    assert not there
    assert "no GPU answers (CUDA error 100" in detail
    with pytest.raises(EngineRefused, match="no GPU answers"):
        room.TensorRt(bundle[0], bundle[1], bundle[2], 1)
    assert fault.builds == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_every_error_of_the_parser_is_told(
    install: Install, bundle: tuple[Manifest, Variant, bytes], version: str
) -> None:
    fault, _ = install(version)
    fault.parser = [
        ("DequantizeLinear", "bias_dq", "input has type Int32"),
        ("Mystery", "n7", "no importer"),
    ]
    with pytest.raises(EngineRefused, match="tensorrt: TensorRT does not take this") as caught:
        opened(bundle)
    told = str(caught.value)
    assert "input has type Int32" in told
    assert "no importer" in told
    assert ("node n7 (Mystery)" in told) == (not version.startswith("10.3"))


def test_a_builder_that_gives_nothing_tells_its_last_lines(
    install: Install, bundle: tuple[Manifest, Variant, bytes]
) -> None:
    fault, cuda = install()
    fault.builds_nothing = True
    with pytest.raises(EngineFailed, match="Could not find any implementation for node Conv_3"):
        opened(bundle)
    assert not cuda.held


@pytest.mark.parametrize(
    ("fault_of", "told"),
    [
        ({"does_not_load": True}, "version mismatch"),
        ({"cuda": {"cudaMalloc": 2}}, r"cudaMalloc failed \(cudaErrorMemoryAllocation\)"),
        ({"cuda": {"cudaMallocHost": 2}}, "cudaMallocHost failed"),
    ],
)
def test_what_fails_while_opening_gives_back_what_was_taken(
    install: Install, bundle: tuple[Manifest, Variant, bytes], fault_of: dict[str, Any], told: str
) -> None:
    fault, cuda = install()
    for name, value in fault_of.items():
        setattr(fault, name, value)
    with pytest.raises(EngineFailed, match=told):
        opened(bundle)
    assert not cuda.held


@pytest.mark.parametrize(
    ("fault_of", "told"),
    [
        ({"does_not_start": True}, "was not started"),
        ({"cuda": {"cudaMemcpyAsync": 2}}, "cudaMemcpyAsync failed"),
        ({"cuda": {"cudaStreamSynchronize": 2}}, "cudaStreamSynchronize failed"),
    ],
)
def test_what_fails_while_running_is_ours(
    install: Install, bundle: tuple[Manifest, Variant, bytes], fault_of: dict[str, Any], told: str
) -> None:
    fault, _ = install()
    backend = opened(bundle)
    for name, value in fault_of.items():
        setattr(fault, name, value)
    with pytest.raises(EngineFailed, match=told):
        backend.run({"image": films(1)})


def test_another_models_file_is_refused(
    install: Install, bundle: tuple[Manifest, Variant, bytes]
) -> None:
    install()
    parts = tiny.parts()
    parts.manifest["outputs"][2]["size"] = 5
    with pytest.raises(TensorMismatch, match="the manifest promises"):
        opened((parts.built(), bundle[1], bundle[2]))
    for payload in (b"", b"garbage", bundle[2][: len(bundle[2]) // 2]):
        with pytest.raises((EngineRefused, EngineFailed)):
            opened(bundle, payload)


def test_the_table_says_how_to_get_it() -> None:
    if importlib.util.find_spec("tensorrt") is None:
        there, detail = engine_state("tensorrt")
        assert not there
        assert ENGINES["tensorrt"].install in detail or "cuda" in detail
