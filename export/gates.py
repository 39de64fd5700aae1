"""What a variant must come through to be packed, in order; the first failure stops it.

structure → parity in fp32 → noise per layer → clinical figures (non-inferiority) → size, latency,
memory → agreement of the heat maps. A gate gives back what it found, in words, or raises
`GateFailed` with what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx

from edge_dx.errors import EdgeDxError
from edge_dx.tensors import Array
from export.clinical import Comparison
from export.errors import GateFailed
from export.graph import MAX_IR, MAX_OPSET
from export.measure import Context, Measured, heat_map_correlations
from export.report.record import Gate, GateName, LayerNoise
from export.running import Made

Builder = Callable[[bytes], bytes]


def structure(made: Made, undelegated: int, prebuild: Builder | None) -> Gate:
    """Operators, opset and IR; for TensorRT the rules of its Q/DQ, and a real build where it can.

    Args:
        made: the file.
        undelegated: operators that a TFLite file may leave to reference loops.
        prebuild: compiles ahead of time with TensorRT for RTX; None where that is not installed.

    Raises:
        GateFailed: devices cannot run it, or not as fast as it was made for.
    """
    if made.format == "tflite":
        left = made.undelegated
        if len(left) > undelegated:
            raise GateFailed(
                f"{made.name}: {len(left)} operators run outside the fast kernels "
                f"({', '.join(left[:5])}), gates.undelegated allows {undelegated}; replace them in "
                "the module, or allow them and mind the latency",
                made.name, "structure",
            )  # fmt: skip
        told = "every operator runs in the fast kernels"
        if left:
            told = f"{len(left)} operators outside the fast kernels, as allowed: {', '.join(left)}"
        return Gate(gate="structure", passed=True, told=told)
    model = onnx.load_from_string(made.payload)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    kinds = sorted({node.op_type for node in model.graph.node})
    if set(opsets) != {""} or opsets[""] > MAX_OPSET or model.ir_version > MAX_IR:
        raise GateFailed(
            f"{made.name}: needs opsets {opsets} and IR {model.ir_version}; devices read the "
            f"standard domain up to opset {MAX_OPSET} and IR {MAX_IR}",
            made.name, "structure",
        )  # fmt: skip
    told = f"opset {opsets['']}, IR {model.ir_version}, {len(kinds)} kinds of operators"
    if made.name.startswith("tensorrt"):
        told += _tensorrt(made, model, prebuild)
    return Gate(gate="structure", passed=True, told=told)


def _tensorrt(made: Made, model: onnx.ModelProto, prebuild: Builder | None) -> str:
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        fault = _not_tensorrts(node, constants)
        if fault is not None:
            raise GateFailed(f"{made.name}: {fault}", made.name, "structure")
    if prebuild is None:
        return "; not compiled here: TensorRT for RTX is not installed"
    try:
        built = prebuild(made.payload)
    except EdgeDxError as error:
        raise GateFailed(
            f"{made.name}: TensorRT for RTX does not compile it ({error})", made.name, "structure"
        ) from error
    return f"; TensorRT for RTX compiles it ({len(built)} bytes for compute capability 8.6)"


def _not_tensorrts(node: onnx.NodeProto, constants: Mapping[str, Array]) -> str | None:
    """Why TensorRT would refuse a quantizing node; None: it takes it."""
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return None
    weights = constants.get(node.input[0])
    if weights is not None and weights.dtype != np.int8:
        return f"a bias is quantized ({weights.dtype}), which TensorRT refuses"
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    if zero is not None and zero.any():
        return "a zero point is not 0, TensorRT quantizes symmetrically"
    # Without a zero point the standard says uint8, which TensorRT has no activations of.
    if node.op_type == "QuantizeLinear" and (zero is None or zero.dtype != np.int8):
        found = "no zero point" if zero is None else f"a zero point of {zero.dtype}"
        return f"{node.op_type} {node.name} has {found}, TensorRT takes int8 with an explicit 0"
    return None


def parity(worst: dict[str, float], parent: str) -> Gate:
    """Tells what `export.parity.check_parity` found; it raises by itself."""
    told = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    return Gate(
        gate="parity", passed=True,
        told=f"{parent} against the module on inputs and batch sizes not traced: {told}",
    )  # fmt: skip


def layer_noise(name: str, layers: Sequence[LayerNoise], limit_db: float) -> Gate:
    """Each layer alone must leave the answers this clean.

    Raises:
        GateFailed: one does not; the message names it.
    """
    kept = [layer for layer in layers if not layer.reverted]
    if not kept:
        return Gate(gate="layer noise", passed=True, told="no layer is quantized")
    worst = min(kept, key=lambda layer: layer.sqnr_db)
    if not worst.sqnr_db >= limit_db:
        raise GateFailed(
            f"{name}: layer {worst.layer} alone leaves the answers at {worst.sqnr_db:.1f} dB, "
            f"gates.layer_sqnr_db asks for {limit_db:g}; allow layers to go back to float "
            "(quantization.revert), calibrate on studies like those of the device, or retrain with "
            "smaller weights there",
            name, "layer noise",
        )  # fmt: skip
    told = f"the noisiest of {len(kept)} layers is {worst.layer} with {worst.sqnr_db:.1f} dB"
    return Gate(gate="layer noise", passed=True, told=f"{told} (asked: {limit_db:g})")


def clinical(context: Context, measured: Measured, comparisons: Sequence[Comparison]) -> Gate:
    """No clinical figure is inferior, and few studies are answered otherwise.

    Raises:
        GateFailed: one is.
    """
    gates, name = context.told.gates, measured.made.name
    failed = next((c for c in comparisons if not c.passed), None)
    if failed is not None:
        off = failed.difference
        raise GateFailed(
            f"{name}: {failed.figure} is {failed.variant:.4f}, the module has "
            f"{failed.reference:.4f}; the difference {off.value:+.4f} [{off.low:+.4f}, "
            f"{off.high:+.4f}] may be worse than the margin -{failed.margin:g}. {_REMEDY}",
            name, "clinical",
        )  # fmt: skip
    for comparison in comparisons:
        if comparison.figure.endswith(": AUC") and comparison.difference.value < -gates.auc_loss:
            raise GateFailed(
                f"{name}: {comparison.figure} lost {-comparison.difference.value:.4f}, "
                f"gates.auc_loss allows {gates.auc_loss:g}. {_REMEDY}",
                name, "clinical",
            )  # fmt: skip
    n, flipped = len(measured.flipped), int(measured.flipped.sum())
    if flipped > gates.flips * n:
        raise GateFailed(
            f"{name}: {flipped} of {n} studies are answered otherwise than by the module, "
            f"gates.flips allows {gates.flips:.1%}. {_REMEDY}",
            name, "clinical",
        )  # fmt: skip
    lowest = min((c.difference.low + c.margin for c in comparisons), default=None)
    told = f"{len(comparisons)} figures are not inferior"
    if lowest is not None:
        told += f" (the nearest to its margin by {lowest:.4f})"
    return Gate(gate="clinical", passed=True, told=f"{told}; {flipped} of {n} answers differ")


_REMEDY = (
    "Allow layers to go back to float (quantization.revert), try other methods of calibration, "
    "calibrate on more studies like those of the device, or leave the variant out"
)


def budget(context: Context, measured: Measured, peak_mb: float | None) -> Gate:
    """Size, latency and memory within the recipe's budget.

    Raises:
        GateFailed: one is over.
    """
    limits, made = context.told.budget, measured.made
    found: dict[GateName | str, tuple[float | None, float | None, str]] = {
        "file_mb": (len(made.payload) / 1e6, limits.file_mb, "MB"),
        "latency_p99_ms": (measured.p99_ms, limits.latency_p99_ms, "ms"),
        "peak_memory_mb": (peak_mb, limits.peak_memory_mb, "MB"),
    }
    for key, (value, limit, unit) in found.items():
        if value is not None and limit is not None and value > limit:
            raise GateFailed(
                f"{made.name}: {value:.4g} {unit}, the recipe's budget.{key} allows {limit:g}",
                made.name, "size, latency, memory",
            )  # fmt: skip
    told = ", ".join(
        f"{key} {value:.4g}" + (f" of {limit:g}" if limit is not None else "")
        for key, (value, limit, _) in found.items()
        if value is not None
    )
    return Gate(gate="size, latency, memory", passed=True, told=told)


def heat_maps(context: Context, measured: Measured) -> tuple[Gate, float | None]:
    """The maps show the same places as the module's; also the lowest correlation of any study.

    Raises:
        GateFailed: they do not.
    """
    agreement = measured.figures.fidelity.heat_map_agreement
    if agreement is None:
        return Gate(gate="heat maps", passed=True, told="the model draws none"), None
    limit, name = context.told.gates.heat_map_correlation, measured.made.name
    found = heat_map_correlations(context, measured.outputs)
    lowest = float(np.nanmin(found))
    spelt = f"{agreement.value:.4f} [{agreement.low:.4f}, {agreement.high:.4f}]"
    if not agreement.low >= limit:
        raise GateFailed(
            f"{name}: the heat maps correlate {spelt} with the module's, "
            f"gates.heat_map_correlation asks for {limit:g}: the file may be right for other "
            f"reasons than the module. {_REMEDY}",
            name, "heat maps",
        )  # fmt: skip
    told = f"mean correlation {spelt} over {agreement.n} patients, lowest {lowest:.4f}"
    return Gate(gate="heat maps", passed=True, told=f"{told} (asked: {limit:g})"), lowest
