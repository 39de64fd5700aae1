"""What is refused before an interpreter sees it; needs no interpreter, only the schema's writer."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_dx.backends.flatbuffer import root
from edge_dx.backends.tflite_file import problem
from tests import tiny

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models_mlperf_tiny" / "models"
FILES = [tiny.tflite_file("fp32"), tiny.tflite_file("int8")]

needs_writer = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert, whose schema writes the spoilt files, is not installed",
)


@pytest.mark.parametrize("payload", FILES)
def test_whole_files_pass(payload: bytes) -> None:
    assert problem(payload) is None
    assert problem(payload + bytes(64)) is None  # weights may be appended


@pytest.mark.skipif(not MODELS.is_dir(), reason="the MLPerf Tiny models are absent")
def test_other_peoples_files_pass() -> None:
    for path in MODELS.glob("*.tflite"):
        assert problem(path.read_bytes()) is None, path


@pytest.mark.parametrize("payload", FILES)
def test_a_file_cut_short_anywhere_is_damaged(payload: bytes) -> None:
    for size in range(8, len(payload)):
        assert "is a damaged TFLite file" in (problem(payload[:size]) or ""), size


@pytest.mark.parametrize("payload", [b"", b"TFL3", b"GGUF" * 9, bytes(100)])
def test_what_has_no_mark_is_no_tflite_file(payload: bytes) -> None:
    assert "the mark TFL3 is not there" in (problem(payload) or "")


def test_an_offset_changed_to_anything_gives_an_answer() -> None:
    """Never an exception of another kind, whatever a word says."""
    for payload in FILES:
        for at in range(0, len(payload) - 4, 4):
            for word in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(payload), 0x80000000):
                spoilt = payload[:at] + struct.pack("<I", word) + payload[at + 4 :]
                told = problem(spoilt)
                assert told is None or told.startswith("is ")


def _first_tensor(model: Any) -> Any:
    return model.subgraphs[0].tensors[0]


def _operator(model: Any, number: int = 0) -> Any:
    return model.subgraphs[0].operators[number]


def _set(value: Any, **changes: Any) -> None:
    for name, new in changes.items():
        setattr(value, name, new)


def _weights(model: Any) -> Any:
    return max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))


SPOILT: dict[str, tuple[Callable[[Any], object], str]] = {
    "schema": (lambda m: _set(m, version=4), "schema 4, edge_dx reads 3"),
    "weights behind the end": (
        lambda m: _set(_weights(m), data=None, offset=2**64 - 64, size=128), "behind the end"),
    "weights elsewhere": (lambda m: _set(_weights(m), data=None, offset=9_000, size=16),
                          "behind the end"),
    "short weights": (lambda m: _set(_weights(m), data=[0] * 4), "has 4 bytes"),
    "buffer": (lambda m: _set(_first_tensor(m), buffer=999), "tensor's buffer 999 does not exist"),
    "type": (lambda m: _set(_first_tensor(m), type=5), "of type 5, which edge_dx does not take"),
    "variable": (lambda m: _set(_first_tensor(m), isVariable=True), "a tensor is a variable"),
    "huge": (lambda m: _set(_first_tensor(m), shape=[1, 2**30, 2**30]), "has the shape"),
    "rank": (lambda m: _set(_first_tensor(m), shape=[1] * 9), "has the shape"),
    "negative": (lambda m: _set(_first_tensor(m), shape=[1, -1]), "has the shape"),
    "operator code": (lambda m: _set(_operator(m), opcodeIndex=99), "operator code 99 does not"),
    "input index": (lambda m: _set(_operator(m), inputs=[0, 999]), "input 999 does not exist"),
    "absent input": (lambda m: _set(_operator(m), inputs=[-1, 11]), "input -1 does not exist"),
    "absent bias": (lambda m: _set(_operator(m, 1), inputs=[12, 7]), "operator 4 has 2 inputs"),
    "output index": (lambda m: _set(_operator(m), outputs=[999]), "output 999 does not exist"),
    "no output": (lambda m: _set(_operator(m), outputs=[]), "has no output"),
    "made twice": (lambda m: _set(_operator(m, 1), outputs=[12]), "a tensor is made twice"),
    "onto a constant": (lambda m: _set(_operator(m, 1), outputs=[7]), "a tensor is made twice"),
    "before it is made": (lambda m: m.subgraphs[0].operators.reverse(), "before it is made"),
    "never made": (lambda m: m.subgraphs[0].operators.pop(), "an output of the graph is never"),
    "no graph": (lambda m: _set(m, subgraphs=[]), "has no graph"),
    "no outputs": (lambda m: _set(m.subgraphs[0], outputs=[]), "no outputs"),
    "constant input": (lambda m: _set(m.subgraphs[0], inputs=[0, 7]), "is a constant"),
    "custom": (lambda m: _set(m.operatorCodes[0], customCode="x"), "not TFLite's own"),
    "state": (lambda m: _set(m.operatorCodes[0], builtinCode=142, deprecatedBuiltinCode=127),
              "VAR_HANDLE keeps state"),
    "strides": (lambda m: _set(_operator(m, 1).builtinOptions, strideH=0), "strides that do not"),
    "padding": (lambda m: _set(_operator(m, 1).builtinOptions, padding=100), "padding or strides"),
    "int4": (lambda m: _set(m.subgraphs[0].tensors[18], type=17), "gives int4"),
    "changed type": (lambda m: _set(m.subgraphs[0].tensors[12], type=2), "another type than it"),
    "signature": (lambda m: _set(m.signatureDefs[0].inputs[0], tensorIndex=99), "tensor 99"),
    "metadata": (lambda m: _set(m, metadataBuffer=[99]), "metadata buffer 99"),
}  # fmt: skip


@needs_writer
@pytest.mark.parametrize("what", SPOILT)
def test_a_graph_that_makes_no_sense_is_refused(what: str) -> None:
    spoil, told = SPOILT[what]
    assert told in (problem(rewritten(FILES[0], spoil)) or "")


@needs_writer
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scale": [0.5, 0.5], "zeroPoint": [0]}, "2 scales and 1 zero points"),
        ({"scale": [0.5, 0.5], "zeroPoint": [0, 0], "quantizedDimension": 9}, "do not fit"),
        ({"scale": [float("nan")], "zeroPoint": [0]}, "a scale is no number"),
        ({"scale": [-1.0], "zeroPoint": [0]}, "a scale is no number"),
    ],
)
def test_a_quantization_that_makes_no_sense_is_refused(change: Any, told: str) -> None:
    spoilt = rewritten(FILES[1], lambda m: _set(_first_tensor(m).quantization, **change))
    assert told in (problem(spoilt) or "")


@needs_writer
def test_the_same_graph_twice_is_refused() -> None:
    spoilt = bytearray(rewritten(FILES[0], lambda m: m.subgraphs.append(m.subgraphs[0])))
    start = root(bytes(spoilt))._vector(2, 4)[0]
    (second,) = struct.unpack_from("<I", spoilt, start + 4)
    struct.pack_into("<I", spoilt, start, second + 4)  # both now lead to one table
    assert "two subgraphs are the same" in (problem(bytes(spoilt)) or "")


def rewritten(payload: bytes, spoil: Callable[[Any], object]) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(payload))
    spoil(model)
    builder = flatbuffers.Builder(len(payload))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
