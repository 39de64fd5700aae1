"""How far a device's golden outputs may lie from this workstation's.

fp32 and fp16: a share of the output's range, for other orders of summing (a thousandth) and half
precision (a hundredth).

int8: integer kernels round differently where they scale their sums back to 8 bits. How much that
moves this very file is measured on the golden cases: it runs once on its engine and once with
every operator as written, without fast kernels or fusion, and the tolerance is four times the
difference, at least half a hundredth of the range and two and a half levels of a quantized output.
A difference beyond a tenth of the range is no rounding: sums saturate (x86 without VNNI), so what
this workstation computes may not become the golden outputs.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_dx.backends import input_specs, output_specs
from edge_dx.backends.specs import file_specs
from edge_dx.backends.tflite import PACKAGES
from edge_dx.backends.wires import Wired
from edge_dx.manifest import Manifest, Variant
from edge_dx.model import Model
from edge_dx.tensors import Array, TensorSpec
from export.errors import PackError
from export.packing.cases import Drawn

_SHARE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 5e-3}
_FACTOR = 4.0
_CAP = 0.1
_LEVELS = 2.5


def tolerances(
    model: Model,
    payload: bytes,
    cases: Sequence[Drawn],
    found: Sequence[Mapping[str, Array]],
    given: Mapping[str, float],
) -> dict[str, float]:
    """Output → allowed absolute difference.

    Args:
        model: the variant on the engine that gave the golden outputs.
        payload: its file.
        cases: those that reached the engine.
        found: the outputs of each.
        given: what the maker wants instead.

    Raises:
        PackError: this processor computes something else than the file says.
    """
    manifest, variant = model.bundle.manifest, model.variant
    literal: list[dict[str, Array]] = []
    if variant.precision == "int8":
        plain = as_written(manifest, variant, payload)
        literal = [plain.run(model.feeds_of(case.source)) for case in cases]
        plain.close()
    allowed: dict[str, float] = {}
    for spec in output_specs(manifest):
        name = spec.name
        values = np.stack([outputs[name] for outputs in found]).astype(np.float64)
        span = max(float(np.ptp(values)), float(np.abs(values).max()), 1e-6)
        share = _SHARE[variant.precision]
        if literal:
            off = float(np.abs(np.stack([outputs[name] for outputs in literal]) - values).max())
            if off > _CAP * span:
                raise PackError(
                    f"variant {variant.name}: this processor gives {name} {off:.3g} away from "
                    f"what the file says operator by operator, a tenth of its range and more, as "
                    "saturating 8-bit sums do (x86 without VNNI); pack it on another machine, or "
                    "leave this variant out"
                )
            share = min(max(_FACTOR * off / span, share), _CAP)
        wire = variant.wires.get(name)
        level = wire.scale if wire is not None and wire.scale is not None else 0.0
        rule = max(float(f"{max(share * span, _LEVELS * level):.2g}"), 1e-6)
        allowed[name] = given.get(name, rule)
    return allowed


def as_written(manifest: Manifest, variant: Variant, payload: bytes) -> Wired:
    """The file with every operator by itself, as it says, seen in the manifest's tensors."""
    specs = file_specs(manifest, variant)
    inner = (_TfliteAsWritten if variant.format == "tflite" else _OnnxAsWritten)(payload, specs)
    return Wired(inner, manifest, variant, (input_specs(manifest), output_specs(manifest)))


class _OnnxAsWritten:
    """onnxruntime without any optimization of the graph."""

    built = None

    def __init__(
        self, payload: bytes, specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
    ) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.inputs, self.outputs = specs
        self._session: Any = ort.InferenceSession(
            payload, options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Backend.run`."""
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def close(self) -> None:
        """Lets go of the session."""
        self._session = None


class _TfliteAsWritten:
    """A TFLite interpreter without the fast kernels."""

    built = None

    def __init__(
        self, payload: bytes, specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
    ) -> None:
        package = next(p for p in PACKAGES if importlib.util.find_spec(p) is not None)
        module = importlib.import_module(f"{package}.interpreter")
        self.inputs, self.outputs = specs
        self._runner: Any = module.Interpreter(
            model_content=payload,
            num_threads=1,
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._runner.allocate_tensors()
        details = (*self._runner.get_input_details(), *self._runner.get_output_details())
        self._index = {detail["name"]: detail["index"] for detail in details}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the graph; see `Backend.run`."""
        for name, array in feeds.items():
            self._runner.set_tensor(self._index[name], np.ascontiguousarray(array))
        self._runner.invoke()
        return {s.name: self._runner.get_tensor(self._index[s.name]) for s in self.outputs}

    def close(self) -> None:
        """Lets go of the interpreter."""
        self._runner = None
