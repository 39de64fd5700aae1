"""The gates: a file that is not good enough is not packed, and is told why."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from edge_dx.bundle import Bundle
from edge_dx.model import Model, load
from export import gates, making
from export.__main__ import main
from export.calibrate import methods
from export.errors import GateFailed, ParityFailed, RecipeError
from export.latency import Latency
from export.pipeline import Options, export
from export.recipe import read_recipe
from export.report.record import LayerNoise, Report, json_schema
from export.running import Made
from export.scheme import Scheme
from export.vocabulary import QuantizationPart
from tests.export.conftest import Graphs, changed

TFLITE = importlib.util.find_spec("litert_torch") is not None
needs_tflite = pytest.mark.skipif(
    not TFLITE, reason="litert-torch is not installed (the extra tflite-export)"
)
EVERYTHING = (
    "onnx-fp32", "onnx-int8", "tensorrt-int8", "tensorrt-fp16",
    *(("tflite-fp32", "tflite-int8") if TFLITE else ()),
)  # fmt: skip


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


def packed(project: Path, **options: Any) -> Bundle:
    recipe = read_recipe(project / "recipe.toml")
    return export(recipe, project / "out.edx", Options(say=quiet, **options))


def with_variants(project: Path, *names: str) -> None:
    spelt = ", ".join(f'"{name}"' for name in names)
    changed(project, 'variants = ["onnx-fp32", "onnx-int8"]', f"variants = [{spelt}]")


def spoil_calibration(project: Path) -> None:
    """Faint noise in place of the calibration set, and no step that would stretch it."""
    rng = np.random.default_rng(0)
    for i in range(12):
        noise = np.rint(rng.normal(128, 1.5, (40, 48, 1))).repeat(3, axis=2)
        cv2.imwrite(str(project / f"{i:02d}.png"), noise.astype(np.uint8))
    changed(
        project, 'kind = "percentile", low = 1, high = 99', 'kind = "fixed", low = 0, high = 255'
    )


def make_fragile(project: Path) -> None:
    """Scales of channels far apart: the same function in float, not in 8 bits per tensor."""
    path = project / "weights.safetensors"
    state = load_file(path)
    for channel, by in ((0, 3e4), (3, 2e3)):
        state["stem.weight"][channel] *= by
        state["stem.bias"][channel] *= by
        state["deep.weight"][channel] /= by
    save_file(state, path)


# --- the clinical gate ---


def test_a_calibration_that_shows_nothing_is_refused(project: Path) -> None:
    spoil_calibration(project)
    with pytest.raises(GateFailed) as caught:
        packed(project, report=project / "report")
    assert caught.value.variant == "onnx-int8"
    assert caught.value.gate in ("layer noise", "clinical")
    assert "calibrate on" in str(caught.value)
    assert not (project / "out.edx").exists()
    # What was found is kept, up to the gate that failed.
    report = msgspec.json.decode((project / "report" / "report.json").read_bytes(), type=Report)
    fp32, int8 = report.variants
    assert fp32.passed
    assert not int8.passed
    assert [g.passed for g in int8.gates] == [True] * (len(int8.gates) - 1) + [False]
    assert "Not packed" in (project / "report" / "report.html").read_text("utf-8")


def test_a_network_that_8_bits_cannot_hold_is_refused(project: Path) -> None:
    make_fragile(project)
    with pytest.raises(GateFailed, match=r"layer .* alone leaves the answers at") as caught:
        packed(project)
    assert caught.value.variant == "onnx-int8"
    assert not (project / "out.edx").exists()


def test_layers_go_back_to_float_until_it_passes(project: Path) -> None:
    make_fragile(project)
    changed(project, 'methods = ["minmax"]', 'methods = ["minmax"]\nrevert = 3')
    bundle = packed(project)
    told = bundle.manifest.variant("onnx-int8").quantization["reverted to float"]
    assert told != "no layer"
    report = msgspec.json.decode(bundle.members["report.json"], type=Report)
    int8 = report.variants[1]
    assert int8.passed
    back = [layer for layer in int8.layers if layer.reverted]
    assert 0 < len(back) < len(int8.layers)
    kept = [layer.sqnr_db for layer in int8.layers if not layer.reverted]
    assert max(layer.sqnr_db for layer in back) <= min(kept)  # the noisiest ones


def test_the_others_are_packed_where_that_is_asked_for(project: Path) -> None:
    make_fragile(project)
    said: list[str] = []
    recipe = read_recipe(project / "recipe.toml")
    bundle = export(
        recipe, project / "out.edx", Options(say=said.append, drop_failed=True)
    )  # fmt: skip
    assert [v.name for v in bundle.manifest.variants] == ["onnx-fp32"]
    assert any(line.startswith("LEFT OUT: onnx-int8") for line in said)
    report = msgspec.json.decode(bundle.members["report.json"], type=Report)
    assert [v.passed for v in report.variants] == [True, False]


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("auc_margin = 0.2", r"AUC is .* may be worse than the margin"),
        ("sensitivity_margin = 1.0", r"triage: sensitivity"),
        ("flips = 0.2", r"answered otherwise than by the module"),
    ],
)
def test_each_clinical_limit_is_held(
    project: Path, monkeypatch: pytest.MonkeyPatch, gate: str, told: str
) -> None:
    """A file whose answers were mixed up fails exactly where the recipe is strict."""
    from export import measure

    real = measure.run_each

    def mixed(backend: Any, feeds: Any) -> Any:
        found = real(backend, feeds)
        n = len(found["logits"])
        turn = np.random.default_rng(1).permutation(n)
        return {name: values[turn] for name, values in found.items()}

    monkeypatch.setattr(measure, "run_each", mixed)
    text = (project / "recipe.toml").read_text()
    key = gate.split(" =")[0]
    for name, value in (("auc_margin", 1.0), ("auc_loss", 1.0), ("flips", 1.0)):
        strict = 0.0 if name == key else value
        old = {"auc_margin": "0.2", "auc_loss": "0.05", "flips": "0.2"}[name]
        text = text.replace(f"{name} = {old}", f"{name} = {strict}")
    if key == "sensitivity_margin":
        text = text.replace("sensitivity_margin = 1.0", "sensitivity_margin = 0.0")
        text = text.replace("sensitivity = 0.9\n", "specificity = 0.9\n")
    (project / "recipe.toml").write_text(text)
    with pytest.raises(GateFailed, match=told) as caught:
        packed(project)
    assert caught.value.gate == "clinical"
    assert not (project / "out.edx").exists()


# --- the other gates, each by itself ---


def test_noise_of_a_layer_is_judged_by_the_worst_that_is_not_reverted() -> None:
    layers = [
        LayerNoise(layer="Conv 1", sqnr_db=5.0, reverted=True),
        LayerNoise(layer="Conv 2", sqnr_db=20.0),
    ]
    assert "Conv 2 with 20.0 dB" in gates.layer_noise("x", layers, 10.0).told
    with pytest.raises(GateFailed, match=r"Conv 2 alone.*20\.0 dB.*asks for 21"):
        gates.layer_noise("x", layers, 21.0)
    nothing = gates.layer_noise("x", [layers[0]], 10.0)
    assert nothing.passed
    with pytest.raises(GateFailed):
        gates.layer_noise("x", [LayerNoise(layer="a", sqnr_db=float("nan"))], 10.0)


def test_structure_refuses_what_devices_cannot_run(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    assert gates.structure(graphs.fp32, 0, None).passed
    model.opset_import[0].version = 21
    newer = Made("onnx-fp32", model.SerializeToString())
    with pytest.raises(GateFailed, match="standard domain up to opset 20"):
        gates.structure(newer, 0, None)
    slow = Made("tflite-int8", b"", undelegated=("SOFTMAX", "CUSTOM"))
    with pytest.raises(GateFailed, match=r"2 operators run outside the fast kernels \(SOFTMAX"):
        gates.structure(slow, 1, None)
    assert "as allowed" in gates.structure(slow, 2, None).told


def test_structure_refuses_what_tensorrt_does_not_take(graphs: Graphs) -> None:
    biases = Made("tensorrt-int8", graphs.int8.payload)  # uint8, quantized biases
    with pytest.raises(GateFailed, match="TensorRT"):
        gates.structure(biases, 0, None)
    scheme = Scheme(activation="int8", symmetric=True, method="minmax", head="float")
    right = graphs.quantized(scheme, "tensorrt-int8")
    assert "not compiled here" in gates.structure(right, 0, None).told
    assert "compiles it (3 bytes" in gates.structure(right, 0, lambda raw: b"abc").told

    def refuses(raw: bytes) -> bytes:
        from edge_dx.errors import EngineRefused

        raise EngineRefused("node 7 (Conv)")

    with pytest.raises(GateFailed, match=r"does not compile it \(node 7"):
        gates.structure(right, 0, refuses)


def zero_points_lost(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            del node.input[2:]  # the standard then says uint8


def zero_point_moved(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    (old,) = (t for t in model.graph.initializer if t.name == node.input[2])
    old.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), old.name))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [(zero_points_lost, "no zero point, TensorRT takes int8"), (zero_point_moved, "is not 0")],
)
def test_structure_refuses_zero_points_that_tensorrt_has_not(
    graphs: Graphs, spoil: Callable[[onnx.ModelProto], None], told: str
) -> None:
    scheme = Scheme(activation="int8", symmetric=True, method="minmax", head="float")
    model = onnx.load_from_string(graphs.quantized(scheme, "tensorrt-int8").payload)
    spoil(model)
    with pytest.raises(GateFailed, match=told):
        gates.structure(Made("tensorrt-int8", model.SerializeToString()), 0, None)


def test_heat_maps_that_show_other_places_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import measure

    real = measure.run_each

    def turned(backend: Any, feeds: Any) -> Any:
        found = real(backend, feeds)
        return {**found, "cam": found["cam"][:, :, ::-1, ::-1].copy()}  # the same mean

    monkeypatch.setattr(measure, "run_each", turned)
    with pytest.raises(GateFailed, match="right for other reasons") as caught:
        packed(project)
    assert (caught.value.variant, caught.value.gate) == ("onnx-fp32", "heat maps")


@pytest.mark.parametrize(
    ("key", "value"), [("file_mb", 0.001), ("latency_p99_ms", 1e-6), ("peak_memory_mb", 1.0)]
)
def test_the_budget_is_held(project: Path, key: str, value: float) -> None:
    changed(project, "[eligibility]", f"[budget]\n{key} = {value}\n[eligibility]")
    with pytest.raises(GateFailed, match=rf"budget\.{key} allows") as caught:
        packed(project)
    assert caught.value.gate == "size, latency, memory"


def test_all_files_together_have_a_budget_too(project: Path) -> None:
    changed(project, "[eligibility]", "[budget]\nfile_mb = 0.004\ntotal_mb = 0.005\n[eligibility]")
    with pytest.raises(GateFailed, match=r"together have 0\.01 MB.*budget\.total_mb"):
        packed(project)


def test_parity_comes_before_any_measurement(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import trial

    def off(*arguments: Any) -> dict[str, float]:
        raise ParityFailed("output logits is off by 3")

    def never(*arguments: Any) -> None:
        raise AssertionError("measured all the same")

    monkeypatch.setattr(trial, "check_parity", off)
    monkeypatch.setattr(trial, "measure", never)
    with pytest.raises(ParityFailed, match="off by 3"):
        packed(project)


# --- choosing ---


def test_methods_are_spelt_with_their_parameter() -> None:
    part = QuantizationPart(methods=("minmax", "percentile", "entropy"), percentiles=(99.9, 99.99))
    assert methods(part) == ("minmax", "percentile 99.9", "percentile 99.99", "entropy")


def test_the_nearest_scheme_is_taken_unless_it_is_slow(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(
        project,
        'methods = ["minmax"]',
        'methods = ["minmax", "percentile"]\npercentiles = [90.0]\nactivations = ["uint8", "int8"]',
    )
    report = msgspec.json.decode(packed(project).members["report.json"], type=Report)
    candidates = report.variants[1].candidates
    assert len(candidates) == 4
    (best,) = [c for c in candidates if c.chosen]
    assert best.scheme.method == "minmax"  # a tenth of the values cut off is no match
    in_time = [c for c in candidates if "slow" not in c.why]
    assert best.sqnr_db == max(c.sqnr_db for c in in_time)

    def slow_minmax(backends: Any, feeds: Any, blocks: int = 0) -> dict[str, Latency]:
        return {k: Latency(2.0 if int(k) % 2 == 0 else 1.0, 2, 2) for k in backends}

    monkeypatch.setattr(making, "latencies", slow_minmax)
    text = (project / "recipe.toml").read_text()
    for gate in ("auc_margin = 0.2", "auc_loss = 0.05", "flips = 0.2"):
        text = text.replace(gate, f"{gate.split(' =')[0]} = 1.0")
    text = text.replace("[gates]", "[gates]\nlayer_sqnr_db = -100.0\nheat_map_correlation = 0.0")
    (project / "recipe.toml").write_text(text)
    slow = msgspec.json.decode(packed(project).members["report.json"], type=Report)
    (best,) = [c for c in slow.variants[1].candidates if c.chosen]
    assert best.scheme.method == "percentile 90"
    assert {c.why for c in slow.variants[1].candidates if c.scheme.method == "minmax"} == {
        "more than 1.25 times as slow as the fastest"
    }


def test_seven_bit_weights_run_on_every_processor(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_dx import device
    from edge_dx.errors import EngineRefused

    plain = packed(project)
    monkeypatch.setattr(device, "instruction_sets", lambda: ("avx2",))
    with pytest.raises(EngineRefused, match="8-bit sums may saturate silently"):
        load(plain.path, "onnx-int8", allow_unsigned=True)
    with load(plain.path, allow_unsigned=True) as model:
        assert model.variant.name == "onnx-fp32"  # chosen in its place
    monkeypatch.undo()
    changed(project, 'methods = ["minmax"]', 'methods = ["minmax"]\nreduce_range = true')
    reduced = packed(project)
    variant = reduced.manifest.variant("onnx-int8")
    assert variant.runs_on == ()
    assert "in 7 bits" in variant.quantization["scheme"]
    weights = [
        numpy_helper.to_array(t)
        for t in onnx.load_from_string(reduced.members[variant.file]).graph.initializer
    ]
    assert max(int(abs(w.astype(int)).max()) for w in weights if w.dtype == np.int8) <= 64
    monkeypatch.setattr(device, "instruction_sets", lambda: ("avx2",))
    load(reduced.path, "onnx-int8", allow_unsigned=True).close()


# --- the whole way ---


def test_every_variant_is_packed_and_made_again_from_the_evidence(
    project: Path, tmp_path: Path
) -> None:
    with_variants(project, *EVERYTHING)
    bundle = packed(project, keep_evidence=True, report=tmp_path / "report")
    assert [v.name for v in bundle.manifest.variants] == list(EVERYTHING)
    report = json.loads((tmp_path / "report" / "report.json").read_bytes())
    jsonschema.validate(report, json_schema())
    assert report == json.loads(bundle.members["report.json"])
    assert all(gate["passed"] for v in report["variants"] for gate in v["gates"])
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    for part in (*EVERYTHING, "ROC curve", "Noise per layer", "SHA-256", "torch"):
        assert part in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    for path in (*project.glob("*.png"), project / "films.csv"):
        path.unlink()
    again = packed(project)
    assert again.members == bundle.members
    fewer = packed(project, variants=("onnx-int8",))
    assert [v.name for v in fewer.manifest.variants] == ["onnx-int8"]
    with pytest.raises(RecipeError, match="has no variant onnx-int4; it has: onnx-fp32"):
        packed(project, variants=("onnx-int4",))


@needs_tflite
def test_tflite_answers_as_the_module_does(project: Path) -> None:
    with_variants(project, "tflite-fp32", "tflite-int8")
    path = packed(project).path
    for name, allowed in (("tflite-fp32", 1e-4), ("tflite-int8", 0.2)):
        with load(path, name, allow_unsigned=True) as model:
            assert isinstance(model, Model)
            told = model.variant.fidelity
            assert told is not None
            assert told.max_score_error <= allowed
            result = model(project / "13.png")
            assert (result.variant, result.engine) == (name, "tflite")
            assert result.status.analysed
    wires = model.variant.wires
    assert {wire.dtype for wire in wires.values()} == {"int8"}  # integer to its borders
    assert (wires["image"].scale, wires["image"].zero_point) == (1 / 64, 0)


def test_the_command_takes_the_same_options(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_fragile(project)
    recipe, out = str(project / "recipe.toml"), str(tmp_path / "x.edx")
    assert main([recipe, "-o", out, "--report", str(tmp_path / "r")]) == 1
    told = capsys.readouterr().err
    assert "edge-dx-export: GateFailed: onnx-int8: layer" in told
    assert (tmp_path / "r" / "report.html").is_file()
    assert main([recipe, "-o", out, "--drop-failed"]) == 0
    assert "1 variants proved" in capsys.readouterr().err
    assert main([recipe, "-o", out, "--variants", "onnx-fp32"]) == 0


def test_the_report_schema_in_the_documents_is_that_of_the_types() -> None:
    path = Path(__file__).parents[2] / "docs" / "report.schema.json"
    assert json.loads(path.read_text("utf-8")) == json.loads(json.dumps(json_schema())), (
        "write it again: python -m export.report.record > docs/report.schema.json"
    )
