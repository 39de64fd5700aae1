"""TFLite: quantization is compared, slow operators are noticed, damaged files are refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge_dx.backends import Backend, engine_state, open_backend
from edge_dx.backends import tflite as engine
from edge_dx.backends.rehearsal import rehearsed
from edge_dx.backends.tflite import Described, describe
from edge_dx.backends.tflite_file import problem
from edge_dx.errors import EngineFailed, EngineMissing, EngineRefused, TensorMismatch
from edge_dx.manifest import ArrayInput, Manifest, Scores, Variant, Wire
from tests import tiny

ROOT = Path(__file__).parents[2]
MODELS = ROOT.parent / "shared" / "data" / "models_mlperf_tiny" / "models"
Array = np.ndarray[Any, Any]

THERE, WHY = engine_state("tflite")
pytestmark = pytest.mark.skipif(not THERE, reason=f"engine tflite: {WHY}")
NEWER = importlib.util.find_spec("ai_edge_litert") is not None
needs_litert = pytest.mark.skipif(not NEWER, reason="tflite_runtime has fewer fast kernels")
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="the MLPerf Tiny models are absent")
needs_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_quantizer") is None,
    reason="ai-edge-quantizer is not installed (the extra tflite-export)",
)
needs_converter = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None,
    reason="litert-torch is not installed (the extra tflite-export)",
)


def bundle(precision: str = "fp32", **changes: Any) -> tuple[Manifest, Variant, bytes]:
    parts = tiny.parts()
    told = {**tiny.tflite_variant(precision), **changes}
    parts.manifest["variants"].append(told)
    parts.members[told["file"]] = tiny.tflite_file(precision)
    manifest = parts.built()
    return manifest, manifest.variants[-1], tiny.tflite_file(precision)


@pytest.fixture
def film() -> Array:
    return tiny.film(3, tiny.SIDE)[None, None]


# --- what it computes ---


def test_fp32_is_the_network(film: Array) -> None:
    found = open_backend("tflite", *bundle()).run({"image": film})
    for name, value in tiny.computed(film).items():
        assert found[name] == pytest.approx(value, abs=2e-5), name


@needs_litert
def test_int8_is_the_network_within_its_levels() -> None:
    backend = open_backend("tflite", *bundle("int8"))
    for seed in range(20):
        film = tiny.film(seed, tiny.SIDE)[None, None]
        found = backend.run({"image": film})
        for name, value in tiny.computed(film).items():
            assert found[name] == pytest.approx(value, abs=0.1), name


def test_int8_takes_grey_levels_as_they_are() -> None:
    _, variant, _ = bundle("int8")
    wire = variant.wires["image"]
    assert (wire.dtype, wire.scale, wire.zero_point) == ("int8", 1 / 64, 0)


def test_two_threads_may_share_one_backend() -> None:
    backend = open_backend("tflite", *bundle())
    films = [tiny.film(seed, tiny.SIDE)[None, None] for seed in range(2)]
    wanted = [backend.run({"image": film}) for film in films]
    wrong: list[str] = []

    def work(k: int) -> None:
        for _ in range(300):
            found = backend.run({"image": films[k]})
            wrong.extend(n for n, v in found.items() if not np.array_equal(v, wanted[k][n]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_the_answer(film: Array, threads: int) -> None:
    one = open_backend("tflite", *bundle()).run({"image": film})
    found = open_backend("tflite", *bundle(), threads).run({"image": film})
    assert all(np.array_equal(value, one[name]) for name, value in found.items())


@pytest.mark.parametrize("threads", [0, -1])
def test_a_thread_count_below_one_is_refused(threads: int) -> None:
    with pytest.raises(EngineRefused, match="threads is at least 1"):
        open_backend("tflite", *bundle(), threads)


def test_what_the_interpreter_raises_is_ours(film: Array) -> None:
    backend: Any = engine.TfLite(*bundle(), 1)
    raised = RuntimeError("Node 3 failed\nto invoke\n\n")

    class Broken:
        def set_tensor(self, *arguments: Any) -> None:
            raise raised

    backend._interpreter = Broken()
    feeds = {"serving_default_args_0": film.astype(np.float32)}
    with pytest.raises(EngineFailed, match=r"failed \(Node 3 failed; to invoke\)$") as caught:
        backend.run(feeds)
    assert caught.value.__cause__ is raised
    backend.close()
    with pytest.raises(EngineFailed, match="is closed"):
        backend.run(feeds)


# --- what the manifest says against what the file says ---


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.25},
        {"zero_point": 1},
        {"scale": None},
        {"scale": np.nextafter(1 / 64, 1) * 1.01},
    ],
)
@pytest.mark.parametrize("tensor", ["image", "logits"])
def test_another_quantization_than_the_files_is_refused(
    tensor: str, change: dict[str, Any]
) -> None:
    manifest, variant, payload = bundle("int8")
    told = msgspec.structs.replace(variant.wires[tensor], **change)
    # The engine itself, for not every such wire passes the encoder.
    variant = msgspec.structs.replace(variant, wires={**variant.wires, tensor: told})
    with pytest.raises(TensorMismatch, match=r"is quantized with .* the manifest says"):
        engine.TfLite(manifest, variant, payload, 1)


def test_a_scale_for_a_float_tensor_is_refused() -> None:
    manifest, variant, payload = bundle()
    told = msgspec.structs.replace(variant.wires["logits"], scale=1.0)
    variant = msgspec.structs.replace(variant, wires={**variant.wires, "logits": told})
    with pytest.raises(TensorMismatch, match="is quantized with"):
        engine.TfLite(manifest, variant, payload, 1)


def test_a_file_without_wires_is_not_that_of_the_manifest() -> None:
    manifest, variant, payload = bundle(wires={})
    with pytest.raises(TensorMismatch, match="the manifest promises image uint8"):
        open_backend("tflite", manifest, variant, payload)


def test_a_border_that_is_quantized_per_channel_is_refused() -> None:
    detail = {"name": "x", "dtype": np.int8, "shape": [1, 2], "quantization": (0.0, 0),
              "quantization_parameters": {"scales": [0.5, 0.25]}}  # fmt: skip
    with pytest.raises(EngineRefused, match="tensor x is quantized per channel"):
        engine._tensor(detail)


# --- operators outside the fast kernels ---


def one_input(payload: bytes, **changes: Any) -> tuple[Manifest, Variant, bytes]:
    """A manifest for a file with one quantized input and scores."""
    found = describe(payload)
    (source,), (scores,) = found.inputs, found.outputs
    wires = {
        name: Wire(tensor=t.name, dtype=t.dtype, scale=t.scale, zero_point=t.zero_point)  # type: ignore[arg-type]
        for name, t in (("x", source), ("scores", scores))
    }
    built = tiny.parts().built()
    labels = tuple(f"c{k}" for k in range(scores.shape[1]))
    manifest = msgspec.structs.replace(
        built,
        inputs=(ArrayInput(name="x", shape=source.shape[1:], unit="none"),),
        outputs=(Scores(name="scores", labels=labels, activation="none", decision="top1"),),
    )
    variant = msgspec.structs.replace(
        built.variants[0], name="tflite-int8", format="tflite", precision="int8", wires=wires,
        engines=("tflite",), **changes,
    )  # fmt: skip
    return manifest, variant, payload


@needs_models
@pytest.mark.parametrize("name", ["kws_ref_model", "vww_96_int8"])
def test_an_operator_without_a_fast_kernel_is_noticed(name: str) -> None:
    payload = (MODELS / f"{name}.tflite").read_bytes()
    left = describe(payload).undelegated
    assert "SOFTMAX" in left
    if NEWER:
        assert left == ("AVERAGE_POOL_2D", "SOFTMAX")
        with pytest.raises(EngineRefused, match=r"leave out 2 operators .*SOFTMAX.* accepts 0"):
            open_backend("tflite", *one_input(payload))
    with pytest.raises(EngineRefused, match=f"accepts {len(left) - 1}"):
        open_backend("tflite", *one_input(payload, undelegated=len(left) - 1))
    backend = open_backend("tflite", *one_input(payload, undelegated=len(left)))
    shape = tuple(n or 1 for n in backend.inputs[0].shape)
    scores = backend.run({"x": np.zeros(shape, np.float32)})["scores"]
    assert scores.sum() == pytest.approx(1, abs=0.05)


@needs_litert
@needs_models
@pytest.mark.parametrize("name", ["kws_ref_model_float32", "vww_96_float", "ad01_fp32"])
def test_a_graph_that_the_kernels_take_whole_leaves_nothing(name: str) -> None:
    assert describe((MODELS / f"{name}.tflite").read_bytes()).undelegated == ()


@needs_litert
@needs_quantizer
def test_sixteen_bit_activations_are_noticed(tmp_path: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe

    source = tmp_path / "float.tflite"
    source.write_bytes(tiny.tflite_file())
    interpreter = engine.new_interpreter(tiny.tflite_file(), 1, "the file")
    ranges = {
        detail["name"]: {
            "min": np.full((1,) * len(detail["shape"]), -8, np.float32),
            "max": np.full((1,) * len(detail["shape"]), 8, np.float32),
        }
        for detail in interpreter.get_tensor_details()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantizer's own
        made = quantizer.Quantizer(str(source), recipe.static_wi8_ai16()).quantize(ranges)
    found = describe(bytes(made.quantized_model))
    assert found.inputs[0].dtype == "int16"
    assert len(found.undelegated) == 8  # all of them
    manifest, variant, _ = bundle()
    with pytest.raises(EngineRefused, match="leave out 8 operators"):
        open_backend("tflite", manifest, variant, bytes(made.quantized_model))


class Graph:
    """An interpreter's list of operators: original ones first, delegates behind them."""

    def __init__(self, *ops: tuple[str, list[int], list[int]], outputs: tuple[int, ...]) -> None:
        self._ops = [{"index": k, "op_name": name, "inputs": np.array(takes, np.int32),
                      "outputs": np.array(gives, np.int32)}
                     for k, (name, takes, gives) in enumerate(ops)]  # fmt: skip
        self._outputs = outputs

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return self._ops

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": k} for k in self._outputs]


