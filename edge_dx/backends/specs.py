"""What the manifest promises of a variant's tensors, and the check of a file against it."""

from __future__ import annotations

from collections import Counter

from edge_dx.backends.wires import in_file
from edge_dx.errors import TensorMismatch
from edge_dx.manifest import (
    AnyOutput,
    Features,
    HeatMap,
    Manifest,
    Mask,
    Reconstruction,
    Scores,
    Tensor,
    Values,
    Variant,
    VectorInput,
    WaveformInput,
)
from edge_dx.tensors import TensorSpec

_SEVERAL = "{0} judges a signal with several networks; open each one by itself (as_model)"
Specs = tuple[TensorSpec, ...]


def input_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The input tensors that the manifest promises, batch dimension first (None: any size)."""
    specs = []
    for item in manifest.inputs:
        if isinstance(item, WaveformInput):
            raise TensorMismatch(_SEVERAL.format(manifest.name))
        if isinstance(item, VectorInput):
            specs.append(TensorSpec(item.name, "float32", (None, len(item.fields))))
        else:
            specs.append(TensorSpec(item.name, item.dtype, (None, *item.shape)))
    return tuple(specs)


def output_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The output tensors that the manifest promises, batch dimension first."""
    shapes = {item.name: spec.shape[1:] for item, spec in
              zip(manifest.inputs, input_specs(manifest), strict=True)}  # fmt: skip
    labels = {o.name: len(o.labels) for o in manifest.outputs if isinstance(o, Scores)}
    specs = []
    outputs: tuple[AnyOutput | Tensor, ...] = manifest.outputs  # of `as_model` they are tensors
    for output in outputs:
        shape: tuple[int | None, ...]
        if isinstance(output, Scores):
            shape = (len(output.labels),)
        elif isinstance(output, HeatMap):
            shape = (labels[output.of], *output.shape)
        elif isinstance(output, Mask):
            shape = (len(output.labels), *output.shape)
        elif isinstance(output, Values):
            shape = (len(output.fields),)
        elif isinstance(output, Reconstruction):
            shape = shapes[output.of]
        elif isinstance(output, Tensor):
            shape = output.shape
        elif isinstance(output, Features):
            shape = (output.size,)
        else:
            raise TensorMismatch(_SEVERAL.format(manifest.name))
        specs.append(TensorSpec(output.name, "float32", (None, *shape)))
    return tuple(specs)


def file_specs(manifest: Manifest, variant: Variant) -> tuple[Specs, Specs]:
    """Inputs and outputs as they must stand in a variant's file, in the manifest's order."""
    wires = variant.wires
    inputs, outputs = (
        tuple(in_file(spec, wires.get(spec.name)) for spec in side)
        for side in (input_specs(manifest), output_specs(manifest))
    )
    return inputs, outputs


def check_file(name: str, inputs: Specs, outputs: Specs, promised: tuple[Specs, Specs]) -> None:
    """Compares a file's tensors with the promised ones; batch dimensions may be fixed or free.

    Raises:
        TensorMismatch: a name, a type or a shape is another.
    """
    for what, found, wanted in (
        ("inputs", inputs, promised[0]),
        ("outputs", outputs, promised[1]),
    ):
        if Counter(map(_comparable, found)) != Counter(map(_comparable, wanted)):
            raise TensorMismatch(
                f"{name}: the file's {what} are {_told(found)}, the manifest promises "
                f"{_told(wanted)}; export the bundle again"
            )


def _comparable(spec: TensorSpec) -> tuple[str, str, tuple[int | None, ...]]:
    return spec.name, spec.dtype, spec.shape[1:]


def _told(specs: Specs) -> str:
    return ", ".join(f"{s.name} {s.dtype}{list(s.shape)}" for s in specs)
