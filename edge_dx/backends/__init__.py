"""Engines by name: a lazy table that says what is missing and how to get it.

Nothing is imported before an engine is opened, and an engine that was asked for by name is the
one that runs: there is no fallback to another engine, provider or precision.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from edge_dx.backends.protocol import Backend
from edge_dx.errors import EngineMissing, EngineRefused
from edge_dx.manifest import Features, HeatMap, Manifest, Scores, Variant
from edge_dx.tensors import TensorSpec

__all__ = [
    "ENGINES",
    "Backend",
    "Engine",
    "engine_state",
    "input_specs",
    "open_backend",
    "output_specs",
]


@dataclass(frozen=True)
class Engine:
    """A row of the table.

    Attributes:
        module: where the backend class lives.
        cls: its name.
        formats: variant formats it reads.
        package: importable package it needs, or None.
        provider: onnxruntime's execution provider, or None.
        install: the command that brings it.
    """

    module: str
    cls: str
    formats: tuple[str, ...]
    package: str | None
    provider: str | None
    install: str


ENGINES: dict[str, Engine] = {
    "onnx": Engine(
        "edge_dx.backends.onnx", "OnnxCpu", ("onnx",), "onnxruntime", "CPUExecutionProvider",
        "pip install onnxruntime",
    ),
    "onnx-cuda": Engine(
        "edge_dx.backends.onnx", "OnnxCuda", ("onnx",), "onnxruntime", "CUDAExecutionProvider",
        "pip install onnxruntime-gpu (in place of onnxruntime)",
    ),
    "pretend": Engine(
        "edge_dx.backends.pretend", "Pretend", ("onnx",), None, None, "it is always there",
    ),
}  # fmt: skip


def engine_state(name: str) -> tuple[bool, str]:
    """Whether an engine can be used here, and its version or what is missing and how to get it.

    Imports the engine's package where it is installed.

    Raises:
        EngineMissing: no engine of that name exists.
    """
    row = _row(name)
    if row.package is None:
        return True, "shipped"
    if importlib.util.find_spec(row.package) is None:
        return False, f"{row.package} is not installed; {row.install}"
    try:
        package = importlib.import_module(row.package)
    except Exception as error:  # whatever a broken installation raises is the finding
        return False, f"{row.package} is installed but broken ({error}); {row.install}"
    if row.provider and row.provider not in package.get_available_providers():
        return (
            False,
            f"this {row.package} {package.__version__} has no {row.provider}; {row.install}",
        )
    return True, str(package.__version__)


def open_backend(
    name: str,
    manifest: Manifest,
    variant: Variant,
    payload: bytes,
    threads: int | None = None,
) -> Backend:
    """Opens a variant's file with the named engine and checks it against the manifest.

    Args:
        name: a key of `ENGINES`.
        manifest: the contract that the file has to keep.
        variant: which variant the file is.
        payload: the file's bytes.
        threads: threads for one inference; 1 where None.

    Raises:
        EngineMissing: the engine is unknown or not installed; the message has the command.
        EngineRefused: the engine does not read this format, or not the way it was asked to.
        EngineFailed: the engine raised while loading.
        TensorMismatch: the file's inputs or outputs are not those of the manifest.
    """
    row = _row(name)
    if variant.format not in row.formats:
        readers = [n for n, r in ENGINES.items() if variant.format in r.formats]
        raise EngineRefused(
            f"engine {name} does not read {variant.format} files, which variant "
            f"{variant.name} is; engines that do: {', '.join(readers)}"
        )
    there, detail = engine_state(name)
    if not there:
        raise EngineMissing(f"engine {name}: {detail}")
    if threads is not None and threads < 1:  # engines read 0 as "all cores", which nobody asked for
        raise EngineRefused(f"engine {name}: threads is at least 1, not {threads}")
    factory = getattr(importlib.import_module(row.module), row.cls)
    backend: Backend = factory(manifest, variant, payload, 1 if threads is None else threads)
    return backend


def input_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The input tensors that the manifest promises, batch dimension first (None: any size)."""
    return tuple(TensorSpec(i.name, i.dtype, (None, *i.shape)) for i in manifest.inputs)


def output_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The output tensors that the manifest promises, batch dimension first."""
    labels = {o.name: len(o.labels) for o in manifest.outputs if isinstance(o, Scores)}
    shapes: list[tuple[int | None, ...]] = []
    for output in manifest.outputs:
        if isinstance(output, Scores):
            shapes.append((None, len(output.labels)))
        elif isinstance(output, HeatMap):
            shapes.append((None, labels[output.of], *output.shape))
        else:
            assert isinstance(output, Features)
            shapes.append((None, output.size))
    return tuple(
        TensorSpec(output.name, "float32", shape)
        for output, shape in zip(manifest.outputs, shapes, strict=True)
    )


def _row(name: str) -> Engine:
    row = ENGINES.get(name)
    if row is None:
        raise EngineMissing(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    return row