def test_what_runs_is_what_the_outputs_need() -> None:
    conv, pool, soft = ("CONV_2D", [0, 9], [1]), ("POOL", [1], [2]), ("SOFTMAX", [2], [3])
    whole = ("DELEGATE", [0, 9], [3])
    first = ("DELEGATE", [0, 9], [2])
    alone = ("CONV_2D", [0, -1], [7])
    for ops, outputs, left in (
        ((conv, pool, soft), (3,), ("CONV_2D", "POOL", "SOFTMAX")),
        ((conv, pool, soft, whole), (3,), ()),
        ((conv, pool, soft, first), (3,), ("SOFTMAX",)),
        ((conv, pool, soft, first, ("DELEGATE", [2], [3])), (3,), ()),
        ((conv, pool, soft, whole, alone), (3, 7), ("CONV_2D",)),
        ((conv, pool, soft, ("DELEGATE", [0], [1])), (3, 2), ("POOL", "SOFTMAX")),
    ):
        assert engine._undelegated(Graph(*ops, outputs=outputs)) == left


# --- what is missing, what is broken ---


def test_without_either_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n in engine.PACKAGES else real(n, *a)
    )
    with pytest.raises(EngineMissing, match=r"neither ai_edge_litert nor tflite_runtime .*tflite"):
        describe(tiny.tflite_file())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_damaged_files_never_end_the_process(precision: str) -> None:
    path = Path(tiny.__file__).parent / "data" / f"tiny-{precision}.tflite"
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.mutated_tflite", str(path), "300"],
        capture_output=True, text=True, timeout=200, check=True, cwd=ROOT,
    )  # fmt: skip
    ended = {int(code): count for code, count in json.loads(done.stdout).items()}
    assert sum(ended.values()) == 300
    assert set(ended) <= {0, 3, 4}, "a child died of a signal, or of an error that is not ours"
    assert ended[3] > 200


