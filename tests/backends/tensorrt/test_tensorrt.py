"""The engine `tensorrt` end to end on a fake of the library, in four of its versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_dx import device, proof
from edge_dx.backends import engine_state
from edge_dx.backends.tensorrt import backend as room
from edge_dx.backends.tensorrt import vendor
from edge_dx.errors import EngineFailed, EngineRefused, TensorMismatch
from edge_dx.model import load
from edge_dx.tensors import TensorSpec
from tests import tiny
from tests.backends.tensorrt import fake
from tests.backends.tensorrt.opening import Install, Parts, films, opened


@pytest.mark.parametrize("version", fake.VERSIONS)
@pytest.mark.parametrize("integrated", [0, 1])
def test_the_same_path_runs_on_every_version(
    install: Install, bundle: Parts, version: str, integrated: int
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
    install: Install, bundle: Parts
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


def test_no_gpu_is_told_before_anything_is_built(install: Install, bundle: Parts) -> None:
    fault, _ = install()
    fault.cuda["cudaGetDeviceCount"] = 100
    there, detail = engine_state("tensorrt")
    assert not there
    assert "no GPU answers (cudaErrorNoDevice, 0 devices); see docs/tensorrt.md" in detail
    with pytest.raises(EngineRefused, match="no GPU answers"):
        room.TensorRt(bundle[0], bundle[1], bundle[2], 1)
    assert fault.builds == 0


@pytest.mark.parametrize("version", fake.VERSIONS)
def test_every_error_of_the_parser_is_told(install: Install, bundle: Parts, version: str) -> None:
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


def test_a_builder_that_gives_nothing_tells_its_last_lines(install: Install, bundle: Parts) -> None:
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
    install: Install, bundle: Parts, fault_of: dict[str, Any], told: str
) -> None:
    fault, cuda = install()
    fake.spoil(fault, fault_of)
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
    install: Install, bundle: Parts, fault_of: dict[str, Any], told: str
) -> None:
    fault, _ = install()
    backend = opened(bundle)
    fake.spoil(fault, fault_of)
    with pytest.raises(EngineFailed, match=told):
        backend.run({"image": films(1)})


def test_another_models_file_is_refused(install: Install, bundle: Parts) -> None:
    install()
    parts = tiny.parts()
    parts.manifest["outputs"][2]["size"] = 5
    with pytest.raises(TensorMismatch, match="the manifest promises"):
        opened((parts.built(), bundle[1], bundle[2]))
    for payload in (b"", b"garbage", bundle[2][: len(bundle[2]) // 2]):
        with pytest.raises((EngineRefused, EngineFailed)):
            opened(bundle, payload)


@pytest.mark.parametrize("integrated", [0, 1])
def test_a_failed_run_leaves_nothing_queued_and_the_next_one_is_right(
    install: Install, bundle: Parts, integrated: int
) -> None:
    fault, gpu = install(integrated=integrated)
    backend = opened(bundle)
    fault.does_not_start = True
    with pytest.raises(EngineFailed, match="was not started"):
        backend.run({"image": films(2)})
    assert not gpu.queue
    fault.does_not_start = False
    found = backend.run({"image": films(3)})
    assert found["logits"] == pytest.approx(tiny.computed(films(3))["logits"], abs=2e-5)
    backend.close()
    assert (gpu.held, gpu.streams) == ({}, set())


def test_a_gpu_that_takes_nothing_back_does_not_stop_the_closing(
    install: Install, bundle: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    fault, _ = install()
    backend = opened(bundle)
    fault.cuda.update({"cudaFree": 700, "cudaStreamDestroy": 700})
    backend.close()
    backend.close()
    told = capsys.readouterr()
    assert told.err.count("cudaFree failed (cudaErrorIllegalAddress)") == 4  # one for each tensor
    assert "cudaStreamDestroy failed" in told.err
    assert told.out == ""


def test_no_context_is_an_error(install: Install, bundle: Parts) -> None:
    fault, gpu = install()
    fault.no_context = True
    with pytest.raises(EngineFailed, match="variant onnx-fp32 on engine tensorrt: no execution"):
        opened(bundle)
    assert (gpu.held, gpu.streams) == ({}, set())


def test_a_gpu_that_does_not_tell_what_it_is_is_named_with_the_variant(
    install: Install, bundle: Parts
) -> None:
    fault, _ = install()
    fault.cuda["cudaGetDeviceProperties"] = 100
    with pytest.raises(EngineFailed, match="variant onnx-fp32 on engine tensorrt: CUDA: cudaGetDe"):
        opened(bundle)


def fixed(batch: int) -> bytes:
    """The tiny network for so many studies at a time."""
    model = onnx.load_from_string(tiny.network())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    raw: bytes = model.SerializeToString()
    return raw


@pytest.mark.parametrize("batch", [1, 16])
def test_a_file_of_a_fixed_batch_runs_as_it_is(install: Install, bundle: Parts, batch: int) -> None:
    fault, _ = install()
    backend = opened(bundle, fixed(batch))
    assert fault.profiles == [{}]
    assert backend.inputs[0].shape == (batch, 1, 32, 32)
    found = backend.run({"image": films(batch)})
    assert found["logits"] == pytest.approx(tiny.computed(films(batch))["logits"], abs=2e-5)
    with pytest.raises(TensorMismatch, match="shape"):
        backend.run({"image": films(batch + 1)})


def test_a_batch_that_is_free_in_places_is_refused(install: Install, bundle: Parts) -> None:
    install()
    model = onnx.load_from_string(tiny.network())
    model.graph.output[2].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(EngineRefused, match="some tensors have a fixed batch and some a free one"):
        opened(bundle, model.SerializeToString())


def test_memory_is_copied_or_shared_as_it_is_asked(install: Install) -> None:
    from edge_dx.backends.tensorrt.memory import Cuda

    for integrated, asked, shared in ((0, None, False), (1, None, True), (1, False, False)):
        _, gpu = install(integrated=integrated)
        cuda = Cuda(vendor.runtime(), asked)
        assert cuda.zero_copy is shared
        assert (cuda.gpu, cuda.capability) == ("Orin (fake)", "8.7")
        buffer = cuda.buffer(40)
        functions = {name for name, _ in gpu.asked}
        assert functions == ({"cudaHostAlloc"} if shared else {"cudaMallocHost", "cudaMalloc"})
        with pytest.raises(EngineFailed, match="does not fit"):
            buffer.view((11,), "float32")
        assert buffer.view((10,), "float32").shape == (10,)
        cuda.free(buffer)
        cuda.close()
        assert (gpu.held, gpu.streams) == ({}, set())


def test_two_inputs_have_to_hold_as_many_studies(install: Install, bundle: Parts) -> None:
    install()
    backend = opened(bundle)
    second = TensorSpec("facts", "float32", (None, 2))
    backend._inputs = (*backend._inputs, second)
    with pytest.raises(TensorMismatch, match="the inputs hold 1 and 2 studies"):
        backend.run({"image": films(2), "facts": np.zeros((1, 2), np.float32)})
