"""TFLite files through LiteRT (`ai_edge_litert`), or the older `tflite_runtime`.

The interpreter hands the graph to XNNPACK's fast kernels and computes what they do not take with
reference loops, silently: a file with 16-bit activations ran a hundred times slower that way. The
operators that the delegate left over are counted after loading, and more of them than the
manifest accepts is a refusal.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_dx.backends.protocol import Backend
from edge_dx.backends.specs import check_file, file_specs
from edge_dx.backends.tflite_file import problem
from edge_dx.errors import EngineFailed, EngineMissing, EngineRefused, TensorMismatch
from edge_dx.manifest import Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds

PACKAGES = ("ai_edge_litert", "tflite_runtime")
"""In the order in which they are looked for; both have the module `interpreter`."""


@dataclass(frozen=True)
class TensorOfFile:
    """A tensor at the border of a TFLite file.

    Attributes:
        shape: as the file has it, batch first.
        scale: of a quantized tensor, `value = (stored - zero_point) * scale`; None of others.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int

    @property
    def spec(self) -> TensorSpec:
        """Name, type and shape alone."""
        return TensorSpec(self.name, self.dtype, self.shape)


@dataclass(frozen=True)
class Described:
    """What a TFLite file takes and gives, and which operators no fast kernel took here."""

    inputs: tuple[TensorOfFile, ...]
    outputs: tuple[TensorOfFile, ...]
    undelegated: tuple[str, ...]


def describe(payload: bytes) -> Described:
    """Loads a file and tells its borders.

    Raises:
        EngineMissing: neither package is installed.
        EngineFailed: it is no TFLite file, or one that the interpreter cannot load.
        EngineRefused: an input or output is quantized per channel.
    """
    return _described(new_interpreter(payload, 1, "the file"))