def test_a_rehearsal_tells_what_happened() -> None:
    assert rehearsed(tiny.tflite_file()) is None
    assert "the mark TFL3 is not there" in (rehearsed(b"nonsense") or "")
    assert "did not load and run within 0.001 s" in (rehearsed(tiny.tflite_file(), 0.001) or "")


def test_a_rehearsal_survives_what_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def crashing(command: list[str], **options: Any) -> Any:
        return real([command[0], "-c", "import os; os.abort()"], **options)

    monkeypatch.setattr(subprocess, "run", crashing)
    assert rehearsed(b"") == "it ends the interpreter's process (SIGABRT)"


# --- the committed files ---


@needs_converter
def test_the_committed_files_are_made_again_to_the_byte() -> None:
    from tests.data.make_tiny_tflite import make

    for name, payload in make().items():
        assert payload == tiny.tflite_file(name.removeprefix("tiny-")), (
            f"{name}: another converter than constraints.txt pins, or make_tiny_tflite.py changed"
        )


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_committed_files_are_described(precision: str) -> None:
    found = describe(tiny.tflite_file(precision))
    assert isinstance(found, Described)
    assert [t.shape for t in found.inputs] == [(1, 1, 32, 32)]
    assert {t.shape for t in found.outputs} == {(1, 1), (1, 1, 8, 8), (1, 4)}
    assert {t.dtype for t in (*found.inputs, *found.outputs)} == {
        {"fp32": "float32"}.get(precision, "int8")
    }
    assert problem(tiny.tflite_file(precision)) is None
    if NEWER:
        assert found.undelegated == ()


def test_a_backend_is_one(film: Array) -> None:
    backend: Backend = engine.TfLite(*bundle(), 1)
    assert backend.built is None
    assert list(backend.run({"serving_default_args_0": film.astype(np.float32)})) == [
        spec.name for spec in backend.outputs
    ]
