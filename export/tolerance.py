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
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export.running import Arrays

_FLOAT = 1e-3
_INT8_FLOOR = 5e-3
_INT8_CAP = 0.1
_INT8_FACTOR = 4.0
_IMAGES = 32


def tolerances(
    variant: str, payload: bytes, found: Arrays, images: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Output → allowed absolute difference.

    Args:
        variant: its name tells the precision.
        payload: the file.
        found: the runtime's outputs for the images.
        images: (N, C, H, W) uint8.
    """
    spans = {name: float(np.ptp(values)) for name, values in found.items()}
    shares = dict.fromkeys(found, _FLOAT)
    if variant.endswith("int8"):
        literal = as_written(payload, tuple(found), images[:_IMAGES])
        for name, values in found.items():
            off = float(np.abs(literal[name] - values[:_IMAGES]).max())
            share = _INT8_FACTOR * off / max(spans[name], 1e-12)
            shares[name] = min(max(share, _INT8_FLOOR), _INT8_CAP)
    return {name: max(float(f"{shares[name] * spans[name]:.2g}"), 1e-6) for name in found}


def as_written(payload: bytes, names: tuple[str, ...], images: np.ndarray[Any, Any]) -> Arrays:
    """Runs the file without any fusion: each Q/DQ as its own operator, convolutions in float."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    rows = [session.run(list(names), {feed: images[i : i + 1]}) for i in range(len(images))]
    return {name: np.concatenate([row[k] for row in rows]) for k, name in enumerate(names)}
