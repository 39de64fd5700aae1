"""edge_dx's own models as what is measured: a bundle answers as an MLPerf Tiny device.

    with own_model("chest-tb") as model, Simulator(answering(model)) as device:
        print(device.tcp())

What is loaded are the bytes of the prepared input, little endian, several inputs one after the
other: rows and channels stand as in the variant's own file (channels last where that has them so),
numbers in the manifest's type, or those of arrays in the 8-bit levels of an integer file. So the
files of the benchmark's own data sets fit its models. Preparation and gate are left out, as the
benchmark does not time them; a picture that the model would refuse gets an answer here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edge_dx
from edge_dx import interpret
from edge_dx.backends import input_specs
from edge_dx.errors import EdgeDxError
from edge_dx.manifest import ArrayInput, Reconstruction, Scores, Wire
from edge_dx.signal_model import SignalModel
from edge_dx.tensors import TensorSpec
from firmware_bridge.errors import NotServed
from firmware_bridge.mlperf_tiny.dut import Dut

Array = np.ndarray[Any, np.dtype[Any]]


class OwnModel:
    """A variant of a bundle on an engine; a `DutModel`.

    Attributes:
        name: what `profile%` says; the official runner knows its models by it.
        max_input: bytes of the longest input that it takes.
    """

    def __init__(self, model: edge_dx.Model, name: str | None = None) -> None:
        """Puts the adapter on.

        Args:
            model: of a bundle that judges single inputs.
            name: other than the bundle's, for example `kws01`.

        Raises:
            NotServed: the bundle judges a signal, or the name cannot be said on this line.
        """
        manifest = model.bundle.manifest
        if isinstance(model, SignalModel):
            raise NotServed(
                f"{manifest.name} judges a signal as it comes, and this benchmark measures single "
                f"inferences; serve it (edge-dx-bridge serve {manifest.name} DEVICE)"
            )
        self.name = manifest.name if name is None else name
        if not self.name.isascii() or not self.name.isprintable() or set("[]%") & set(self.name):
            raise NotServed(f"{self.name!r}: a model's name is printable ASCII without [, ] and %")
        self._manifest, self._variant, self._backend = manifest, model.variant, model.backend
        self._shapes = [
            _Stored(spec, model.variant.wires.get(spec.name), isinstance(item, ArrayInput))
            for item, spec in zip(manifest.inputs, input_specs(manifest), strict=True)
        ]
        self._sizes = [shape.size for shape in self._shapes]
        self._levels = (
            [shape.count for shape in self._shapes]
            if all(shape.has_levels for shape in self._shapes)
            else None
        )
        self.max_input = sum(self._sizes)
        self._feeds: dict[str, Array] | None = None
        self._outputs: Mapping[str, Array] | None = None

    def load(self, data: bytes) -> None:
        """Takes the prepared input's bytes; see this file's head.

        Raises:
            ValueError: they are not as many as the model takes.
        """
        self._feeds = self._outputs = None
        quantized = self._levels is not None and len(data) == sum(self._levels)
        sizes = self._levels if quantized and self._levels is not None else self._sizes
        if len(data) != sum(sizes):
            also = f" or {sum(self._levels)}" if self._levels is not None else ""
            raise ValueError(f"{self.name} takes {self.max_input}{also} bytes, not {len(data)}")
        feeds, at = {}, 0
        for shape, size in zip(self._shapes, sizes, strict=True):
            feeds[shape.name] = shape.read(data[at : at + size], quantized=quantized)
            at += size
        self._feeds = feeds

    def infer(self) -> None:
        """One call of the engine.

        Raises:
            ValueError: nothing was loaded, or the engine failed.
        """
        if self._feeds is None:
            raise ValueError("nothing was loaded")
        try:
            self._outputs = self._backend.run(self._feeds)
        except EdgeDxError as error:
            raise ValueError(str(error)) from error

    def results(self) -> Sequence[float]:
        """Probabilities, quantities, errors and areas that the last inference gave, by output.

        Raises:
            ValueError: there was none, or its outputs cannot be right.
        """
        if self._outputs is None or self._feeds is None:
            raise ValueError("nothing was inferred")
        outputs, manifest = self._outputs, self._manifest
        if problem := interpret.integrity_problem(manifest, self._variant, outputs, 0):
            raise ValueError(problem.detail)
        found: list[float] = []
        for output in manifest.outputs:
            raw = outputs[output.name]
            if isinstance(output, Scores):
                found += interpret.probabilities(output, raw[:1])[0].tolist()
            elif isinstance(output, Reconstruction):
                found.append(interpret.reconstruction_error(output, self._feeds, raw[:1]))
        found += [value.value for value in interpret.values(manifest, outputs, 0)]
        return found + [m.share for m in interpret.masks(manifest, self._variant, outputs, 0)]


class _Stored:
    """How an input lies in the bytes that are loaded."""

    def __init__(self, spec: TensorSpec, wire: Wire | None, is_array: bool) -> None:
        rest = [n for n in spec.shape[1:] if n is not None]
        self.name, self._wire = spec.name, wire
        self._dtype = np.dtype(spec.dtype).newbyteorder("<")
        self._last = wire is not None and wire.layout == "channels_last"
        self._shape = (1, *rest[1:], rest[0]) if self._last else (1, *rest)
        self.count = int(np.prod(rest))
        self.size = self.count * self._dtype.itemsize
        self.has_levels = is_array and wire is not None and wire.scale is not None

    def read(self, data: bytes, *, quantized: bool) -> Array:
        """The manifest's tensor."""
        wire = self._wire
        if quantized:
            assert wire is not None, "has_levels was asked"
            assert wire.scale is not None, "likewise"
            levels = np.frombuffer(data, wire.dtype).astype(np.float32)
            found: Array = (levels - np.float32(wire.zero_point)) * np.float32(wire.scale)
        else:
            found = np.frombuffer(data, self._dtype).astype(self._dtype.newbyteorder("="))
        found = found.reshape(self._shape)
        return np.ascontiguousarray(np.moveaxis(found, -1, 1) if self._last else found)


