"""What a file says of its tensors, beside what the description says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_dx.manifest import Wire
from tests import several, tiny
from tests.packing.described import TOML

pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")

from export.errors import PackError
from export.packing.files import Border, ModelFile
from export.packing.vocabulary import ModelPart
from export.packing.wiring import batch, wires

IMAGE = Border("image", "uint8", (1, 1, 32, 32))
OUTPUTS = (
    Border("logits", "float32", (1, 1)),
    Border("cam", "float32", (1, 1, 8, 8)),
    Border("features", "float32", (1, 4)),
)
DRAFT = tiny.parts().built()
FACTS = several.parts().built()


def made(*inputs: Border, outputs: tuple[Border, ...] = OUTPUTS) -> ModelFile:
    return ModelFile(Path("x.tflite"), "tflite", b"", inputs or (IMAGE,), outputs)


def part(**tensors: Any) -> ModelPart:
    told = {"file": "x.tflite", "variant": "v", "precision": "int8", "tensors": tensors}
    return msgspec.convert(told, ModelPart)


def test_a_file_that_says_the_same_needs_no_wires() -> None:
    assert wires(DRAFT, part(), made()) == {}  # plain uint8: the file normalises by itself
    assert DRAFT.inputs[0].in_graph


@pytest.mark.parametrize(
    ("border", "wire"),
    [
        (Border("in", "uint8", (1, 1, 32, 32)), Wire(tensor="in", dtype="uint8")),
        (Border("image", "float32", (1, 1, 32, 32)),
         Wire(tensor="image", dtype="float32", normalised=True)),
        (Border("image", "int8", (1, 1, 32, 32), 0.02, -3),
         Wire(tensor="image", dtype="int8", scale=0.02, zero_point=-3, normalised=True)),
        (Border("image", "uint8", (1, 1, 32, 32), 0.02, 3),
         Wire(tensor="image", dtype="uint8", scale=0.02, zero_point=3, normalised=True)),
    ],
)  # fmt: skip
def test_an_image_as_files_take_it(border: Border, wire: Wire) -> None:
    assert wires(DRAFT, part(), made(border)) == {"image": wire}


def test_without_a_normalise_step_levels_are_given_as_they_are() -> None:
    (image,) = DRAFT.inputs
    draft = msgspec.structs.replace(
        DRAFT, inputs=(msgspec.structs.replace(image, in_graph=()),)
    )  # fmt: skip
    found = wires(draft, part(), made(replace(IMAGE, dtype="float32")))
    assert found == {"image": Wire(tensor="image", dtype="float32")}


def test_channels_may_stand_last_on_both_sides() -> None:
    outputs = (OUTPUTS[0], replace(OUTPUTS[1], shape=(1, 8, 8, 1)), OUTPUTS[2])
    file = made(replace(IMAGE, shape=(1, 32, 32, 1)), outputs=outputs)
    last = {"layout": "channels_last"}
    found = wires(DRAFT, part(image=last, cam=last), file)
    assert {name: wire.layout for name, wire in found.items()} == {
        "image": "channels_last", "cam": "channels_last",
    }  # fmt: skip
    with pytest.raises(PackError, match=r'say tensors.image.layout = "channels_last"'):
        wires(DRAFT, part(cam=last), file)


@pytest.mark.parametrize(
    ("border", "told"),
    [
        (replace(IMAGE, dtype="int8"), r"'image' is int8, which cannot stand for image"),
        (replace(IMAGE, dtype="int16", scale=0.1), r"int16 \(quantized\), which cannot"),
        (replace(IMAGE, dtype="float16"), "float16, which cannot stand"),
        (replace(IMAGE, dtype=""), "no tensor of numbers, which cannot stand"),
    ],
)
def test_a_type_that_no_image_becomes(border: Border, told: str) -> None:
    with pytest.raises(PackError, match=told):
        wires(DRAFT, part(), made(border))


@pytest.mark.parametrize("border", [
    replace(OUTPUTS[0], dtype="int8"), replace(OUTPUTS[0], dtype="float16"),
    replace(OUTPUTS[0], dtype="int64"), replace(OUTPUTS[0], dtype="int32", scale=0.1),
])  # fmt: skip
def test_a_type_that_no_score_comes_from(border: Border) -> None:
    with pytest.raises(PackError, match=r"'logits' is .*cannot stand for logits \(float32\)"):
        wires(DRAFT, part(), made(outputs=(border, *OUTPUTS[1:])))


def test_facts_and_arrays_may_be_quantized_and_are_given_as_values() -> None:
    inputs = (
        Border("picture", "uint8", (1, 1, 16, 16)),
        Border("facts", "int8", (1, 2), 0.1, 4),
        Border("spectrum", "uint8", (1, 6), 0.5, 9),
    )
    outputs = tuple(Border(name, "float32", (1, *shape)) for name, shape in several.OUTPUTS.items())
    found = wires(FACTS, part(), made(*inputs, outputs=outputs))
    assert (found["facts"].scale, found["spectrum"].zero_point) == (0.1, 9)
    integers = replace(inputs[2], scale=None)  # levels without a meaning
    with pytest.raises(PackError, match=r"'spectrum' is uint8, .*their scale and zero point"):
        wires(FACTS, part(), made(*inputs[:2], integers, outputs=outputs))
    with pytest.raises(PackError, match=r"two inputs are its tensor 'facts'"):
        wires(FACTS, part(spectrum={"tensor": "facts"}), made(*inputs, outputs=outputs))


def test_the_only_tensor_needs_no_name_and_several_do() -> None:
    assert wires(DRAFT, part(), made(replace(IMAGE, name="serving_default:0")))
    moved = tuple(replace(border, name=f"out_{i}") for i, border in enumerate(OUTPUTS))
    with pytest.raises(PackError, match=r"has no output called 'logits'; it has 'out_0', .*tens"):
        wires(DRAFT, part(), made(outputs=moved))


@pytest.mark.parametrize(
    ("kind", "firsts", "wanted"),
    [("onnx", (None, None), "any"), ("onnx", (1, 1), "one"), ("onnx", (None, 1), "one"),
     ("tflite", (None, None), "one"), ("tflite", (1, 1), "one")],
)  # fmt: skip
def test_how_many_studies_at_once(kind: Any, firsts: tuple[int | None, ...], wanted: str) -> None:
    borders = [Border(f"t{i}", "float32", (first, 4)) for i, first in enumerate(firsts)]
    assert batch(replace(made(borders[0], outputs=(borders[1],)), format=kind)) == wanted


def test_a_tensor_without_shape_has_no_batch() -> None:
    with pytest.raises(PackError, match="logits has no shape in the file"):
        batch(made(outputs=(replace(OUTPUTS[0], shape=()),)))
