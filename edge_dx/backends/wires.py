"""Between the manifest's tensors and those of a file that stores them otherwise.

A TFLite file that is integer to its borders takes int8 and gives int8, a file from elsewhere has
names of its own and may put channels last. The manifest says so (`Wire`), an engine speaks the
file's language, and `Wired` stands between the two, so that thresholds, heat maps and golden
outputs mean the same for every variant.

An 8-bit image that the file wants normalised and quantized passes through a table of 256 entries
per channel: the same arithmetic as the graph's own, done once for each grey level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_dx.backends.protocol import Backend
from edge_dx.errors import TensorMismatch
from edge_dx.image import normalise_constants
from edge_dx.manifest import AnyInput, ImageInput, Manifest, Variant, Wire
from edge_dx.tensors import Array, TensorSpec, check_feeds

Translate = Callable[[Array], Array]


def in_file(spec: TensorSpec, wire: Wire | None) -> TensorSpec:
    """What a tensor of the manifest looks like in the file."""
    if wire is None:
        return spec
    batch, *rest = spec.shape
    if wire.layout == "channels_last":
        rest = [*rest[1:], rest[0]]
    return TensorSpec(wire.tensor, wire.dtype, (batch, *rest))


def encoder(item: AnyInput, spec: TensorSpec, wire: Wire) -> Translate:
    """Compiles the way from the manifest's input tensor to the file's.

    Args:
        item: the manifest's input.
        spec: its tensor.
        wire: how it stands in the file.

    Raises:
        TensorMismatch: the file's type cannot hold the values, and no scale is told.
    """
    if wire.scale is not None and wire.dtype == "float32":
        raise TensorMismatch(f"{spec.name} has a scale in the file, and float32 has no levels")
    made = "float32" if wire.normalised else spec.dtype
    if wire.scale is None and not np.can_cast(made, wire.dtype):
        raise TensorMismatch(
            f"{spec.name} is {made} and {wire.dtype} in the file, with no scale between the two"
        )
    if spec.dtype == "uint8" and (wire.normalised or wire.scale is not None):
        table = _table(item, spec, wire)

        def translate(array: Array) -> Array:
            if len(table) == 1:
                return np.take(table[0], array)
            return np.stack([np.take(row, array[:, c]) for c, row in enumerate(table)], axis=1)
    else:

        def translate(array: Array) -> Array:
            return quantized(array, wire)

    if wire.layout == "channels_last":
        return lambda array: np.ascontiguousarray(np.moveaxis(translate(array), 1, -1))
    return lambda array: np.ascontiguousarray(translate(array))


def decoder(wire: Wire) -> Translate:
    """Compiles the way from the file's output tensor to the manifest's float32."""

    def translate(array: Array) -> Array:
        values: Array = array.astype(np.float32)
        if wire.scale is not None:
            values = (values - np.float32(wire.zero_point)) * np.float32(wire.scale)
        if wire.layout == "channels_last":
            values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
        return values

    return translate


def quantized(values: Array, wire: Wire) -> Array:
    """Values in the file's type, rounded to the nearest level and cut off at its ends.

    Raises:
        TensorMismatch: a value is no number, which no level of an integer stands for.
    """
    dtype = np.dtype(wire.dtype)
    if wire.scale is None:
        return values.astype(dtype)
    if not np.isfinite(values).all():
        raise TensorMismatch(f"{wire.tensor}: a value is not finite, and the file takes {dtype}")
    ends = np.iinfo(dtype)
    with np.errstate(over="ignore"):  # what is too large is cut off below
        levels = np.rint(values.astype(np.float32) / np.float32(wire.scale)) + wire.zero_point
    result: Array = np.clip(levels, ends.min, ends.max).astype(dtype)
    return result


def _table(item: AnyInput, spec: TensorSpec, wire: Wire) -> Array:
    """(channels or 1, 256): each grey level as the file stores it."""
    levels: Array = np.arange(256, dtype=np.float32)[None]
    if wire.normalised:
        assert isinstance(item, ImageInput), "the manifest's own check holds this"
        for step in item.in_graph:
            mean, reciprocal = normalise_constants(step)
            levels = (levels - mean.reshape(-1, 1)) * reciprocal.reshape(-1, 1)
    if len(levels) == spec.shape[1] and all(np.array_equal(row, levels[0]) for row in levels):
        levels = levels[:1]
    return quantized(levels, wire)


class Wired:
    """An engine that speaks the file's language, seen in the manifest's."""

    def __init__(
        self,
        inner: Backend,
        manifest: Manifest,
        variant: Variant,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    ) -> None:
        wires = variant.wires
        self._inner = inner
        batch = inner.inputs[0].shape[0]
        self._inputs, self._outputs = (
            tuple(TensorSpec(s.name, s.dtype, (batch, *s.shape[1:])) for s in side)
            for side in specs
        )
        self._encode: dict[str, tuple[str, Translate]] = {}
        for item, spec in zip(manifest.inputs, specs[0], strict=True):
            wire = wires.get(spec.name)
            self._encode[spec.name] = (
                (spec.name, lambda array: array)
                if wire is None
                else (wire.tensor, encoder(item, spec, wire))
            )
        self._decode: dict[str, tuple[str, Translate]] = {}
        for spec in specs[1]:
            wire = wires.get(spec.name)
            self._decode[spec.name] = (
                (spec.name, lambda array: array) if wire is None else (wire.tensor, decoder(wire))
            )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The manifest's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The manifest's outputs."""
        return self._outputs

    @property
    def built(self) -> str | None:
        """What the engine compiled; see `Backend.built`."""
        return self._inner.built

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Translates, runs and translates back; see `Backend.run`."""
        check_feeds(self._inputs, feeds)
        given: dict[str, Any] = {}
        for name, (tensor, encode) in self._encode.items():
            given[tensor] = encode(feeds[name])
        found = self._inner.run(given)
        return {name: decode(found[tensor]) for name, (tensor, decode) in self._decode.items()}

    def close(self) -> None:
        """Closes the engine."""
        self._inner.close()


_: type[Backend] = Wired
