"""`edge-dx-export pack`: what is refused, with its fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx.bundle import open_bundle
from edge_dx.trust import TrustStore
from tests import tiny
from tests.packing import described
from tests.packing.described import TOML, packed, refused

pytest.importorskip("onnx", reason="the package onnx is not installed")
pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")

import onnx
from onnx import TensorProto, helper, numpy_helper

from export.errors import PackError
from export.packing import pack, read_plan

Change = Callable[[Any], None]


# --- files that are refused ---


def spoilt(change: Change) -> bytes:
    model = onnx.load_model_from_string(tiny.network())
    change(model)
    return bytes(model.SerializeToString())


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_inside(model: Any) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "hidden")
    tensor.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=tensor)], "branch", [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    model.graph.node.append(
        helper.make_node("If", ["cond"], ["z"], then_branch=branch, else_branch=branch)
    )


def custom_inside(model: Any) -> None:
    branch = helper.make_graph([helper.make_node("Own", [], ["y"], domain="com.own")], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch))


def own_function(model: Any) -> None:
    model.functions.append(
        helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])],
                             [helper.make_opsetid("", 20)])
    )  # fmt: skip


def set_dim(model: Any, value: int | str, at: int = 0) -> None:
    for tensor in (*model.graph.input, *model.graph.output):
        dim = tensor.type.tensor_type.shape.dim[at]
        dim.Clear()
        if isinstance(value, int):
            dim.dim_value = value
        else:
            dim.dim_param = value


FILES: dict[str, tuple[Change, str]] = {
    "opset": (
        lambda m: setattr(m.opset_import[0], "version", 21),
        "opset 21; devices read opsets up to 20. Convert it",
    ),
    "no opset": (lambda m: m.ClearField("opset_import"), "opset 0; devices read"),
    "ir": (lambda m: setattr(m, "ir_version", 11), "IR version 11; devices read up to 10"),
    "external": (external, "its weights lie in another file.*save_as_external_data=False"),
    "external inside": (external_inside, "its weights lie in another file"),
    "custom": (
        lambda m: setattr(m.graph.node[0], "domain", "com.microsoft"),
        "operators of the domain com.microsoft, which not every engine has",
    ),
    "custom inside": (custom_inside, "operators of the domain com.own"),
    "function": (own_function, r"functions of its own; write them out with onnx\.inliner"),
    "not a graph": (lambda m: m.graph.ClearField("node"), "ONNX checker refuses it"),
    "no shape": (
        lambda m: m.graph.output[0].type.tensor_type.ClearField("shape"),
        "ONNX checker refuses it .*shape",
    ),
    "no output": (lambda m: m.graph.ClearField("output"), "no graph in it"),
    "batch": (lambda m: set_dim(m, 4), "its batch dimension is 4; devices judge one study"),
    "free side": (lambda m: set_dim(m, "S", 1), "only its batch dimension may be free"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_devices_cannot_run_is_refused_with_the_fix(tmp_path: Path, what: str) -> None:
    change, told = FILES[what]
    refused(tmp_path, rf"tiny\.onnx: .*{told}", payload=spoilt(change))


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"", "is neither TFLite nor ONNX"),
        (b"hello world", "is neither TFLite nor ONNX"),
        (b"PK\x03\x04" + bytes(30), r"a zip archive .*convert it to ONNX or TFLite first"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x80\x04\x95", "a pickle"),
        (bytes(4) + b"TFL3" + bytes(40), r"tiny\.onnx: "),
        (bytes(4) + b"TFL3", r"tiny\.onnx: "),
    ],
)
def test_what_is_no_model_is_told_by_its_content(tmp_path: Path, payload: bytes, told: str) -> None:
    if b"TFL3" in payload:
        pytest.importorskip("ai_edge_litert", reason="the TFLite interpreter is not installed")
    refused(tmp_path, told, payload=payload)


def quantized(node: str) -> bytes:
    """The tiny model with a quantized copy of its features that changes nothing."""
    model = onnx.load_model_from_string(tiny.network())
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "step"))
    model.graph.node.append(helper.make_node(node, ["features", "step"], ["unused"]))
    return bytes(model.SerializeToString())


def test_8_bit_operators_make_it_int8_and_ask_for_exact_processors(
    tmp_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = quantized("QuantizeLinear")
    refused(tmp_path, r'described as fp32; say precision = "int8"', payload=payload)
    text = described.TINY.replace("fp32", "int8")
    monkeypatch.setattr("edge_dx.device.instruction_sets", lambda: ("avx2", "avx512_vnni"))
    variant = open_bundle(packed(tmp_path, text, payload), trust=trust).manifest.variants[0]
    assert variant.runs_on == ("avx_vnni", "avx512_vnni", "amx_int8", "asimd")
    (tmp_path / "out" / "x.edx").unlink()
    monkeypatch.setattr("edge_dx.device.instruction_sets", lambda: ("avx2",))
    refused(tmp_path, "no engine of its is usable here.*saturate", text, payload)
    text = text.replace('precision = "int8"', 'precision = "int8"\nruns_on = []')  # 7-bit weights
    variant = open_bundle(packed(tmp_path, text, payload), trust=trust).manifest.variants[0]
    assert variant.runs_on == ()


# --- descriptions that do not fit the file ---

FITS: dict[str, tuple[str, str, str]] = {
    "another name": ('name = "features"\nsize', 'name = "pooled"\nsize',
                     r"has no output called 'pooled'; it has 'logits', 'cam', 'features'"),
    "shape": ("shape = [1, 32, 32]", "shape = [1, 16, 16]",
              r"'image' has the shape \[any, 1, 32, 32\].*described as \[any, 1, 16, 16\]"),
    "size": ("size = 4", "size = 5", r"'features' has the shape \[any, 4\]"),
    "left over": ('[[outputs]]\nkind = "features"\nname = "features"\nsize = 4\n', "",
                  r"its output 'features' is not described; list it"),
    "layout": ('precision = "fp32"', 'precision = "fp32"\ntensors.image.layout = "channels_last"',
               r"described as \[any, 32, 32, 1\]"),
    "layout of features": (
        'precision = "fp32"', 'precision = "fp32"\ntensors.logits.layout = "channels_last"',
        "logits has no channels that could stand last"),
    "same tensor": ('precision = "fp32"', 'precision = "fp32"\ntensors.cam.tensor = "logits"',
                    r"tensor 'logits'|the shape"),
    "engine of another format": ('precision = "fp32"', 'precision = "fp32"\nengines = ["tflite"]',
                                 "engine tflite does not read onnx files"),
    "bias": ("bias = [-2.1]", "bias = [-2.0]", r"'texture' failed on onnx-fp32 .*does not add up"),
    "size of the file": ("[eligibility]", "[budget]\nfile_mb = 0.0001\n\n[eligibility]",
                         r"allows 0\.0001 \(budget\.file_mb\)"),
    "size of all": ("[eligibility]", "[budget]\ntotal_mb = 0.0001\n\n[eligibility]",
                    r"\(budget\.total_mb\)"),
    "no point": ('[[models.operating_points]]\nname = "triage"\nlabel = "finding"\n'
                 'output = "logits"\nthreshold = 0.5\ncriterion = "made up"\n', "",
                 r"m\.toml: variant 'onnx-fp32' has no operating point"),
    "label": ('label = "finding"', 'label = "other"', r"m\.toml: .*which does not exist"),
    "no probability": ("threshold = 0.5", "threshold = 1.5", "no probability"),
    "no case reaches it": ('pattern = "texture"\nseed = 3', 'pattern = "blank"',
                           r"no case reaches the model \(all are blank\)"),
    "golden file elsewhere": ('pattern = "texture"\nseed = 3', 'file = "../film.png"',
                              "no path below the description's directory"),
    "golden file missing": ('pattern = "texture"\nseed = 3', 'file = "film.png"',
                            r"golden: 'texture': .*film\.png: no such file"),
    "golden file is no picture": ('pattern = "texture"\nseed = 3', 'file = "m.toml"',
                                  "golden: 'texture'"),
}  # fmt: skip


@pytest.mark.parametrize("what", FITS)
def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    before, after, told = FITS[what]
    assert before in described.TINY
    refused(tmp_path, told, described.TINY.replace(before, after, 1))


def test_a_golden_case_too_near_to_a_threshold_is_refused(
    tmp_path: Path, trust: TrustStore
) -> None:
    with edge_dx.load(packed(tmp_path), trust=trust) as model:
        texture = next(c for c in model.bundle.manifest.golden if c.name == "texture")
        assert texture.status["onnx-fp32"] in ("positive", "negative")
        from edge_dx import proof, sources

        raw = proof.golden_arrays(model.bundle)["raw/texture"]
        score = model(sources.from_array(raw)).score
    (tmp_path / "out" / "x.edx").unlink()
    near = described.TINY.replace("threshold = 0.5", f"threshold = {score}")
    refused(tmp_path, "too near to the threshold", near)
    # With a threshold of the reconstruction's error likewise.
    text = described.SEVERAL.replace('pattern = "noise", low = -3, high = 3', 'file = "x.npy"')
    text = text.replace("threshold = 10\nband = [9.5, 10.5]", "threshold = 10")
    np.save(tmp_path / "x.npy", np.full(6, 2 * np.sqrt(10), np.float32))
    refused(tmp_path, "'all' scores 10, too near to the threshold 10 of onnx-fp32", text)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ("{ age = 63 }", "sex is missing"),
        ('{ age = 200, sex = "M" }', "age is 200 years"),
        ('{ age = 63, sex = "X" }', "sex is 'X'"),
        ('{ age = 63, sex = "M", more = 1 }', "more is no field"),
        ('{ age = nan, sex = "M" }', "age is nan"),
    ],
)
def test_golden_facts_must_be_facts(tmp_path: Path, facts: str, told: str) -> None:
    text = described.SEVERAL.replace('{ age = 63, sex = "M" }', facts)
    refused(tmp_path, rf"golden: 'all'.*{told}", text)


def test_files_and_description_must_name_the_same(tmp_path: Path) -> None:
    description, model = described.write(tmp_path)
    plan = read_plan(description)
    output = tmp_path / "x.edx"
    (tmp_path / "sub").mkdir()
    twin = tmp_path / "sub" / "tiny.onnx"
    twin.write_bytes(model.read_bytes())
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    for paths, told in (
        ([other], "describes tiny.onnx, which was not given"),
        ([model, other], r'other\.onnx: is not described in .*file = "other\.onnx"'),
        ([model, twin], "two model files have the same name"),
        ([], "describes tiny.onnx"),
    ):
        with pytest.raises(PackError, match=told):
            pack(plan, paths, output)
    model.unlink()
    with pytest.raises(PackError, match=r"tiny\.onnx: cannot be read"):
        pack(plan, [model], output)
    assert not output.exists()
