"""A tiny real model of an image, facts and an array, with every kind of answer but a heat map.

logits  = 4 · mean(image / 255) − 2 + 0.5 · sex            one finding
words   = spectrum[:3]                                       top1 of three
lung    = (8 · image / 255 − 4, the same upside down)       two maps
organ   = (0, 8 · image / 255 − 4)                          softmax, the first is background
volume  = (age, sex)                                        in ml, after scale and offset
again   = spectrum / 2                                      the spectrum drawn again
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle, write_bundle
from edge_dx.model import Model
from tests import tiny

SIDE = 16
OUTPUTS = {"logits": [1], "words": [3], "lung": [2, SIDE, SIDE], "organ": [2, SIDE, SIDE],
           "volume": [2], "again": [6]}  # fmt: skip


def network() -> bytes:
    """The ONNX file."""
    numbers = {
        "scale": np.array(1 / 255, np.float32), "eight": np.array(8, np.float32),
        "four": np.array(4, np.float32), "two": np.array(2, np.float32),
        "half": np.array(0.5, np.float32), "minus": np.array(-1, np.float32),
        "zero": np.array(0, np.float32),
        "weights": np.array([[0], [0.5]], np.float32),
        "starts": np.array([0], np.int64), "ends": np.array([3], np.int64),
        "axis": np.array([1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["picture"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["levels", "scale"], ["x"]),
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["mean"]),
        helper.make_node("Mul", ["mean", "four"], ["fourfold"]),
        helper.make_node("Sub", ["fourfold", "two"], ["centred"]),
        helper.make_node("MatMul", ["facts", "weights"], ["of_sex"]),
        helper.make_node("Add", ["centred", "of_sex"], ["logits"]),
        helper.make_node("Slice", ["spectrum", "starts", "ends", "axis"], ["words"]),
        helper.make_node("Mul", ["x", "eight"], ["eightfold"]),
        helper.make_node("Sub", ["eightfold", "four"], ["map"]),
        helper.make_node("Mul", ["map", "minus"], ["other"]),
        helper.make_node("Concat", ["map", "other"], ["lung"], axis=1),
        helper.make_node("Mul", ["map", "zero"], ["nothing"]),
        helper.make_node("Concat", ["nothing", "map"], ["organ"], axis=1),
        helper.make_node("Identity", ["facts"], ["volume"]),
        helper.make_node("Mul", ["spectrum", "half"], ["again"]),
    ]
    graph = helper.make_graph(
        nodes,
        "several",
        [
            helper.make_tensor_value_info("picture", TensorProto.UINT8, ["N", 1, SIDE, SIDE]),
            helper.make_tensor_value_info("facts", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("spectrum", TensorProto.FLOAT, ["N", 6]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
         for name, shape in OUTPUTS.items()],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Dark on the left, bright on the right."""
    return np.repeat(np.linspace(20, 230, SIDE).astype(np.uint8)[None], SIDE, axis=0)


def case() -> dict[str, Any]:
    """What the model takes."""
    return {
        "picture": picture(),
        "facts": {"age": 63, "sex": "M"},
        "spectrum": np.array([0, 3, 1, -1, 0, 2], np.float32),
    }


def parts() -> tiny.Parts:
    """A valid bundle but for its golden cases."""
    point = {"criterion": "made up for tests", "sensitivity": None, "specificity": None}
    variant = {
        **tiny.variant(),
        "tolerance": dict.fromkeys(OUTPUTS, 1e-4),
        "fidelity": None,
        "operating_points": [
            {**point, "name": "triage", "output": "logits", "label": "finding",
             "threshold": 0.5, "band": [0.5, 0.5]},
            {**point, "name": "bright", "output": "lung", "label": "bright",
             "threshold": 0.5, "band": [0.5, 0.5]},
            {**point, "name": "dark", "output": "lung", "label": "dark",
             "threshold": 0.9, "band": [0.9, 0.9]},
            {**point, "name": "odd", "output": "again", "label": "anomaly",
             "threshold": 10.0, "band": [9.5, 10.5]},
        ],
    }  # fmt: skip
    found = tiny.parts(
        inputs=[
            {"kind": "image", "name": "picture", "shape": [1, SIDE, SIDE], "dtype": "uint8",
             "unit": "grey level", "prepare": [{"step": "colour", "to": "grey"}]},
            {"kind": "vector", "name": "facts", "fields": [
                {"name": "age", "unit": "years", "low": 0, "high": 120, "mean": 60, "std": 20},
                {"name": "sex", "low": 0, "high": 1, "choices": {"F": 0, "M": 1}},
            ]},
            {"kind": "array", "name": "spectrum", "shape": [6], "unit": "dB"},
        ],
        outputs=[
            {"kind": "scores", "name": "logits", "labels": ["finding"], "activation": "sigmoid"},
            {"kind": "scores", "name": "words", "labels": ["no", "yes", "other"],
             "activation": "softmax", "decision": "top1"},
            {"kind": "mask", "name": "lung", "labels": ["bright", "dark"],
             "activation": "sigmoid", "shape": [SIDE, SIDE]},
            {"kind": "mask", "name": "organ", "labels": ["background", "organ"],
             "activation": "softmax", "shape": [SIDE, SIDE]},
            {"kind": "values", "name": "volume", "fields": [
                {"name": "volume", "unit": "ml", "scale": 10, "offset": 100},
                {"name": "ratio", "unit": ""}]},
            {"kind": "reconstruction", "name": "again", "of": "spectrum"},
        ],
        eligibility={},
        variants=[variant],
        golden=[{"name": "all", "what": "everything", "modality": None,
                 "photometric": "MONOCHROME2", "status": {"onnx-fp32": "positive"}}],
    )  # fmt: skip
    found.members[variant["file"]] = network()
    found.members["golden.npz"] = b""
    return found


def raw(name: str = "all") -> dict[str, Any]:
    """The raw arrays of the golden case."""
    given = case()
    return {
        f"raw/{name}/picture": given["picture"],
        f"raw/{name}/facts": np.array([63.0, 1.0]),
        f"raw/{name}/spectrum": given["spectrum"],
    }


def unproved(found: tiny.Parts) -> Model:
    """The model without its proof, to make the golden outputs with."""
    manifest = found.built()
    variant = manifest.variants[0]
    backend = open_backend("onnx", manifest, variant, found.members[variant.file])
    return Model(
        Bundle(Path("several.edx"), manifest, {}, "0" * 64, None), variant, backend, "onnx"
    )


def write(
    path: Path, found: tiny.Parts | None = None, arrays: dict[str, Any] | None = None
) -> Path:
    """A signed bundle whose golden outputs are the engine's own."""
    found = found or parts()
    if arrays is None:
        result, outputs = unproved(found).run_case(case())
        arrays = {**raw(), **{f"onnx-fp32/all/{k}": v for k, v in (outputs or {}).items()}}
        found.manifest["golden"][0]["status"] = {"onnx-fp32": result.status.value}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    found.members["golden.npz"] = buffer.getvalue()
    write_bundle(path, found.built(), found.members, tiny.PRIVATE_KEY)
    return path
