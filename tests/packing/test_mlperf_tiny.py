"""The reference models of MLPerf Tiny, packed as the examples say, against the bare interpreter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_dx
from edge_dx import Status
from edge_dx.__main__ import main as device
from edge_dx.trust import TrustStore
from tests import tiny
from tests.packing.described import TOML

pytest.importorskip("ai_edge_litert", reason="the TFLite interpreter is not installed")
pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")

from export.__main__ import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "mlperf_tiny"
MODELS = ROOT.parent / "shared" / "data" / "models_mlperf_tiny" / "models"
FILES = {
    "visual_wake_words": ("vww_96_float.tflite", "vww_96_int8.tflite"),
    "keyword_spotting": ("kws_ref_model_float32.tflite", "kws_ref_model.tflite"),
    "anomaly_detection": ("ad01_fp32.tflite", "ad01_int8.tflite"),
}
WORDS = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence",
         "unknown"]  # fmt: skip

pytestmark = pytest.mark.skipif(
    not MODELS.is_dir(), reason=f"the model files of MLPerf Tiny are not in {MODELS}"
)

Values = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Packs each example once, by its command."""
    directory = tmp_path_factory.mktemp("packed")
    (directory / "tester.key").write_bytes(tiny.PRIVATE_KEY)

    def make(name: str) -> Path:
        path = directory / f"{name}.edx"
        if not path.exists():
            files = [str(MODELS / file) for file in FILES[name]]
            assert main(["pack", *files, "--manifest", str(EXAMPLES / f"{name}.toml"),
                         "-o", str(path), "--key", str(directory / "tester.key")]) == 0  # fmt: skip
        return path

    return make


def bare(file: str, values: Values) -> Values:
    """What the interpreter alone gives for real values, quantized and back by hand."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(MODELS / file))
    runner.allocate_tensors()
    (taken,), (given,) = runner.get_input_details(), runner.get_output_details()
    scale, zero = taken["quantization"]
    stored = values.astype(np.float32)
    if taken["dtype"] is np.int8:
        stored = np.clip(np.rint(stored / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    runner.set_tensor(taken["index"], stored[None])
    runner.invoke()
    found: Values = runner.get_tensor(given["index"])[0].astype(np.float64)
    scale, zero = given["quantization"]
    return (found - zero) * scale if given["dtype"] is np.int8 else found


@pytest.mark.parametrize("which", [0, 1], ids=["float", "int8"])
def test_visual_wake_words(
    packed: Callable[[str], Path], trust: TrustStore, tmp_path: Path, which: int
) -> None:
    name = "visual_wake_words"
    variant = ("tflite-fp32", "tflite-int8")[which]
    with edge_dx.load(packed(name), variant=variant, trust=trust) as model:
        for seed in range(4):
            coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype(np.uint8)
            picture = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "x.png"), picture[..., ::-1])
            wanted = bare(FILES[name][which], picture / 255)
            for source in (picture, tmp_path / "x.png"):
                result = model(source)
                found = [result.probabilities[label] for label in ("non_person", "person")]
                assert found == pytest.approx(wanted.tolist(), abs=1e-6)
                assert result.label == "person"
                assert result.score == pytest.approx(wanted[1], abs=1e-6)
                assert result.status is (Status.POSITIVE if wanted[1] >= 0.5 else Status.NEGATIVE)
                assert result.operating_point is not None
                assert result.operating_point.sensitivity is None
        grey = tiny.film(3, 96)
        wanted = bare(FILES[name][which], np.repeat(grey[..., None], 3, axis=2) / 255)
        assert model(grey).score == pytest.approx(wanted[1], abs=1e-6)


@pytest.mark.parametrize("which", [0, 1], ids=["float", "int8"])
def test_keyword_spotting(
    packed: Callable[[str], Path], trust: TrustStore, tmp_path: Path, which: int
) -> None:
    name = "keyword_spotting"
    variant = ("tflite-fp32", "tflite-int8")[which]
    named = set()
    sources, answers = [], []
    with edge_dx.load(packed(name), variant=variant, trust=trust) as model:
        for seed in range(12):
            rng = np.random.default_rng(seed)
            values = rng.normal(-10, 15, (49, 10, 1)).astype(np.float32)
            values += rng.normal(0, 20, (1, 10, 1)).astype(np.float32)
            wanted = bare(FILES[name][which], values)
            result = model(values)
            assert result.status is Status.MEASURED
            assert list(result.probabilities) == WORDS
            assert list(result.probabilities.values()) == pytest.approx(wanted.tolist(), abs=1e-6)
            assert result.label == WORDS[int(wanted.argmax())]
            assert result.score == pytest.approx(wanted.max(), abs=1e-6)
            named.add(result.label)
            sources.append(values)
            answers.append(result.probabilities)
            np.save(tmp_path / "x.npy", values)
            assert model(tmp_path / "x.npy").probabilities == result.probabilities
        together = model.batch(sources, size=5)  # the files take one at a time
        assert [result.probabilities for result in together] == answers
    assert len(named) > 1


@pytest.mark.parametrize("which", [0, 1], ids=["float", "int8"])
def test_anomaly_detection(packed: Callable[[str], Path], trust: TrustStore, which: int) -> None:
    name = "anomaly_detection"
    variant = ("tflite-fp32", "tflite-int8")[which]
    usual = np.load(EXAMPLES / "usual_frames.npy")
    statuses = set()
    with edge_dx.load(packed(name), variant=variant, trust=trust) as model:
        for level in (0.0, 2.0, 6.0, 40.0):
            noise = np.random.default_rng(0).normal(0, 1, 640) * level
            values = (usual + noise).astype(np.float32)
            drawn = bare(FILES[name][which], values)
            wanted = float(np.mean((values.astype(np.float64) - drawn) ** 2))
            result = model(values)
            assert result.label == "anomaly"
            assert result.score == pytest.approx(wanted, rel=1e-5)
            assert result.status is (Status.POSITIVE if wanted >= 12 else Status.NEGATIVE)
            assert result.probabilities == {}
            statuses.add(result.status)
    assert statuses == {Status.POSITIVE, Status.NEGATIVE}


@pytest.mark.parametrize("name", FILES)
def test_the_wires_are_those_of_the_files(
    packed: Callable[[str], Path], trust: TrustStore, name: str
) -> None:
    from edge_dx.bundle import open_bundle

    manifest = open_bundle(packed(name), trust=trust).manifest
    plain, quantized = manifest.variants
    assert all(wire.scale is None for wire in plain.wires.values())
    assert all(wire.scale is not None for wire in quantized.wires.values())
    assert {v.fidelity for v in manifest.variants} == {None}
    assert {v.batch for v in manifest.variants} == {"one"}


def test_the_device_s_commands_take_them(
    packed: Callable[[str], Path], trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in FILES:
        assert device(["verify", str(packed(name)), "--trust", trust.origin]) == 0
        assert capsys.readouterr().out.count("pass  ") == 2
    assert device(["inspect", str(packed("anomaly_detection")), "--trust", trust.origin]) == 0
    told = capsys.readouterr().out
    assert "given by the maker" in told
    assert "**nothing was measured here.**" in told
    frames = str(EXAMPLES / "usual_frames.npy")
    arguments = ["run", str(packed("anomaly_detection")), frames, "--trust", trust.origin]
    assert device(arguments) == 0
    assert "negative; anomaly" in capsys.readouterr().out
