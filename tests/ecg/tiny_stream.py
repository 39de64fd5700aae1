"""A tiny real stream bundle: ONNX files made by hand in milliseconds, with states that matter.

The detector is a matched filter behind 180 ms of memory, good enough for the synthetic ECG; the
beat network is one linear layer with a memory of its own. Nobody trained them, they know nothing of
hearts; the plumbing around them is what is tested.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_dx import manifest as contract
from edge_dx.bundle import Bundle, describe_members, write_bundle
from edge_dx.ecg import golden
from edge_dx.ecg.beats import FEATURES
from edge_dx.ecg.beats.shapes import PEAK, WINDOW
from edge_dx.signal import SignalPath
from edge_dx.signal.steps import Bandpass, Notch, Resample, Scale
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic
from tests.tiny import PRIVATE_KEY

HOP, STRIDE, DELAY, LENGTH, HELD = 25, 5, 45, 60, 12
FIELD = 500
STEPS = (
    Resample(to_hz=250), Notch(), Bandpass(low_hz=0.5, high_hz=40.0), Scale(factor=1.0, limit=10.0)
)  # fmt: skip
FLOAT = TensorProto.FLOAT


def _model(nodes: list[Any], ins: dict[str, Any], outs: dict[str, Any],
           numbers: dict[str, Any]) -> bytes:  # fmt: skip
    def told(tensors: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(n, FLOAT, ["N", *s]) for n, s in tensors.items()]

    graph = helper.make_graph(
        nodes, "tiny", told(ins), told(outs),
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def detector() -> bytes:
    """signal (N, 1, 25) and 55 rows of memory → frames (N, 5, 3): how far the middle stands out."""
    kernel = np.zeros((3, 1, LENGTH), np.float32)
    kernel[0, 0, 4:20] = -1 / 16
    kernel[0, 0, 10:14] += 1 / 4
    kernel[1, 0, 8:12], kernel[1, 0, 13:17] = -1, 1
    kernel[2, 0] = 0.01
    return _model(
        [
            helper.make_node("Concat", ["state.0.in", "signal"], ["x"], axis=2),
            helper.make_node("Slice", ["x", "from", "to", "axis"], ["state.0.out"]),
            helper.make_node("Conv", ["x", "kernel"], ["c"], strides=[STRIDE]),
            helper.make_node("Abs", ["c"], ["a"]),
            helper.make_node("Mul", ["a", "gain"], ["g"]),
            helper.make_node("Add", ["g", "bias"], ["b"]),
            helper.make_node("Transpose", ["b"], ["frames"], perm=[0, 2, 1]),
        ],
        {"signal": [1, HOP], "state.0.in": [1, LENGTH - STRIDE]},
        {"frames": [HOP // STRIDE, 3], "state.0.out": [1, LENGTH - STRIDE]},
        {"kernel": kernel, "gain": np.array([[[16.0], [0.1], [1.0]]], np.float32),
         "bias": np.array([[[-4.0], [0.0], [-3.0]]], np.float32),
         "from": np.array([HOP]), "to": np.array([HOP + LENGTH - STRIDE]), "axis": np.array([2])},
    )  # fmt: skip


def beats(seed: int) -> bytes:
    """window, features and 12 remembered numbers → classes (N, 5)."""
    random = np.random.default_rng(seed)
    return _model(
        [
            helper.make_node("Flatten", ["window"], ["w"]),
            helper.make_node("Concat", ["w", "features", "state.h.in"], ["x"], axis=1),
            helper.make_node("MatMul", ["x", "inward"], ["i"]),
            helper.make_node("Tanh", ["i"], ["state.h.out"]),
            helper.make_node("MatMul", ["state.h.out", "outward"], ["classes"]),
        ],
        {"window": [2, WINDOW], "features": [len(FEATURES)], "state.h.in": [HELD]},
        {"classes": [5], "state.h.out": [HELD]},
        {"inward": random.normal(0, 0.1, (2 * WINDOW + len(FEATURES) + HELD, HELD)).astype("f4"),
         "outward": random.normal(0, 1.5, (HELD, 5)).astype("f4")},
    )  # fmt: skip


def _point(name: str, output: str, label: str, threshold: float) -> dict[str, Any]:
    return {
        "name": name, "output": output, "label": label, "threshold": threshold,
        "band": [threshold, threshold], "criterion": "made up for tests",
        "sensitivity": None, "specificity": None,
    }  # fmt: skip


def _beat_network(answer: str) -> dict[str, Any]:
    return {
        "answer": answer,
        "window": {"channels": ["beat", "usual"], "samples": WINDOW, "rate_hz": 125,
                   "peak_at": PEAK},
        "features": {"names": list(FEATURES)},
        "after_rows": 50,
        "states": [{"input": "state.h.in", "output": "state.h.out", "shape": [HELD]}],
    }  # fmt: skip


def described() -> dict[str, Any]:
    """A manifest without its members and golden signals."""
    timings = SignalPath(STEPS, rate_hz=250, leads=["II"], mains_hz=50).timings
    return {
        "schema_version": contract.SCHEMA_VERSION, "name": "tiny-ecg", "version": "0.0.1",
        "task": "ecg", "title": "Tiny stream", "intended_use": "tests", "licence": "Apache-2.0",
        "inputs": [{
            "kind": "waveform", "name": "ecg", "rate_hz": 250, "leads": ["MLII", "II", "I"],
            "max_leads": 2, "prepare": msgspec.to_builtins(STEPS),
        }],
        "outputs": [{"kind": "beats", "name": "beats", "labels": ["N", "S", "V", "F", "Q"]}],
        "eligibility": {},
        "variants": [{
            "name": "onnx-fp32", "file": "variants/onnx-fp32.onnx", "format": "onnx",
            "precision": "fp32", "engines": ["onnx"], "batch": "any",
            "tolerance": {"frames": 1e-4, "classes": 1e-4},
            "operating_points": [
                _point("detection", "frames", "beat", 0.5),
                *(_point(answer, "classes", label, 0.4)
                  for answer in ("at_once", "one_beat_late") for label in ("S", "V")),
            ],
            "fidelity": None,
            "networks": {"at_once": {"file": "variants/onnx-fp32.at_once.onnx"},
                         "one_beat_late": {"file": "variants/onnx-fp32.late.onnx"}},
        }],
        "golden": [],
        "provenance": {"factory": "tests", "weights_sha256": "0" * 64, "recipe_sha256": "0" * 64,
                       "tools": {}, "calibration": None, "validation": None, "training": None},
        "budget": {},
        "stream": {
            "timings": msgspec.to_builtins(timings),
            "detector": {
                "hop_rows": HOP, "stride_rows": STRIDE, "delay_rows": DELAY,
                "receptive_field_rows": FIELD,
                "states": [{"input": "state.0.in", "output": "state.0.out",
                            "shape": [1, LENGTH - STRIDE]}],
            },
            "beats": [_beat_network("at_once"), _beat_network("one_beat_late")],
        },
    }  # fmt: skip


def members() -> dict[str, bytes]:
    """The files."""
    return {
        "variants/onnx-fp32.onnx": detector(),
        "variants/onnx-fp32.at_once.onnx": beats(1),
        "variants/onnx-fp32.late.onnx": beats(2),
    }


def built(told: dict[str, Any], files: dict[str, bytes]) -> contract.Manifest:
    """The manifest as a value, with the table of these members."""
    table = {n: msgspec.to_builtins(m) for n, m in describe_members(files).items()}
    return msgspec.convert({**told, "members": table}, contract.Manifest)


def opened(
    told: dict[str, Any] | None = None, files: dict[str, bytes] | None = None
) -> SignalModel:
    """The model as it would come out of a bundle, without writing one."""
    files = members() if files is None else files
    manifest = built(described() if told is None else told, files)
    bundle = Bundle(Path("tiny-ecg.edx"), manifest, files, "0" * 64, "tests")
    return SignalModel.opened(bundle, manifest.variants[0], "onnx")


def with_golden() -> tuple[contract.Manifest, dict[str, bytes]]:
    """Manifest and members with one golden signal for each answer."""
    told, files = described(), members()
    arrays: dict[str, Any] = {}
    told["stream"]["golden"] = []
    with opened(told, files) as model:
        for answer, leads in (("at_once", ("II",)), ("one_beat_late", ("II", "V1"))):
            source = Synthetic(seconds=12, rate_hz=360, premature_every=5, seed=3)
            raw = np.concatenate([block.mv for block in source.blocks()])[:, : len(leads)]
            arrays[f"raw/{answer}"] = raw = raw.astype(np.float32)
            stream = model.stream(rate_hz=360, leads=leads, answer=answer)
            found = golden.answers(
                stream, model.networks, contract.answers_of(model.bundle.manifest), raw
            )
            for name, array in found.items():
                arrays[f"onnx-fp32/{answer}/{name}"] = array
            told["stream"]["golden"].append({
                "name": answer, "what": "made up", "rate_hz": "360", "leads": list(leads),
                "answer": answer, "events": {"onnx-fp32": len(found[golden.EVENTS])},
            })  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    files["golden.npz"] = buffer.getvalue()
    return built(told, files), files


def write(path: Path) -> Path:
    """A signed bundle on disk."""
    manifest, files = with_golden()
    write_bundle(path, manifest, files, PRIVATE_KEY)
    return path