class TfLite:
    """A TFLite interpreter with XNNPACK's kernels."""

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        self._name = f"variant {variant.name} on engine tflite"
        self._interpreter: Any = new_interpreter(payload, threads, self._name)
        self._running = threading.Lock()  # an interpreter holds one inference's tensors
        found = _described(self._interpreter)
        if len(found.undelegated) > variant.undelegated:
            raise EngineRefused(
                f"{self._name}: the fast kernels (XNNPACK) of this interpreter leave out "
                f"{len(found.undelegated)} operators ({', '.join(found.undelegated[:5])}), the "
                f"manifest accepts {variant.undelegated}: they would run on reference loops, up "
                "to a hundred times slower. Use a newer ai-edge-litert, or export the file with "
                "8-bit activations. A maker who accepts it says so with `undelegated`, a user "
                "with --allow-slow"
            )
        check_file(
            self._name,
            tuple(tensor.spec for tensor in found.inputs),
            tuple(tensor.spec for tensor in found.outputs),
            file_specs(manifest, variant),
        )
        _check_quantization(self._name, variant, (*found.inputs, *found.outputs))
        order = [spec.name for spec in file_specs(manifest, variant)[1]]
        self._inputs = tuple(tensor.spec for tensor in found.inputs)
        specs = {tensor.name: tensor.spec for tensor in found.outputs}
        self._outputs = tuple(specs[name] for name in order)
        self._places, self._results = (
            {detail["name"]: detail["index"] for detail in details}
            for details in (
                self._interpreter.get_input_details(),
                self._interpreter.get_output_details(),
            )
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's inputs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's outputs."""
        return self._outputs

    @property
    def built(self) -> None:
        """Nothing: the interpreter reads the file as it is."""
        return None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Backend.run`."""
        check_feeds(self._inputs, feeds)
        with self._running:
            if self._interpreter is None:
                raise EngineFailed(f"{self._name}: is closed")
            try:
                for name, array in feeds.items():
                    self._interpreter.set_tensor(self._places[name], np.ascontiguousarray(array))
                self._interpreter.invoke()
                return {  # `get_tensor` copies
                    spec.name: self._interpreter.get_tensor(self._results[spec.name])
                    for spec in self._outputs
                }
            except Exception as error:  # ValueError and RuntimeError, and whatever pybind raises
                raise EngineFailed(
                    f"{self._name}: the interpreter failed ({_line(error)})"
                ) from error

    def close(self) -> None:
        """Lets go of the interpreter."""
        with self._running:
            self._interpreter = None


def new_interpreter(payload: bytes, threads: int, name: str) -> Any:
    """An interpreter with its tensors allocated.

    Args:
        payload: the file.
        threads: for one inference.
        name: of the file, for messages.

    Raises:
        EngineMissing: neither package is installed.
        EngineFailed: it is no TFLite file, or one that the interpreter cannot load.
    """
    found = next((p for p in PACKAGES if importlib.util.find_spec(p) is not None), None)
    if found is None:
        raise EngineMissing(f"{name}: neither {' nor '.join(PACKAGES)} is installed; "
                            "pip install 'edge-dx[tflite]'")  # fmt: skip
    wrong = problem(payload)  # the interpreter ends the process on some broken files
    if wrong is not None:
        raise EngineFailed(f"{name}: {wrong}")
    module = importlib.import_module(f"{found}.interpreter")
    try:
        interpreter = module.Interpreter(model_content=payload, num_threads=threads)
        interpreter.allocate_tensors()
    except Exception as error:
        raise EngineFailed(f"{name}: the interpreter cannot load it ({_line(error)})") from error
    return interpreter


def _described(interpreter: Any) -> Described:
    return Described(
        tuple(_tensor(detail) for detail in interpreter.get_input_details()),
        tuple(_tensor(detail) for detail in interpreter.get_output_details()),
        _undelegated(interpreter),
    )


def _tensor(detail: Mapping[str, Any]) -> TensorOfFile:
    scale, zero_point = detail["quantization"]
    if len(detail["quantization_parameters"]["scales"]) > 1:  # told above as not quantized at all
        raise EngineRefused(
            f"tensor {detail['name']} is quantized per channel at the file's border; export it "
            "with one scale"
        )
    return TensorOfFile(
        detail["name"],
        np.dtype(detail["dtype"]).name,
        tuple(int(n) for n in detail["shape"]),
        float(scale) or None,
        int(zero_point),
    )


def _undelegated(interpreter: Any) -> tuple[str, ...]:
    """Operators that run outside the delegate.

    The interpreter lists the original operators and, behind them, the delegates that replaced
    them. What runs is what the outputs need, taken from a delegate wherever one gives the tensor.
    """
    maker: dict[int, Mapping[str, Any]] = {}
    for op in interpreter._get_ops_details():  # delegates stand last and so win
        for tensor in op["outputs"]:
            maker[int(tensor)] = op
    waiting = [int(detail["index"]) for detail in interpreter.get_output_details()]
    seen: set[int] = set()
    left: dict[int, str] = {}
    while waiting:
        op_here = maker.get(waiting.pop())
        if op_here is None or op_here["index"] in seen:
            continue
        seen.add(op_here["index"])
        if op_here["op_name"] != "DELEGATE":
            left[op_here["index"]] = op_here["op_name"]
        waiting += [int(tensor) for tensor in op_here["inputs"] if tensor >= 0]
    return tuple(name for _, name in sorted(left.items()))


def _check_quantization(name: str, variant: Variant, tensors: tuple[TensorOfFile, ...]) -> None:
    """Compares what the manifest says of a quantized tensor with what the file says."""
    wires = {wire.tensor: wire for wire in variant.wires.values()}
    for tensor in tensors:
        wire = wires.get(tensor.name)
        told = (wire.scale, wire.zero_point) if wire else (None, 0)
        found = (tensor.scale, tensor.zero_point)
        same = told == found or (
            told[0] is not None
            and found[0] is not None
            and np.float32(told[0]) == np.float32(found[0])
            and told[1] == found[1]
        )
        if not same:
            raise TensorMismatch(
                f"{name}: {tensor.name} is quantized with (scale, zero point) {found}, the "
                f"manifest says {told}; export the bundle again"
            )


def _line(error: Exception) -> str:
    """The interpreter's messages end with line breaks and sometimes hold more."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


_: type[Backend] = TfLite
