"""The exported graphs: exact normalisation, the same bytes each time, parity worth its name."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_dx.image import compile_steps
from edge_dx.steps import Normalise
from export.errors import FactoryError, GraphError, ParityFailed, RecipeError
from export.float16 import to_float16
from export.graph import serialise, tidy
from export.network import FromInputs, load_network
from export.onnx_from_torch import inputs_of, onnx_from_torch, outputs_of
from export.parity import check_parity
from export.quantize import layers, preprocess, quantize, take_image_directly
from export.recipe import read_recipe
from export.running import Made
from export.scheme import Scheme
from export.vocabulary import InputPart
from tests.export.conftest import SCHEME, Graphs


def run(model: Any, feeds: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: list[np.ndarray[Any, Any]] = session.run(None, feeds)
    return result


def parity(graphs: Graphs, payload: bytes) -> dict[str, float]:
    made = Made("onnx-fp32", payload)
    return check_parity(graphs.network, made, graphs.inputs, graphs.outputs, 1e-4)


def test_the_folded_step_is_the_devices_step_to_the_bit() -> None:
    step = Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    on_device = compile_steps([step])(image).transpose(2, 0, 1)
    part = InputPart(shape=(3, 20, 30), unit="grey level", prepare=(step,))
    folded = FromInputs(torch.nn.Identity(), (part,))
    (in_graph,) = folded(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    assert np.array_equal(in_graph[0].numpy(), on_device)


def test_export_gives_the_same_bytes_again(graphs: Graphs) -> None:
    again = onnx_from_torch(graphs.network, graphs.outputs)
    assert again == graphs.fp32.payload
    quantized = quantize(preprocess(again), graphs.ranges.ranges, graphs.outputs, SCHEME)
    assert quantized == graphs.int8.payload


def test_the_graphs_are_what_old_devices_read_and_nothing_more(graphs: Graphs) -> None:
    for raw in (graphs.fp32.payload, graphs.int8.payload):
        model = onnx.load_from_string(raw)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
        assert model.ir_version <= 10
        assert not model.metadata_props
        assert not model.graph.value_info
        assert all(not n.doc_string and not n.metadata_props for n in model.graph.node)
        assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_newer_graph_is_refused(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    model.opset_import[0].version = 21
    with pytest.raises(GraphError, match="opset 20"):
        serialise(model)


def test_control_flow_is_refused() -> None:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    one = numpy_helper.from_array(np.ones(1, np.float32), "y")
    branch = helper.make_graph([], "b", [], [value], [one])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    flag = helper.make_tensor_value_info("c", TensorProto.BOOL, [1])
    with pytest.raises(GraphError, match="control flow"):
        tidy(helper.make_model(helper.make_graph([node], "g", [flag], [value])))


def test_parity_passes_the_honest_graph(graphs: Graphs) -> None:
    off = parity(graphs, graphs.fp32.payload)
    assert set(off) == {"logits", "cam", "features"}
    assert max(off.values()) < 1e-4


@pytest.mark.parametrize("which", [2, 3, 5])
def test_parity_catches_a_changed_weight(graphs: Graphs, which: int) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    tensor = model.graph.initializer[which]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.02, tensor.name))
    with pytest.raises(ParityFailed, match="off by"):
        parity(graphs, model.SerializeToString())


def test_parity_catches_a_frozen_batch(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(ParityFailed):
        parity(graphs, model.SerializeToString())


def test_parity_catches_outputs_that_are_not_finite(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    tensor = model.graph.initializer[2]
    nothing = np.full_like(numpy_helper.to_array(tensor), np.nan)
    tensor.CopyFrom(numpy_helper.from_array(nothing, tensor.name))
    with pytest.raises(ParityFailed, match="nan"):
        parity(graphs, model.SerializeToString())


def normalising_graph(mean: float, std: float) -> Any:
    """Cast, Sub, Mul, QuantizeLinear, DequantizeLinear, as the quantizer leaves them."""
    constants = {
        "mean": np.full((1, 1, 1, 1), mean, np.float32),
        "reciprocal": (np.float32(1) / np.full((1, 1, 1, 1), std, np.float32)).astype(np.float32),
        "scale": np.array(0.01, np.float32),
        "zero": np.array(100, np.uint8),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["a", "mean"], ["b"]),
        helper.make_node("Mul", ["b", "reciprocal"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["d", "scale", "zero"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 16, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 16, 16])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(
    ("mean", "std"),
    list(itertools.product((0.0, 1.0, 127.0, 128.0, 255.0), (1.0, 57.12, 64.0, 73.3))),
)
def test_dequantising_the_image_is_the_normalisation_to_the_bit(mean: float, std: float) -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    model = normalising_graph(mean, std)
    assert take_image_directly(model)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear"]
    expected = compile_steps([Normalise(mean=(mean,), std=(std,))])(image[0, 0])
    assert np.array_equal(run(model, {"image": image})[0][0, 0], expected)


@pytest.mark.parametrize("mean", [127.5, -3.0, 256.0])
def test_a_mean_that_is_no_grey_level_keeps_the_graph(mean: float) -> None:
    model = normalising_graph(mean, 64.0)
    before = model.SerializeToString()
    assert not take_image_directly(model)
    assert model.SerializeToString() == before


def test_the_first_convolution_takes_the_image_and_the_head_stays_float(
    graphs: Graphs, tmp_path: Path
) -> None:
    model = onnx.load_from_string(graphs.int8.payload)
    assert not {"Cast", "Sub", "Mul", "QuantizeLinear"} & {model.graph.node[0].op_type}
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(graphs.int8.payload, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    kinds = [node.op_type for node in nodes]
    assert kinds.count("QLinearConv") == 3  # stem, depthwise, pointwise
    assert "QuantizeLinear" not in kinds  # nothing is quantized at run time: the image is uint8
    readers = [n for n in nodes if n.op_type not in ("Transpose", "DequantizeLinear")]
    assert readers[0].op_type == "QLinearConv"
    weights = {t.name: t for t in model.graph.initializer}
    (head,) = [n for n in model.graph.node if n.op_type == "Gemm"]
    assert weights[head.input[1]].data_type == TensorProto.FLOAT


SCHEMES = [
    Scheme(activation=activation, symmetric=symmetric, method=method, head=head)
    for method in ("minmax", "percentile 99.99")
    for activation, symmetric in (("uint8", False), ("int8", False), ("int8", True))
    for head in ("float", "int8")
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_every_scheme_stays_near_torch(graphs: Graphs, scheme: Scheme) -> None:
    found = graphs.run(graphs.quantized(scheme))
    for name, values in found.items():
        expected = graphs.expected[name]
        assert np.abs(values - expected).max() < 0.15 * np.ptp(expected) + 0.05


def test_a_graph_for_tensorrt_is_symmetric_and_has_no_quantized_bias(graphs: Graphs) -> None:
    scheme = Scheme(activation="int8", symmetric=True, method="minmax", head="float")
    made = graphs.quantized(scheme, "tensorrt-int8")
    model = onnx.load_from_string(made.payload)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            assert constants[node.input[0]].dtype == np.int8  # weights, never an int32 bias
            assert len(node.input) == 2
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not constants[node.input[2]].any()
    (head,) = [n for n in model.graph.node if n.op_type == "Gemm"]
    assert constants[head.input[1]].dtype == np.float16


def test_layers_can_be_quantized_alone_and_taken_back(graphs: Graphs) -> None:
    found = layers(graphs.prepared, graphs.outputs, "float")
    assert [layer.told.split(" (")[0] for layer in found] == ["Conv 1", "Conv 2", "Conv 3"]
    whole = quantized_convolutions(graphs.int8.payload)
    assert whole == 3
    ranges = graphs.ranges.ranges
    for layer in found:
        alone = quantize(graphs.prepared, ranges, graphs.outputs, SCHEME, layer.name)
        assert quantized_convolutions(alone) == 1
        back = msgspec.structs.replace(SCHEME, reverted=(layer.name,))
        assert quantized_convolutions(
            quantize(graphs.prepared, ranges, graphs.outputs, back)
        ) == 2  # fmt: skip


def quantized_convolutions(payload: bytes) -> int:
    model = onnx.load_from_string(payload)
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    return sum(
        node.op_type == "Conv" and made_by.get(node.input[1]) == "DequantizeLinear"
        for node in model.graph.node
    )


def test_half_precision_keeps_the_borders_and_the_normalisation(graphs: Graphs) -> None:
    made = Made("tensorrt-fp16", to_float16(graphs.fp32.payload))
    model = onnx.load_from_string(made.payload)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    weights = [constants[n.input[1]] for n in model.graph.node if n.op_type == "Conv"]
    assert {w.dtype for w in weights} == {np.dtype(np.float16)}
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert {o.type.tensor_type.elem_type for o in model.graph.output} == {TensorProto.FLOAT}
    (mean,) = [constants[n.input[1]] for n in model.graph.node if n.op_type == "Sub"]
    assert mean.dtype == np.float32
    found = graphs.run(made)
    for name, values in found.items():
        assert values == pytest.approx(
            graphs.expected[name], abs=0.02 + 0.01 * float(np.ptp(values))
        )
        assert not np.array_equal(values, graphs.expected[name])


def test_a_weight_that_half_precision_cannot_hold_is_refused(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.fp32.payload)
    names = {n.input[1] for n in model.graph.node if n.op_type == "Conv"}
    tensor = next(t for t in model.graph.initializer if t.name in names)
    large = numpy_helper.to_array(tensor) * 1e6
    tensor.CopyFrom(numpy_helper.from_array(large, tensor.name))
    with pytest.raises(GraphError, match="does not fit into float16"):
        to_float16(model.SerializeToString())


def test_int8_weights_are_stored_as_bytes(graphs: Graphs) -> None:
    model = onnx.load_from_string(graphs.int8.payload)
    assert all(t.HasField("raw_data") for t in model.graph.initializer)
    contents = [(t.data_type, tuple(t.dims), t.raw_data) for t in model.graph.initializer]
    assert len(set(contents)) == len(contents)
    # A scale of shape (1,) would mean one channel to engines that take the standard at its word.
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    activations = [
        node
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in shapes
    ]
    assert activations
    assert {shapes[name] for node in activations for name in node.input[1:]} == {()}


def test_outputs_must_be_those_of_the_recipe(project: Path) -> None:
    text = (project / "recipe.toml").read_text()
    features = '[[outputs]]\nkind = "features"\nname = "features"\n'
    assert features in text
    (project / "recipe.toml").write_text(text.replace(features, ""))
    recipe = read_recipe(project / "recipe.toml")
    with pytest.raises(FactoryError, match="gives 3 outputs, the recipe lists 2"):
        outputs_of(recipe, load_network(recipe)[0])
    (project / "recipe.toml").write_text(text.replace("head.bias", "head.bios"))
    recipe = read_recipe(project / "recipe.toml")
    with pytest.raises(RecipeError, match=r"head\.bios.*stem\.bias"):
        outputs_of(recipe, load_network(recipe)[0])


def test_steps_must_give_the_stated_image(project: Path) -> None:
    text = (project / "recipe.toml").read_text()
    (project / "recipe.toml").write_text(text.replace("height = 32", "height = 30"))
    recipe = read_recipe(project / "recipe.toml")
    with pytest.raises(RecipeError, match=r"\(1, 30, 32\)"):
        inputs_of(recipe.told)
