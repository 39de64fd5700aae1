"""A tiny real model and its bundle, made in milliseconds and without torch.

The network is a 3×3 convolution, ReLU, global average pooling and a linear head, with the heat
map beside it: small enough to read, and the same outputs as the reference model has.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_dx import manifest as contract
from edge_dx.bundle import describe_members
from edge_dx.trust import generate_key_pair

SIDE = 32
CHANNELS = 4
GRID = SIDE // 4

PRIVATE_KEY, PUBLIC_KEY = generate_key_pair()


def constants(seed: int = 0, bias: float = -2.1) -> dict[str, np.ndarray[Any, Any]]:
    """The network's numbers."""
    generator = np.random.default_rng(seed)
    found = {
        "mean": np.array(128, np.float32),
        "reciprocal": np.array(1 / 64, np.float32),
        "kernel": generator.normal(0, 0.3, (CHANNELS, 1, 4, 4)).astype(np.float32),
        "head": generator.normal(0, 1, (1, CHANNELS)).astype(np.float32),
        "bias": np.array([bias], np.float32),
    }
    found["head_map"] = found["head"][:, :, None, None]
    return found


def network(seed: int = 0, bias: float = -2.1) -> bytes:
    """An ONNX file: image uint8 (N, 1, 32, 32) → logits (N, 1), cam (N, 1, 8, 8), features."""
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "mean"], ["s"]),
        helper.make_node("Mul", ["s", "reciprocal"], ["x"]),
        helper.make_node("Conv", ["x", "kernel"], ["c"], strides=[4, 4]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["features"]),
        helper.make_node("Gemm", ["features", "head", "bias"], ["logits"], transB=1),
        helper.make_node("Conv", ["r", "head_map"], ["cam"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 1, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["N", 1, GRID, GRID]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants(seed, bias).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def computed(image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The network in numpy: what every engine must give for `(N, 1, 32, 32)` uint8."""
    given = constants()
    x = (image.astype(np.float64) - 128) / 64
    patches = x.reshape(len(x), GRID, 4, GRID, 4).transpose(0, 1, 3, 2, 4)
    maps = np.maximum(np.einsum("nyxij,cij->ncyx", patches, given["kernel"][:, 0]), 0)
    features = maps.mean(axis=(2, 3))
    return {
        "logits": features @ given["head"].T + given["bias"],
        "cam": np.einsum("ncyx,kc->nkyx", maps, given["head"]),
        "features": features,
    }


@dataclass
class Parts:
    """What a bundle is written from; change a part and write again."""

    manifest: dict[str, Any]
    members: dict[str, bytes] = field(default_factory=dict)

    def built(self) -> contract.Manifest:
        """The manifest as a value, its member table describing the members as they are now."""
        table = {n: msgspec.to_builtins(m) for n, m in describe_members(self.members).items()}
        return msgspec.convert({**self.manifest, "members": table}, contract.Manifest)


def estimate(value: float = 0.9) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": min(1.0, value + 0.05), "n": 20}


def variant(name: str = "onnx-fp32", threshold: float = 0.5) -> dict[str, Any]:
    return {
        "name": name,
        "file": f"variants/{name}.onnx",
        "format": "onnx",
        "precision": "fp32",
        "engines": ["onnx"],
        "batch": "any",
        "tolerance": {"logits": 1e-4, "cam": 1e-4, "features": 1e-4},
        "operating_points": [
            {
                "name": "triage",
                "output": "logits",
                "label": "finding",
                "threshold": threshold,
                "band": [threshold, threshold],
                "criterion": "made up for tests",
                "sensitivity": estimate(),
                "specificity": estimate(0.8),
            }
        ],
        "fidelity": {
            "reference": "nothing",
            "compared_on": "nothing",
            "n": 0,
            "max_score_error": 0.0,
            "decision_flips": 0,
            "auc": None,
        },
    }


# Of the committed files, as tests/data/make_tiny_tflite.py made them.
_TENSORS = {
    "image": "serving_default_args_0",
    "logits": "serving_default_output_0_output",
    "cam": "serving_default_output_1_output",
    "features": "serving_default_output_2_output",
}


def tflite_file(precision: str = "fp32") -> bytes:
    """The committed file of that precision."""
    return (Path(__file__).parent / "data" / f"tiny-{precision}.tflite").read_bytes()


def tflite_variant(precision: str = "fp32") -> dict[str, Any]:
    """A variant whose wires are read from the file; needs a TFLite interpreter."""
    from edge_dx.backends.tflite import describe

    found = describe(tflite_file(precision))
    tensors = {tensor.name: tensor for tensor in (*found.inputs, *found.outputs)}
    wires = {}
    for name, tensor in _TENSORS.items():
        told = tensors[tensor]
        wires[name] = {
            "tensor": tensor, "dtype": told.dtype, "scale": told.scale,
            "zero_point": told.zero_point, "normalised": name == "image",
        }  # fmt: skip
    name = f"tflite-{precision}"
    return {
        **variant(name), "file": f"variants/{name}.tflite", "format": "tflite",
        "precision": precision, "engines": ["tflite"], "batch": "one", "wires": wires,
        "tolerance": {"logits": 0.2, "cam": 0.5, "features": 0.2},
        "identity_tolerance": {"cam": 0.2},
        # None with LiteRT; an older interpreter leaves more out, which is no test of the network.
        "undelegated": len(found.undelegated),
    }  # fmt: skip


def parts(**changes: Any) -> Parts:
    """A valid bundle with one variant and one golden case whose outputs are the engine's own."""
    manifest: dict[str, Any] = {
        "schema_version": contract.SCHEMA_VERSION,
        "name": "tiny",
        "version": "0.0.1",
        "task": "classification",
        "title": "Tiny test model",
        "intended_use": "tests",
        "licence": "Apache-2.0",
        "inputs": [
            {
                "kind": "image",
                "name": "image",
                "shape": [1, SIDE, SIDE],
                "dtype": "uint8",
                "unit": "grey level",
                "prepare": [
                    {"step": "colour", "to": "grey"},
                    {"step": "resize", "height": SIDE, "width": SIDE, "interpolation": "area"},
                    {"step": "intensity", "kind": "percentile", "low": 1, "high": 99},
                ],
                "in_graph": [{"step": "normalise", "mean": [128], "std": [64]}],
            }
        ],
        "outputs": [
            {"kind": "scores", "name": "logits", "labels": ["finding"], "activation": "sigmoid"},
            {
                "kind": "heatmap",
                "name": "cam",
                "of": "logits",
                "shape": [GRID, GRID],
                "bias": [-2.1],
                "scale": [0.0, 4.0],
                "identity_tolerance": 1e-3,
            },
            {"kind": "features", "name": "features", "size": CHANNELS},
        ],
        "eligibility": {"modalities": ["CR", "DX"], "min_side_px": 24, "min_contrast": 0.004,
                        "max_clipped": 0.8, "max_colour": 0.05},
        "variants": [variant()],
        "golden": [],
        "provenance": {
            "factory": "tests.tiny:network",
            "weights_sha256": "0" * 64,
            "recipe_sha256": "0" * 64,
            "tools": {},
            "calibration": None,
            "validation": None,
            "training": None,
        },
        "budget": {},
        **changes,
    }  # fmt: skip
    found = Parts(manifest, {v["file"]: network() for v in manifest["variants"]})
    found.members["card.md"] = b"# Tiny\n"
    if not changes.get("golden"):
        _add_golden(found)
    return found


def film(seed: int = 0, side: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth random picture (side, side) uint8 that the gate lets pass."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = sum(
        generator.normal() * np.sin(2 * np.pi * (fy * y + fx * x) + generator.uniform(0, 6))
        for fy, fx in generator.uniform(0.3, 3, (6, 2))
    )
    low, high = waves.min(), waves.max()
    return np.rint((waves - low) / (high - low) * 220 + 15).astype(np.uint8)


def _add_golden(found: Parts) -> None:
    import onnxruntime as ort

    from edge_dx.image import compile_steps, to_tensor

    spec = found.built().inputs[0]
    raw = film(7)
    tensor = to_tensor(compile_steps(spec.prepare)(raw))
    arrays: dict[str, Any] = {"raw/waves": raw}
    status = {}
    for item in found.manifest["variants"]:
        session = ort.InferenceSession(
            found.members[item["file"]], providers=["CPUExecutionProvider"]
        )
        values = session.run(None, {"image": tensor})
        for output, value in zip(session.get_outputs(), values, strict=True):
            arrays[f"{item['name']}/waves/{output.name}"] = value
        chance = 1 / (1 + np.exp(-float(values[0][0, 0])))
        above = chance >= item["operating_points"][0]["threshold"]
        status[item["name"]] = "positive" if above else "negative"
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    found.members["golden.npz"] = buffer.getvalue()
    found.manifest["golden"] = [
        {"name": "waves", "what": "smooth waves", "modality": "DX", "photometric": "MONOCHROME2",
         "status": status},
    ]  # fmt: skip
