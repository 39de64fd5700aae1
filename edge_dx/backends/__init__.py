"""Engines by name: a lazy table that says what is missing and how to get it.

Nothing is imported before an engine is opened, and an engine that was asked for by name is the
one that runs: there is no fallback to another engine, provider or precision.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from edge_dx import device
from edge_dx.backends.protocol import Backend
from edge_dx.backends.quiet import engine_module
from edge_dx.backends.specs import input_specs, output_specs
from edge_dx.backends.wires import Wired
from edge_dx.errors import EngineMissing, EngineRefused
from edge_dx.manifest import Manifest, Variant

__all__ = [
    "ENGINES",
    "Backend",
    "Engine",
    "engine_state",
    "input_specs",
    "open_backend",
    "output_specs",
    "right_here",
]


@dataclass(frozen=True)
class Engine:
    """A row of the table.

    Attributes:
        module: where the backend class lives.
        cls: its name.
        formats: variant formats it reads.
        packages: importable packages that carry it, the first one found is used; empty where
            edge_dx carries it itself.
        install: the command that brings it.
        also: importable packages that it needs besides.
        provider: onnxruntime's execution provider, or None.
        probe: `module:function` that tells why it cannot run here, or None.
        on_processor: whether the processor computes, so that its instruction sets matter.
    """

    module: str
    cls: str
    formats: tuple[str, ...]
    packages: tuple[str, ...]
    install: str
    also: tuple[str, ...] = ()
    provider: str | None = None
    probe: str | None = None
    on_processor: bool = True


ENGINES: dict[str, Engine] = {
    "onnx": Engine(
        "edge_dx.backends.onnx", "OnnxCpu", ("onnx",), ("onnxruntime",),
        "pip install onnxruntime", provider="CPUExecutionProvider",
    ),
    "openvino": Engine(
        "edge_dx.backends.openvino", "OpenVino", ("onnx",), ("openvino",),
        "pip install 'edge-dx[openvino]'",
    ),
    "tflite": Engine(
        "edge_dx.backends.tflite", "TfLite", ("tflite",), ("ai_edge_litert", "tflite_runtime"),
        "pip install 'edge-dx[tflite]'",
    ),
    "tensorrt": Engine(
        "edge_dx.backends.tensorrt", "TensorRt", ("onnx",),
        ("tensorrt", "tensorrt_rtx_bindings"),
        "it comes with JetPack, or from NVIDIA's own package index; see docs/tensorrt.md",
        also=("cuda.bindings",), probe="edge_dx.backends.tensorrt:problem", on_processor=False,
    ),
    "onnx-cuda": Engine(
        "edge_dx.backends.onnx", "OnnxCuda", ("onnx",), ("onnxruntime",),
        "pip install onnxruntime-gpu (in place of onnxruntime)",
        provider="CUDAExecutionProvider", on_processor=False,
    ),
    "pretend": Engine(
        "edge_dx.backends.pretend", "Pretend", ("onnx", "tflite"), (), "it is always there",
        on_processor=False,
    ),
}  # fmt: skip


def engine_state(name: str) -> tuple[bool, str]:
    """Whether an engine can be used here, and its version or what is missing and how to get it.

    Imports the engine's package where it is installed.

    Raises:
        EngineMissing: no engine of that name exists.
    """
    row = _row(name)
    if not row.packages:
        return True, "shipped"
    found = next((package for package in row.packages if _is_here(package)), None)
    if found is None:
        return False, f"{' or '.join(row.packages)} is not installed; {row.install}"
    missing = [package for package in row.also if not _is_here(package)]
    if missing:
        return False, f"{found} is here, {', '.join(missing)} is not; {row.install}"
    try:
        package = engine_module(found)
    except Exception as error:  # whatever a broken installation raises is the finding
        return False, f"{found} is installed but broken ({error}); {row.install}"
    version = str(getattr(package, "__version__", "of unknown version")).partition("-")[0]
    if row.provider and row.provider not in package.get_available_providers():
        return False, f"this {found} {version} has no {row.provider}; {row.install}"
    if row.probe:
        where, _, function = row.probe.partition(":")
        wrong = getattr(importlib.import_module(where), function)()
        if wrong is not None:
            return False, wrong
    return True, version if found == row.packages[0] else f"{found} {version}"


def right_here(name: str, variant: Variant) -> str | None:
    """Why this device would not compute what was measured the way it was measured, or None.

    Raises:
        EngineMissing: no engine of that name exists.
    """
    row = _row(name)
    older = next(filter(_is_here, row.packages), None) == "tflite_runtime"
    if older and variant.precision == "int8" and not variant.undelegated:
        return (
            f"variant {variant.name} needs fast 8-bit kernels, which tflite_runtime does not "
            "use (ten times slower and more); pip install ai-edge-litert in its place, or accept "
            "it with --allow-slow"
        )
    if not row.on_processor or not variant.runs_on:
        return None
    present = device.instruction_sets()
    if set(variant.runs_on).intersection(present):
        return None
    return (
        f"variant {variant.name} is right for processors with {' or '.join(variant.runs_on)}; "
        f"this one has {', '.join(present) or 'instruction sets that could not be told'}, where "
        "8-bit sums may saturate silently (a file made with reduce_range runs anywhere)"
    )


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
        EngineRefused: the engine does not read this format or not the way it was asked to, or
            this device is not one that the file was made for (`right_here`).
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
    wrong = right_here(name, variant)
    if wrong:
        raise EngineRefused(f"engine {name}: {wrong}; or use an fp32 variant")
    factory = getattr(importlib.import_module(row.module), row.cls)
    backend: Backend = factory(manifest, variant, payload, 1 if threads is None else threads)
    if not variant.wires or name == "pretend":
        return backend
    return Wired(backend, manifest, variant, (input_specs(manifest), output_specs(manifest)))


def _is_here(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of a dotted name, the parent
        return False


def _row(name: str) -> Engine:
    row = ENGINES.get(name)
    if row is None:
        raise EngineMissing(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    return row
