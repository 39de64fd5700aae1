"""Between the manifest's tensors and a file's: the same arithmetic, level for level."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_dx.backends.wires import Wired, decoder, encoder, in_file, quantized
from edge_dx.errors import EngineFailed, TensorMismatch
from edge_dx.image import compile_steps
from edge_dx.manifest import ArrayInput, ImageInput, Wire
from edge_dx.steps import Normalise
from edge_dx.tensors import TensorSpec
from tests import tiny

Array = np.ndarray[Any, Any]

GREY = Normalise(mean=(128,), std=(64,))
COLOUR = Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
ENDS = {"int8": (-128, 127), "uint8": (0, 255)}

scales = st.floats(2**-14, 10, width=32)
wires_of_integers = st.sampled_from(["int8", "uint8"]).flatmap(
    lambda dtype: st.builds(
        Wire, tensor=st.just("t"), dtype=st.just(dtype), scale=scales,
        zero_point=st.integers(*ENDS[dtype]),
    )
)  # fmt: skip


def image(channels: int = 1, *steps: Normalise) -> tuple[ImageInput, TensorSpec]:
    item = ImageInput(name="image", shape=(channels, 4, 5), dtype="uint8", unit="grey level",
                      prepare=(), in_graph=steps)  # fmt: skip
    return item, TensorSpec("image", "uint8", (None, channels, 4, 5))


def wire(dtype: Any = "int8", **changes: Any) -> Wire:
    return Wire(**{"tensor": "t", "dtype": dtype, **changes})


def levels(channels: int = 1) -> Array:
    """Every grey level in every channel."""
    ramp = np.arange(260, dtype=np.int64).reshape(13, 1, 4, 5) % 256
    return np.concatenate([(ramp + 7 * c) % 256 for c in range(channels)], 1).astype(np.uint8)


# --- there and back ---


@given(wires_of_integers)
def test_levels_come_back_as_they_were(told: Wire) -> None:
    low, high = ENDS[told.dtype]
    stored = np.arange(low, high + 1).astype(told.dtype)
    assert np.array_equal(quantized(decoder(told)(stored), told), stored)


@given(
    wires_of_integers, arrays.arrays(np.float32, (2, 3), elements=st.floats(-1e3, 1e3, width=32))
)
def test_values_come_back_within_half_a_level_or_at_an_end(told: Wire, values: Array) -> None:
    assert told.scale
    low, high = (float(decoder(told)(np.array([end], told.dtype))[0]) for end in ENDS[told.dtype])
    back = decoder(told)(quantized(values, told))
    error = np.abs(back - np.clip(values, low, high))
    assert (error <= told.scale * 0.5 + 1e-4 * np.abs(values) + 1e-6).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_what_lies_outside_is_cut_off_at_the_ends(dtype: str) -> None:
    told = wire(dtype, scale=0.5, zero_point=10)
    far = np.array([-1e30, -1e3, 1e3, 1e30, -np.finfo(np.float32).max], np.float32)
    low, high = ENDS[dtype]
    assert quantized(far, told).tolist() == [low, low, high, high, low]
    assert quantized(far, told).dtype == dtype


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_becomes_no_level(value: float) -> None:
    with pytest.raises(TensorMismatch, match="not finite"):
        quantized(np.array([0, value], np.float32), wire(scale=1.0))


def test_halves_go_to_the_even_level() -> None:
    assert quantized(np.array([0.5, 1.5, 2.5, -0.5], np.float32), wire(scale=1.0)).tolist() == [
        0, 2, 2, 0,
    ]  # fmt: skip


def test_an_output_without_a_scale_is_given_as_it_is() -> None:
    values = np.array([[1.25, -3.5]], np.float32)
    assert np.array_equal(decoder(wire("float32"))(values), values)


# --- the table of 256 entries ---


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("steps", [(GREY,), (COLOUR,), (GREY, COLOUR)])
def test_the_table_is_the_arithmetic_to_the_bit(steps: tuple[Normalise, ...], dtype: str) -> None:
    channels = 3 if COLOUR in steps else 1
    item, spec = image(channels, *steps)
    scale, zero = (None, 0) if dtype == "float32" else (0.0173, 3)
    told = wire(dtype, scale=scale, zero_point=zero, normalised=True)
    pictures = levels(channels)
    found = encoder(item, spec, told)(pictures)
    one_by_one = [compile_steps(steps)(np.moveaxis(p, 0, -1).squeeze()) for p in pictures]
    wanted = np.stack([np.moveaxis(v.reshape(4, 5, channels), -1, 0) for v in one_by_one])
    assert np.array_equal(found, quantized(wanted.astype(np.float32), told))
    assert found.dtype == dtype
    assert found.flags.c_contiguous


def test_levels_of_one_mean_and_a_matching_scale_are_grey_levels_moved() -> None:
    item, spec = image(1, GREY)
    found = encoder(item, spec, wire(scale=1 / 64, normalised=True))(levels())
    assert np.array_equal(found, levels().astype(np.int16) - 128)


def test_channels_with_the_same_constants_share_a_table() -> None:
    item, spec = image(3, Normalise(mean=(128, 128, 128), std=(64, 64, 64)))
    one, one_spec = image(1, GREY)
    told = wire(scale=1 / 50, normalised=True)
    pictures = levels(3)
    found = encoder(item, spec, told)(pictures)
    for channel in range(3):
        alone = encoder(one, one_spec, told)(pictures[:, channel : channel + 1])
        assert np.array_equal(found[:, channel : channel + 1], alone)


def test_channels_go_last_and_come_back() -> None:
    item, spec = image(3, COLOUR)
    told = wire(scale=0.02, normalised=True)
    last = wire(scale=0.02, normalised=True, layout="channels_last")
    pictures = levels(3)
    first = encoder(item, spec, told)(pictures)
    assert in_file(spec, last) == TensorSpec("t", "int8", (None, 4, 5, 3))
    assert in_file(spec, None) == spec
    moved = encoder(item, spec, last)(pictures)
    assert np.array_equal(moved, first.transpose(0, 2, 3, 1))
    assert moved.flags.c_contiguous
    back = decoder(last)(moved)
    assert np.array_equal(back, decoder(told)(first))
    assert back.flags.c_contiguous


def test_an_array_is_quantized_without_a_table() -> None:
    item = ArrayInput(name="x", shape=(3,), unit="mV")
    spec = TensorSpec("x", "float32", (None, 3))
    found = encoder(item, spec, wire("uint8", scale=0.5, zero_point=128))(
        np.array([[-1, 0, 1.25]], np.float32)
    )
    assert found.tolist() == [[126, 128, 130]]


def test_grey_levels_pass_where_the_file_takes_them_as_they_are() -> None:
    item, spec = image()
    assert np.array_equal(encoder(item, spec, wire("uint8"))(levels()), levels())
    wide = encoder(item, spec, wire("float32"))(levels())
    assert wide.dtype == np.float32
    assert np.array_equal(wide, levels())


@pytest.mark.parametrize(
    ("item", "spec", "told"),
    [
        (*image(), wire("int8")),  # 200 would become -56
        (*image(1, GREY), wire("int8", normalised=True)),
        (ArrayInput(name="x", shape=(3,), unit="mV"), TensorSpec("x", "float32", (None, 3)),
         wire("uint8")),
        (*image(1, GREY), wire("float32", scale=0.5, normalised=True)),
    ],
)  # fmt: skip
def test_a_type_that_cannot_hold_the_values_is_refused(
    item: Any, spec: TensorSpec, told: Wire
) -> None:
    with pytest.raises(TensorMismatch, match=r"no scale between the two|float32 has no levels"):
        encoder(item, spec, told)


# --- around an engine ---


class Echo:
    """An engine in a file's language: gives its first input as both of its outputs."""

    inputs = (TensorSpec("a", "int8", (1, 2)), TensorSpec("plain", "float32", (1, 1)))
    outputs = (TensorSpec("b", "int8", (1, 2)), TensorSpec("plain_out", "float32", (1, 1)))
    built = "abc"
    closed = False

    def run(self, feeds: Any) -> dict[str, Array]:
        if self.closed:
            raise EngineFailed("is closed")
        self.seen = feeds
        return {"plain_out": feeds["plain"] * 2, "b": feeds["a"]}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def wired() -> tuple[Wired, Echo]:
    built = tiny.parts().built()
    inputs = (ArrayInput(name="x", shape=(2,), unit="mV"),
              ArrayInput(name="plain", shape=(1,), unit="mV"))  # fmt: skip
    both = (
        (TensorSpec("x", "float32", (None, 2)), TensorSpec("plain", "float32", (None, 1))),
        (TensorSpec("y", "float32", (None, 2)), TensorSpec("plain_out", "float32", (None, 1))),
    )
    manifest = msgspec.structs.replace(built, inputs=inputs)
    variant = msgspec.structs.replace(
        built.variants[0],
        wires={"x": wire(tensor="a", scale=0.5), "y": wire(tensor="b", scale=2.0, zero_point=1)},
    )
    inner = Echo()
    return Wired(inner, manifest, variant, both), inner


def test_an_engine_is_seen_in_the_manifests_language(wired: tuple[Wired, Echo]) -> None:
    backend, inner = wired
    assert [s.shape for s in (*backend.inputs, *backend.outputs)] == [(1, 2), (1, 1)] * 2
    assert backend.built == "abc"
    feeds = {"plain": np.ones((1, 1), np.float32), "x": np.array([[1, -3]], np.float32)}
    found = backend.run(feeds)
    assert inner.seen["a"].tolist() == [[2, -6]]
    assert {name: value.tolist() for name, value in found.items()} == {
        "y": [[2.0, -14.0]], "plain_out": [[2.0]],
    }  # fmt: skip
    with pytest.raises(TensorMismatch, match="the model takes plain, x"):
        backend.run({"a": np.zeros((1, 2), np.int8)})
    backend.close()
    assert inner.closed
    with pytest.raises(EngineFailed, match="is closed"):
        backend.run(feeds)