class Answering:
    """A device under test that a `Simulator` can host: on TCP or a pty."""

    def __init__(self, dut: Dut) -> None:
        self._dut = dut
        self._coming: Iterator[bytes] = iter(())
        self._heard = bytearray()
        self._busy = False

    @property
    def next_due_us(self) -> int | None:
        """At once while an answer is being made."""
        return 0 if self._busy or self._heard else None

    def receive(self, data: bytes) -> None:
        """Commands; they are obeyed when answers are taken."""
        self._heard += data

    def advance(self, now_us: int) -> None:
        """Nothing here goes by the clock."""

    def take(self, at_most: int | None = None) -> bytes:
        """The next piece of an answer."""
        del at_most  # the longest is what was loaded, printed
        while True:
            for piece in self._coming:
                self._busy = True
                return piece
            self._busy = False
            if not self._heard:
                return b""
            self._coming = self._dut.answers(bytes(self._heard))
            self._heard.clear()


def answering(model: OwnModel, vendor: str = "edge-dx") -> Answering:
    """The device that is measured."""
    return Answering(Dut(model, vendor, max_input=model.max_input))


@contextlib.contextmanager
def own_model(
    bundle: str | Path, *, variant: str | None = None, engine: str | None = None,
    threads: int | None = None, allow_unsigned: bool = False, name: str | None = None,
) -> Iterator[OwnModel]:  # fmt: skip
    """The bundle's model, proved on this machine.

    Raises:
        NotServed: it cannot be opened, or judges no single inputs; the cause says more.
    """
    try:
        model = edge_dx.load(bundle, variant, engine, threads, allow_unsigned=allow_unsigned)
    except EdgeDxError as error:
        raise NotServed(str(error)) from error
    with model:
        yield OwnModel(model, name)
