"""`edge-dx-export pack`: what comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_dx
from edge_dx.bundle import open_bundle
from edge_dx.errors import ProofFailed
from edge_dx.trust import TrustStore
from tests import several, tiny
from tests.packing import described
from tests.packing.described import TOML, packed

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")

import onnx
from onnx import TensorProto, helper

from export.__main__ import main


def test_a_finished_file_becomes_a_bundle_that_answers(tmp_path: Path, trust: TrustStore) -> None:
    path = packed(tmp_path)
    with edge_dx.load(path, trust=trust) as model:
        film = tiny.film(3)
        result, outputs = model.run_case(film)
        feeds = model.feeds_of(film)
    wanted = tiny.computed(feeds["image"])
    assert outputs is not None
    for name, values in wanted.items():
        assert np.abs(outputs[name] - values).max() < 1e-4
    assert result.score == pytest.approx(1 / (1 + np.exp(-wanted["logits"][0, 0])), abs=1e-5)
    manifest = model.bundle.manifest
    variant = manifest.variants[0]
    assert variant.wires == {}
    assert (variant.batch, variant.engines, variant.fidelity) == ("any", ("onnx",), None)
    (point,) = variant.operating_points
    assert point.criterion == "given by the maker: made up"
    assert (point.sensitivity, point.specificity, point.band) == (None, None, (0.5, 0.5))
    assert manifest.golden[1].status == {"onnx-fp32": "not_analysed"}
    assert manifest.golden[1].reasons == ("blank",)
    assert manifest.provenance.factory == "packed from tiny.onnx"


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first = packed(tmp_path).read_bytes()
    assert packed(tmp_path).read_bytes() == first


def test_every_kind_of_input_and_answer(tmp_path: Path, trust: TrustStore) -> None:
    path = packed(tmp_path, described.SEVERAL)
    ours = several.unproved(several.parts())(several.case())
    with edge_dx.load(path, trust=trust) as model:
        result = model(several.case())
    assert result.status is ours.status
    assert result.probabilities == pytest.approx(ours.probabilities)
    assert result.values == ours.values
    assert [m.share for m in result.masks] == [m.share for m in ours.masks]
    assert [f.score for f in result.findings] == pytest.approx([f.score for f in ours.findings])
    raw = open_bundle(path, trust=trust).members["golden.npz"]
    assert raw.count(b"raw/all/facts.npy") == 2


def other_names(model: Any) -> Any:
    """The tiny model as another tool would have made it: other names, normalised values taken."""
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type not in ("Cast", "Sub", "Mul")]
    names = {"x": "serving_input:0", "logits": "out_0", "cam": "out_1", "features": "out_2"}
    for node in nodes:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    shape = ["N", 1, tiny.SIDE, tiny.SIDE]
    taken = helper.make_tensor_value_info("serving_input:0", TensorProto.FLOAT, shape)
    given = [
        helper.make_tensor_value_info(
            names[v.name], TensorProto.FLOAT,
            ["N", *(d.dim_value for d in v.type.tensor_type.shape.dim[1:])],
        )
        for v in graph.output
    ]  # fmt: skip
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    made = helper.make_graph(nodes, "other", [taken], given, weights)
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=10)


NAMED = described.TINY.replace(
    "percentile\", low = 1, high = 99 },",
    'percentile", low = 1, high = 99 },\n  { step = "normalise", mean = [128], std = [64] },',
).replace(
    'precision = "fp32"\n',
    'precision = "fp32"\ntensors.logits.tensor = "out_0"\ntensors.cam.tensor = "out_1"\n'
    'tensors.features.tensor = "out_2"\n',
)  # fmt: skip


def test_names_and_normalisation_of_another_tool(tmp_path: Path, trust: TrustStore) -> None:
    payload = other_names(onnx.load_model_from_string(tiny.network())).SerializeToString()
    (tmp_path / "other").mkdir()
    with edge_dx.load(packed(tmp_path), trust=trust) as ours:
        wanted = ours(tiny.film(3))
    with edge_dx.load(packed(tmp_path / "other", NAMED, payload), trust=trust) as model:
        assert model(tiny.film(3)).score == pytest.approx(wanted.score, abs=1e-6)
    wire = model.variant.wires["image"]
    assert (wire.tensor, wire.dtype, wire.normalised) == ("serving_input:0", "float32", True)
    assert model.variant.wires["cam"].tensor == "out_1"


def test_golden_files_lie_beside_the_description(tmp_path: Path, trust: TrustStore) -> None:
    cv2.imwrite(str(tmp_path / "film.png"), tiny.film(7))
    text = described.TINY.replace('pattern = "texture"\nseed = 3', 'file = "film.png"')
    with edge_dx.load(packed(tmp_path, text), trust=trust):
        pass
    np.save(tmp_path / "x.npy", several.case()["spectrum"])
    text = described.SEVERAL.replace(
        '{ pattern = "noise", low = -3, high = 3 }', '{ file = "x.npy" }'
    )
    with edge_dx.load(packed(tmp_path, text), trust=trust):
        pass


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description, model = described.write(tmp_path)
    output = tmp_path / "x.edx"
    arguments = ["pack", str(model), "--manifest", str(description), "-o", str(output)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "tiny 0.0.1, UNSIGNED" in out
    assert "onnx-fp32 on onnx: proved (texture " in out
    assert open_bundle(output, allow_unsigned=True).signer is None
    before = output.read_bytes()
    description.write_text(described.TINY.replace("[[golden]]", "[[goldens]]"))
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("edge-dx-export: PackError: ")
    assert "m.toml" in err
    assert output.read_bytes() == before
    (tmp_path / "no.key").write_text("x")
    for key in ("no.key", "gone.key"):
        assert main([*arguments, "--key", str(tmp_path / key)]) == 1
        assert capsys.readouterr().err.startswith("edge-dx-export: ")


def without(packages: str, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code where those packages cannot be imported."""
    blocked = f"import sys\nfor name in {packages.split()}: sys.modules[name] = None\n"
    return subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, timeout=120
    )


