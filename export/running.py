"""Exported files as values, and how they run through the very runtime of the device."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edge_dx.backends import ENGINES, Backend, engine_state, open_backend, right_here
from edge_dx.manifest import (
    AnyInput,
    AnyOutput,
    Budget,
    Eligibility,
    InstructionSet,
    Manifest,
    Provenance,
    Variant,
    Wire,
)

Arrays = dict[str, np.ndarray[Any, Any]]

ENGINES_OF: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "openvino"),
    "tflite": ("tflite",),
    "tensorrt": ("tensorrt", "onnx"),
}
"""First part of a variant's name → engines that may run it. Figures come from the first one that
a workstation without a GPU can run."""


@dataclass(frozen=True)
class Made:
    """An exported file with what must be known to run it.

    Attributes:
        name: of the variant.
        payload: the file.
        wires: tensors that stand otherwise in the file.
        runs_on: instruction sets it needs, any one of them.
        undelegated: operators that no fast kernel takes here.
        quantization: how it was made, in words.
    """

    name: str
    payload: bytes = field(repr=False)
    wires: Mapping[str, Wire] = field(default_factory=dict)
    runs_on: tuple[InstructionSet, ...] = ()
    undelegated: tuple[str, ...] = ()
    quantization: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def format(self) -> Literal["onnx", "tflite"]:
        """Of the file."""
        return "tflite" if self.name.startswith("tflite") else "onnx"

    @property
    def precision(self) -> Literal["fp32", "fp16", "int8"]:
        """What its name says."""
        spelt = self.name.rpartition("-")[2]
        return "int8" if spelt == "int8" else "fp16" if spelt == "fp16" else "fp32"

    @property
    def batch(self) -> Literal["any", "one"]:
        """TFLite's kernels are prepared for one shape."""
        return "one" if self.format == "tflite" else "any"

    @property
    def engine(self) -> str:
        """The engine of the workstation, which gives the figures and the golden outputs."""
        return self.format

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that may run it."""
        return ENGINES_OF[self.name.partition("-")[0]]

    @property
    def file(self) -> str:
        """The bundle's member."""
        return f"variants/{self.name}.{self.format}"


def engines_here(made: Made) -> tuple[str, ...]:
    """Those of its engines that this workstation has and can measure, its own first.

    TensorRT is left out even where it is installed: it compiles for the very device, so what it
    gives is proved there.
    """
    found = [made.engine]
    for name in made.engines:
        usable = name != made.engine and ENGINES[name].on_processor and engine_state(name)[0]
        if usable and right_here(name, draft_variant(made)) is None:
            found.append(name)
    return tuple(found)


def draft_manifest(inputs: tuple[AnyInput, ...], outputs: tuple[AnyOutput, ...]) -> Manifest:
    """A manifest with the tensors alone: all that opening an engine asks of it."""
    nothing = "0" * 64
    return Manifest(
        schema_version=1, name="draft", version="0.0.0", task="classification", title="",
        intended_use="", licence="", inputs=inputs, outputs=outputs,
        eligibility=Eligibility(), variants=(), golden=(),
        provenance=Provenance(
            factory="", weights_sha256=nothing, recipe_sha256=nothing, tools={},
            calibration=None, validation=None, training=None,
        ),
        budget=Budget(), members={},
    )  # fmt: skip


def draft_variant(made: Made) -> Variant:
    """The variant's entry with nothing measured."""
    return Variant(
        name=made.name,
        file=made.file,
        format=made.format,
        precision=made.precision,
        engines=made.engines,
        batch=made.batch,
        tolerance={},
        operating_points=(),
        fidelity=None,
        wires=dict(made.wires),
        runs_on=made.runs_on,
        undelegated=len(made.undelegated),
        quantization=dict(made.quantization),
    )


def open_made(
    made: Made,
    inputs: tuple[AnyInput, ...],
    outputs: tuple[AnyOutput, ...],
    engine: str | None = None,
) -> Backend:
    """Opens an exported file with one thread, the way the device does.

    Raises:
        EngineError: the engine refuses it.
        TensorMismatch: its inputs or outputs are not those of the recipe.
    """
    manifest = draft_manifest(inputs, outputs)
    return open_backend(engine or made.engine, manifest, draft_variant(made), made.payload, 1)


def run_each(backend: Backend, feeds: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
    """Runs studies `(N, …)` one at a time, as a device does; outputs joined over N."""
    n = len(next(iter(feeds.values())))
    rows = [backend.run({name: a[i : i + 1] for name, a in feeds.items()}) for i in range(n)]
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
