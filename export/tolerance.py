"""How far a device's golden outputs may lie from the workstation's.

fp32: other processors and engines sum in another order, which moves an output by about 1e-6 of
its range; a thousandth of the range leaves room for fused and blocked kernels, and is a tenth of
what would move an answer.

int8: integer kernels agree to the bit wherever they accumulate in 32 bits, but what stands
between them (requantization) rounds in float, and an engine may choose to compute a convolution
in float altogether. How much that moves the outputs is measured for the very file: it runs once
with the integer kernels and once with every operator as written (dequantize, float convolution,
quantize), and the tolerance is a multiple of the difference. What must not pass is saturation
(x86 without VNNI adds pairs of products in 16 bits), which clips the largest sums and moves
outputs by a large part of their range; a cap at a tenth of the range keeps the tolerance below.
Both were checked by writing the arithmetic out (tests/export/test_export_tolerance.py does so for
a tiny network): on films and phantoms through `chest-tb`, exact integers stayed within 0.0021 of
a logit of onnxruntime, saturating ones were off by 0.5 and more, and the tolerance is 0.05.

fp16: a GPU may sum in half or in single precision, so the tolerance is a multiple of what half
precision itself moved the outputs by.

TFLite: the same, with the interpreter's own kernels in place of XNNPACK's, and never less than
two levels of a quantized output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_dx.backends import wires
from edge_dx.backends.specs import input_specs
from edge_dx.manifest import AnyInput
from export.running import Arrays, Made, draft_manifest

_FLOAT = 1e-3
_INT8_FLOOR = 5e-3
_INT8_CAP = 0.1
_FACTOR = 4.0
_LEVELS = 2.5
_STUDIES = 32

Feeds = Mapping[str, np.ndarray[Any, Any]]


def tolerances(
    made: Made, inputs: tuple[AnyInput, ...], found: Arrays, wanted: Arrays, feeds: Feeds
) -> dict[str, float]:
    """Output → allowed absolute difference.

    Args:
        made: the file.
        inputs: of the manifest.
        found: the runtime's outputs for the studies.
        wanted: the module's.
        feeds: input → (N, …).
    """
    few = {name: array[:_STUDIES] for name, array in feeds.items()}
    other = wanted
    if made.precision == "int8":
        other = as_written(made, inputs, tuple(found), few)
    allowed = {}
    for name, values in found.items():
        span = max(float(np.ptp(values)), 1e-12)
        share = _FLOAT
        if made.precision != "fp32":
            n = min(len(other[name]), len(values))
            off = float(np.abs(other[name][:n] - values[:n]).max())
            share = min(max(_FACTOR * off / span, _INT8_FLOOR), _INT8_CAP)
        wire = made.wires.get(name)
        level = wire.scale if wire is not None and wire.scale is not None else 0.0
        allowed[name] = max(float(f"{max(share * span, _LEVELS * level):.2g}"), 1e-6)
    return allowed


def as_written(
    made: Made, inputs: tuple[AnyInput, ...], names: tuple[str, ...], feeds: Feeds
) -> Arrays:
    """Runs the file without any fusion: each operator by itself, as the file says."""
    if made.format == "tflite":
        return _without_delegate(made, inputs, names, feeds)
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(made.payload, options, providers=["CPUExecutionProvider"])
    n = len(next(iter(feeds.values())))
    rows = [session.run(list(names), {k: a[i : i + 1] for k, a in feeds.items()}) for i in range(n)]
    return {name: np.concatenate([row[k] for row in rows]) for k, name in enumerate(names)}


def _without_delegate(
    made: Made, inputs: tuple[AnyInput, ...], names: tuple[str, ...], feeds: Feeds
) -> Arrays:
    from ai_edge_litert import interpreter as litert

    runner = litert.Interpreter(
        model_content=made.payload,
        num_threads=1,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runner.allocate_tensors()
    index = {
        d["name"]: d["index"] for d in (*runner.get_input_details(), *runner.get_output_details())
    }
    specs = input_specs(draft_manifest(inputs, ()))
    encoders = {
        item.name: wires.encoder(item, spec, made.wires[item.name])
        for item, spec in zip(inputs, specs, strict=True)
    }
    rows: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in names}
    for i in range(len(next(iter(feeds.values())))):
        for name, array in feeds.items():
            encoded = encoders[name](array[i : i + 1])
            runner.set_tensor(index[made.wires[name].tensor], encoded)
        runner.invoke()
        for name in names:
            wire = made.wires[name]
            rows[name].append(wires.decoder(wire)(runner.get_tensor(index[wire.tensor])))
    return {name: np.concatenate(parts) for name, parts in rows.items()}