def test_it_needs_no_torch_and_no_engine_to_be_imported() -> None:
    done = without(
        "torch onnx onnxscript safetensors openvino ai_edge_litert tflite_runtime litert_torch",
        "import export.packing, export.packing.command\n"
        "from export.__main__ import main\nmain(['pack', '--help'])\n",
    )
    assert done.returncode == 0, done.stderr
    assert "edge-dx-export pack" in done.stdout


def test_an_onnx_file_without_the_package_onnx_names_the_command(tmp_path: Path) -> None:
    description, model = described.write(tmp_path)
    arguments = ["pack", str(model), "--manifest", str(description), "-o", str(tmp_path / "x.edx")]
    code = f"from export.__main__ import main\nsys.exit(main({arguments}))"
    done = without("torch onnx", code)
    assert done.returncode == 1
    assert "pip install onnx" in done.stderr
    done = without("torch openvino safetensors", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_tflite_file_with_a_heat_map(tmp_path: Path, trust: TrustStore, precision: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="the TFLite interpreter is not installed")
    text = NAMED.replace("fp32", precision)
    for name, tensor in tiny._TENSORS.items():
        text = text.replace(f"tensors.{name}.tensor", f"tensors.{name}.was")
        line = f'tensors.{name}.tensor = "{tensor}"\n'
        text = text.replace('precision = "', line + 'precision = "', 1)
    text = "\n".join(line for line in text.splitlines() if ".was" not in line)
    text = text.replace("[[golden]]", "[models.identity_tolerance]\ncam = 0.2\n\n[[golden]]", 1)
    path = packed(tmp_path, text, tiny.tflite_file(precision))
    with edge_dx.load(path, trust=trust) as model:
        assert (model.engine, model.variant.format) == ("tflite", "tflite")
        assert model.variant.wires["image"].normalised
        for seed in range(8):
            result, outputs = model.run_case(tiny.film(seed))
            assert result.status.analysed
            assert outputs is not None
            wanted = tiny.computed(model.feeds_of(tiny.film(seed))["image"])
            off = float(np.abs(outputs["logits"] - wanted["logits"]).max())
            assert off < (1e-4 if precision == "fp32" else 0.2)


def test_an_engine_that_gives_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from edge_dx.backends.openvino import OpenVino

    honest = OpenVino.run
    monkeypatch.setattr(
        OpenVino, "run", lambda *a: {k: v + np.float32(0.1) for k, v in honest(*a).items()}
    )
    with pytest.raises(ProofFailed, match=r"onnx-fp32 on openvino .* leave that engine out"):
        packed(tmp_path, described.SEVERAL)
    assert not list(tmp_path.rglob("*.edx"))
